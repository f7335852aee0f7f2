"""Flat arrays hold what tlog-tiles says, at every size, and the writer finds what was changed under it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from jurat.core.errors import Tampered
from jurat.ledger.arrays import ArrayReader, LogArrays, level_counts
from jurat.merkle.tree import (
    EMPTY_ROOT,
    Frontier,
    consistency_path,
    hash_leaves,
    inclusion_path,
    root_of,
    verify_consistency,
    verify_inclusion,
)

SIZES = [0, 1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537]


def make_entries(first: int, end: int) -> list[bytes]:
    return [b"\x01" + n.to_bytes(58) for n in range(first, end)]


@pytest.fixture(scope="module")
def leaves() -> list[bytes]:
    return hash_leaves(make_entries(0, 66_000))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("arrays")
    arrays = LogArrays(directory, 59, 0)
    for first in range(0, 66_000, 1_500):
        arrays.append_entries(make_entries(first, first + 1_500))
    arrays.close()
    return directory


def test_files_have_the_layout_of_tiles(full: Path, leaves: list[bytes]) -> None:
    raw = (full / "entries").read_bytes()
    assert len(raw) == 61 * 66_000
    assert raw[61 * 300 : 61 * 301] == b"\x00\x3b" + make_entries(300, 301)[0]
    level0 = (full / "L0").read_bytes()
    assert level0 == b"".join(leaves)
    level1 = [root_of(leaves[at : at + 256]) for at in range(0, 256 * 257, 256)]
    assert (full / "L1").read_bytes() == b"".join(level1)
    assert (full / "L2").read_bytes() == root_of(level1[:256])
    assert not (full / "L3").exists()


@pytest.mark.parametrize("size", SIZES)
def test_root_at_every_edge_is_that_of_the_tree(full: Path, leaves: list[bytes], size: int) -> None:
    reader = ArrayReader(full, 59)
    assert reader.root(size) == root_of(leaves[:size])
    reader.close()


def test_nodes_serve_proofs(full: Path, leaves: list[bytes]) -> None:
    reader = ArrayReader(full, 59)
    root, older = reader.root(65_999), reader.root(40_000)
    for index in (0, 1, 255, 256, 39_999, 65_535, 65_536, 65_998):
        verify_inclusion(leaves[index], index, 65_999, inclusion_path(index, 65_999, reader.node), root)
    verify_consistency(40_000, 65_999, older, root, consistency_path(40_000, 65_999, reader.node))
    assert Frontier.at(65_999, reader.node).root() == root
    reader.close()


def test_appends_of_any_size_give_the_same_files(tmp_path: Path) -> None:
    contents = []
    for step in (1, 7, 256, 300, 1000):
        directory = tmp_path / str(step)
        directory.mkdir()
        arrays = LogArrays(directory, 59, 0)
        for first in range(0, 1000, step):
            arrays.append_entries(make_entries(first, min(first + step, 1000)))
        contents.append((arrays.current_root(), {path.name: path.read_bytes() for path in sorted(directory.iterdir())}))
        arrays.close()
    assert all(content == contents[0] for content in contents)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 700, 1000])
def test_opening_at_a_size_cuts_the_rest_off(tmp_path: Path, size: int) -> None:
    arrays = LogArrays(tmp_path, 59, 0)
    arrays.append_entries(make_entries(0, 1000))
    arrays.close()
    arrays = LogArrays(tmp_path, 59, size)
    assert arrays.whole_size() == arrays.size == size
    arrays.append_entries(make_entries(size, 1000))
    assert arrays.current_root() == arrays.root(1000) == root_of(hash_leaves(make_entries(0, 1000)))
    arrays.close()


def test_whole_size_is_bounded_by_the_shortest_file(tmp_path: Path) -> None:
    arrays = LogArrays(tmp_path, 59, 0)
    arrays.append_entries(make_entries(0, 1000))
    arrays.close()
    reader = ArrayReader(tmp_path, 59)
    assert reader.whole_size() == 1000
    os.truncate(tmp_path / "L1", 33)
    assert reader.whole_size() == 511  # one hash of level 1: full tiles beyond the second have no parent
    os.truncate(tmp_path / "entries", 61 * 300 + 5)
    assert reader.whole_size() == 300
    reader.close()
    (tmp_path / "L0").unlink()
    reader = ArrayReader(tmp_path, 59)
    assert reader.whole_size() == 0
    reader.close()


def test_level_counts() -> None:
    assert level_counts(0) == [0]
    assert level_counts(255) == [255]
    assert level_counts(256) == [256, 1]
    assert level_counts(70_000) == [70_000, 273, 1]


def test_reading_back_gives_the_root_of_good_files(tmp_path: Path) -> None:
    arrays = LogArrays(tmp_path, 59, 0)
    assert arrays.check_read_back(0, b"") == EMPTY_ROOT
    arrays.append_entries(make_entries(0, 70_000))
    for first in (0, 1, 255, 256, 300, 65_536, 69_999, 70_000):
        assert arrays.check_read_back(first, b"".join(make_entries(first, 70_000))) == arrays.current_root()
    arrays.close()


@pytest.mark.parametrize(
    ("name", "offset"),
    [
        ("entries", 61 * 300),
        ("entries", 61 * 999 + 60),
        ("L0", 32 * 300),
        ("L0", 32 * 999 + 31),
        ("L0", 32 * 256),
        ("L1", 32 * 2),
        ("L1", 32),
    ],
)
def test_reading_back_finds_any_altered_byte(tmp_path: Path, name: str, offset: int) -> None:
    arrays = LogArrays(tmp_path, 59, 0)
    arrays.append_entries(make_entries(0, 280))
    expected = arrays.current_root()
    assert arrays.check_read_back(0, b"".join(make_entries(0, 280))) == expected
    arrays.append_entries(make_entries(280, 1000))
    with (tmp_path / name).open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
    root = b""
    with contextlib.suppress(Tampered):  # what was appended since is named; older damage shows in the root
        root = arrays.check_read_back(280, b"".join(make_entries(280, 1000)))
    assert root != arrays.current_root()
    arrays.close()


def test_missing_part_is_never_an_empty_answer(tmp_path: Path) -> None:
    reader = ArrayReader(tmp_path, 59)
    with pytest.raises(Tampered, match="entries"):
        reader.entries(0, 1)
    arrays = LogArrays(tmp_path, 59, 0)
    arrays.append_entries(make_entries(0, 10))
    arrays.close()
    with pytest.raises(Tampered, match="ends within"):
        reader.entries(5, 11)
    with pytest.raises(Tampered, match="ends within"):
        reader.hashes(0, 5, 11)
    reader.close()
