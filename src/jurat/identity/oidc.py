"""Signing in at somebody else's provider (OpenID Connect): authorization code with PKCE, the device flow, ID tokens.

Sources: OpenID Connect Core 1.0 and Discovery 1.0; RFC 7636 (PKCE); RFC 8628 (device flow); RFC 9207 (`iss` in the answer); RFC 9700.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from jurat.core.errors import Malformed
from jurat.identity import jose, keys
from jurat.identity.jose import Jwk, refuse

WHAT: Final = "the ID token"
LEEWAY_S: Final = 30
ASSERTION_S: Final = 60  # how long what proves us to a provider is good for
_LONGEST_S: Final = 86_400
_MOST_KEYS: Final = 50


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider says of itself."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    device_authorization_endpoint: str = ""
    authorization_response_iss_parameter_supported: bool = False


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a provider vouches for: one of its accounts. Never an address: those change hands."""

    issuer: str
    subject: str


def metadata_url(issuer: str) -> str:
    """Return where an issuer's discovery document lies."""
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration"


def read_metadata(said: Mapping[str, Any], issuer: str) -> Metadata:
    """Return a discovery document.

    Raises:
        Malformed: it is of another issuer (mix-up), or not one.
    """
    try:
        found = msgspec.convert(dict(said), Metadata)
    except msgspec.ValidationError as error:
        raise Malformed(f"the discovery document of `{issuer}` cannot be read: {error}", hint="is that its issuer?") from error
    if found.issuer != issuer:
        raise Malformed(
            f"`{issuer}` says that its issuer is `{found.issuer[:120]}`", hint="write the issuer exactly as it does", code="issuer_differs"
        )
    return found


def read_keys(said: Mapping[str, Any], uses: Sequence[str] = ("sig",)) -> list[dict[str, Any]]:
    """Return the public keys of a JWKS that are for signatures.

    Raises:
        Malformed: it is none.
    """
    found = said.get("keys")
    if not isinstance(found, list) or len(found) > _MOST_KEYS or not all(isinstance(key, dict) for key in found):
        raise Malformed("that is no JWKS: expected `keys`, a list of keys")
    kept = [key for key in found if key.get("use", "sig") in uses and key.get("kty") in ("EC", "OKP", "RSA")]
    return [{name: value for name, value in key.items() if name != "use"} for key in kept]


def client_assertion(private: bytes, *, client_id: str, issuer: str, jti: str, now_s: float) -> str:
    """Return what proves us to a provider without a secret that it knows, too (`private_key_jwt`): good for a minute, once.

    Source: OpenID Connect Core 9, RFC 7523. The audience is the issuer alone: one that names an endpoint may be put before another server.
    """
    said = {"iss": client_id, "sub": client_id, "aud": issuer, "jti": jti, "iat": int(now_s), "exp": int(now_s) + ASSERTION_S}
    return keys.sign(private, {"typ": "JWT"}, said)


def new_verifier() -> tuple[str, str]:
    """Return a fresh PKCE verifier, and the challenge made of it (S256)."""
    verifier = secrets.token_urlsafe(48)
    return verifier, jose.encode_base64url(hashlib.sha256(verifier.encode()).digest())


def authorization_url(
    metadata: Metadata, *, client_id: str, redirect_uri: str, scopes: Sequence[str], state: str, nonce: str, challenge: str
) -> str:
    """Return where a browser is sent to sign in."""
    if not metadata.authorization_endpoint:
        raise Malformed(f"`{metadata.issuer}` names no authorization endpoint", hint="use the device flow: `jurat login`")
    asked = {
        "response_type": "code", "client_id": client_id, "redirect_uri": redirect_uri, "scope": " ".join(scopes), "state": state,
        "nonce": nonce, "code_challenge": challenge, "code_challenge_method": "S256",
    }  # fmt: skip
    joint = "&" if "?" in metadata.authorization_endpoint else "?"
    return f"{metadata.authorization_endpoint}{joint}{urlencode(asked)}"


def check_answer_issuer(metadata: Metadata, issuer: str | None) -> None:
    """Pass if an answer comes from the provider that was asked (RFC 9207): the mix-up attack ends here.

    Raises:
        Unauthenticated: it does not, or does not say so though this provider always does.
    """
    if issuer is None and not metadata.authorization_response_iss_parameter_supported:
        return
    if issuer != metadata.issuer:
        refuse("the provider's answer", f"comes from `{str(issuer)[:120]}`, expected `{metadata.issuer}`", "issuer", hint="sign in again")


def check_id_token(
    token: str, keys: Sequence[Jwk], *, issuer: str, client_id: str, nonce: str, now_s: float, access_token: str = ""
) -> Account:
    """Return whom a provider vouches for.

    Args:
        nonce: as it was sent; empty where none could be (device flow).
        access_token: what came with it, held against `at_hash` if that is there.
    Raises:
        Unauthenticated: it does not hold, or is not for us, or of another sign-in.
    """
    found = jose.verify(token, keys, what=WHAT, types=("", "jwt"))
    said = found.claims
    if said.get("iss") != issuer:
        refuse(WHAT, f"was issued by `{str(said.get('iss'))[:120]}`, expected `{issuer}`", "issuer")
    audiences = jose.audiences(said)
    if client_id not in audiences:
        refuse(WHAT, "is for somebody else than us (`aud`)", "audience")
    if (len(audiences) > 1 or "azp" in said) and said.get("azp") != client_id:
        refuse(WHAT, "was given to somebody else than us (`azp`)", "audience")
    jose.check_times(said, now_s, leeway_s=LEEWAY_S, what=WHAT, longest_s=_LONGEST_S)
    if "iat" not in said:
        refuse(WHAT, "says no time at which it was made (`iat`)", "malformed")
    if nonce and not hmac.compare_digest(str(said.get("nonce", "")).encode(), nonce.encode()):
        refuse(WHAT, "is of another sign-in (`nonce`)", "nonce", hint="sign in again")
    if access_token and "at_hash" in said and said["at_hash"] != _half_hash(access_token, str(found.header["alg"])):
        refuse(WHAT, "is not of the access token that it came with (`at_hash`)", "hash")
    return Account(issuer=issuer, subject=jose.text_claim(said, "sub", WHAT))


def _half_hash(text: str, algorithm: str) -> str:
    digest = hashlib.new({"ES384": "sha384", "Ed25519": "sha512"}.get(algorithm, "sha256"), text.encode()).digest()
    return jose.encode_base64url(digest[: len(digest) // 2])
