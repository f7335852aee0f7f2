"""What the law must ask the vault, read in the act's own transaction; and the ends that an act makes there.

Acts happen one after the other, so what is read here still holds when the act's events are written. Only ids and yes or
no go to the law, never a name, an address or a hash.
"""

from __future__ import annotations

import time

import msgspec

from jurat.core.clock import format_at, from_ns, to_ns
from jurat.core.jsonio import dump_json
from jurat.domain import commands_credentials as credentials
from jurat.domain import commands_people as people
from jurat.domain import rows
from jurat.domain.commands import Command
from jurat.domain.events import Event
from jurat.domain.facts_people import OwnershipTransferred, PrincipalDeactivated
from jurat.domain.known import Known, KnownCredential, KnownLink
from jurat.domain.state import State
from jurat.store.vault import Vault


def gather(state: State, vault: Vault, command: Command, now_ns: int) -> Known:
    """Return what the vault says about those whom a command is about; nothing for commands that do not ask."""
    at = from_ns(now_ns)
    match command:
        case people.Deactivate() | people.RemovePerson():
            return Known(credentials=_live(vault, command.principal, now_ns))
        case people.DescribePerson():
            return _described(vault, command, now_ns)
        case people.TransferOwnership():
            owned = command.principals or [row.principal for row in state.find(rows.Principal, owner=command.from_owner)]
            ending = set(vault.live_tokens(command.from_owner, at))
            return Known(credentials={"moved_tokens": sorted(t for each in owned for t in vault.live_tokens(each, at) if t in ending)})
        case people.AddPasskey():
            link = vault.passkeys.find_link(command.link_hash) if command.link_hash else None
            known = (
                KnownLink(link.link_id, link.principal, format_at(to_ns(link.expires_at)), link.used_at is not None, list(link.hands))
                if link
                else None
            )
            return Known(
                link=known,
                passkeys=len(vault.passkeys.of(command.principal)),
                passkey_of=vault.passkeys.holder_of(credential_id=command.credential_id),
            )
        case credentials.ActivateToken():
            return Known(credential=_made(vault, command.token))
        case credentials.VouchCredential():
            return Known(credential=_made(vault, command.credential))
        case people.RemovePasskey():
            return Known(passkey_of=vault.passkeys.holder_of(passkey_id=command.passkey))
    return Known()


def end_what_died(vault: Vault, events: list[Event], now_ns: int, began_s: float) -> list[Event]:
    """End in the vault what these events list as ended, and return them with the time that it took."""
    at = from_ns(now_ns)
    done = []
    for event in events:
        fact = event.data
        if isinstance(fact, OwnershipTransferred):
            vault.end_tokens(fact.tokens, at)
        if isinstance(fact, PrincipalDeactivated):
            vault.end_tokens(fact.ended.get("tokens", []), at)
            vault.passkeys.end_all(fact.principal, at)
            for session in fact.ended.get("sessions", []):
                vault.proofs.end_session(session, at)
            took_s = round(time.monotonic() - began_s, 6)
            event = msgspec.structs.replace(event, data=msgspec.structs.replace(fact, took_s=took_s))
        done.append(event)
    return done


def _made(vault: Vault, credential: str) -> KnownCredential | None:
    made = vault.made(credential)
    if made is None:
        return None
    return KnownCredential(made.principal, list(made.hands), made.root, format_at(to_ns(made.expires_at)) if made.expires_at else "")


def _live(vault: Vault, principal: str, now_ns: int) -> dict[str, list[str]]:
    at = from_ns(now_ns)
    return {"tokens": vault.live_tokens(principal, at), **vault.passkeys.live(principal, at)}


def _described(vault: Vault, command: people.DescribePerson, now_ns: int) -> Known:
    said = command.details
    names = {"userName": [said.user_name], "emails": said.emails}
    taken = {
        field: holder for field, each in names.items() for name in each if (holder := vault.accounts.holder_of(name, but=command.principal))
    }
    before = vault.accounts.get(command.principal) if command.principal else None
    old = before.document if before else {}
    changed = sorted(key for key in {*old, *said.document} if dump_json(old.get(key)) != dump_json(said.document.get(key)))
    return Known(credentials=_live(vault, command.principal, now_ns) if command.principal else {}, taken=taken, changed=changed)
