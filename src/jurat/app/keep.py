"""What an act leaves in the vault, in the transaction of its events: names of people, hashes of tokens. Nothing else."""

from __future__ import annotations

from jurat.app.keep_identity import keep_identity
from jurat.app.keep_people import keep_people
from jurat.core.clock import parse_at
from jurat.core.workspace import Workspace
from jurat.domain import commands, facts
from jurat.domain.commands import Command
from jurat.domain.events import Event
from jurat.domain.facts_keeping import EventsErased
from jurat.domain.state import State
from jurat.domain.values import PrincipalType
from jurat.store.vault import Vault


def keep(workspace: Workspace, state: State, vault: Vault, command: Command, events: list[Event]) -> dict[str, str]:
    """Put away what must not be in the ledger; return what is shown to the caller this once."""
    fact = events[0].data
    if isinstance(command, commands.RegisterPrincipal) and isinstance(fact, facts.PrincipalRegistered):
        if fact.type is PrincipalType.PERSON:
            vault.put_person(fact.principal, name=command.name, email=command.email)
        return {"principal": fact.principal}
    for event in events:
        if isinstance(event.data, facts.TokenRevoked):
            vault.revoke_token(event.data.token, event.data.principal, parse_at(event.at))
    if isinstance(fact, EventsErased) and fact.person:
        vault.erase_person(fact.person)
    return keep_people(vault, command, events) | keep_identity(workspace, state, vault, command, events)
