"""A signing key for tokens (ES256), made and kept as a JWK; its public half, and the names by which keys are known (RFC 7638)."""

from __future__ import annotations

from typing import Any, Final

from joserfc import jwk, jws

from jurat.core.errors import Malformed
from jurat.core.jsonio import dump_json, load_json
from jurat.identity.jose import Jwk

ALGORITHM: Final = "ES256"


def new_key() -> bytes:
    """Return a fresh private key as JSON: a secret, to be written where only its owner reads."""
    key = jwk.ECKey.generate_key("P-256")
    return dump_json({**key.as_dict(private=True), "kid": key.thumbprint(), "alg": ALGORITHM, "use": "sig"})


def public_half(private: bytes) -> dict[str, Any]:
    """Return what everybody may know of a key.

    Raises:
        Malformed: it is no such key.
    """
    try:
        found = load_json(private, dict[str, Any], what="the token key")
        return {**jwk.ECKey.import_key(found).as_dict(private=False), "kid": found["kid"], "alg": ALGORITHM, "use": "sig"}
    except (ValueError, KeyError, TypeError) as error:
        raise Malformed("the token key cannot be read", hint="make a new one: `jurat identity rotate-keys`") from error


def sign(private: bytes, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Return a token with these claims."""
    found = load_json(private, dict[str, Any], what="the token key")
    full = {"alg": ALGORITHM, "kid": found["kid"], **header}
    return jws.serialize_compact(full, dump_json(claims), jwk.ECKey.import_key(found), algorithms=[ALGORITHM])


def thumbprint(key: Jwk) -> str:
    """Return a public key's thumbprint (RFC 7638), by which it is named in `cnf.jkt`.

    Raises:
        Malformed: it is no key.
    """
    try:
        return str(jwk.import_key(dict(key)).thumbprint())
    except Exception as error:  # joserfc raises what its parser meets
        raise Malformed("that is no public key in JWK form") from error
