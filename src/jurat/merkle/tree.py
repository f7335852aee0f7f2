"""The Merkle tree of RFC 6962: hashes, roots, proofs, and their verification.

Knows hashes and numbers only. Where the hashes lie is the caller's: proofs are built through a `NodeReader`.
Source: RFC 6962 §2.1 (hashes, splitting), RFC 9162 §2.1.3.2 and §2.1.4.2 (verification, spelled out).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from jurat.core.errors import Malformed, Tampered
from jurat.merkle.many import hash_rows, split_digests

HASH_SIZE: Final = 32
TILE_LEVELS: Final = 8  # a tile holds the roots of 2^8 neighbours, 8 levels below the next tile's hash
MAX_SIZE: Final = 2**63 - 1  # entries; what every tlog implementation can count
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

NodeReader = Callable[[int, int], bytes]
"""(level, index) -> hash of the complete subtree over the leaves [index·2^level, (index+1)·2^level)."""


def hash_leaf(entry: bytes) -> bytes:
    """Return `SHA256(0x00 || entry)`."""
    return hashlib.sha256(b"\x00" + entry).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """Return `SHA256(0x01 || left || right)`."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def hash_leaves(entries: Sequence[bytes]) -> list[bytes]:
    """Return `hash_leaf` of each."""
    if len({*map(len, entries)}) == 1 and entries[0]:
        return split_digests(hash_joined_leaves(b"".join(entries), len(entries[0])))
    return [hash_leaf(entry) for entry in entries]


def hash_joined_leaves(entries: bytes, size: int) -> bytes:
    """Return `hash_leaf` of each entry of `size` bytes; entries and hashes lie end to end."""
    return hash_rows(b"\x00", entries, size)


def hash_joined_pairs(hashes: bytes) -> bytes:
    """Return the level above, end to end: `hash_node` of each two neighbours. A last one without neighbour is dropped."""
    width = 2 * HASH_SIZE
    return hash_rows(b"\x01", hashes[: len(hashes) - len(hashes) % width], width)


