"""The keys of the logs: a secret seed on disk, every key derived from it, and the public half for auditors.

    keys/signing.key     0600: "jurat-signing-key/v1" LF, seed as 64 hex digits LF, first 16 hex digits of its checksum LF
    keys/signing.2.key   the next seed, once a log has changed its keys; old seeds sign until their last size, then they can go
    keys/log-keys.json   public: [{"log", "origin", "vkeys": [Ed25519, ML-DSA-44], "receipt_vkey"}, …], the keys of now; of a log that
                         has changed its keys also "periods": each set, with the sizes of the checkpoints that it signs

A key is HKDF-SHA256(seed, info = "jurat/log-key/v1" 0x00 | purpose 0x00 | origin), RFC 5869 without salt: the seed is
uniform already. Whoever holds the seed can sign as any of these logs; it never leaves this file and this process.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

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


class KeyPeriod(msgspec.Struct, frozen=True, kw_only=True):
    """One set of keys, and the sizes of the checkpoints that all of them sign; both ends included, None for no end.

    `first_size` None: announced. It signs already, beside the others, and nobody demands it yet.
    """

    vkeys: list[str]
    receipt_vkey: str
    first_size: int | None
    last_size: int | None
    seed: int  # which file in `keys/`

    def signs(self, size: int) -> bool:
        """Whether a checkpoint of that size needs these keys."""
        return self.first_size is not None and self.first_size <= size and (self.last_size is None or size <= self.last_size)


class LogKeys(msgspec.Struct, frozen=True, omit_defaults=True):
    """The public keys of one log. `vkeys` and `receipt_vkey` are those of now."""

    log: str
    origin: str
    vkeys: list[str]  # Ed25519, ML-DSA-44: both sign every checkpoint
    receipt_vkey: str
    periods: list[KeyPeriod] = []

    def vkeys_at(self, size: int) -> list[str]:
        """Return every key that must have signed a checkpoint of that size; none for a size that no keys are for."""
        return [vkey for period in self.periods if period.signs(size) for vkey in period.vkeys] if self.periods else self.vkeys

    def receipt_vkeys_at(self, index: int) -> list[str]:
        """Return the keys of which one may have signed a receipt for that entry."""
        return [period.receipt_vkey for period in self.periods if period.signs(index)] if self.periods else [self.receipt_vkey]

    def all_vkeys(self) -> list[str]:
        """Return every key that ever signed for this log."""
        return [vkey for period in self.periods for vkey in period.vkeys] if self.periods else self.vkeys

    def retired_by(self, size: int) -> list[KeyPeriod]:
        """Return the keys whose last size lies before that one."""
        return [period for period in self.periods if period.last_size is not None and period.last_size < size]


class _Set(NamedTuple):
    checkpoint: tuple[Ed25519Signer, MlDsaSigner]
    receipt: Ed25519Signer
    first_size: int | None
    last_size: int | None


class LogSigners:
    """The private keys of one log, and their public half."""

    def __init__(self, seed: bytes, log: LogName, host: str, now_s: Callable[[], int]) -> None:
        made = _make_set(seed, log.origin(host), now_s, 0, None)
        self._sets = [made]
        self.public = LogKeys(str(log), log.origin(host), [signer.vkey for signer in made.checkpoint], made.receipt.vkey)

    @classmethod
    def of_periods(cls, seeds: Mapping[int, bytes], log: LogName, host: str, now_s: Callable[[], int], public: LogKeys) -> LogSigners:
        """Return the signers of a log that has changed its keys.

        Raises:
            Malformed: the public keys are not those that the seeds give.
        """
        made = cls(seeds[min(seeds)], log, host, now_s)
        there = [period for period in public.periods if period.seed in seeds or period.last_size is None]
        made._sets = [_make_set(seeds[each.seed], public.origin, now_s, each.first_size, each.last_size) for each in there]
        for own, period in zip(made._sets, there, strict=True):
            if [signer.vkey for signer in own.checkpoint] != period.vkeys or own.receipt.vkey != period.receipt_vkey:
                raise Malformed(
                    f"`log-keys.json` has other keys of log `{log}` than seed {period.seed} gives",
                    hint="restore both from their backups", code="key_corrupt",
                )  # fmt: skip
        made.public = public
        return made

    def adopt(self, other: LogSigners) -> None:
        """Sign with those keys from now on."""
        self._sets, self.public = other._sets, other.public

    @property
    def checkpoint(self) -> tuple[Ed25519Signer, MlDsaSigner]:
        """The keys of now."""
        return self._now().checkpoint

    @property
    def receipt(self) -> Ed25519Signer:
        """The key of receipts of now."""
        return self._now().receipt

    def checkpoint_at(self, size: int) -> list[Ed25519Signer | MlDsaSigner]:
        """Return the keys that sign a checkpoint of that size: those that must, and those that are announced.

        Raises:
            NotFound: a seed is gone before its time.
        """
        found = [signer for each in self._sets if each.last_size is None or size <= each.last_size for signer in each.checkpoint]
        if not set(self.public.vkeys_at(size)) <= {signer.vkey for signer in found}:
            raise NotFound(
                f"a key that must sign size `{size}` of log `{self.public.log}` is gone",
                hint="restore the old `signing.*.key`: it signs until its last size, as `jurat log list --json` shows", code="key_missing",
            )  # fmt: skip
        return found

    def receipt_at(self, index: int) -> Ed25519Signer:
        """Return the key that signs a receipt for that entry."""
        fit = [each for each in self._sets if each.first_size is not None and each.first_size <= index]
        return (fit or self._sets)[-1 if fit else 0].receipt

    def _now(self) -> _Set:
        return [each for each in self._sets if each.first_size is not None][-1]


def _make_set(seed: bytes, origin: str, now_s: Callable[[], int], first_size: int | None, last_size: int | None) -> _Set:
    return _Set(
        (Ed25519Signer(origin, _derive(seed, "ed25519", origin)), MlDsaSigner(origin, _derive(seed, "ml-dsa-44", origin), now_s)),
        Ed25519Signer(f"{origin}/receipt", _derive(seed, "receipt", origin)),
        first_size,
        last_size,
    )


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
            hint="restore it from its backup; a log cannot be continued with another key, unless it announces that: `jurat log rotate-key`",
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
