"""How far a log is pruned, and the disk space that this frees: `<log>/pruned.json`, beside the arrays.

    minimum     entries below it are refused; so are full tiles that end at or below it. The rest proves all that is left
    since_ns    when that was decided; holes are punched a while later, when whoever read before has finished
    punched     the minimum up to which the space is free
    ended       the last event of each producer's stream that lies below the minimum: its numbers go on from there

A prefix only; arrays keep their length and their offsets, the pruned part reads as zeros. Not trusted: the anchor log
carries the minimum, the event `log.pruned.v1` says so first and carries the digest of `ended`, and a verifier believes
neither without the tombstones of everything below. Source: C2SP tlog-tiles (pruning).
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from jurat.core.digests import digest_json
from jurat.core.errors import JuratError, NotFound, Tampered, Unavailable
from jurat.core.files import write_whole
from jurat.core.jsonio import dump_json, load_json
from jurat.merkle.tile import TILE_WIDTH
from jurat.merkle.tree import HASH_SIZE

FILE_NAME: Final = "pruned.json"
_KEEP_SIZE_PUNCH_HOLE: Final = 0x01 | 0x02  # linux/falloc.h


class Ended(msgspec.Struct, frozen=True):
    """The last event of a stream that lies below the minimum: its number and its place."""

    producer: int
    epoch: int
    seq: int
    at: int
    is_closed: bool


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. Nothing is pruned while `minimum` is 0."""

    minimum: int = 0
    since_ns: int = 0
    punched: int = 0
    ended: tuple[Ended, ...] = ()

    @property
    def floor(self) -> int:
        """The first entry that is still there: bundles go whole."""
        return entry_floor(self.minimum)

    def refuses(self, level: int | None, number: int) -> bool:
        """Whether a full tile, or bundle (level None), is refused."""
        return (number + 1) << 8 * ((level or 0) + 1) <= self.minimum

    def is_closed(self, producer: int, epoch: int) -> bool:
        """Whether that stream ended below the minimum with its producer's own word."""
        return any(each.is_closed for each in self.ended if (each.producer, each.epoch) == (producer, epoch))


NOT_PRUNED: Final = Pruned()


def entry_floor(minimum: int) -> int:
    """Return the first entry that a log pruned to `minimum` still has."""
    return minimum - minimum % TILE_WIDTH


def hash_floor(minimum: int, level: int) -> int:
    """Return the first hash of a level that it still has."""
    return (minimum >> 8 * (level + 1)) * TILE_WIDTH


def digest_ended(ended: Sequence[Ended]) -> str:
    """Return the digest of where streams ended, which the ledger's own word on a pruning carries."""
    return digest_json([msgspec.structs.asdict(each) for each in ended])


def pruned_file(log_directory: Path) -> Path:
    return log_directory / FILE_NAME


def read_pruned(log_directory: Path) -> Pruned:
    """Return how far the log is pruned.

    Raises:
        Tampered: it cannot be read: then nobody knows what may be missing.
    """
    path = pruned_file(log_directory)
    try:
        found = path.stat()
    except FileNotFoundError:
        return NOT_PRUNED
    return _read(path, (found.st_ino, found.st_mtime_ns, found.st_size))


def write_pruned(log_directory: Path, pruned: Pruned) -> None:
    """Put this as how far the log is pruned, durable once this returns. A minimum never falls."""
    before = read_pruned(log_directory)
    assert pruned.minimum >= before.minimum
    if pruned != before:
        write_whole(pruned_file(log_directory), dump_json(pruned))


def refuse_pruned(what: str, log: object, minimum: int) -> NotFound:
    """Return the refusal of something that is below the minimum index."""
    return NotFound(
        f"{what} of log `{log}` is pruned: its time is over, and the log begins at index {minimum}",
        hint="proofs that were handed out still verify; the event `log.pruned.v1` says when and by which checkpoint",
        code="pruned",
        minimum=minimum,
    )


def punch(log_directory: Path, entry_size: int, minimum: int) -> int:
    """Give the space of all that is refused back to the file system; return how many bytes became free. Doing it again frees nothing.

    Raises:
        Unavailable: the file system cannot do that, or the disk refused. What is refused stays refused.
    """
    ends = {"entries": entry_floor(minimum) * (entry_size + 2)}
    level = 0
    while end := hash_floor(minimum, level):
        ends[f"L{level}"] = end * HASH_SIZE
        level += 1
    freed = 0
    try:
        for name, end in ends.items():
            if end:
                freed += _punch_file(log_directory / name, end)
    except OSError as error:
        is_unable = error.errno in (errno.EOPNOTSUPP, errno.ENOSYS)
        raise Unavailable(
            f"the space of pruned entries in `{log_directory}` could not be freed: {(error.strerror or str(error)).lower()}",
            hint="this file system cannot punch holes: entries are refused, and their space is kept" if is_unable else "run it again",
            code="cannot_punch" if is_unable else "storage_failed",
        ) from error
    return freed


def _punch_file(path: Path, end: int) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        before = os.fstat(descriptor)
        if end > before.st_size:
            raise Tampered(
                f"`{path}` has `{before.st_size}` bytes, expected more than {end}", hint="run `jurat verify`", code="array_damaged"
            )
        libc = ctypes.CDLL(None, use_errno=True)
        fallocate = getattr(libc, "fallocate64", None) or getattr(libc, "fallocate", None)
        if fallocate is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        if fallocate(descriptor, _KEEP_SIZE_PUNCH_HOLE, 0, end) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        os.fsync(descriptor)
        return (before.st_blocks - os.fstat(descriptor).st_blocks) * 512
    finally:
        os.close(descriptor)


@lru_cache(maxsize=16)
def _read(path: Path, _identity: tuple[int, int, int]) -> Pruned:
    try:
        found = load_json(path.read_bytes(), Pruned, what=f"`{path.name}`")
        if not (0 <= found.punched <= found.minimum and all(0 <= each.at < found.minimum for each in found.ended)):
            raise Tampered("it says what cannot be")
    except (JuratError, OSError) as error:
        raise Tampered(
            f"`{path}` cannot be read: {getattr(error, 'detail', str(error))}",
            hint="it says which entries were pruned: restore it from a backup; `log.pruned.v1` in the ledger says the same",
            code="pruned_damaged",
        ) from error
    return found
