"""What holds now of access beyond a grant: its rules, requests, break-glass, notices and their sending, reviews. The law of `rows`."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from jurat.domain.facts_access import ReviewItem
from jurat.domain.row import Row


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    event: str
    principal: str
    person: str  # who answers for the principal
    roles: list[str]
    at: str


class AccessRulesInForce(Row, frozen=True, kw_only=True):
    """Key `current`, and one row per digest ever in force."""

    digest: str
    source: str


class Deed(Row, frozen=True, kw_only=True):
    """What somebody did to a version or a data set, once or often: what duties are held apart by. Key: all three."""

    subject: str
    permission: str
    person: str


class AccessRequest(Row, frozen=True, kw_only=True):
    request: str
    principal: str
    asking_person: str
    role: str
    scope: str
    lifetime_s: float
    reason: str
    renews: str
    approvers: list[str]
    shown: dict[str, Any]
    shown_digest: str
    expires_at: str
    approvals: list[Approval] = []  # noqa: RUF012
    status: str = "waiting_for_approvers"  # granted | rejected | void
    grant: str = ""


class Glass(Row, frozen=True, kw_only=True):
    """One break-glass window and the review after it."""

    glass: str
    person: str
    grant: str
    role: str
    scope: str
    reason: str
    ticket: str
    drill: bool
    opened_at: str
    expires_at: str
    review_due: str
    closed_at: str = ""
    verdict: str = ""  # empty: not reviewed yet


class Notice(Row, frozen=True, kw_only=True):
    """Something that a person was told; a notice that was seen has no row."""

    notice: str
    to: str
    about: str
    subject: str
    text: str
    at: str


class Delivery(Row, frozen=True, kw_only=True):
    """How the sending of an unseen notice ended. Key `<notice>/<way>`."""

    notice: str
    to: str
    way: str
    outcome: str  # delivered | failed
    tries: int
    after_s: float
    why: str
    at: str


class Review(Row, frozen=True, kw_only=True):
    review: str
    opened_by: str
    opened_at: str
    due_at: str
    reason: str
    count: int
    status: str = "open"  # closed
    closed: str = ""  # event id
    reminded: int = 0  # how many reminders went out


class Answer(Row, frozen=True, kw_only=True):
    """One grant of a review, and what was answered. Key `<review>/<grant>`."""

    review: str
    item: ReviewItem
    decider: str
    grant: str
    answer: str = ""  # keep | remove; empty: not yet
    answered_by: str = ""
    reason: str = ""


ACCESS_ROWS: Final[dict[str, type[Row]]] = {
    "access_rules": AccessRulesInForce,
    "deeds": Deed,
    "access_requests": AccessRequest,
    "glass": Glass,
    "notices": Notice,
    "deliveries": Delivery,
    "reviews": Review,
    "answers": Answer,
}
