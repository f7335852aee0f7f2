"""The tree against the recursive definition of RFC 6962 §2.1, which is slow and obviously right."""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jurat.core.errors import JuratError, Malformed, Tampered
from jurat.merkle.tile import format_tile_path, node_reader, parse_tile_path
from jurat.merkle.tree import (
    EMPTY_ROOT,
    Frontier,
    consistency_path,
    hash_joined_pairs,
    hash_leaf,
    inclusion_path,
    root_of,
    verify_consistency,
    verify_inclusion,
)

LARGEST = 300
LEAVES = [hash_leaf(number.to_bytes(4)) for number in range(LARGEST)]


@functools.cache
def naive_root(begin: int, end: int) -> bytes:
    """MTH of the RFC, over LEAVES[begin:end]."""
    if end - begin == 0:
        return hashlib.sha256(b"").digest()
    if end - begin == 1:
        return LEAVES[begin]
    split = 1
    while split * 2 < end - begin:
        split *= 2
    return hashlib.sha256(b"\x01" + naive_root(begin, begin + split) + naive_root(begin + split, end)).digest()


def naive_node(level: int, index: int) -> bytes:
    return naive_root(index << level, (index + 1) << level)


def arrays_of(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """L0, L1, … as the ledger keeps them: one hash per full tile below."""
    arrays = [list(leaves)]
    while len(arrays[-1]) >= 256:
        below = arrays[-1]
        tiles = [below[at : at + 256] for at in range(0, len(below) - 255, 256)]
        arrays.append([root_of(tile) for tile in tiles])
    return arrays


def test_roots_of_all_sizes() -> None:
    grown = Frontier()
    assert grown.root() == root_of([]) == EMPTY_ROOT == naive_root(0, 0)
    for size in range(1, LARGEST + 1):
        grown.append(LEAVES[size - 1])
        assert grown.size == size
        assert grown.root() == root_of(LEAVES[:size]) == Frontier.at(size, naive_node).root() == naive_root(0, size)


@given(st.lists(st.integers(0, 80), max_size=8))
def test_extending_in_any_portions_gives_one_tree(portions: list[int]) -> None:
    frontier, size, arrays = Frontier(), 0, [[], []]
    for portion in portions:
        before = frontier.copy()
        for array, hashes in zip(arrays, frontier.extend(LEAVES[size : size + portion]), strict=False):
            array += hashes
        assert before.root() == naive_root(0, size), "a copy is independent"
        size = min(size + portion, LARGEST)
    assert (frontier.size, frontier.root()) == (size, naive_root(0, size))
    assert arrays == [LEAVES[:size], [naive_root(0, 256)] if size >= 256 else []]


def test_every_leaf_of_every_size_has_a_proof() -> None:
    for size in [*range(1, 70), 127, 128, 129, 255, 256, 257, LARGEST]:
        for index in range(size):
            path = inclusion_path(index, size, naive_node)
            verify_inclusion(LEAVES[index], index, size, path, naive_root(0, size))


def test_every_pair_of_sizes_is_consistent() -> None:
    for size2 in [*range(1, 70), 127, 128, 129, 255, 256, 257, LARGEST]:
        for size1 in range(1, size2 + 1):
            path = consistency_path(size1, size2, naive_node)
            verify_consistency(size1, size2, naive_root(0, size1), naive_root(0, size2), path)


@given(st.data())
def test_a_wrong_inclusion_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, LARGEST))
    index = data.draw(st.integers(0, size - 1))
    path, root = inclusion_path(index, size, naive_node), naive_root(0, size)
    wrong = data.draw(st.integers(0, LARGEST - 1).filter(lambda other: other != index))
    with pytest.raises(Tampered):
        verify_inclusion(LEAVES[wrong], index, size, path, root)
    with pytest.raises(JuratError):
        verify_inclusion(LEAVES[index], wrong, size, path, root)
    with pytest.raises(Tampered):
        verify_inclusion(LEAVES[index], index, size, path[:-1], root)
    with pytest.raises(Tampered):
        verify_inclusion(LEAVES[index], index, size, [*path, root], root)
    bit = data.draw(st.integers(0, len(path) * 256 - 1))
    flipped = bytearray(b"".join(path))
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Tampered):
        verify_inclusion(LEAVES[index], index, size, [bytes(flipped[at : at + 32]) for at in range(0, len(flipped), 32)], root)


