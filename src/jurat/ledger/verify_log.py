"""One log's arrays against its signed checkpoint: every entry hashed again, every stored hash compared.

One pass, bounded memory. If the root comes out as signed, the entries are the sealed ones and any other stored hash
is a liar; if not, `locate` finds out where. Believes nothing that lies in the ledger's directory, and never raises
for anything it finds there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from jurat.ledger.arrays import ENTRY_FIELDS
from jurat.ledger.pruned import entry_floor, hash_floor
from jurat.merkle.entry import ENTRY_SIZE
from jurat.merkle.many import split_digests
from jurat.merkle.tile import TILE_WIDTH
from jurat.merkle.tree import HASH_SIZE, Frontier, hash_joined_leaves, root_of

CHUNK: Final = TILE_WIDTH * TILE_WIDTH  # entries read at once: 4 MB
_HASHED: Final = 64 * TILE_WIDTH  # entries hashed at once: what a processor's cache holds, a quarter faster than the whole chunk
_MAX_DIFFERENCES: Final = 10_000  # per level file; beyond, the file is beyond telling hash by hash


class Waypoint(NamedTuple):
    """A root that this log must have had at some size, and who says so."""

    size: int
    root: bytes
    what: str  # the fault's code if it had not
    witness: str  # in words, for the fault's detail


class LogFiles:
    """A log's array files, read as they are: what is not there is simply short."""

    def __init__(self, directory: Path, entry_size: int) -> None:
        self.directory = directory
        self.stride = entry_size + 2
        self.prefix = entry_size.to_bytes(2)
        self.minimum = 0  # index below which the log is pruned, by the anchor log's word

    def count(self, name: str) -> int:
        """Return how many whole records a file holds; 0 if it cannot be read."""
        try:
            return (self.directory / name).stat().st_size // self._stride_of(name)
        except OSError:
            return 0

    def read(self, name: str, first: int, end: int) -> bytes:
        """Return the whole records [first, end) as far as they are there."""
        stride = self._stride_of(name)
        try:
            descriptor = os.open(self.directory / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would wait for a writer
            try:
                raw = os.pread(descriptor, (end - first) * stride, first * stride)
            finally:
                os.close(descriptor)
        except OSError:
            return b""
        return raw[: len(raw) - len(raw) % stride]

    def entries(self, first: int, end: int) -> list[bytes]:
        """Return the entries [first, end) as far as they are there, without their size prefixes."""
        raw, stride = self.read("entries", first, end), self.stride
        return [raw[at + 2 : at + stride] for at in range(0, len(raw), stride)]

    def hashes(self, level: int, first: int, end: int) -> list[bytes]:
        """Return the stored hashes [first, end) of a level as far as they are there."""
        return split_digests(self.read(f"L{level}", first, end))

    def _stride_of(self, name: str) -> int:
        return self.stride if name == "entries" else HASH_SIZE


@dataclass
class TreeCheck:
    """What one pass over a log's arrays saw. Sizes in entries."""

    size: int  # that the checkpoint promises
    floor: int = 0  # the first entry that is not pruned; what lies before it stands by the stored hashes of upper levels
    present: int = 0  # entries that are there, up to `size`
    root: bytes = b""  # over the entries that are there
    levels: list[list[bytes]] = field(default_factory=list)  # L1, L2, … computed from the entries
    differing: dict[int, list[int]] = field(default_factory=dict)  # level -> indexes whose stored hash is not the computed one
    short: dict[int, int] = field(default_factory=dict)  # level -> hashes that are there, of a file that is too short
    bad_prefixes: list[int] = field(default_factory=list)
    held: int = 0  # the largest size at which a waypoint's root was met
    missed: list[Waypoint] = field(default_factory=list)  # waypoints whose root was not met, ascending
    gaps: list[tuple[int, str]] = field(default_factory=list)  # (index, what) where a producer's numbers jump
    time_breaks: list[int] = field(default_factory=list)


def check_tree(files: LogFiles, size: int, waypoints: Sequence[Waypoint], tick: Callable[[int], None]) -> TreeCheck:
    """Hash the first `size` entries again, and compare every stored hash and every waypoint on the way.

    Where a log is pruned, the hashes that stand for the prefix are taken as they lie there: if the root comes out as signed
    they are the sealed ones. Sizes below the minimum index cannot be met any more.
    """
    check = TreeCheck(size, present=min(size, files.count("entries")))
    check.floor = entry_floor(min(files.minimum, check.present))
    frontier, order = _begin(check, files), _Order()
    ahead = sorted((w for w in waypoints if max(1, files.minimum) <= w.size <= check.present), key=lambda w: w.size)
    begin = check.floor
    while begin < check.present:
        raw = files.read("entries", begin, min(begin + _HASHED, check.present))
        count = len(raw) // files.stride
        if not count:  # cut while we read
            check.present = begin
            break
        table = np.frombuffer(raw, np.uint8).reshape(count, files.stride)
        entries = np.ascontiguousarray(table[:, 2:])
        leaves = hash_joined_leaves(entries.tobytes(), entries.shape[1])
        _compare(check, files, 0, begin, leaves)
        wrong = (table[:, :2] != np.frombuffer(files.prefix, np.uint8)).any(axis=1)
        check.bad_prefixes += (np.flatnonzero(wrong)[:_MAX_DIFFERENCES] + begin).tolist()
        if entries.shape[1] == ENTRY_SIZE:
            order.follow(check, begin, entries.view(ENTRY_FIELDS)[:, 0])
        done = 0
        while ahead and ahead[0].size <= begin + count:
            waypoint = ahead.pop(0)
            reached = (waypoint.size - begin) * HASH_SIZE
            _extend(check, frontier, leaves[done:reached])
            done = reached
            if frontier.root() == waypoint.root:
                check.held = waypoint.size
            else:
                check.missed.append(waypoint)
        _extend(check, frontier, leaves[done:])
        begin += count
        tick(count)
    check.root = frontier.root()
    for level, hashes in enumerate(check.levels, start=1):
        for first in range(check.floor >> 8 * level, len(hashes), CHUNK):
            _compare(check, files, level, first, b"".join(hashes[first : first + CHUNK]))
    return check


def _begin(check: TreeCheck, files: LogFiles) -> Frontier:
    """Return the frontier at the floor, and lay the hashes that stand for what is pruned into `check.levels`."""
    if not check.floor:
        return Frontier()
    stored: list[list[bytes]] = [[]]
    for level in range(1, 9):
        end = check.floor >> 8 * level
        kept = hash_floor(files.minimum, level)
        if not end:
            break
        hashes = files.hashes(level, kept, end)
        stored.append([bytes(HASH_SIZE)] * kept + hashes + [bytes(HASH_SIZE)] * (end - kept - len(hashes)))
    check.levels = stored[1:]
    return Frontier.at(check.floor, lambda level, index: root_of(stored[level // 8][index << level % 8 : (index + 1) << level % 8]))


def _extend(check: TreeCheck, frontier: Frontier, leaves: bytes) -> None:
    for level, hashes in enumerate(frontier.extend_joined(leaves)[1:]):
        if level == len(check.levels):
            check.levels.append([])
        check.levels[level] += split_digests(hashes)


def _compare(check: TreeCheck, files: LogFiles, level: int, first: int, hashes: bytes) -> None:
    raw = files.read(f"L{level}", first, first + len(hashes) // HASH_SIZE)
    if raw == hashes:
        return
    stored, computed = split_digests(raw), split_digests(hashes)
    if len(stored) < len(computed):
        check.short.setdefault(level, first + len(stored))
    found = check.differing.setdefault(level, [])
    differing = [first + at for at, (ours, theirs) in enumerate(zip(computed, stored, strict=False)) if ours != theirs]
    found += differing[: _MAX_DIFFERENCES - len(found)]


class _Order:
    """Follows each producer's own numbers, and the time of receipt, along a class log."""

    def __init__(self) -> None:
        self._last_seq: dict[int, int] = {}
        self._last_ns = 0

    def follow(self, check: TreeCheck, begin: int, entries: npt.NDArray[np.void]) -> None:
        received = entries["received_ns"].astype(np.uint64)
        earlier = np.concatenate([[np.uint64(self._last_ns)], received[:-1]])
        check.time_breaks += (np.flatnonzero(received < earlier) + begin).tolist()[: _MAX_DIFFERENCES - len(check.time_breaks)]
        self._last_ns = int(received[-1])
        streams = entries["producer"].astype(np.uint64) << np.uint64(32) | entries["epoch"].astype(np.uint64)
        for stream in np.unique(streams):
            places = np.flatnonzero(streams == stream)
            numbers = entries["seq"][places].astype(np.uint64)
            before = self._last_seq.get(int(stream))
            expected = np.concatenate([[numbers[0] if before is None else np.uint64((before + 1) % 2**64)], numbers[:-1] + np.uint64(1)])
            for at in np.flatnonzero(numbers != expected)[: _MAX_DIFFERENCES - len(check.gaps)]:
                who = f"producer {int(stream) >> 32}, epoch {int(stream) & 0xFFFFFFFF}"
                check.gaps.append((begin + int(places[at]), f"{who}: number {numbers[at]}, expected {expected[at]}"))
            self._last_seq[int(stream)] = int(numbers[-1])
