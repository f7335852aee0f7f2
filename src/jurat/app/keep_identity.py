"""What tokens and sessions leave in the vault, in the transaction of their events: hashes; and what is shown this once: the secrets."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Final

from jurat.app.admit import hash_token, new_token
from jurat.core.clock import parse_at
from jurat.core.errors import Conflict, Unavailable
from jurat.core.workspace import Workspace
from jurat.domain import facts, rows
from jurat.domain import facts_identity as identity
from jurat.domain.commands import Command
from jurat.domain.commands_identity import OpenSession
from jurat.domain.events import Event
from jurat.domain.state import State
from jurat.identity import access
from jurat.store.vault import Vault

_REFRESH: Final = "jrr_"
_SWEEP_ON: Final = "0"  # one id in 32 ends so
_INVITATION: Final = "jri_"


def new_secret(prefix: str) -> tuple[str, bytes]:
    """Return a fresh secret of 256 random bits, to be shown once, and the hash that is kept."""
    secret = prefix + secrets.token_urlsafe(32)
    return secret, hash_secret(secret)


def new_refresh() -> tuple[str, bytes]:
    """Return a fresh secret that renews a session's tokens."""
    return new_secret(_REFRESH)


def hash_secret(secret: str) -> bytes:
    """Return SHA-256 of a secret: of 256 random bits, so a plain hash cannot be guessed back."""
    return hashlib.sha256(secret.encode()).digest()


def keep_identity(workspace: Workspace, state: State, vault: Vault, command: Command, events: list[Event]) -> dict[str, str]:
    """Put away what must not be in the ledger; return what is shown to the caller this once."""
    reply: dict[str, str] = {}
    for event in events:
        fact = event.data
        if isinstance(fact, facts.TokenIssued):
            reply |= _token(workspace, state, vault, fact, event)
            _sweep(vault, fact, event)
        elif isinstance(fact, identity.SessionOpened):
            reply |= {"session": fact.session, "session_expires_at": fact.expires_at}
            if isinstance(command, OpenSession) and command.form == "jwt":
                reply["refresh_token"], secret_hash = new_refresh()
                vault.proofs.put_session(fact.session, secret_hash, principal=fact.principal, expires_at=parse_at(fact.expires_at))
        elif isinstance(fact, identity.SessionEnded):
            vault.proofs.end_session(fact.session, parse_at(event.at))
        elif isinstance(fact, identity.IdentityInvited):
            reply["invitation"], secret_hash = new_secret(_INVITATION)
            vault.proofs.put_invitation(secret_hash, principal=fact.principal, expires_at=parse_at(fact.expires_at), hands=fact.hands)
            reply["expires_at"] = fact.expires_at
        elif isinstance(fact, identity.IdentityLinked):
            assert isinstance(command, OpenSession), "accounts are linked by signing in"
            if not vault.proofs.link_identity(
                fact.issuer, command.subject, principal=fact.principal, at=parse_at(event.at), identity=fact.identity, hands=fact.hands
            ):
                raise Conflict("this account is linked already", hint="sign in by it, without the invitation", code="identity_linked")
    return reply


def _sweep(vault: Vault, fact: facts.TokenIssued, event: Event) -> None:
    """Now and then, forget the hashes of tokens that ended a day ago: the ledger says that they were issued."""
    if fact.token[-1] in _SWEEP_ON:
        vault.forget_tokens(parse_at(event.at) - timedelta(days=1))


def _token(workspace: Workspace, state: State, vault: Vault, fact: facts.TokenIssued, event: Event) -> dict[str, str]:
    if fact.form == "jwt":
        token = _signed(workspace, state, fact, event)
        token_hash = hash_token(token)
    else:
        token, token_hash = new_token()
    vault.put_token(
        token_hash, token_id=fact.token, principal=fact.principal, chain=fact.chain, expires_at=parse_at(fact.expires_at),
        session=fact.session, jkt=fact.jkt, audience=fact.audience, hands=fact.hands, root=fact.root, idle_s=fact.idle_s,
        used_at=parse_at(event.at) if fact.idle_s else None,
    )  # fmt: skip
    return {"token": token, "token_id": fact.token, "expires_at": fact.expires_at} if fact.how else {"token": token, "token_id": fact.token}


def _signed(workspace: Workspace, state: State, fact: facts.TokenIssued, event: Event) -> str:
    row = state.get(rows.TokenKeys, "current")
    hint = "an operator makes a key: `jurat identity rotate-keys --reason '…'`"
    if row is None:
        raise Unavailable("this workspace has no key to sign access tokens with", hint=hint, code="no_token_key")
    try:
        private = (workspace.keys / f"token-{row.keys[0]['kid']}.json").read_bytes()
    except OSError as error:
        raise Unavailable("the key that signs access tokens cannot be read here", hint=hint, code="no_token_key") from error
    return access.mint(
        private,
        access.Claims(
            issuer=row.issuer, token=fact.token, chain=fact.chain, audience=fact.audience, session=fact.session, jkt=fact.jkt,
            issued_s=int(parse_at(event.at).timestamp()), expires_s=int(parse_at(fact.expires_at).timestamp()),
        ),
    )  # fmt: skip