def root_of(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return the root of a tree over these leaf hashes; `EMPTY_ROOT` over none."""
    return root_of_joined(b"".join(leaf_hashes))


def root_of_joined(leaf_hashes: bytes) -> bytes:
    """Return the same of leaf hashes that lie end to end."""
    frontier = Frontier()
    frontier.extend_joined(leaf_hashes)
    return frontier.root()


class Frontier:
    """The right edge of a growing tree: all that is needed to append, and to know the root. O(log n) memory.

    Holds the root of each complete subtree that the size's binary digits name: `_peaks[k]` covers 2^k leaves.
    """

    __slots__ = ("_peaks", "size")

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes | None] = []

    @classmethod
    def at(cls, size: int, node: NodeReader) -> Frontier:
        """Return the frontier of an existing tree of `size` leaves, reading O(log n) nodes."""
        frontier = cls()
        frontier.size = size
        frontier._peaks = [node(level, (size >> level) - 1) if size >> level & 1 else None for level in range(size.bit_length())]
        return frontier

    def append(self, leaf_hash: bytes) -> None:
        """Add one leaf."""
        self.extend((leaf_hash,))

    def extend(self, leaf_hashes: Iterable[bytes]) -> list[list[bytes]]:
        """Add leaves, in order; return what a store of level arrays has to append: to L0, to L1 (full tiles of 256), to L2…"""
        return [split_digests(each) for each in self.extend_joined(b"".join(leaf_hashes))]

    def extend_joined(self, leaf_hashes: bytes) -> list[bytes]:
        """Do the same with hashes that lie end to end, and return them so."""
        hashes, level = leaf_hashes, 0
        self.size += len(hashes) // HASH_SIZE
        completed: list[bytes] = []
        while hashes:
            if level % TILE_LEVELS == 0:
                completed.append(hashes)
            if level == len(self._peaks):
                self._peaks.append(None)
            peak, self._peaks[level] = self._peaks[level], None
            if peak is not None:
                hashes = peak + hashes
            if len(hashes) // HASH_SIZE % 2:
                self._peaks[level] = hashes[-HASH_SIZE:]
            hashes, level = hash_joined_pairs(hashes), level + 1
        return completed

    def root(self) -> bytes:
        """Return the root of the tree so far."""
        return _fold(peak for peak in self._peaks if peak is not None)

    def copy(self) -> Frontier:
        """Return an independent frontier of the same tree."""
        other = Frontier()
        other.size, other._peaks = self.size, self._peaks.copy()
        return other


def inclusion_path(index: int, size: int, node: NodeReader) -> list[bytes]:
    """Return the proof that leaf `index` is in the tree of `size` leaves, the leaf's sibling first.

    Raises:
        Malformed: there is no such leaf.
    Source: RFC 9162 §2.1.3.1, PATH(m, D[n]).
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise Malformed(f"no leaf `{index}` in a tree of `{size}`")
    path, begin, end = [], 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(_subtree(middle, end, node))
            end = middle
        else:
            path.append(_subtree(begin, middle, node))
            begin = middle
    return path[::-1]


def consistency_path(size1: int, size2: int, node: NodeReader) -> list[bytes]:
    """Return the proof that the tree of `size2` leaves begins with the tree of `size1`. Empty for equal sizes.

    Raises:
        Malformed: not 1 <= size1 <= size2.
    Source: RFC 9162 §2.1.4.1, PROOF(m, D[n]).
    """
    if not 1 <= size1 <= size2 <= MAX_SIZE:
        raise Malformed(f"no consistency proof from size `{size1}` to size `{size2}`, expected 1 <= first <= second")
    path, begin, end = [], 0, size2
    while end != size1:
        middle = begin + _split(end - begin)
        if size1 <= middle:
            path.append(_subtree(middle, end, node))
            end = middle
        else:
            path.append(_subtree(begin, middle, node))
            begin = middle
    if begin:  # otherwise the last piece is the old root, which the verifier has
        path.append(_subtree(begin, end, node))
    return path[::-1]


def verify_inclusion(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Pass if the leaf is at `index` of the tree of `size` leaves with this root.

    Raises:
        Malformed: a hash that is not 32 bytes, or numbers that no tree has.
        Tampered: the proof does not lead from this leaf to this root.
    Source: RFC 9162 §2.1.3.2.
    """
    _check_hashes(leaf_hash, root, *path)
    if not 0 <= index < size <= MAX_SIZE:
        raise Malformed(f"no leaf `{index}` in a tree of `{size}`")
    fn, sn, computed = index, size - 1, leaf_hash
    for sibling in path:
        if sn == 0:
            raise Tampered(f"inclusion proof of leaf `{index}` in size `{size}` is too long", code="proof_bad")
        if fn & 1 or fn == sn:
            computed = hash_node(sibling, computed)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            computed = hash_node(computed, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise Tampered(f"inclusion proof of leaf `{index}` in size `{size}` is too short", code="proof_bad")
    if computed != root:
        raise Tampered(f"inclusion proof of leaf `{index}` leads to root `{computed.hex()}`, expected `{root.hex()}`", code="proof_bad")


def verify_consistency(size1: int, size2: int, root1: bytes, root2: bytes, path: Sequence[bytes]) -> None:
    """Pass if the tree (size2, root2) begins with the tree (size1, root1).

    An empty first tree is refused: every tree begins with it, so a "proof" of that says nothing. Callers to whom
    it may happen decide it before they call.

    Raises:
        Malformed: a hash that is not 32 bytes, or numbers that no pair of trees has.
        Tampered: the proof does not join the two roots.
    Source: RFC 9162 §2.1.4.2.
    """
    _check_hashes(root1, root2, *path)
    if not 1 <= size1 <= size2 <= MAX_SIZE:
        raise Malformed(f"no consistency from size `{size1}` to size `{size2}`, expected 1 <= first <= second")
    if size1 == size2:
        if path:
            raise Tampered(f"consistency proof between equal sizes `{size1}` is not empty", code="proof_bad")
        if root1 != root2:
            raise Tampered(f"two different roots of size `{size1}`", code="proof_bad")
        return
    if not path:
        raise Tampered(f"consistency proof from size `{size1}` to `{size2}` is empty", code="proof_bad")
    nodes = list(path) if size1 & (size1 - 1) else [root1, *path]
    fn, sn = size1 - 1, size2 - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    old = new = nodes[0]
    for sibling in nodes[1:]:
        if sn == 0:
            raise Tampered(f"consistency proof from size `{size1}` to `{size2}` is too long", code="proof_bad")
        if fn & 1 or fn == sn:
            old, new = hash_node(sibling, old), hash_node(sibling, new)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            new = hash_node(new, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise Tampered(f"consistency proof from size `{size1}` to `{size2}` is too short", code="proof_bad")
    if old != root1 or new != root2:
        which = "first" if old != root1 else "second"
        raise Tampered(f"consistency proof from size `{size1}` to `{size2}` does not lead to the {which} root", code="proof_bad")


def _check_hashes(*hashes: bytes) -> None:
    # Before any comparison: two empty strings are equal, and a naive verifier accepts them.
    for found in hashes:
        if len(found) != HASH_SIZE:
            raise Malformed(f"a hash of `{len(found)}` bytes, expected {HASH_SIZE}")


def _split(count: int) -> int:
    """Return the largest power of two less than `count`, which is at least 2."""
    return 1 << (count - 1).bit_length() - 1


def _subtree(begin: int, end: int, node: NodeReader) -> bytes:
    """Return the root over the leaves [begin, end), as the tree has it: `begin` divides by the power of two that covers it."""
    levels = [level for level in range((end - begin).bit_length()) if (end - begin) >> level & 1]
    return _fold(node(level, (end >> level) - 1) for level in levels)


def _fold(right_to_left: Iterable[bytes]) -> bytes:
    computed: bytes | None = None
    for left in right_to_left:
        computed = left if computed is None else hash_node(left, computed)
    return EMPTY_ROOT if computed is None else computed
