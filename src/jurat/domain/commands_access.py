"""What can be asked for about access beyond a grant: its rules, requests for it, break-glass, notices, reviews.

Who asks is proved by the walk; a command names the asker only so that policies can hold it against them.
"""

from __future__ import annotations

from typing import ClassVar

from jurat.domain import rows
from jurat.domain.commands import Command
from jurat.domain.facts_access import ReviewItem
from jurat.domain.state import State


class _OnWorkspace(Command, frozen=True, kw_only=True):
    def resource(self, state: State) -> str:
        return "workspace"


class ApplyAccessRules(_OnWorkspace, frozen=True, kw_only=True):
    permission: ClassVar[str] = "access_rules:apply"
    source: str
    reason: str


# --- requests --------------------------------------------------------------------------------------------------------


class RequestAccess(Command, frozen=True, kw_only=True):
    """Ask for a role, for oneself, for a time that begins when it is approved."""

    permission: ClassVar[str] = "access:request"
    principal: str  # the asker
    role: str
    scope: str
    lifetime_s: float
    reason: str
    renews: str = ""  # a grant of the asker's that the new one takes the place of

    def resource(self, state: State) -> str:
        return f"principals/{self.principal}"


class _OnAccessRequest(Command, frozen=True, kw_only=True):
    request: str
    shown_digest: str  # of what the approver was shown; another one voids the act
    comment: str = ""

    def resource(self, state: State) -> str:
        found = state.get(rows.AccessRequest, self.request)
        return f"principals/{found.principal if found else 'unknown'}"


class ApproveAccess(_OnAccessRequest, frozen=True, kw_only=True):
    permission: ClassVar[str] = "access:approve"


class RejectAccess(_OnAccessRequest, frozen=True, kw_only=True):
    permission: ClassVar[str] = "access:reject"


class EndExpired(_OnWorkspace, frozen=True, kw_only=True):
    """Write down what has ended by itself: grants, and break-glass windows. Nothing holds any longer or shorter by it."""

    permission: ClassVar[str] = "access:expire"


# --- break-glass -----------------------------------------------------------------------------------------------------


class BreakGlass(Command, frozen=True, kw_only=True):
    """Take a role in an emergency. Nobody is asked; everybody who would have been is told."""

    permission: ClassVar[str] = "glass:break"
    principal: str  # the asker
    role: str
    scope: str
    reason: str
    ticket: str
    lifetime_s: float = 0.0  # 0: as long as the rules say is usual
    drill: bool = False

    def resource(self, state: State) -> str:
        return f"principals/{self.principal}"


class _OnGlass(Command, frozen=True, kw_only=True):
    glass: str

    def resource(self, state: State) -> str:
        found = state.get(rows.Glass, self.glass)
        return f"principals/{found.person if found else 'unknown'}"


class CloseGlass(_OnGlass, frozen=True, kw_only=True):
    """End one's own window before its time."""

    permission: ClassVar[str] = "glass:close"


class ReviewGlass(_OnGlass, frozen=True, kw_only=True):
    """Say, having seen every act in the window, whether it was justified. What was recorded is read by Jurat itself."""

    permission: ClassVar[str] = "glass:review"
    verdict: str
    comment: str
    acts: int
    shown_digest: str


class ReportDrill(_OnGlass, frozen=True, kw_only=True):
    """Put a drill's measured times on record. Measured by Jurat itself, never by the caller."""

    permission: ClassVar[str] = "glass:close"
    to_access_s: float
    to_notify_s: dict[str, float]
    to_revoke_s: float
    method: str


class SeeNotice(Command, frozen=True, kw_only=True):
    """Take note of a notice of one's own."""

    permission: ClassVar[str] = "inbox:read"
    notice: str

    def resource(self, state: State) -> str:
        found = state.get(rows.Notice, self.notice)
        return f"principals/{found.to if found else 'unknown'}"


# --- reviews ---------------------------------------------------------------------------------------------------------


class OpenReview(_OnWorkspace, frozen=True, kw_only=True):
    """Put every live grant before somebody who answers for it. Its use is read from the ledger by Jurat itself."""

    permission: ClassVar[str] = "review:open"
    reason: str
    items: list[ReviewItem]
    answer_within_s: float  # 0: as the rules say
    used_since: str
    as_of: dict[str, int]
    policy_set: str


class AnswerReview(Command, frozen=True, kw_only=True):
    """Say whether a grant stays."""

    permission: ClassVar[str] = "review:answer"
    review: str
    grant: str
    answer: str  # keep | remove
    reason: str

    def resource(self, state: State) -> str:
        found = state.get(rows.Answer, f"{self.review}/{self.grant}")
        return f"principals/{found.item.principal if found else 'unknown'}"


class RunReviews(_OnWorkspace, frozen=True, kw_only=True):
    """What time does to open reviews: reminders, and at the due date the end of what nobody answered for."""

    permission: ClassVar[str] = "access:expire"
