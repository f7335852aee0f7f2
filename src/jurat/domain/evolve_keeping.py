"""Event → rows, for how long events are kept: the table in force, live holds, erasures and how far each has come."""

from __future__ import annotations

from typing import Any

import msgspec

from jurat.core.errors import Tampered
from jurat.domain import facts_keeping as facts
from jurat.domain import rows
from jurat.domain.events import Event
from jurat.domain.retention import read_table, shortened
from jurat.domain.state import Put, State


def retention_applied(state: State, event: Event, data: facts.RetentionApplied) -> list[Put]:
    before = state.get(rows.RetentionInForce, "current")
    earlier = list(before.earlier) if before else []
    if before and shortened(read_table(before.source), read_table(data.source)):
        earlier.append(rows.EarlierTable(source=before.source, until=event.at))
    row = rows.RetentionInForce(as_of=event.id, digest=data.digest, source=data.source, earlier=earlier)
    return [Put("retention_tables", "current", row), Put("retention_tables", data.digest, row)]


def shortening_requested(state: State, event: Event, data: facts.ShorteningRequested) -> list[Put]:
    row = rows.Shortening(
        as_of=event.id, request=data.request, digest=data.digest, source=data.source, previous=data.previous, less=data.less,
        reason=data.reason, shown_digest=data.shown_digest, expires_at=data.expires_at, requested_by=event.actor.principal,
        requested_at=event.at, asking_person=event.actor.chain[0],
    )  # fmt: skip
    return [Put("shortenings", data.request, row)]


def shortening_approved(state: State, event: Event, data: facts.ShorteningApproved) -> list[Put]:
    return _answered(state, event, data.request, "approved")


def shortening_rejected(state: State, event: Event, data: facts.ShorteningRejected) -> list[Put]:
    return _answered(state, event, data.request, "rejected")


def _answered(state: State, event: Event, request: str, status: str) -> list[Put]:
    row = state.get(rows.Shortening, request)
    if row is None:
        raise Tampered(f"event `{event.id}` ({event.kind.name}) speaks of `{request}`, which no earlier event made")
    changed = msgspec.structs.replace(row, as_of=event.id, status=status, decided_by=event.actor.principal)
    return [Put("shortenings", request, changed)]


def hold_placed(state: State, event: Event, data: facts.HoldPlaced) -> list[Put]:
    row = rows.Hold(
        as_of=event.id, hold=data.hold, systems=data.systems, subject=data.subject, received_from=data.received_from,
        received_until=data.received_until, reason=data.reason, legal_basis=data.legal_basis, placed_by=event.actor.principal,
    )  # fmt: skip
    return [Put("holds", data.hold, row)]


def hold_released(state: State, event: Event, data: facts.HoldReleased) -> list[Put]:
    return [Put("holds", data.hold, None)]


def erasure_requested(state: State, event: Event, data: facts.ErasureRequested) -> list[Put]:
    row = rows.Erasure(
        as_of=event.id, request=data.request, selector=data.selector, reference=data.reference, person=data.person, events=data.events,
        count=data.count, kept=data.kept, reason=data.reason, legal_basis=data.legal_basis, retention=data.retention,
        shown_digest=data.shown_digest, expires_at=data.expires_at, requested_by=event.actor.principal, requested_at=event.at,
        asking_person=event.actor.chain[0],
    )  # fmt: skip
    return [Put("erasures", data.request, row)]


def erasure_approved(state: State, event: Event, data: facts.ErasureApproved) -> list[Put]:
    return _moved(state, event, data.request, status="approved", approved=event.id, decided_by=event.actor.principal)


def erasure_rejected(state: State, event: Event, data: facts.ErasureRejected) -> list[Put]:
    return _moved(state, event, data.request, status="rejected", decided_by=event.actor.principal)


def erasure_started(state: State, event: Event, data: facts.ErasureStarted) -> list[Put]:
    return _moved(state, event, data.request, status="started")


def events_erased(state: State, event: Event, data: facts.EventsErased) -> list[Put]:
    return _moved(state, event, data.request, status="done", certificate=event.id)


def _moved(state: State, event: Event, request: str, **changes: Any) -> list[Put]:
    row = state.get(rows.Erasure, request)
    if row is None:
        raise Tampered(f"event `{event.id}` ({event.kind.name}) speaks of `{request}`, which no earlier event made")
    return [Put("erasures", request, msgspec.structs.replace(row, as_of=event.id, **changes))]
