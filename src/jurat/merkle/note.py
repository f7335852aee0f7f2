"""Signed notes and their keys: Ed25519 (type 0x01) and ML-DSA-44 (type 0x06).

    text, ended by LF | LF | one line per signature: "— " name " " base64(key id[4] || signature) LF
    vkey      name+<key id, 8 hex digits>+base64(type || public key)
    key id    SHA256(name || LF || type || public key)[:4]: a label, never a proof
    0x01      signature[64] over the text
    0x06      u64 timestamp, Unix s || signature[2420] over "subtree/v1\\n\\0" || u8 length, name || u64 timestamp
              || u8 length, origin || u64 0 || u64 size || root[32]: it covers a checkpoint's three fields, nothing else

Source: C2SP signed-note v1.0.0, tlog-cosignature v1.1.0-rc.1. Which keys are trusted is the caller's decision.
"""

from __future__ import annotations

import hashlib
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from jurat.core.errors import Malformed, Tampered
from jurat.merkle.checkpoint import format_base64, parse_base64, parse_checkpoint

MAX_NOTE_SIZE: Final = 512 * 1024  # bytes; 64 post-quantum signatures and a text
MAX_SIGNATURES: Final = 64
_KEY_ID_SIZE: Final = 4
_TIMESTAMP_SIZE: Final = 8
_FIELD: Final = 2**255 - 19
_SMALL_ORDER: Final = {  # y of the eight points under which a signature says nothing about the text
    0,
    1,
    _FIELD - 1,
    int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
    int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
}
_SUBTREE_DOMAIN: Final = b"subtree/v1\n\x00"


class Verified(NamedTuple):
    """A signature that holds. `timestamp_s`: when the signer says it signed, Unix seconds, if its kind says that."""

    name: str
    key_id: bytes
    timestamp_s: int | None


class OpenedNote(NamedTuple):
    """A note's text and the signatures on it that hold; at least one, each key once."""

    text: str
    signatures: tuple[Verified, ...]


class Signer(Protocol):
    """A named private key. `sign` returns what follows the key id in the note."""

    name: str
    key_id: bytes

    def sign(self, text: str) -> bytes: ...


class Verifier(ABC):
    """A named public key.

    Raises (on construction):
        Malformed: a name that a note cannot carry, or bytes that are no key.
    """

    key_type: int
    algorithm: str

    def __init__(self, name: str, public: bytes) -> None:
        check_key_name(name)
        self.name = name
        self.public = public
        self.key_id = hashlib.sha256(name.encode() + b"\n" + bytes([self.key_type]) + public).digest()[:_KEY_ID_SIZE]

    @property
    def vkey(self) -> str:
        """The text form, for files and people. The inverse of `parse_vkey`."""
        return f"{self.name}+{self.key_id.hex()}+{format_base64(bytes([self.key_type]) + self.public)}"

    @abstractmethod
    def verify(self, text: str, signature: bytes) -> int | None:
        """Return the signer's timestamp, Unix seconds, or None for a kind without one, if the signature holds.

        Raises:
            Tampered: it does not.
        """

    def _refuse(self) -> Tampered:
        label = f"{self.name}+{self.key_id.hex()}"
        return Tampered(f"signature by `{label}` does not fit the text", code="signature_bad", hint="one of the two was changed")


class Ed25519Verifier(Verifier):
    key_type, algorithm = 0x01, "Ed25519"

    def __init__(self, name: str, public: bytes) -> None:
        super().__init__(name, public)
        if len(public) != 32:
            raise Malformed(f"Ed25519 key of `{len(public)}` bytes, expected 32")
        y = int.from_bytes(public, "little") % 2**255
        if y >= _FIELD or y in _SMALL_ORDER:  # decision 0018
            raise Malformed(f"Ed25519 key of `{name[:80]}` is of small order or not canonical: anybody could sign for it")
        self._key = Ed25519PublicKey.from_public_bytes(public)

    def verify(self, text: str, signature: bytes) -> None:
        self.verify_bytes(text.encode(), signature)

    def verify_bytes(self, raw: bytes, signature: bytes) -> None:
        """Pass if the signature is over these bytes.

        Raises:
            Tampered: it is not.
        """
        try:
            self._key.verify(signature, raw)
        except InvalidSignature:
            raise self._refuse() from None


