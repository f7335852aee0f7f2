"""What an act leaves in the vault, in the transaction of its events: names of people, hashes of tokens. Nothing else."""

from __future__ import annotations

from jurat.app.admit import new_token
from jurat.core.clock import parse_at
from jurat.domain import commands, facts
from jurat.domain.commands import Command
from jurat.domain.events import Event
from jurat.domain.facts_keeping import EventsErased
from jurat.domain.values import PrincipalType
from jurat.store.vault import Vault


def keep(vault: Vault, command: Command, events: list[Event]) -> dict[str, str]:
    """Put away what must not be in the ledger; return what is shown to the caller this once."""
    fact = events[0].data
    if isinstance(command, commands.RegisterPrincipal) and isinstance(fact, facts.PrincipalRegistered):
        if fact.type is PrincipalType.PERSON:
            vault.put_person(fact.principal, name=command.name, email=command.email)
        return {"principal": fact.principal}
    if isinstance(fact, facts.TokenIssued):
        token, token_hash = new_token()
        vault.put_token(token_hash, token_id=fact.token, principal=fact.principal, chain=fact.chain, expires_at=parse_at(fact.expires_at))
        return {"token": token, "token_id": fact.token}
    if isinstance(fact, facts.TokenRevoked):
        vault.revoke_token(fact.token, fact.principal, parse_at(events[0].at))
    if isinstance(fact, EventsErased) and fact.person:
        vault.erase_person(fact.person)
    return {}
