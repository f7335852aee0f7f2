"""What events say about the policies themselves, and about decisions that were asked for from outside.

LAW: as in `facts.py`: fields are only ever added, last, with a default.
"""

from __future__ import annotations

from typing import Any

from jurat.domain.values import Fact


class PolicyChangeRequested(Fact, frozen=True, kw_only=True):
    request: str
    digest: str  # of the candidate
    previous: str  # of the set that was in force
    files: dict[str, str]
    schema: str
    reason: str
    shown: dict[str, Any]  # exactly what an approver is shown
    shown_digest: str
    expires_at: str


class PolicyChangeApproved(Fact, frozen=True, kw_only=True):
    request: str
    digest: str
    shown_digest: str
    comment: str


class PolicyChangeRejected(Fact, frozen=True, kw_only=True):
    request: str
    digest: str
    shown_digest: str
    comment: str


class PolicyShadowSet(Fact, frozen=True, kw_only=True):
    """From here on each decision also says what this candidate would have said; an empty digest ends it."""

    digest: str
    files: dict[str, str]
    schema: str
    reason: str


class AccessDecided(Fact, frozen=True, kw_only=True):
    """An answer to an enforcement point; the envelope's decision has the question. `count` equal answers, none of them a deny."""

    asked_by: str  # the principal of the enforcement point
    count: int  # how often, from `first_at` to `last_at`: 1, or repetitions of an allow within a minute
    first_at: str
    last_at: str
    request_id: str = ""  # as the enforcement point called it


POLICY_FACTS: dict[str, type[Fact]] = {
    "policy_change.requested.v1": PolicyChangeRequested,
    "policy_change.approved.v1": PolicyChangeApproved,
    "policy_change.rejected.v1": PolicyChangeRejected,
    "policy_shadow.set.v1": PolicyShadowSet,
    "access.decided.v1": AccessDecided,
}
