"""Who? A bearer token becomes a caller, or nothing. Only a hash of the token is ever stored or compared."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final, Protocol

from jurat.core.clock import from_ns
from jurat.core.errors import Unauthenticated
from jurat.domain import rows
from jurat.domain.events import Actor
from jurat.domain.roles import person_behind
from jurat.domain.state import State
from jurat.store.vault import KnownToken

_PREFIX: Final = "jrt_"
_LENGTH: Final = len(_PREFIX) + 43  # 32 random bytes as base64url


class TokenVault(Protocol):
    """Where token hashes lie."""

    def find_token(self, token_hash: bytes) -> KnownToken | None: ...


def new_token() -> tuple[str, bytes]:
    """Return a fresh token, to be shown once, and the hash that is kept."""
    token = _PREFIX + secrets.token_urlsafe(32)
    return token, hash_token(token)


def hash_token(token: str) -> bytes:
    """Return SHA-256 of a token. Tokens are 256 random bits, so a plain hash cannot be guessed back."""
    return hashlib.sha256(token.encode()).digest()


def admit(state: State, vault: TokenVault, token: str, now_ns: int) -> Actor:
    """Return the caller behind a token, with the chain proved when the token was issued.

    Raises:
        Unauthenticated: no token, an unknown, expired or revoked one, or nobody living stands behind it any more.
    """
    if not token.startswith(_PREFIX) or len(token) != _LENGTH:
        raise Unauthenticated("no access token was given, or it is not one of ours", hint="send `Authorization: Bearer jrt_…`")
    known = vault.find_token(hash_token(token))
    if known is None or known.revoked_at is not None:
        raise Unauthenticated("this access token is not valid", hint="ask an operator for a new one: `jurat token issue`")
    if from_ns(now_ns) >= known.expires_at:
        raise Unauthenticated(
            f"this access token expired at {known.expires_at:%Y-%m-%d %H:%M:%S} UTC", hint="get a new one: `jurat token issue`"
        )
    principal = state.get(rows.Principal, known.principal)
    if principal is None or not principal.active or person_behind(state, known.chain[0]) != known.chain[0]:
        raise Unauthenticated(f"`{known.principal}` is suspended: no active person answers for it", hint="ask an operator who owns it now")
    return Actor(principal=principal.principal, type=principal.type, chain=known.chain)
