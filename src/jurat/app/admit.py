"""Who? A token becomes a caller, or nothing. Only a hash of the token is ever stored or compared.

Two forms, one law. A local token (`jrt_…`) is 256 random bits. An access token of `/oauth/token` is signed besides, so that others can
check it; that it was signed opens nothing here: it must be known to the vault, belong to this door, come with its key if it is
bound to one, and its session and everybody in its chain must live.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Protocol, Self

from jurat.core.clock import from_ns, parse_at
from jurat.core.errors import Unauthenticated
from jurat.domain import rows
from jurat.domain.credentials import spoken_by
from jurat.domain.events import Actor
from jurat.domain.roles import why_suspended
from jurat.domain.state import State
from jurat.identity.access import Claims, check
from jurat.store.vault import KnownToken

_PREFIX: Final = "jrt_"
_MOST_SIGNED: Final = 10_000
_SIGNED: Final[dict[tuple[bytes, str], Claims]] = {}  # by hash, so that no token lies about
_LOCAL_DOOR: Final = "api"  # what the command line may do, the API may
_LENGTH: Final = len(_PREFIX) + 43  # 32 random bytes as base64url


class TokenVault(Protocol):
    """Where token hashes lie."""

    def find_token(self, token_hash: bytes) -> KnownToken | None: ...


class Presented(str):
    """A token as a door received it. A plain text is a token that somebody at this machine's own command line holds."""

    door: str
    jkt: str

    def __new__(cls, token: str, *, door: str, jkt: str = "") -> Self:
        made = super().__new__(cls, token)
        made.door, made.jkt = door, jkt
        return made


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
    claims: Claims | None = None
    if token.count(".") == 2:
        claims = _signed(state, token, now_ns)
    elif not token.startswith(_PREFIX) or len(token) != _LENGTH:
        raise Unauthenticated("no access token was given, or it is not one of ours", hint="send `Authorization: Bearer jrt_…`")
    known = vault.find_token(hash_token(token))
    if known is None or known.revoked_at is not None or (claims and (claims.token, claims.chain) != (known.token_id, known.chain)):
        raise Unauthenticated("this access token is not valid", hint="ask an operator for a new one: `jurat token issue`")
    if from_ns(now_ns) >= known.expires_at:
        raise Unauthenticated(
            f"this access token expired at {known.expires_at:%Y-%m-%d %H:%M:%S} UTC", hint="get a new one: `jurat token issue`"
        )
    if is_idle(known, now_ns):
        raise Unauthenticated(
            f"this session lay idle for more than {known.idle_s / 60:g} minutes", hint="sign in again", code="session_idle"
        )
    _check_presented(known, token)
    _check_session(state, known, now_ns)
    principal = state.get(rows.Principal, known.principal)
    if principal is None or (why := why_suspended(state, known.principal, known.chain)):
        raise suspended(known.principal, known.chain, why if principal else "it is not known")
    return Actor(principal=principal.principal, type=principal.type, chain=known.chain, **spoken_by(state, known.root, known.hands))


def suspended(principal: str, chain: Sequence[str], why: str) -> Unauthenticated:
    """Return the refusal of somebody who proved who they are and may not act: unlike nobody's, it is put on record (`turned_away`)."""
    return Unauthenticated(
        f"`{principal}` is suspended: {why}",
        hint="ask an operator; `jurat principal transfer-ownership` lets another person answer for it",
        code="suspended",
        principal=principal,
        chain=list(chain),
    )


def is_idle(known: KnownToken, now_ns: int) -> bool:
    """Whether a token that ends when nobody uses it has ended so."""
    return known.used_at is not None and from_ns(now_ns) >= known.used_at + timedelta(seconds=known.idle_s)


def why_not_admitted(state: State, known: KnownToken, now_ns: int) -> str:
    """Return why a token that once was taken admits nobody any more, or nothing if it still does."""
    if known.revoked_at is not None:
        return "revoked"
    if from_ns(now_ns) >= known.expires_at:
        return "expired"
    if is_idle(known, now_ns):
        return "idle"
    try:
        _check_session(state, known, now_ns)
    except Unauthenticated:
        return "session ended"
    return "suspended" if why_suspended(state, known.principal, known.chain) else ""


def _signed(state: State, token: str, now_ns: int) -> Claims:
    """Return what a token of ours says. Its signature is checked once for each set of keys: the same bytes are the same token."""
    keys = state.get(rows.TokenKeys, "current")
    if keys is None:
        raise Unauthenticated("no access tokens are signed here", hint="ask an operator: `jurat identity rotate-keys`", code="token_key")
    seen = (hash_token(token), keys.as_of)
    found = _SIGNED.get(seen)
    if found is not None and now_ns < found.expires_s * 10**9:
        return found
    found = check(token, keys.keys, issuer=keys.issuer, now_s=now_ns / 1e9)
    if len(_SIGNED) >= _MOST_SIGNED:
        _SIGNED.clear()
    _SIGNED[seen] = found
    return found


def _check_presented(known: KnownToken, token: str) -> None:
    """A token is for certain doors, and one that is bound to a key comes with it: it is never a bearer token again."""
    door, jkt = (token.door, token.jkt) if isinstance(token, Presented) else (_LOCAL_DOOR, "")
    if known.audience and door not in known.audience.split():
        raise Unauthenticated(
            f"this access token is for `{known.audience}`, this door is `{door}`",
            hint="ask for one with that audience",
            code="token_audience",
        )
    if known.jkt != jkt:
        wanted = "without a proof of the key that it is bound to" if known.jkt and not jkt else "with the proof of another key"
        raise Unauthenticated(
            f"this access token came {wanted}" if known.jkt else "this access token is bound to no key, and came with a proof of one",
            hint="send `Authorization: DPoP …` with a proof of its key; a token without one is sent as `Bearer`",
            code="token_bound",
        )


def _check_session(state: State, known: KnownToken, now_ns: int) -> None:
    if not known.session:
        return
    session = state.get(rows.Session, known.session)
    if session is None or from_ns(now_ns) >= parse_at(session.expires_at):
        raise Unauthenticated("the session of this access token has ended", hint="sign in again: `jurat login`", code="session_ended")