class MlDsaVerifier(Verifier):
    key_type, algorithm = 0x06, "ML-DSA-44"

    def __init__(self, name: str, public: bytes) -> None:
        super().__init__(name, public)
        if len(public) != 1312:
            raise Malformed(f"ML-DSA-44 key of `{len(public)}` bytes, expected 1312")
        self._key = MLDSA44PublicKey.from_public_bytes(public)

    def verify(self, text: str, signature: bytes) -> int:
        if len(signature) != _TIMESTAMP_SIZE + 2420:
            raise self._refuse()
        timestamp_s = int.from_bytes(signature[:_TIMESTAMP_SIZE])
        try:
            self._key.verify(signature[_TIMESTAMP_SIZE:], _subtree_message(self.name, timestamp_s, text))
        except (InvalidSignature, Malformed):
            raise self._refuse() from None
        return timestamp_s


class Ed25519Signer:
    """An Ed25519 key of a log or of its receipts, from a 32-byte seed."""

    def __init__(self, name: str, seed32: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed32)
        self.verifier = Ed25519Verifier(name, self._key.public_key().public_bytes_raw())
        self.name, self.key_id, self.vkey = name, self.verifier.key_id, self.verifier.vkey

    def sign(self, text: str) -> bytes:
        return self._key.sign(text.encode())

    def sign_bytes(self, raw: bytes) -> bytes:
        """Sign what can never be a note's text: its first byte begins no UTF-8 character."""
        assert 0x80 <= raw[0] < 0xC0, "it could be taken for a note"
        return self._key.sign(raw)


class MlDsaSigner:
    """An ML-DSA-44 key of a log, from a 32-byte seed. Signs checkpoints only, each with the time of `now_s`."""

    def __init__(self, name: str, seed32: bytes, now_s: Callable[[], int]) -> None:
        self._key = MLDSA44PrivateKey.from_seed_bytes(seed32)
        self._now_s = now_s
        self.verifier = MlDsaVerifier(name, self._key.public_key().public_bytes_raw())
        self.name, self.key_id, self.vkey = name, self.verifier.key_id, self.verifier.vkey

    def sign(self, text: str) -> bytes:
        timestamp_s = self._now_s()
        return timestamp_s.to_bytes(_TIMESTAMP_SIZE) + self._key.sign(_subtree_message(self.name, timestamp_s, text))


def parse_vkey(text: str, kinds: Sequence[type[Verifier]] = (Ed25519Verifier, MlDsaVerifier)) -> Verifier:
    """Return the public key that a vkey names, of one of these kinds: by default, of a log. The inverse of `Verifier.vkey`.

    Raises:
        Malformed: not a vkey, of a type we do not have, or its key id is not that of its key.
    """
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise Malformed(f"key `{text[:80]}` is not `name+id+key`")
    name, key_id, raw = parts[0], parts[1], parse_base64(parts[2], "key")
    by_type = {kind.key_type: kind for kind in kinds}
    if not raw or raw[0] not in by_type:
        expected = " or ".join(f"{kind.key_type:02x} ({kind.algorithm})" for kind in kinds)
        raise Malformed(f"key `{name[:80]}+{key_id[:8]}` is of type `{raw[:1].hex()}`, expected {expected}")
    verifier = by_type[raw[0]](name, raw[1:])
    if verifier.key_id.hex() != key_id:
        raise Malformed(f"key `{name[:80]}` says id `{key_id[:16]}`, its own id is `{verifier.key_id.hex()}`")
    return verifier


def check_key_name(name: str) -> None:
    """Pass if a note can carry this key name: not empty, no space, no `+`, no control character.

    Raises:
        Malformed: it cannot.
    """
    if not name or "+" in name or any(c.isspace() or c < " " or "\ud800" <= c <= "\udfff" for c in name):
        raise Malformed(f"key name `{name[:80]}` is empty or has a space, a `+` or a control character in it")


def sign_note(text: str, signers: Sequence[Signer]) -> str:
    """Return the note of this text, signed by each, in their order.

    Raises:
        Malformed: no signer, or a text that a note cannot carry.
    """
    if not signers:
        raise Malformed("a note without a signer")
    _check_text(text)
    return f"{text}\n{format_signatures(text, signers)}"


