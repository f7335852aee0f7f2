"""Vouched credentials and confirmed grants: event → rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from jurat.core.errors import Tampered
from jurat.domain import facts_credentials as facts
from jurat.domain import rows
from jurat.domain.events import Event
from jurat.domain.state import Put, State
from jurat.domain.values import Fact


def _vouched(_state: State, event: Event, data: facts.CredentialVouched) -> list[Put]:
    row = rows.Vouch(as_of=event.id, credential=data.credential, principal=data.principal, by=event.actor.chain[0], alone=data.alone)
    return [Put("vouches", data.credential, row)]


def _confirmed(state: State, event: Event, data: facts.GrantConfirmed) -> list[Put]:
    grant = state.get(rows.Grant, data.grant)
    if grant is None:
        raise Tampered(f"event `{event.id}` ({event.kind.name}) speaks of `{data.grant}`, which no earlier event made")
    return [Put("grants", data.grant, msgspec.structs.replace(grant, as_of=event.id, confirm_by=""))]


CREDENTIAL_CHANGES: Final[dict[type[Fact], Callable[[State, Event, Any], list[Put]]]] = {
    facts.CredentialVouched: _vouched,
    facts.GrantConfirmed: _confirmed,
}
