"""What can be asked for about the policies: a change, its approval, a candidate in the shadow; and to ask them.

A command that names a set carries the whole of it: what is approved is what was sent, not what lies in somebody's folder.
"""

from __future__ import annotations

from typing import ClassVar

from jurat.domain.commands import Command, ReadRecords
from jurat.domain.state import State


class _OnWorkspace(Command, frozen=True, kw_only=True):
    def resource(self, state: State) -> str:
        return "workspace"


class RequestPolicyChange(_OnWorkspace, frozen=True, kw_only=True):
    """Ask another person to put this set into force. Refused whole if anything in it cannot be meant."""

    permission: ClassVar[str] = "policy:apply"
    files: dict[str, str]
    schema: str
    reason: str
    lifetime_s: float = 7 * 86_400.0


class _OnChange(_OnWorkspace, frozen=True, kw_only=True):
    request: str
    shown_digest: str  # of what was shown; another one voids the act
    comment: str = ""


class ApprovePolicyChange(_OnChange, frozen=True, kw_only=True):
    """Say yes: the set is in force from this moment."""

    permission: ClassVar[str] = "policy:approve"


class RejectPolicyChange(_OnChange, frozen=True, kw_only=True):
    permission: ClassVar[str] = "policy:approve"


class SetPolicyShadow(_OnWorkspace, frozen=True, kw_only=True):
    """Let a candidate answer beside the set in force; it decides nothing. Without files: end it."""

    permission: ClassVar[str] = "policy:shadow"
    reason: str
    files: dict[str, str] = {}  # noqa: RUF012 - a struct's default is copied
    schema: str = ""


class ReplayDecisions(ReadRecords, frozen=True, kw_only=True):
    """Read the recorded decisions, to ask another set the same questions."""

    permission: ClassVar[str] = "policy:replay"


class AskWhy(ReadRecords, frozen=True, kw_only=True):
    """Ask who can do what, what somebody can do, or why an answer was what it was."""

    permission: ClassVar[str] = "access:explain"


class AskAboutSelf(AskWhy, frozen=True, kw_only=True):
    """The same about one's own rights: everybody may who may read the rules."""

    permission: ClassVar[str] = "policy:read"
