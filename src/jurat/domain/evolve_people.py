"""The life of principals as changes of state: `evolve`'s part for `facts_people`."""

from __future__ import annotations

import msgspec

from jurat.core.errors import Tampered
from jurat.domain import facts_people as facts
from jurat.domain import rows
from jurat.domain.endings import end_all
from jurat.domain.events import Event
from jurat.domain.state import Put, State


def principal_deactivated(state: State, event: Event, data: facts.PrincipalDeactivated) -> list[Put]:
    row = msgspec.structs.replace(_principal(state, event, data.principal), as_of=event.id, active=False)
    return [Put("principals", data.principal, row), *end_all(state, data.ended, data.principal, event.id)]


def principal_reactivated(state: State, event: Event, data: facts.PrincipalReactivated) -> list[Put]:
    row = msgspec.structs.replace(_principal(state, event, data.principal), as_of=event.id, active=True)
    return [Put("principals", data.principal, row)]


def ownership_transferred(state: State, event: Event, data: facts.OwnershipTransferred) -> list[Put]:
    moved = [(each, _principal(state, event, each)) for each in data.principals]
    return [Put("principals", each, msgspec.structs.replace(row, as_of=event.id, owner=data.to_owner)) for each, row in moved]


def person_described(state: State, event: Event, data: facts.PersonDescribed) -> list[Put]:
    row = msgspec.structs.replace(_principal(state, event, data.principal), as_of=event.id, directory=data.directory)
    return [Put("principals", data.principal, row)]


def group_defined(_state: State, event: Event, data: facts.GroupDefined) -> list[Put]:
    row = rows.Group(
        as_of=event.id, group=data.group, directory=data.directory, name=data.name, people=data.people, groups=data.groups,
        external_id=data.external_id,
    )  # fmt: skip
    return [Put("groups", data.group, row)]


def group_removed(state: State, event: Event, data: facts.GroupRemoved) -> list[Put]:
    """Groups that it was in lose it too: a member that does not exist is none."""
    holding = [row for row in state.find(rows.Group, directory=data.directory) if data.group in row.groups]
    puts = [
        Put("groups", row.group, msgspec.structs.replace(row, as_of=event.id, groups=[g for g in row.groups if g != data.group]))
        for row in holding
    ]
    return [Put("groups", data.group, None), *puts]


def group_roles_applied(_state: State, event: Event, data: facts.GroupRolesApplied) -> list[Put]:
    row = rows.GroupRolesInForce(as_of=event.id, digest=data.digest, source=data.source)
    return [Put("group_roles", "current", row), Put("group_roles", data.digest, row)]


def _principal(state: State, event: Event, principal: str) -> rows.Principal:
    found = state.get(rows.Principal, principal)
    if found is None:
        raise Tampered(f"event `{event.id}` ({event.kind.name}) speaks of `{principal}`, which no earlier event made")
    return found
