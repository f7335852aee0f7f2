"""What the events say about access beyond a grant: the rules of duties, requests, break-glass, notices, reviews.

The law of `facts` holds here too: fields are only added, last, with a default. People are `prn_…`, never names.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from jurat.domain.values import Fact


class AccessRulesApplied(Fact, frozen=True, kw_only=True):
    digest: str
    source: str  # the YAML, as written
    reason: str
    loosened: list[str]  # what the rules before it held apart, and these no longer do
    previous: str | None = None


class AccessRequested(Fact, frozen=True, kw_only=True):
    request: str
    principal: str
    role: str
    scope: str
    lifetime_s: float  # from the moment of the last approval
    reason: str
    renews: str  # the grant that it is to take the place of; empty: none
    approvers: list[str]  # roles, one for each person who must say yes
    shown: dict[str, Any]  # exactly what approvers are shown
    shown_digest: str
    expires_at: str  # of the request


class AccessApproved(Fact, frozen=True, kw_only=True):
    request: str
    shown_digest: str
    roles: list[str]  # the approver roles that this person holds
    comment: str


class AccessRejected(Fact, frozen=True, kw_only=True):
    request: str
    shown_digest: str
    comment: str


class GrantExpired(Fact, frozen=True, kw_only=True):
    """A clock's word, for the record: the grant ended by itself at that moment, whether anybody said so or not."""

    grant: str
    principal: str
    role: str
    ended_at: str


class GlassBroken(Fact, frozen=True, kw_only=True):
    glass: str
    person: str
    grant: str
    role: str
    scope: str
    reason: str
    ticket: str
    drill: bool
    skipped: list[str]  # the people who would have been asked
    told: list[str]  # the people who are told at once
    expires_at: str
    review_due: str  # empty for a drill


class GlassClosed(Fact, frozen=True, kw_only=True):
    glass: str
    person: str
    grant: str
    how: str  # `ended`: by its person, before its time; `expired`: by the clock
    ended_at: str


class GlassReviewed(Fact, frozen=True, kw_only=True):
    glass: str
    person: str  # whose acts were looked at
    verdict: str  # `justified` or `unjustified`
    comment: str
    acts: int  # recorded in the window
    shown_digest: str  # of the list of them


class DrillReported(Fact, frozen=True, kw_only=True):
    """Measured on the running system. Seconds, from the moment at which the command was given, or the end was."""

    glass: str
    to_access_s: float
    to_notify_s: dict[str, float]  # by person: until the notice was in their inbox
    to_revoke_s: float
    role: str
    scope: str
    policy_set: str
    method: str


class NoticeGiven(Fact, frozen=True, kw_only=True):
    notice: str
    to: str
    about: str  # the id of what it is about
    subject: str  # `break_glass`, `review`, `reminder`, `rules`
    text: str


class NoticeSeen(Fact, frozen=True, kw_only=True):
    notice: str
    to: str


class DeliveryEnded(Fact, frozen=True, kw_only=True):
    """A notice left the house by one way, or will not: where a person is reached is in the vault, never here."""

    notice: str
    to: str
    way: str  # `mail`, `webhook:<host>/<digest of the address>`
    outcome: str  # delivered | failed
    tries: int
    after_s: float  # since the notice was given
    why: str  # of the last failure; empty: delivered


class ReviewItem(msgspec.Struct, frozen=True, kw_only=True):
    """One grant before the person who answers for it, with what the record says of its use."""

    grant: str
    principal: str
    role: str
    scope: str
    decider: str
    granted_at: str
    uses: int  # recorded acts that the role allowed
    last_used: str  # RFC 3339; empty: never
    needed: int  # of these, how many nothing else would have allowed: what would break
    proposal: str  # `keep` or `remove`
    why: str
    silence_removes: bool
    examples: list[str] = []  # event ids, at most three


class ReviewOpened(Fact, frozen=True, kw_only=True):
    review: str
    reason: str
    items: list[ReviewItem]
    due_at: str
    used_since: str  # the record was read from here on
    as_of: dict[str, int]  # per log, the next index when it was read
    policy_set: str  # by which use was judged


class ReviewAnswered(Fact, frozen=True, kw_only=True):
    review: str
    grant: str
    answer: str  # `keep` or `remove`
    reason: str


class ReviewClosed(Fact, frozen=True, kw_only=True):
    review: str
    kept: int
    removed: int
    by_silence: list[str]  # grants that went because nobody answered
    gone_before: list[str]  # grants that had ended meanwhile
    unanswered: list[str]  # grants that silence does not take away


ACCESS_FACTS: Final[dict[str, type[Fact]]] = {
    "access_rules.applied.v1": AccessRulesApplied,
    "access.requested.v1": AccessRequested,
    "access.approved.v1": AccessApproved,
    "access.rejected.v1": AccessRejected,
    "role.expired.v1": GrantExpired,
    "glass.broken.v1": GlassBroken,
    "glass.closed.v1": GlassClosed,
    "glass.reviewed.v1": GlassReviewed,
    "drill.reported.v1": DrillReported,
    "notice.given.v1": NoticeGiven,
    "notice.seen.v1": NoticeSeen,
    "delivery.ended.v1": DeliveryEnded,
    "review.opened.v1": ReviewOpened,
    "review.answered.v1": ReviewAnswered,
    "review.closed.v1": ReviewClosed,
}
