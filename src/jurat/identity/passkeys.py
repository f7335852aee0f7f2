"""Passkeys (WebAuthn): what a browser is asked, and whether what it answers holds. The only importer of webauthn.

Strict: the key stays on the device and can be found by it (resident), the device knows its user (verified), and the page was
ours, by its address. Source: W3C Web Authentication, Level 3.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
import webauthn
from webauthn.helpers import base64url_to_bytes
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from jurat.core.errors import Malformed, Unauthenticated

CHALLENGE_S: Final = 300
_ALGORITHMS: Final = [
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
_MOST_BYTES: Final = 32_768


class Site(NamedTuple):
    """Where our pages are: `https://jurat.example.org`, and its host, to which keys are bound."""

    origin: str
    rp_id: str


class Asked(NamedTuple):
    """What the browser is asked, and the challenge in it, whose hash is kept."""

    options: dict[str, Any]
    challenge: bytes


class NewKey(NamedTuple):
    """A passkey that was just made."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    synced: bool


def ask_to_register(site: Site, *, principal: str, name: str, known: Sequence[bytes]) -> Asked:
    """Return the question that makes a passkey. `name` is shown by the device; `known` are those that the person has."""
    challenge = secrets.token_bytes(32)
    options = webauthn.generate_registration_options(
        rp_id=site.rp_id,
        rp_name="Jurat",
        user_id=hashlib.sha256(principal.encode()).digest(),
        user_name=name,
        user_display_name=name,
        challenge=challenge,
        timeout=CHALLENGE_S * 1000,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=each) for each in known],
        supported_pub_key_algs=_ALGORITHMS,
    )
    return Asked(_plain(options), challenge)


def ask_to_sign_in(site: Site) -> Asked:
    """Return the question that any passkey of this site may answer: the device says whose it is."""
    challenge = secrets.token_bytes(32)
    options = webauthn.generate_authentication_options(
        rp_id=site.rp_id, challenge=challenge, timeout=CHALLENGE_S * 1000, user_verification=UserVerificationRequirement.REQUIRED
    )
    return Asked(_plain(options), challenge)


def challenge_in(credential: dict[str, Any]) -> bytes:
    """Return the challenge that a browser says it answered.

    Raises:
        Malformed: it says none.
    """
    if len(msgspec.json.encode(credential)) > _MOST_BYTES:
        raise Malformed(f"the answer of the browser is larger than {_MOST_BYTES} bytes")
    try:
        client = msgspec.json.decode(base64url_to_bytes(credential["response"]["clientDataJSON"]))
        return base64url_to_bytes(client["challenge"])
    except (KeyError, TypeError, ValueError, msgspec.DecodeError):
        raise Malformed("the answer of the browser cannot be read", hint="reload the page, and try again") from None


def credential_id_in(credential: dict[str, Any]) -> bytes:
    """Return which passkey a browser says it used."""
    try:
        return base64url_to_bytes(credential["rawId"])
    except (KeyError, TypeError, ValueError):
        raise Malformed("the answer of the browser names no passkey", hint="reload the page, and try again") from None


def check_registered(site: Site, credential: dict[str, Any], challenge: bytes) -> NewKey:
    """Return the passkey that was made.

    Raises:
        Unauthenticated: another site, another challenge, a user who was not verified, or a signature that does not hold.
    """
    try:
        found = webauthn.verify_registration_response(
            credential=credential, expected_challenge=challenge, expected_rp_id=site.rp_id, expected_origin=site.origin,
            require_user_verification=True, supported_pub_key_algs=_ALGORITHMS,
        )  # fmt: skip
    except (WebAuthnException, ValueError, KeyError, TypeError) as error:
        raise _refused(error) from error
    synced = found.credential_device_type is CredentialDeviceType.MULTI_DEVICE
    return NewKey(found.credential_id, found.credential_public_key, found.sign_count, synced)


def check_signed(site: Site, credential: dict[str, Any], challenge: bytes, public_key: bytes) -> int:
    """Return the passkey's counter, if its signature holds. Whether the counter went on is for whoever keeps it.

    Raises:
        Unauthenticated: another site, another challenge, a user who was not verified, or a signature that does not hold.
    """
    try:
        found = webauthn.verify_authentication_response(
            credential=credential, expected_challenge=challenge, expected_rp_id=site.rp_id, expected_origin=site.origin,
            credential_public_key=public_key, credential_current_sign_count=0, require_user_verification=True,
        )  # fmt: skip
    except (WebAuthnException, ValueError, KeyError, TypeError) as error:
        raise _refused(error) from error
    return found.new_sign_count


def _refused(error: Exception) -> Unauthenticated:
    said = str(error)
    said = said[:1].lower() + said[1:] if said else type(error).__name__
    return Unauthenticated(f"this passkey does not hold here: {said[:200]}", hint="reload the page, and try again", code="passkey_refused")


def _plain(options: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(webauthn.options_to_json(options))
    return found