def open_note(note: str | bytes, verifiers: Sequence[Verifier]) -> OpenedNote:
    """Return a note's text and which of the given keys signed it. Signatures of other keys are ignored.

    Raises:
        Malformed: not a signed note, too large, more than 64 signatures, or two verifiers of one name and id.
        Tampered: a given key's signature does not hold, or none of the given keys signed.
    """
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    if len(known) != len(verifiers):
        raise Malformed("two of the given keys have one name and one id")
    text, lines = _split_note(note)
    verified: dict[tuple[str, bytes], Verified] = {}
    for name, blob in map(_parse_signature, lines):
        key = (name, blob[:_KEY_ID_SIZE])
        if key in known:
            verified.setdefault(key, Verified(*key, known[key].verify(text, blob[_KEY_ID_SIZE:])))
    if not verified:
        wanted = ", ".join(f"`{verifier.name}+{verifier.key_id.hex()}`" for verifier in verifiers)
        hint = "check that the keys are those of this log"
        raise Tampered(f"the note carries no signature by {wanted or 'any key, for none was given'}", code="signature_missing", hint=hint)
    return OpenedNote(text, tuple(verified.values()))


def select_signatures(note: str | bytes, verifiers: Sequence[Verifier]) -> str:
    """Return a note's signature lines of the given keys, each ended. They hold if `open_note` passed with these keys.

    Raises:
        Malformed: not a signed note.
    """
    known = {(verifier.name, verifier.key_id) for verifier in verifiers}
    found = [(line, *_parse_signature(line)) for line in _split_note(note)[1]]
    return "".join(f"{line}\n" for line, name, blob in found if (name, blob[:_KEY_ID_SIZE]) in known)


def format_signatures(text: str, signers: Sequence[Signer]) -> str:
    """Return the signature lines of these signers under a text, each ended."""
    return "".join(f"— {signer.name} {format_base64(signer.key_id + signer.sign(text))}\n" for signer in signers)


def read_unverified_text(note: str | bytes) -> str:
    """Return a note's text without looking at its signatures: to find out which log it claims to speak of, no more.

    Raises:
        Malformed: not a signed note.
    """
    return _split_note(note)[0]


def _split_note(note: str | bytes) -> tuple[str, list[str]]:
    if len(note) > MAX_NOTE_SIZE:
        raise Malformed(f"a note of `{len(note)}` bytes, expected at most {MAX_NOTE_SIZE}")
    if isinstance(note, bytes):
        try:
            note = note.decode()
        except UnicodeDecodeError:
            raise Malformed("a note that is not UTF-8") from None
    text, separator, signatures = note.rpartition("\n\n")  # the last empty line: the text may contain others
    if not separator or not signatures.endswith("\n"):
        raise Malformed("a note is a text, an empty line, and signature lines")
    lines = signatures[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise Malformed(f"a note with `{len(lines)}` signatures, expected at most {MAX_SIGNATURES}")
    _check_text(text + "\n")
    return text + "\n", lines


def _check_text(text: str) -> None:
    if not text.endswith("\n") or any(c < " " and c != "\n" for c in text):
        raise Malformed("a note's text ends with a line feed and has no other control characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Malformed("a note's text has characters that UTF-8 cannot write") from None


def _parse_signature(line: str) -> tuple[str, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—":
        raise Malformed(f"signature line `{line[:60]}` is not `— name base64`")
    check_key_name(parts[1])
    blob = parse_base64(parts[2], "signature")
    if len(blob) <= _KEY_ID_SIZE:
        raise Malformed(f"signature by `{parts[1][:80]}` is empty")
    return parts[1], blob


def _subtree_message(name: str, timestamp_s: int, text: str) -> bytes:
    checkpoint = parse_checkpoint(text)
    names = [name.encode(), checkpoint.origin.encode()]
    if any(len(each) > 255 for each in names) or not 0 <= timestamp_s < 2**63:
        raise Malformed("ML-DSA-44 signs names of at most 255 bytes and times before 2^63")
    cosigner, origin = (bytes([len(each)]) + each for each in names)
    return _SUBTREE_DOMAIN + cosigner + struct.pack(">Q", timestamp_s) + origin + struct.pack(">QQ", 0, checkpoint.size) + checkpoint.root


def verifiers_of(vkeys: Iterable[str]) -> list[Verifier]:
    """Return the public keys of several vkeys.

    Raises:
        Malformed: one of them is not a vkey.
    """
    return [parse_vkey(vkey) for vkey in vkeys]
