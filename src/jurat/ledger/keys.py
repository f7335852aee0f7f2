"""The keys of the logs: one secret seed on disk, every key derived from it, and the public half for auditors.

    keys/signing.key     0600: "jurat-signing-key/v1" LF, seed as 64 hex digits LF, first 16 hex digits of its checksum LF
    keys/log-keys.json   public: [{"log", "origin", "vkeys": [Ed25519, ML-DSA-44], "receipt_vkey"}, …]

A key is HKDF-SHA256(seed, info = "jurat/log-key/v1" 0x00 | purpose 0x00 | origin), RFC 5869 without salt: the seed is
uniform already. Whoever holds the seed can sign as any of these logs; it never leaves this file and this process.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from jurat.core.errors import Conflict, Malformed, NotFound
from jurat.core.files import write_secret, write_whole
from jurat.core.jsonio import load_json
from jurat.ledger.layout import LogName
from jurat.merkle.note import Ed25519Signer, MlDsaSigner

_HEADING: Final = "jurat-signing-key/v1"
_LARGEST: Final = 4096  # bytes that are read of a file that should hold 103
_INFO: Final = b"jurat/log-key/v1\x00"


class LogKeys(msgspec.Struct, frozen=True):
    """The public keys of one log."""

    log: str
    origin: str
    vkeys: list[str]  # Ed25519, ML-DSA-44: both sign every checkpoint
    receipt_vkey: str


class LogSigners:
    """The private keys of one log, and their public half."""

    def __init__(self, seed: bytes, log: LogName, host: str, now_s: Callable[[], int]) -> None:
        origin = log.origin(host)
        self.checkpoint = (
            Ed25519Signer(origin, _derive(seed, "ed25519", origin)),
            MlDsaSigner(origin, _derive(seed, "ml-dsa-44", origin), now_s),
        )
        self.receipt = Ed25519Signer(f"{origin}/receipt", _derive(seed, "receipt", origin))
        self.public = LogKeys(str(log), origin, [signer.vkey for signer in self.checkpoint], self.receipt.vkey)


def create_signing_key(path: Path) -> bytes:
    """Put a fresh seed at `path`, readable by its owner only, and return it.

    Raises:
        Conflict: there is one already; it is never replaced, for what it signed could no longer be continued.
    """
    if path.exists():
        raise Conflict(f"`{path}` is there already", hint="a log's key is never replaced; choose another directory", code="key_exists")
    seed = os.urandom(32)
    write_secret(path, f"{_HEADING}\n{seed.hex()}\n{_checksum(seed)}\n".encode())
    return seed


def load_signing_key(path: Path) -> bytes:
    """Return the seed.

    Raises:
        NotFound: there is no such file.
        Malformed: it was cut, altered, or is something else; or others than its owner can read it. Nothing of its content is shown.
    """
    try:
        with path.open("rb") as file:
            mode, lines = os.fstat(file.fileno()).st_mode, file.read(_LARGEST).decode("ascii", "replace").split("\n")
    except FileNotFoundError:
        raise NotFound(
            f"there is no signing key at `{path}`", hint="restore it from its backup; without it nothing can be sealed"
        ) from None
    except OSError as error:
        raise Malformed(f"`{path}` cannot be read: {(error.strerror or str(error)).lower()}", code="key_corrupt") from error
    if mode & 0o077:
        raise Malformed(
            f"others than its owner can read the signing key `{path}`",
            hint=f"`chmod 600 {path}`; if somebody may have read it, they can sign in this ledger's name",
            code="key_exposed",
        )
    try:
        heading, digits, checksum, rest = lines
        seed = bytes.fromhex(digits)
        sound = (heading, len(seed), checksum, rest) == (_HEADING, 32, _checksum(seed), "")
    except ValueError:
        sound = False
    if not sound:
        raise Malformed(
            f"the signing key `{path}` is corrupt: it is not `{_HEADING}` with a seed and its right checksum",
            hint="restore it from its backup; a log cannot be continued with another key",
            code="key_corrupt",
        )
    return seed


def write_log_keys(path: Path, keys: Sequence[LogKeys]) -> None:
    """Put the public keys at `path`, for auditors."""
    write_whole(path, msgspec.json.format(msgspec.json.encode(keys), indent=2) + b"\n")


def load_log_keys(path: Path) -> list[LogKeys]:
    """Return the public keys of every log.

    Raises:
        NotFound: there is no such file.
        Malformed: it holds something else, or no key at all.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"there are no log keys at `{path}`", hint="ask the operator for `log-keys.json`") from None
    keys = load_json(raw, list[LogKeys], what=f"`{path}`")
    if not keys:
        raise Malformed(f"`{path}` holds no key", hint="ask the operator for `log-keys.json`")
    return keys


def _derive(seed: bytes, purpose: str, origin: str) -> bytes:
    info = _INFO + purpose.encode() + b"\x00" + origin.encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(seed)


def _checksum(seed: bytes) -> str:
    return hashlib.sha256(_HEADING.encode() + b"\x00" + seed).hexdigest()[:16]
