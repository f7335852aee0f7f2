"""Flat append-only arrays of one log: entries, and the levels of its tree. Derived from the journal, not trusted.

    entries     per entry: u16 size, entry        (bundle N of tlog-tiles begins at 256·N entries)
    L0 L1 …     32-byte hashes; hash i of Lk is the root over the leaves [i·256^k, (i+1)·256^k), there once that is full

Tile N of level k is bytes [8192·N, +32·width) of Lk, so a partial tile is a prefix and costs no file.
`ArrayReader` reads whatever is there; `LogArrays` is the one writer, truncates to a length that is vouched for, and
holds the right edge in memory, so that what it reads back can be compared with what it meant to write.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from jurat.core.errors import Tampered
from jurat.core.files import sync_directory
from jurat.ledger.crash_points import reach
from jurat.ledger.pruned import hash_floor, read_pruned, refuse_pruned
from jurat.merkle.many import split_digests
from jurat.merkle.tree import EMPTY_ROOT, HASH_SIZE, TILE_LEVELS, hash_joined_leaves, hash_joined_pairs, hash_node, root_of_joined

TILE_WIDTH: Final = 256
ENTRIES: Final = "entries"
_TILE_SIZE: Final = TILE_WIDTH * HASH_SIZE  # bytes
ENTRY_FIELDS: Final = np.dtype(  # of `merkle.entry`, for many entries at once; a test holds the bytes equal
    [
        ("version", "u1"),
        ("kind_code", ">u2"),
        ("producer", ">u4"),
        ("epoch", ">u4"),
        ("seq", ">u8"),
        ("received_ns", ">u8"),
        ("commitment", "V32"),
    ]
)


def level_file(level: int) -> str:
    return f"L{level}"


def level_counts(size: int) -> list[int]:
    """Return how many hashes each level holds in a tree of `size` leaves; the last one is not zero, L0 always there."""
    counts = [size]
    while counts[-1] >= TILE_WIDTH:
        counts.append(counts[-1] // TILE_WIDTH)
    return counts


class ArrayReader:
    """Reads a log's arrays, wherever they come from. Everything that is not there is `Tampered`, never an empty answer.

    What is pruned is `NotFound` (code `pruned`), before and after its space is free.
    """

    def __init__(self, directory: Path, entry_size: int) -> None:
        self.directory = directory
        self.pruned = read_pruned(directory)  # of the writer: as the sealer read it last
        self.entry_size = entry_size
        self._stride = entry_size + 2
        self._prefix = entry_size.to_bytes(2)
        self._descriptors: dict[str, int] = {}

    def whole_size(self) -> int:
        """Return the largest tree size that every file is long enough for."""
        size = min(self._count(ENTRIES, self._stride), self._count(level_file(0), HASH_SIZE))
        for level in range(1, len(level_counts(size))):
            size = min(size, (self._count(level_file(level), HASH_SIZE) + 1) * TILE_WIDTH**level - 1)
        return size

    def entries(self, first: int, end: int) -> list[bytes]:
        """Return the entries [first, end).

        Raises:
            Tampered: they are not all there, or one's size prefix is wrong.
        """
        raw, stride = self.raw_entries(first, end), self._stride
        if raw[0::stride].count(self._prefix[0]) != end - first or raw[1::stride].count(self._prefix[1]) != end - first:
            raise self._fault(ENTRIES, f"a size prefix in `{first}` to `{end}` is not `{self._prefix.hex()}`")
        return [raw[at + 2 : at + stride] for at in range(0, len(raw), stride)]

    def raw_entries(self, first: int, end: int) -> bytes:
        """Return the bytes of entries [first, end) as they lie there, size prefixes included: a tlog-tiles bundle."""
        return self._read(ENTRIES, first, end, self._stride)

    def raw_hashes(self, level: int, first: int, end: int) -> bytes:
        """Return the bytes of the hashes [first, end) of `level`: a tlog-tiles tile."""
        return self._read(level_file(level), first, end, HASH_SIZE)

    def hashes(self, level: int, first: int, end: int) -> list[bytes]:
        """Return the hashes [first, end) of a level of tiles.

        Raises:
            Tampered: they are not all there.
        """
        return split_digests(self.raw_hashes(level, first, end))

    def node(self, level: int, index: int) -> bytes:
        """Return the root over the leaves [index·2^level, (index+1)·2^level): a `merkle.tree.NodeReader`."""
        tile_level, rest = divmod(level, 8)
        return root_of_joined(self.raw_hashes(tile_level, index << rest, (index + 1) << rest))

    def root(self, size: int) -> bytes:
        """Return the root of the first `size` leaves, from O(log n) reads of what is on disk."""
        return _root_of_joined_edge(self._edge_at(size))

    def _edge_at(self, size: int) -> list[bytes]:
        return [self.raw_hashes(level, count - count % TILE_WIDTH, count) for level, count in enumerate(level_counts(size))]

    def close(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def _read(self, name: str, first: int, end: int, stride: int) -> bytes:
        assert 0 <= first <= end
        if first == end:
            return b""
        if self.pruned.minimum and first < (self.pruned.floor if name == ENTRIES else hash_floor(self.pruned.minimum, int(name[1:]))):
            raise refuse_pruned(f"`{name}` at `{first}`", self.directory.name, self.pruned.minimum)
        raw = os.pread(self._open(name), (end - first) * stride, first * stride)
        if len(raw) != (end - first) * stride:
            raise self._fault(name, f"it ends within `{first}` to `{end}`")
        return raw

    def _count(self, name: str, stride: int) -> int:
        try:
            return os.fstat(self._open(name)).st_size // stride
        except Tampered:
            return 0

    def _open(self, name: str) -> int:
        if name not in self._descriptors:
            try:
                self._descriptors[name] = os.open(self.directory / name, self._flags(), 0o644)
            except OSError as error:
                raise self._fault(name, (error.strerror or str(error)).lower()) from error
        return self._descriptors[name]

    def _flags(self) -> int:
        return os.O_RDONLY | os.O_CLOEXEC

    def _fault(self, name: str, what: str) -> Tampered:
        return Tampered(
            f"`{self.directory / name}` is damaged: {what}",
            hint="run `jurat verify`; the file can be built again from the journal or from a mirror",
            code="array_damaged",
            file=name,
        )


class LogArrays(ArrayReader):
    """The one writer of a log's arrays, from `size` on; whatever lay beyond is cut off when it is made.

    Appends are not durable before `sync`. If any of these fails, `OSError` leaves and the process must end: the
    journal has everything.
    """

    def __init__(self, directory: Path, entry_size: int, size: int) -> None:
        super().__init__(directory, entry_size)
        self.size = size
        self._truncate(size)
        self._edge = self._edge_at(size)

    def append(self, entries: bytes, leaf_hashes: bytes) -> None:
        """Add entries and their leaf hashes, each end to end, and every node that they complete."""
        self._write(ENTRIES, self._with_prefixes(entries), self.size * self._stride)
        reach("mid_arrays")
        self.size += len(entries) // self.entry_size
        level, new = 0, leaf_hashes
        while new:
            if level == len(self._edge):
                self._edge.append(b"")
            self._write(level_file(level), new, self.size // TILE_WIDTH**level * HASH_SIZE - len(new))
            edge = self._edge[level] + new
            full = len(edge) - len(edge) % _TILE_SIZE
            self._edge[level] = edge[full:]
            level, new = level + 1, _roots_of_tiles(edge[:full])

    def append_entries(self, entries: Sequence[bytes]) -> None:
        """Add entries whose leaves are not hashed yet."""
        raw = b"".join(entries)
        self.append(raw, hash_joined_leaves(raw, self.entry_size))

    def current_root(self) -> bytes:
        """Return the root of all that was appended, from memory."""
        return _root_of_joined_edge(self._edge)

    def sync(self) -> None:
        """Make all that was appended durable."""
        for descriptor in list(self._descriptors.values()):
            os.fdatasync(descriptor)

    def check_read_back(self, first: int, entries: bytes) -> bytes:
        """Return the root behind the given entries, computed anew from the bytes on disk and from them.

        `entries` come from the journal, read back, and lie end to end; first is a size whose root was checked before.
        Everything that the arrays hold since then is computed again and compared: leaf hashes, and the nodes of each level.

        Raises:
            Tampered: the arrays hold something else.
        """
        end = first + len(entries) // self.entry_size
        if self.raw_entries(first, end) != self._with_prefixes(entries):
            raise self._fault(ENTRIES, f"entries `{first}` to `{end}` are not those of the journal")
        old, new = level_counts(first), level_counts(end)
        expected = hash_joined_leaves(entries, self.entry_size)
        for level, count in enumerate(new):
            before = old[level] if level < len(old) else 0
            if self.raw_hashes(level, before, count) != expected:
                raise self._fault(level_file(level), f"hashes `{before}` to `{count}` are not those of the entries")
            begin, full = before - before % TILE_WIDTH, count - count % TILE_WIDTH
            expected = _roots_of_tiles(self.raw_hashes(level, begin, full)) if full > begin else b""
        return self.root(end)

    def _with_prefixes(self, entries: bytes) -> bytes:
        rows = np.empty((len(entries) // self.entry_size, self._stride), np.uint8)
        rows[:, :2] = tuple(self._prefix)
        rows[:, 2:] = np.frombuffer(entries, np.uint8).reshape(-1, self.entry_size)
        return rows.tobytes()

    def _truncate(self, size: int) -> None:
        counts = level_counts(size)
        os.ftruncate(self._open(ENTRIES), size * self._stride)
        for level in range(max(len(counts), len(list(self.directory.glob("L*"))))):
            os.ftruncate(self._open(level_file(level)), (counts[level] if level < len(counts) else 0) * HASH_SIZE)
        sync_directory(self.directory)

    def _write(self, name: str, raw: bytes, offset: int) -> None:
        is_new = name not in self._descriptors
        descriptor = self._open(name)
        written = 0
        while written < len(raw):
            written += os.pwrite(descriptor, raw[written:] if written else raw, offset + written)
        if is_new:
            sync_directory(self.directory)

    def _flags(self) -> int:
        return os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


def root_of_edge(edge: Sequence[Sequence[bytes]]) -> bytes:
    """Return the root of a tree whose unfinished tiles, L0 first, hold these hashes."""
    return _root_of_joined_edge([b"".join(hashes) for hashes in edge])


def _roots_of_tiles(hashes: bytes) -> bytes:
    """Return the root of each full tile; all of them are hashed together, level by level."""
    assert len(hashes) % _TILE_SIZE == 0
    for _ in range(TILE_LEVELS):
        hashes = hash_joined_pairs(hashes)
    return hashes


def _root_of_joined_edge(edge: Sequence[bytes]) -> bytes:
    root: bytes | None = None
    for hashes in edge:
        end, span = len(hashes) // HASH_SIZE, 1
        while end:
            if end & span:
                subtree = root_of_joined(hashes[(end - span) * HASH_SIZE : end * HASH_SIZE])
                root = subtree if root is None else hash_node(subtree, root)
                end -= span
            span <<= 1
    return EMPTY_ROOT if root is None else root
