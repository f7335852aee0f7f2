"""What events about the policies change: which set is in force, which is tried out, which change waits."""

from __future__ import annotations

import msgspec

from jurat.core.errors import Tampered
from jurat.domain import facts_policy as facts
from jurat.domain import rows
from jurat.domain.events import Event
from jurat.domain.state import Put, State


def change_requested(state: State, event: Event, data: facts.PolicyChangeRequested) -> list[Put]:
    row = rows.PolicyChange(
        as_of=event.id, request=data.request, digest=data.digest, previous=data.previous, files=data.files, schema=data.schema,
        reason=data.reason, shown=data.shown, shown_digest=data.shown_digest, expires_at=data.expires_at,
        requested_by=event.actor.principal, asking_person=event.actor.chain[0], requested_at=event.at,
    )  # fmt: skip
    return [Put("policy_changes", data.request, row)]


def change_approved(state: State, event: Event, data: facts.PolicyChangeApproved) -> list[Put]:
    return _closed(state, event, data.request, "applied")


def change_rejected(state: State, event: Event, data: facts.PolicyChangeRejected) -> list[Put]:
    return _closed(state, event, data.request, "rejected")


def shadow_set(state: State, event: Event, data: facts.PolicyShadowSet) -> list[Put]:
    row = rows.PolicySetInForce(as_of=event.id, digest=data.digest, files=data.files, schema=data.schema)
    return [Put("policy_sets", "shadow", row if data.digest else None)]


def _closed(state: State, event: Event, request: str, status: str) -> list[Put]:
    row = state.get(rows.PolicyChange, request)
    if row is None:
        raise Tampered(f"event `{event.id}` ({event.kind.name}) speaks of `{request}`, which no earlier event made")
    return [Put("policy_changes", request, msgspec.structs.replace(row, as_of=event.id, status=status, decided_by=event.actor.principal))]
