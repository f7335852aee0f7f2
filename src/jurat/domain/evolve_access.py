"""Event → rows, for access beyond a grant: rules, requests, break-glass, notices, reviews; and what anybody did to a version.

A deed is kept for every person behind an act: whoever is first in the chain, and whoever answers for what acted. It stays
whatever the rules say by then, so rules that are applied later reach back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from jurat.core.errors import Tampered
from jurat.domain import facts, rows
from jurat.domain import facts_access as access
from jurat.domain.events import Event
from jurat.domain.roles import people_behind
from jurat.domain.rows import R
from jurat.domain.state import Put, State

# Facts that leave a deed: the permission that was used, and on what.
DEEDS: Final[dict[type[facts.Fact], tuple[str, Callable[[Any], str]]]] = {
    facts.DatasetRegistered: ("data:register", lambda d: str(d.dataset)),
    facts.VersionRegistered: ("model:register", lambda d: str(d.version)),
    facts.EvidenceMeasured: ("evidence:record", lambda d: str(d.version)),
    facts.PromotionRequested: ("request:open", lambda d: str(d.version)),
    facts.RequestApproved: ("request:approve", lambda d: str(d.version)),
    facts.RequestRejected: ("request:reject", lambda d: str(d.version)),
    facts.VersionPromoted: ("model:promote", lambda d: str(d.version)),
    facts.VersionRetired: ("model:retire", lambda d: str(d.version)),
    facts.EndpointConfigured: ("endpoint:configure", lambda d: str(d.version)),
}


def deeds_of(state: State, event: Event) -> list[Put]:
    """Return what an event leaves to be remembered of who did what."""
    found = DEEDS.get(type(event.data))
    if found is None:
        return []
    permission, subject_of = found
    subject = subject_of(event.data)
    return [
        Put("deeds", f"{subject} {permission} {person}", rows.Deed(as_of=event.id, subject=subject, permission=permission, person=person))
        for person in sorted(people_behind(state, event.actor))
    ]


def _rules_applied(_state: State, event: Event, data: access.AccessRulesApplied) -> list[Put]:
    row = rows.AccessRulesInForce(as_of=event.id, digest=data.digest, source=data.source)
    return [Put("access_rules", "current", row), Put("access_rules", data.digest, row)]


def _requested(_state: State, event: Event, data: access.AccessRequested) -> list[Put]:
    row = rows.AccessRequest(
        as_of=event.id, request=data.request, principal=data.principal, asking_person=event.actor.chain[0], role=data.role,
        scope=data.scope, lifetime_s=data.lifetime_s, reason=data.reason, renews=data.renews, approvers=data.approvers, shown=data.shown,
        shown_digest=data.shown_digest, expires_at=data.expires_at,
    )  # fmt: skip
    return [Put("access_requests", data.request, row)]


def _approved(state: State, event: Event, data: access.AccessApproved) -> list[Put]:
    row = _known(state, rows.AccessRequest, data.request, event)
    yes = rows.Approval(event=event.id, principal=event.actor.principal, person=event.actor.chain[0], roles=data.roles, at=event.at)
    return [Put("access_requests", data.request, msgspec.structs.replace(row, as_of=event.id, approvals=[*row.approvals, yes]))]


def _rejected(state: State, event: Event, data: access.AccessRejected) -> list[Put]:
    row = _known(state, rows.AccessRequest, data.request, event)
    return [Put("access_requests", data.request, msgspec.structs.replace(row, as_of=event.id, status="rejected"))]


def answered_by_grant(state: State, event: Event, data: facts.RoleGranted) -> list[Put]:
    """Return what a grant does to the request that it answers."""
    if not data.request:
        return []
    row = _known(state, rows.AccessRequest, data.request, event)
    return [Put("access_requests", data.request, msgspec.structs.replace(row, as_of=event.id, status="granted", grant=data.grant))]


def _grant_expired(_state: State, _event: Event, data: access.GrantExpired) -> list[Put]:
    return [Put("grants", data.grant, None)]


def _glass_broken(_state: State, event: Event, data: access.GlassBroken) -> list[Put]:
    row = rows.Glass(
        as_of=event.id, glass=data.glass, person=data.person, grant=data.grant, role=data.role, scope=data.scope, reason=data.reason,
        ticket=data.ticket, drill=data.drill, opened_at=event.at, expires_at=data.expires_at, review_due=data.review_due,
    )  # fmt: skip
    return [Put("glass", data.glass, row)]


def _glass_closed(state: State, event: Event, data: access.GlassClosed) -> list[Put]:
    row = _known(state, rows.Glass, data.glass, event)
    closed = msgspec.structs.replace(row, as_of=event.id, closed_at=data.ended_at)
    return [Put("glass", data.glass, closed), Put("grants", data.grant, None)]


def _glass_reviewed(state: State, event: Event, data: access.GlassReviewed) -> list[Put]:
    row = _known(state, rows.Glass, data.glass, event)
    return [Put("glass", data.glass, msgspec.structs.replace(row, as_of=event.id, verdict=data.verdict))]


def _notice_given(state: State, event: Event, data: access.NoticeGiven) -> list[Put]:
    row = rows.Notice(as_of=event.id, notice=data.notice, to=data.to, about=data.about, subject=data.subject, text=data.text, at=event.at)
    puts = [Put("notices", data.notice, row)]
    review, _, stage = data.about.partition("#")  # a reminder says the how manieth it is
    found = state.get(rows.Review, review) if data.subject == "reminder" else None
    if found is not None and stage.isdigit():
        puts.append(Put("reviews", review, msgspec.structs.replace(found, as_of=event.id, reminded=int(stage))))
    return puts


def _notice_seen(state: State, _event: Event, data: access.NoticeSeen) -> list[Put]:
    ways = [Put("deliveries", f"{each.notice}/{each.way}", None) for each in state.find(rows.Delivery, notice=data.notice)]
    return [Put("notices", data.notice, None), *ways]


def _delivery_ended(state: State, event: Event, data: access.DeliveryEnded) -> list[Put]:
    if state.get(rows.Notice, data.notice) is None:  # seen meanwhile: then nobody asks any more how it was sent
        return []
    row = rows.Delivery(
        as_of=event.id, notice=data.notice, to=data.to, way=data.way, outcome=data.outcome, tries=data.tries, after_s=data.after_s,
        why=data.why, at=event.at,
    )  # fmt: skip
    return [Put("deliveries", f"{data.notice}/{data.way}", row)]


def _review_opened(state: State, event: Event, data: access.ReviewOpened) -> list[Put]:
    row = rows.Review(
        as_of=event.id, review=data.review, opened_by=event.actor.principal, opened_at=event.at, due_at=data.due_at, reason=data.reason,
        count=len(data.items),
    )  # fmt: skip
    puts = [Put("reviews", data.review, row)]
    for item in data.items:
        answer = rows.Answer(as_of=event.id, review=data.review, item=item, decider=item.decider, grant=item.grant)
        puts.append(Put("answers", f"{data.review}/{item.grant}", answer))
        grant = state.get(rows.Grant, item.grant)
        if grant is not None:
            due = data.due_at if item.silence_removes else ""
            puts.append(Put("grants", item.grant, msgspec.structs.replace(grant, as_of=event.id, review=data.review, review_due=due)))
    return puts


def _review_answered(state: State, event: Event, data: access.ReviewAnswered) -> list[Put]:
    key = f"{data.review}/{data.grant}"
    row = _known(state, rows.Answer, key, event)
    answer = msgspec.structs.replace(row, as_of=event.id, answer=data.answer, answered_by=event.actor.chain[0], reason=data.reason)
    grant = state.get(rows.Grant, data.grant)
    puts = [Put("answers", key, answer)]
    if grant is not None:
        kept = msgspec.structs.replace(grant, as_of=event.id, review="", review_due="")
        puts.append(Put("grants", data.grant, kept if data.answer == "keep" else None))
    return puts


def _review_closed(state: State, event: Event, data: access.ReviewClosed) -> list[Put]:
    row = _known(state, rows.Review, data.review, event)
    puts = [Put("reviews", data.review, msgspec.structs.replace(row, as_of=event.id, status="closed", closed=event.id))]
    for grant in [*data.by_silence, *data.unanswered]:
        found = state.get(rows.Grant, grant)
        if found is not None and found.review == data.review:
            freed = msgspec.structs.replace(found, as_of=event.id, review="", review_due="")
            puts.append(Put("grants", grant, None if grant in data.by_silence else freed))
    return puts


def _known(state: State, row: type[R], key: str, event: Event) -> R:
    found = state.get(row, key)
    if found is None:
        raise Tampered(f"event `{event.id}` ({event.kind.name}) speaks of `{key}`, which no earlier event made")
    return found


ACCESS_CHANGES: Final[dict[type[facts.Fact], Callable[[State, Event, Any], list[Put]]]] = {
    access.AccessRulesApplied: _rules_applied,
    access.AccessRequested: _requested,
    access.AccessApproved: _approved,
    access.AccessRejected: _rejected,
    access.GrantExpired: _grant_expired,
    access.GlassBroken: _glass_broken,
    access.GlassClosed: _glass_closed,
    access.GlassReviewed: _glass_reviewed,
    access.NoticeGiven: _notice_given,
    access.NoticeSeen: _notice_seen,
    access.DeliveryEnded: _delivery_ended,
    access.ReviewOpened: _review_opened,
    access.ReviewAnswered: _review_answered,
    access.ReviewClosed: _review_closed,
}
