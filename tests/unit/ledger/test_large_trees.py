"""Trees of more than 2^32 leaves: arrays, proofs, tiles and the verifier cross that border. What lies before it is a hole in a sparse file.

The hashes before are zeros, so the frontier is synthetic; the root is folded here by hand, with nothing of ours but the two hashes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ledger_workspace import INFERENCE

from jurat.core.errors import JuratError
from jurat.ledger.arrays import LogArrays, level_counts, level_file
from jurat.ledger.verify_log import LogFiles, Waypoint, check_tree
from jurat.merkle.entry import ENTRY_SIZE, Entry, pack_entry
from jurat.merkle.tile import format_tile_path, parse_tile_path
from jurat.merkle.tree import consistency_path, hash_leaf, inclusion_path, verify_consistency, verify_inclusion

BORDER = 2**32
COUNT = 1_000


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def zeros(level: int) -> bytes:
    """Return the root of a subtree of 2^level leaves, as the arrays have it: zeros in the nearest array below."""
    root = bytes(32)
    for _ in range(level % 8):
        root = node(root, root)
    return root


def naive_root(base: int, leaves: list[bytes]) -> bytes:
    """Fold as one does by hand: a stack of (span, root), equal spans merged."""
    stack = [(1 << level, zeros(level)) for level in reversed(range(base.bit_length())) if base >> level & 1]
    for leaf in leaves:
        stack.append((1, leaf))
        while len(stack) > 1 and stack[-1][0] == stack[-2][0]:
            (span, right), (_, left) = stack.pop(), stack.pop()
            stack.append((2 * span, node(left, right)))
    root = stack.pop()[1]
    while stack:
        root = node(stack.pop()[1], root)
    return root


def entries_from(base: int) -> list[bytes]:
    return [
        pack_entry(Entry(kind_code=51, producer=3, epoch=7, seq=base + number + 1, received_ns=10**18, commitment=number.to_bytes(32)))
        for number in range(COUNT)
    ]


BASES = [BORDER - 300, BORDER - 1, BORDER, 2**37 + 7]  # the last: eight terabytes of entries


@pytest.fixture
def large(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[int, LogArrays, list[bytes]]]:
    base: int = request.param
    for name, size in [("entries", base * (ENTRY_SIZE + 2)), *((level_file(k), n * 32) for k, n in enumerate(level_counts(base)))]:
        (tmp_path / name).touch()
        try:
            os.truncate(tmp_path / name, size)
        except OSError:
            pytest.skip("this file system has no files of that size")
    arrays = LogArrays(tmp_path, ENTRY_SIZE, base)
    entries = entries_from(base)
    arrays.append_entries(entries[:301])
    arrays.append_entries(entries[301:])
    arrays.sync()
    yield base, arrays, entries
    arrays.close()


@pytest.mark.parametrize("large", BASES, indirect=True)
def test_roots_and_proofs_hold_across_the_border(large: tuple[int, LogArrays, list[bytes]]) -> None:
    base, arrays, entries = large
    size, leaves = base + COUNT, [hashlib.sha256(b"\x00" + entry).digest() for entry in entries]
    root = naive_root(base, leaves)
    assert arrays.current_root() == arrays.root(size) == arrays.check_read_back(base, b"".join(entries)) == root
    for index in {base, base + 299, base + 300, base + 301, size - 1}:
        assert arrays.entries(index, index + 1) == [entries[index - base]]
        path = inclusion_path(index, size, arrays.node)
        verify_inclusion(hash_leaf(entries[index - base]), index, size, path, root)
        with pytest.raises(JuratError):
            verify_inclusion(hash_leaf(entries[index - base]), index ^ 1, size, path, root)
    for old in (base, base + 300, base + 513):
        before = naive_root(base, leaves[: old - base])
        assert arrays.root(old) == before
        verify_consistency(old, size, before, root, consistency_path(old, size, arrays.node))
    path = format_tile_path(None, size // 256, size % 256)
    assert parse_tile_path(path) == (None, size // 256, size % 256)


@pytest.mark.parametrize("large", BASES[:-1], indirect=True)  # it holds a hash for every 256 entries
def test_a_verifier_goes_on_from_a_minimum_index_before_the_border(tmp_path: Path, large: tuple[int, LogArrays, list[bytes]]) -> None:
    base, _, entries = large
    files = LogFiles(tmp_path, INFERENCE.entry_size)
    files.minimum = base + 256  # whatever lies in the tile of the first entries is there, too
    root = naive_root(base, [hash_leaf(entry) for entry in entries])
    check = check_tree(
        files, base + COUNT, [Waypoint(base + 600, naive_root(base, [hash_leaf(e) for e in entries[:600]]), "forked", "x")], lambda _: None
    )
    assert (check.root, check.held, check.missed, check.differing, check.gaps) == (root, base + 600, [], {}, [])