@given(st.data())
def test_a_wrong_consistency_is_refused(data: st.DataObject) -> None:
    size2 = data.draw(st.integers(2, LARGEST))
    size1 = data.draw(st.integers(1, size2 - 1))
    path, root1, root2 = consistency_path(size1, size2, naive_node), naive_root(0, size1), naive_root(0, size2)
    for bad in (path[:-1], [*path, root2], [root1, *path], [path[0][::-1], *path[1:]]):
        with pytest.raises(JuratError):
            verify_consistency(size1, size2, root1, root2, bad)
    for first, second in ((root2, root1), (root1, root1), (root1[::-1], root2), (root1, root2[::-1])):
        with pytest.raises(Tampered):
            verify_consistency(size1, size2, first, second, path)


def test_equal_trees_need_no_proof_and_take_none() -> None:
    root = naive_root(0, 5)
    verify_consistency(5, 5, root, root, [])
    with pytest.raises(Tampered):
        verify_consistency(5, 5, root, root, [root])
    with pytest.raises(Tampered):
        verify_consistency(5, 5, root, naive_root(0, 6), [])


def test_nothing_is_proved_from_an_empty_tree() -> None:
    with pytest.raises(Malformed):
        verify_consistency(0, 5, EMPTY_ROOT, naive_root(0, 5), [])
    with pytest.raises(Malformed):
        verify_inclusion(b"", 0, 1, [], b"")


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 150_000), st.randoms(use_true_random=False))
def test_proofs_from_level_arrays_of_large_trees(size: int, chance: random.Random) -> None:
    leaves, arrays = large_tree()
    read = node_reader(lambda array, first, count: b"".join(arrays[array][first : first + count]))
    root = Frontier.at(size, read).root()
    assert root == root_of(leaves[:size])
    index, older = chance.randrange(size), chance.randrange(size) + 1
    verify_inclusion(leaves[index], index, size, inclusion_path(index, size, read), root)
    verify_consistency(older, size, root_of(leaves[:older]), root, consistency_path(older, size, read))


@functools.cache
def large_tree() -> tuple[list[bytes], list[list[bytes]]]:
    leaves = [hash_leaf(number.to_bytes(4)) for number in range(150_000)]
    return leaves, arrays_of(leaves)


def test_extending_tells_what_the_level_arrays_get() -> None:
    leaves, arrays = large_tree()
    frontier, grown = Frontier(), [[], [], []]
    for begin in range(0, len(leaves), 40_001):
        for array, hashes in zip(grown, frontier.extend(leaves[begin : begin + 40_001]), strict=False):
            array += hashes
    assert grown == arrays


def test_a_node_that_is_not_there_is_said_so() -> None:
    read = node_reader(lambda array, first, count: b"".join(LEAVES[first : first + count]))
    assert read(3, 4) == naive_node(3, 4)
    with pytest.raises(Malformed, match="ends before"):
        read(7, 3)


def test_pairs_drop_a_lonely_last() -> None:
    assert hash_joined_pairs(b"".join(LEAVES[:5])) == naive_root(0, 2) + naive_root(2, 4)


levels = st.none() | st.integers(0, 63)


@given(levels, st.integers(0, (2**63 - 1) // 256), st.integers(1, 256))
def test_tile_paths_round_trip(level: int | None, number: int, width: int) -> None:
    assert parse_tile_path(format_tile_path(level, number, width)) == (level, number, width)


@given(st.from_regex(r"tile/(entries|[0-9]{1,3})/(x?[0-9]{2,4}/){0,3}x?[0-9]{2,4}(\.p/[0-9]{1,4})?", fullmatch=True) | st.text())
def test_a_tile_has_one_path(text: str) -> None:
    try:
        parsed = parse_tile_path(text)
    except Malformed:
        return
    assert format_tile_path(*parsed) == text


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/x000/001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/64/000",
        "tile/00/000",
        "tile/0/0",
        "tile/0/001\n",
        "tile/0/٠٠١",
        "tile/0/../x",
    ],
)
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(Malformed):
        parse_tile_path(path)


@pytest.mark.parametrize(
    ("args", "path"),
    [
        ((0, 1234067), "tile/0/x001/x234/067"),
        ((1, 0, 1), "tile/1/000.p/1"),
        ((None, 999, 3), "tile/entries/999.p/3"),
        ((2, 1000), "tile/2/x001/000"),
    ],
)
def test_paths_of_the_specification(args: tuple[int | None, int], path: str) -> None:
    assert format_tile_path(*args) == path
