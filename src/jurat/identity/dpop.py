"""Proof of possession (RFC 9449): this very request was made by whoever holds that key, just now.

Knows no store: that a proof is not shown twice (`jti`), by any worker, its caller must see to.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection
from typing import Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from jurat.core.errors import Malformed
from jurat.identity import jose, keys
from jurat.identity.jose import refuse

WHAT: Final = "the DPoP proof"
TYPE: Final = "dpop+jwt"
ALGORITHMS: Final = ("ES256", "ES384", "Ed25519", "RS256", "PS256")
LIFETIME_S: Final = 60  # after `iat`
NONCE_S: Final = 60  # after which a new one is given out
AHEAD_S: Final = 10  # that a client's clock may be ahead of ours
_MOST_BYTES: Final = 4_096
_LONGEST_JTI: Final = 128
_DEFAULT_PORT: Final = {"http": 80, "https": 443}


class Proof(NamedTuple):
    """A proof that holds: the key's thumbprint, and what must not be seen a second time."""

    jkt: str
    jti: str
    issued_s: float

    @property
    def replay_key(self) -> bytes:
        """What this proof is remembered by, 32 bytes."""
        return hashlib.sha256(f"{self.jkt} {self.jti}".encode()).digest()


def nonces(secret: bytes, now_s: float) -> list[str]:
    """Return the nonces that are taken now, the newest first: nothing is stored, and whoever holds the secret says the same.

    Source: RFC 9449, section 8. Each lives between two and three windows of a minute.
    """
    window = int(now_s // NONCE_S)
    return [
        jose.encode_base64url(hmac.digest(secret, f"dpop nonce {number}".encode(), "sha256")[:18])
        for number in (window, window - 1, window - 2)
    ]


def check(proof: str, *, method: str, urls: Collection[str], now_s: float, access_token: str = "", taken: Collection[str] = ()) -> Proof:
    """Return whose key made a proof for this request.

    Args:
        urls: the addresses that this request may have been sent to, normalised (`normal_url`).
        access_token: the token that came with it; empty at the token endpoint.
        taken: the nonces of ours of which it must carry one; empty: none is asked for.
    Raises:
        Unauthenticated: it proves nothing here: another method, address or token, too old, from the future, or badly signed.
    """
    if len(proof) > _MOST_BYTES:
        refuse(WHAT, f"has {len(proof)} characters, expected at most {_MOST_BYTES}", "too_large")
    found = jose.read(proof, what=WHAT, types=(TYPE,), algorithms=ALGORITHMS)
    key = found.header.get("jwk")
    if not isinstance(key, dict):
        refuse(WHAT, "carries no public key (`jwk`)", "key")
    jose.check_signature(proof, key, str(found.header["alg"]), WHAT)
    said = found.claims
    if said.get("htm") != method:
        refuse(WHAT, f"is for method `{str(said.get('htm'))[:20]}`, this is `{method}`", "proof_method")
    if _try_normal(said.get("htu")) not in urls:
        refuse(WHAT, f"is for another address than this request's (`htu` is `{str(said.get('htu'))[:120]}`)", "proof_url")
    issued = said.get("iat")
    if isinstance(issued, bool) or not isinstance(issued, int | float):
        refuse(WHAT, "says no time at which it was made (`iat`)", "malformed")
    if not now_s - LIFETIME_S <= issued <= now_s + AHEAD_S:
        refuse(WHAT, f"was made {now_s - issued:.0f} s ago, expected 0 to {LIFETIME_S}", "proof_time", hint="compare the clocks")
    if taken and not any(hmac.compare_digest(str(said.get("nonce", "")).encode(), each.encode()) for each in taken):
        refuse(WHAT, "carries no nonce of ours, or one that is over", "proof_nonce", hint="make it again with the one in `DPoP-Nonce`")
    jti = jose.text_claim(said, "jti", WHAT)
    if len(jti) > _LONGEST_JTI:
        refuse(WHAT, f"has a `jti` of {len(jti)} characters, expected at most {_LONGEST_JTI}", "malformed")
    if access_token and not hmac.compare_digest(str(said.get("ath", "")).encode(), token_hash(access_token).encode()):
        refuse(WHAT, "was not made for this access token (`ath`)", "proof_token")
    return Proof(keys.thumbprint(key), jti, float(issued))


def token_hash(access_token: str) -> str:
    """Return what a proof says of the access token that it comes with (`ath`)."""
    return jose.encode_base64url(hashlib.sha256(access_token.encode()).digest())


def normal_url(url: str) -> str:
    """Return an address in the form in which two of them are compared: no query, no fragment, no default port, one spelling.

    Raises:
        Malformed: not an absolute `http` or `https` address, or one with a name and password in it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Malformed("the address cannot be read") from None
    host = (parts.hostname or "").lower()
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORT or not host or "@" in parts.netloc or not url.isascii():
        raise Malformed(f"`{url[:120]}` is not an absolute http address")
    shown = f"[{host}]" if ":" in host else host
    path = re.sub(r"%[0-9A-Fa-f]{2}", _one_spelling, parts.path) or "/"
    return f"{scheme}://{shown}{'' if port in (None, _DEFAULT_PORT[scheme]) else f':{port}'}{path}"


def _one_spelling(escape: re.Match[str]) -> str:
    return quote(unquote(escape[0], errors="strict"), safe="") if int(escape[0][1:], 16) < 0x80 else escape[0].upper()


def _try_normal(url: object) -> str:
    try:
        return normal_url(url) if isinstance(url, str) else ""
    except Malformed:
        return ""
