"""Where a log's arrays depart from the tree that was signed, when its root does not come out.

From the signed root downwards: for each tile, a set of child hashes is looked for that hashes to the parent already
believed. The candidates for a child are the stored hash, the one computed from the entries, and the one computed with
the entries that the archive or the journal still hold. What is found is authentic, wherever it lay; then it is
easy to say which entries and which stored hashes are not. Subtrees whose entries come out right are not opened.

Where every copy was rewritten to match, no candidate fits: the place is then only known to lie between two anchored
checkpoints, and the producers' own numbers may tell more.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from jurat.ledger.arrays import root_of_edge
from jurat.ledger.pruned import entry_floor, hash_floor
from jurat.ledger.verify_log import LogFiles, TreeCheck
from jurat.merkle.tile import TILE_WIDTH
from jurat.merkle.tree import hash_leaf, hash_leaves, root_of

_MAX_TRIES: Final = 4096  # combinations per tile; each costs 255 hashes
_MAX_TILES: Final = 10_000  # kept in memory, 16 kB each

Overlay = Mapping[int, Sequence[bytes]]
"""index -> entries that the archive or the journal hold at it, where they are not what the array holds."""


@dataclass
class Located:
    """What is authentic, and where nothing could be found to be."""

    altered: dict[int, bytes] = field(default_factory=dict)  # index -> authentic leaf hash, where the entry is another one
    missing: dict[int, bytes] = field(default_factory=dict)  # index -> authentic leaf hash, where there is no entry
    wrong_hashes: dict[int, list[int]] = field(default_factory=dict)  # level -> indexes whose stored hash is not authentic
    unknown: list[tuple[int, int]] = field(default_factory=list)  # spans [first, end) in which something is wrong


def locate(files: LogFiles, check: TreeCheck, root: bytes, overlay: Overlay) -> Located:
    """Return where the first `check.size` leaves depart from the tree with this root."""
    return _Search(files, check, overlay).run(root)


class _Search:
    def __init__(self, files: LogFiles, check: TreeCheck, overlay: Overlay) -> None:
        self.files, self.check, self.overlay = files, check, overlay
        self.found = Located()
        self.counts = _level_counts(check.size)
        self.tiles: dict[tuple[int, int], list[bytes]] = {}  # read from the files; level -1: leaves computed from entries
        self.authentic: dict[tuple[int, int], bytes] = {}
        self.touched: list[set[int]] = [set(overlay)]  # per level: nodes above an overlaid entry
        for _ in self.counts[1:]:
            self.touched.append({index // TILE_WIDTH for index in self.touched[-1]})

    def run(self, root: bytes) -> Located:
        edge = [
            (level, index) for level, count in enumerate(self.counts) for index in range(count - count % TILE_WIDTH, count)
        ]  # fmt: skip
        unfinished = [count % TILE_WIDTH for count in self.counts]

        def root_with(hashes: Sequence[bytes]) -> bytes:
            at, tiles = 0, []
            for width in unfinished:
                tiles.append(hashes[at : at + width])
                at += width
            return root_of_edge(tiles)

        if not self._settle(edge, root_with, root):
            self.found.unknown.append((0, self.check.size))
            return self.found
        waiting = [node for node in edge if node[0]]
        while waiting:
            level, index = waiting.pop()
            if self._computed(level, index) == self.authentic[level, index]:
                continue
            children = [(level - 1, index * TILE_WIDTH + child) for child in range(TILE_WIDTH)]
            if not self._settle(children, root_of, self.authentic[level, index]):
                span = TILE_WIDTH**level
                self.found.unknown.append((index * span, (index + 1) * span))
            elif level > 1:
                waiting += children
        self._name()
        return self.found

    def _settle(self, nodes: list[tuple[int, int]], root: Callable[[Sequence[bytes]], bytes], expected: bytes) -> bool:
        """Find authentic hashes for these nodes: those of which `root` makes the expected one."""
        candidates = [self._candidates(level, index) for level, index in nodes]
        for chosen in _combinations(candidates):
            if root(chosen) == expected:
                self.authentic.update(zip(nodes, chosen, strict=True))
                return True
        return False

    def _candidates(self, level: int, index: int) -> list[bytes | None]:
        """Return what each source says that the node is: always the same sources, in the same order."""
        some: list[bytes | None] = [self._computed(level, index), self._stored(level, index)]
        some += [self._overlaid(level, index, 0), self._overlaid(level, index, 1)]
        if level:
            below = self._stored_tile(level - 1, index)
            some.append(root_of(below) if len(below) == TILE_WIDTH else None)
        return some

    def _computed(self, level: int, index: int) -> bytes | None:
        if level:
            hashes = self.check.levels[level - 1] if level <= len(self.check.levels) else []
            return hashes[index] if index < len(hashes) else None
        tile, place = divmod(index, TILE_WIDTH)
        leaves = self._leaf_tile(tile)
        return leaves[place] if index < self.check.present and place < len(leaves) else None

    def _stored(self, level: int, index: int) -> bytes | None:
        tile, place = divmod(index, TILE_WIDTH)
        hashes = self._stored_tile(level, tile)
        return hashes[place] if place < len(hashes) else None

    def _overlaid(self, level: int, index: int, choice: int) -> bytes | None:
        """Return what the node is with the entries that the archive (first choice) or the journal (last) hold."""
        if index not in self.touched[level]:
            return None
        if level == 0:
            return hash_leaf(self.overlay[index][-choice])
        children = []
        for child in range(index * TILE_WIDTH, (index + 1) * TILE_WIDTH):
            best = self._overlaid(level - 1, child, choice) or self._computed(level - 1, child) or self._stored(level - 1, child)
            if best is None:
                return None
            children.append(best)
        return root_of(children)

    def _stored_tile(self, level: int, tile: int) -> list[bytes]:
        return self._tile(level, tile, lambda first, end: self.files.hashes(level, first, end))

    def _leaf_tile(self, tile: int) -> list[bytes]:
        return self._tile(-1, tile, lambda first, end: hash_leaves(self.files.entries(first, end)))

    def _tile(self, level: int, tile: int, read: Callable[[int, int], list[bytes]]) -> list[bytes]:
        floor = entry_floor(self.files.minimum) if level < 0 else hash_floor(self.files.minimum, level)
        if tile * TILE_WIDTH < floor:
            return []  # pruned
        if (level, tile) not in self.tiles:
            if len(self.tiles) > _MAX_TILES:
                self.tiles.clear()
            self.tiles[level, tile] = read(tile * TILE_WIDTH, (tile + 1) * TILE_WIDTH)
        return self.tiles[level, tile]

    def _name(self) -> None:
        """Say what is not authentic among the nodes that were settled, and among those that were not opened."""
        wrong = {(level, index) for level, indexes in self.check.differing.items() for index in indexes}
        wrong = {node for node in wrong if node not in self.authentic and not self._is_unknown(*node)}
        for (level, index), authentic in self.authentic.items():
            if self._stored(level, index) != authentic:
                wrong.add((level, index))
            if level == 0 and self._computed(0, index) != authentic:
                (self.found.altered if index < self.check.present else self.found.missing)[index] = authentic
        for level, index in sorted(wrong):
            self.found.wrong_hashes.setdefault(level, []).append(index)

    def _is_unknown(self, level: int, index: int) -> bool:
        first = index * TILE_WIDTH**level
        return any(begin <= first < end for begin, end in self.found.unknown)


def _combinations(candidates: Sequence[Sequence[bytes | None]]) -> Iterator[list[bytes]]:
    """Yield choices, the likeliest first: each source alone as far as it has an answer, then every mixture while those are few."""
    distinct = [[each for each in dict.fromkeys(some) if each is not None] for some in candidates]
    if not all(distinct):
        return
    for source in range(max(map(len, candidates), default=0)):
        yield [
            (some[source] if source < len(some) else None) or known[0] for some, known in zip(candidates, distinct, strict=True)
        ]  # fmt: skip
    if math.prod(map(len, distinct)) <= _MAX_TRIES:
        yield from map(list, itertools.product(*distinct))


def _level_counts(size: int) -> list[int]:
    counts = [size]
    while counts[-1] >= TILE_WIDTH:
        counts.append(counts[-1] // TILE_WIDTH)
    return counts
