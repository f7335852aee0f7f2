"""Jurat's own access tokens: a profile of RFC 9068, with the chain as nested `act` claims (RFC 8693) and the key in `cnf` (RFC 9449).

`sub` is the first in the chain for whom the token acts (the person), `act` who acts for them, outermost last: of
person → agent → process the claims say `sub: person, act: {sub: process, act: {sub: agent}}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from jurat.identity import jose, keys
from jurat.identity.jose import Jwk, refuse

TYPE: Final = "at+jwt"
WHAT: Final = "the access token"


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What an access token of ours says."""

    issuer: str
    token: str  # its id, `tok_…`, in `jti`
    chain: list[str]  # who acts, the person first
    audience: list[str]
    issued_s: int
    expires_s: int
    session: str = ""  # `ses_…`; empty: of no session
    jkt: str = ""  # thumbprint of the key that must come with it; empty: a bearer token


def mint(private: bytes, claims: Claims) -> str:
    """Return the token."""
    said: dict[str, Any] = {
        "iss": claims.issuer, "jti": claims.token, "sub": claims.chain[0], "client_id": claims.chain[-1], "aud": claims.audience,
        "iat": claims.issued_s, "exp": claims.expires_s,
    }  # fmt: skip
    if len(claims.chain) > 1:
        said["act"] = _nest(claims.chain[1:])
    if claims.session:
        said["sid"] = claims.session
    if claims.jkt:
        said["cnf"] = {"jkt": claims.jkt}
    return keys.sign(private, {"typ": TYPE}, said)


def check(token: str, public: Sequence[Jwk], *, issuer: str, now_s: float) -> Claims:
    """Return what a token says, once it is seen to be ours and to hold now. For whom it is, the door compares.

    Raises:
        Unauthenticated: not ours, not signed, expired, of another type, or without what ours have.
    """
    said = jose.verify(token, public, what=WHAT, types=(TYPE,), algorithms=(keys.ALGORITHM,)).claims
    if said.get("iss") != issuer:
        refuse(WHAT, f"was issued by `{str(said.get('iss'))[:80]}`, expected `{issuer}`", "issuer")
    jose.check_times(said, now_s, leeway_s=0, what=WHAT)
    bound = said.get("cnf", {})
    if not isinstance(bound, dict) or not isinstance(bound.get("jkt", ""), str):
        refuse(WHAT, "has a `cnf` that cannot be read", "malformed")
    return Claims(
        issuer=issuer,
        token=jose.text_claim(said, "jti", WHAT),
        chain=[jose.text_claim(said, "sub", WHAT), *_flatten(said.get("act"))],
        audience=jose.audiences(said),
        issued_s=int(said.get("iat", 0)),
        expires_s=int(said["exp"]),
        session=str(said.get("sid", "")),
        jkt=bound.get("jkt", ""),
    )


def _nest(actors: list[str]) -> dict[str, Any]:
    inner = {"act": _nest(actors[:-1])} if len(actors) > 1 else {}
    return {"sub": actors[-1], **inner}


def _flatten(act: object) -> list[str]:
    """Return who acts, the one nearest to the person first."""
    found: list[str] = []
    while act is not None:
        if not isinstance(act, Mapping) or len(found) > 8:
            refuse(WHAT, "has an `act` that cannot be read", "malformed")
        found.append(jose.text_claim(act, "sub", WHAT))
        act = act.get("act")
    return found[::-1]
