"""Signed tokens (JWS compact), read strictly: bounded in size, with one meaning, by named algorithms and known keys only.

What a token says of its own key is never believed here: the caller brings the keys. Whatever is odd is refused before any
signature is computed: a `crit`, a repeated member, an algorithm that was not asked for. HMAC and `none` are not known at all.
Source: RFC 7515, RFC 7519, RFC 8725 (best current practices), RFC 9864.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple, NoReturn

from joserfc import jwk, jws
from joserfc.errors import JoseError

from jurat.core.errors import Unauthenticated
from jurat.core.jsonio import dump_json

MOST_BYTES: Final = 8_192
ALGORITHMS: Final = ("ES256", "ES384", "Ed25519", "RS256", "PS256")
_KEY_TYPES: Final = {
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "Ed25519": ("OKP", "Ed25519"),
    "RS256": ("RSA", ""),
    "PS256": ("RSA", ""),
}
_SHORTEST_RSA: Final = 342  # base64url characters of a modulus of 2048 bits
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

Jwk = Mapping[str, Any]


class Token(NamedTuple):
    """What a token says, whether or not it is true."""

    header: dict[str, Any]
    claims: dict[str, Any]


def refuse(what: str, why: str, code: str, hint: str = "") -> NoReturn:
    """Raise the one kind of refusal that a proof of identity meets."""
    raise Unauthenticated(f"{what} {why}", hint=hint or "get a fresh one; whoever issues it sees what it holds", code=f"token_{code}")


def read(token: str, *, what: str, types: Collection[str] = (), algorithms: Collection[str] = ALGORITHMS) -> Token:
    """Return what a token says, its form checked and its signature not.

    Args:
        what: how a refusal calls it, such as `the access token`.
        types: values of `typ` that are taken, lower case; empty takes any.
    Raises:
        Unauthenticated: too large, not a JWS, an algorithm or a `typ` that is not taken here, a `crit`, or a repeated member.
    """
    if len(token) > MOST_BYTES:
        refuse(what, f"has {len(token)} characters, expected at most {MOST_BYTES}", "too_large")
    parts = token.split(".")
    if len(parts) != 3 or not all(parts[:2]):
        refuse(what, "is not a signed token of three parts", "malformed")
    header, claims = (_object(part, what) for part in parts[:2])
    algorithm = header.get("alg")
    if algorithm not in algorithms:
        refuse(what, f"is signed by `{str(algorithm)[:20]}`, expected {' or '.join(algorithms)}", "algorithm")
    if "crit" in header or "b64" in header or "zip" in header:
        refuse(what, "asks for an extension that is not understood here (`crit`)", "critical")
    kind = str(header.get("typ", "")).lower().removeprefix("application/")
    if types and kind not in types:
        refuse(what, f"is of type `{kind[:20]}`, expected {' or '.join(f'`{each}`' for each in types)}", "type")
    return Token(header, claims)


def verify(token: str, keys: Sequence[Jwk], *, what: str, types: Collection[str] = (), algorithms: Collection[str] = ALGORITHMS) -> Token:
    """Return what a token says, once one of these public keys is seen to have signed it.

    The key is chosen by `kid`; a token without one is taken only where there is one key of its kind.

    Raises:
        Unauthenticated: as `read`; or of an unknown key, or not signed by it.
    """
    found = read(token, what=what, types=types, algorithms=algorithms)
    algorithm = str(found.header["alg"])
    check_signature(token, _choose(keys, found.header.get("kid"), algorithm, what), algorithm, what)
    return found


def check_signature(token: str, key: Jwk, algorithm: str, what: str) -> None:
    """Pass if that public key signed the token by that algorithm.

    Raises:
        Unauthenticated: it did not, or it is no public key for that algorithm.
    """
    kind, curve = _KEY_TYPES[algorithm]
    if key.get("kty") != kind or (curve and key.get("crv") != curve):
        refuse(what, f"names a key that `{algorithm}` is not for", "key")
    if _PRIVATE & set(key):
        refuse(what, "carries a private key", "key", hint="take that key out of use at once: it was sent over the network")
    if kind == "RSA" and len(str(key.get("n", ""))) < _SHORTEST_RSA:
        refuse(what, "is signed by an RSA key of less than 2048 bits", "key")
    try:
        jws.deserialize_compact(token, _imported(dump_json(dict(key))), algorithms=[algorithm])
    except (JoseError, ValueError, TypeError, KeyError, binascii.Error) as error:
        raise Unauthenticated(f"{what} was not signed by the key that it names", hint="get a fresh one", code="token_signature") from error


def check_times(claims: Mapping[str, Any], now_s: float, *, leeway_s: float, what: str, longest_s: float = math.inf) -> None:
    """Pass if a token holds now: `exp` is there and ahead, `nbf` and `iat` are not.

    Args:
        leeway_s: seconds that the issuer's clock may differ from ours, either way.
        longest_s: seconds that the token may live in all, where both `iat` and `exp` say so.
    Raises:
        Unauthenticated: with code `token_expired`, `token_early` or `token_malformed`.
    """
    expires_s = _number(claims, "exp", what)
    if expires_s is None:
        refuse(what, "says no time at which it ends (`exp`)", "malformed")
    if now_s >= expires_s + leeway_s:
        refuse(what, f"expired {now_s - expires_s:.0f} s ago", "expired")
    for name in ("nbf", "iat"):
        begin_s = _number(claims, name, what)
        if begin_s is not None and now_s < begin_s - leeway_s:
            refuse(what, f"begins only in {begin_s - now_s:.0f} s (`{name}`)", "early", hint="one of the two clocks is wrong")
    issued_s = _number(claims, "iat", what)
    if issued_s is not None and expires_s - issued_s > longest_s:
        refuse(what, f"lives {expires_s - issued_s:.0f} s, expected at most {longest_s:.0f}", "too_long")


def text_claim(claims: Mapping[str, Any], name: str, what: str) -> str:
    """Return a claim that must be a text that is not empty."""
    found = claims.get(name)
    if not isinstance(found, str) or not found:
        refuse(what, f"has no `{name}`", "malformed")
    return found


def audiences(claims: Mapping[str, Any]) -> list[str]:
    """Return whom a token is for; empty if it does not say so in a way that can be read."""
    found = claims.get("aud")
    if isinstance(found, str):
        return [found]
    return list(found) if isinstance(found, list) and all(isinstance(each, str) for each in found) else []


def decode_base64url(text: str) -> bytes:
    """Return the bytes of unpadded base64url.

    Raises:
        ValueError: a character outside the alphabet, padding, or bits left over.
    """
    raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if encode_base64url(raw) != text:
        raise ValueError("not the one form of these bytes")
    return raw


def encode_base64url(raw: bytes) -> str:
    """Return bytes as unpadded base64url."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _choose(keys: Sequence[Jwk], kid: object, algorithm: str, what: str) -> Jwk:
    kind, curve = _KEY_TYPES[algorithm]
    fitting = [
        key for key in keys
        if key.get("kty") == kind and (not curve or key.get("crv") == curve) and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm and (kid is None or key.get("kid") == kid)
    ]  # fmt: skip
    if len(fitting) != 1:
        named = f"key `{str(kid)[:60]}`" if kid is not None else "a key that it does not name"
        refuse(what, f"is signed by {named}, which is not known for `{algorithm}`", "key")
    return fitting[0]


@functools.lru_cache(maxsize=256)
def _imported(raw: bytes) -> Any:
    return jwk.import_key(json.loads(raw))


def _object(part: str, what: str) -> dict[str, Any]:
    try:
        found = json.loads(decode_base64url(part).decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        refuse(what, "cannot be read: expected JSON objects, each member once", "malformed")
    if not isinstance(found, dict):
        refuse(what, "cannot be read: expected JSON objects", "malformed")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member comes twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _number(claims: Mapping[str, Any], name: str, what: str) -> float | None:
    found = claims.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < 2**40:
        refuse(what, f"has a `{name}` that is no time", "malformed")
    return float(found)
