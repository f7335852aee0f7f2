"""What the life of principals leaves in the vault: descriptions by directories, links, passkeys. In the transaction of its events."""

from __future__ import annotations

import hashlib
import secrets

from jurat.core.clock import from_ns, parse_at, to_ns
from jurat.core.errors import Conflict
from jurat.domain import commands_people as people
from jurat.domain import facts_people as facts
from jurat.domain.commands import Command
from jurat.domain.events import Event
from jurat.store.passkeys import Passkey
from jurat.store.vault import Vault

_LINK_PREFIX = "jln_"


def new_link() -> tuple[str, bytes]:
    """Return a fresh link's secret, to be shown once, and the hash that is kept."""
    secret = _LINK_PREFIX + secrets.token_urlsafe(32)
    return secret, hash_link(secret)


def hash_link(secret: str) -> bytes:
    """Return SHA-256 of a link's secret: 256 random bits, so a plain hash cannot be guessed back."""
    return hashlib.sha256(secret.encode()).digest()


def keep_people(vault: Vault, command: Command, events: list[Event]) -> dict[str, str]:
    """Put away what must not be in the ledger; return what is shown to the caller this once."""
    at = from_ns(to_ns(parse_at(events[0].at)))
    reply: dict[str, str] = {}
    for event in events:
        fact = event.data
        if isinstance(command, people.DescribePerson) and isinstance(fact, facts.PersonDescribed):
            said = command.details
            vault.put_person(fact.principal, name=said.name, email=said.email)
            vault.accounts.put(
                fact.principal,
                fact.directory,
                user_name=said.user_name,
                emails=said.emails,
                external_id=said.external_id,
                document=said.document,
                at=at,
            )
            reply["principal"] = fact.principal
        elif isinstance(fact, facts.PersonDescribed) and not fact.directory:
            vault.accounts.forget(fact.principal)
        elif isinstance(fact, facts.PrincipalDeactivated | facts.PrincipalReactivated):
            vault.accounts.touch(fact.principal, at)
            reply["principal"] = fact.principal
        elif isinstance(fact, facts.GroupDefined) and isinstance(command, people.DefineGroup):
            reply["group"] = fact.group
        elif isinstance(fact, facts.LinkIssued):
            secret, link_hash = new_link()
            vault.passkeys.put_link(
                link_hash, link_id=fact.link, principal=fact.principal, expires_at=parse_at(fact.expires_at), hands=fact.hands
            )
            reply |= {"link": secret, "link_id": fact.link, "expires_at": fact.expires_at}
        elif isinstance(fact, facts.PasskeyAdded) and isinstance(command, people.AddPasskey):
            if command.link_hash and not vault.passkeys.use_link(command.link_hash, at):
                raise Conflict("this link was used already", hint="ask an operator for a new one", code="link_over")
            vault.passkeys.put(
                Passkey(
                    command.credential_id, fact.passkey, fact.principal, command.public_key, command.sign_count, command.label,
                    command.synced, at, None, fact.hands,
                )
            )  # fmt: skip
            reply["passkey"] = fact.passkey
        elif isinstance(fact, facts.PasskeyRemoved):
            vault.passkeys.remove(fact.passkey)
    return reply
