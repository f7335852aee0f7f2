"""Cosignatures: what a witness puts under somebody else's checkpoint, "at this time this was the largest tree that I had seen".

    0x04  u64 timestamp, Unix s || signature[64] over "cosignature/v1" LF "time " decimal LF, and the whole text of the note
    0x06  u64 timestamp || signature[2420], as in `note`: it names the cosigner, and covers the checkpoint's three fields

The Ed25519 message does not say who cosigns, so a cosigner has a key of its own, used for nothing else. A timestamp of
0 says nothing about the largest tree and is not a witness's. Source: C2SP tlog-cosignature v1.1.0-rc.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from jurat.core.errors import Malformed, Tampered
from jurat.merkle.note import Ed25519Verifier, MlDsaVerifier, OpenedNote, Verifier, open_note, parse_vkey, read_unverified_text

_TIMESTAMP_SIZE: Final = 8
_SIGNATURE_SIZE: Final = 64
_LATEST_S: Final = 2**63 - 1


class CosignatureVerifier(Verifier):
    """A witness's Ed25519 key. `verify` returns when it cosigned."""

    key_type, algorithm = 0x04, "Ed25519 cosignature"

    def __init__(self, name: str, public: bytes) -> None:
        super().__init__(name, public)
        Ed25519Verifier(name, public)  # refuses what is no key (decision 0018)
        self._key = Ed25519PublicKey.from_public_bytes(public)

    def verify(self, text: str, signature: bytes) -> int:
        timestamp_s = int.from_bytes(signature[:_TIMESTAMP_SIZE])
        if len(signature) != _TIMESTAMP_SIZE + _SIGNATURE_SIZE or timestamp_s > _LATEST_S:
            raise self._refuse()
        try:
            self._key.verify(signature[_TIMESTAMP_SIZE:], _message(timestamp_s, text))
        except InvalidSignature:
            raise self._refuse() from None
        return timestamp_s


class CosignatureSigner:
    """A witness's Ed25519 key, from a 32-byte seed. Signs each text with the time of `now_s`."""

    def __init__(self, name: str, seed32: bytes, now_s: Callable[[], int]) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed32)
        self._now_s = now_s
        self.verifier = CosignatureVerifier(name, self._key.public_key().public_bytes_raw())
        self.name, self.key_id, self.vkey = name, self.verifier.key_id, self.verifier.vkey

    def sign(self, text: str) -> bytes:
        timestamp_s = self._now_s()
        return timestamp_s.to_bytes(_TIMESTAMP_SIZE) + self._key.sign(_message(timestamp_s, text))


def parse_witness_vkey(text: str) -> Verifier:
    """Return the public key of a witness. The inverse of `Verifier.vkey`.

    Raises:
        Malformed: not a vkey, or of a type that does not cosign: a log's own key is not a witness's.
    """
    return parse_vkey(text, (CosignatureVerifier, MlDsaVerifier))


def open_cosigned(note: str | bytes, witnesses: Sequence[Verifier]) -> OpenedNote:
    """Return a note's text and which of these witnesses cosigned it, each with its time; perhaps none.

    Raises:
        Malformed: not a signed note.
        Tampered: a signature by one of these keys does not hold.
    """
    try:
        opened = open_note(note, witnesses)
    except Tampered as error:
        if error.code != "signature_missing":
            raise
        return OpenedNote(read_unverified_text(note), ())
    return OpenedNote(opened.text, tuple(each for each in opened.signatures if each.timestamp_s))


def _message(timestamp_s: int, text: str) -> bytes:
    if not 0 <= timestamp_s <= _LATEST_S:
        raise Malformed("cosignatures carry times from 1970 to 2^63 - 1 s")
    return f"cosignature/v1\ntime {timestamp_s}\n{text}".encode()
