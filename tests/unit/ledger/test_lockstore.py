"""The lock store commits all or nothing, knows one owner, and is never made by accident."""

from __future__ import annotations

import resource
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from jurat.core.errors import Conflict, Malformed, NotFound, Unavailable
from jurat.ledger.lockstore import Locked, LockStore, Swap, create_lock_store, read_lock_store

A, B = (Locked(name, 0, bytes(32), "note", 1) for name in ("host/a", "host/b"))
UUID = bytes(range(16))


def grown(old: Locked, size: int) -> Swap:
    return Swap(old.size, old.root, Locked(old.origin, size, bytes([size]) * 32, f"note {size}", 2))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_lock_store(tmp_path / "lock" / "lock.sqlite", UUID, [A, B])
    return tmp_path / "lock" / "lock.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[LockStore]:
    opened = LockStore(path)
    yield opened
    opened.close()


def test_first_checkpoints_are_there(path: Path, store: LockStore) -> None:
    assert store.logs == read_lock_store(path) == {"host/a": A, "host/b": B}
    assert (store.journal_uuid, store.fence, store.sealed_group) == (UUID, 1, 0)


def test_commit_is_kept_with_its_group(path: Path, store: LockStore) -> None:
    swap = grown(A, 5)
    store.commit([swap], 7)
    assert store.logs["host/a"] == read_lock_store(path)["host/a"] == swap.new
    store.close()
    again = LockStore(path)
    assert (again.logs["host/a"], again.logs["host/b"], again.sealed_group) == (swap.new, B, 7)
    again.close()


@pytest.mark.parametrize(
    "swaps",
    [
        [grown(B, 5), Swap(1, A.root, grown(A, 5).new)],
        [grown(B, 5), Swap(0, bytes([1]) * 32, grown(A, 5).new)],
        [grown(B, 5), Swap(0, A.root, A._replace(origin="host/c", size=5))],
    ],
    ids=["other_size", "other_root", "unknown_log"],
)
def test_swap_that_does_not_fit_commits_nothing(path: Path, store: LockStore, swaps: list[Swap]) -> None:
    with pytest.raises(Conflict) as caught:
        store.commit(swaps, 1)
    assert caught.value.code == "deposed"
    assert read_lock_store(path) == {"host/a": A, "host/b": B}


def test_tree_never_shrinks(store: LockStore) -> None:
    swap = grown(A, 5)
    store.commit([swap], 2)
    with pytest.raises(Conflict):
        store.commit([Swap(5, swap.new.root, A)], 3)
    with pytest.raises(Conflict):
        store.commit([grown(B, 1)], 1)  # nor does the journal


def test_deposed_sequencer_commits_nothing(path: Path, store: LockStore) -> None:
    successor = LockStore(path)
    with pytest.raises(Conflict):
        store.commit([grown(A, 5)], 1)
    successor.commit([grown(A, 6)], 1)
    successor.close()
    assert read_lock_store(path)["host/a"].size == 6


def test_missing_store_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        LockStore(tmp_path / "lock.sqlite")
    with pytest.raises(NotFound):
        read_lock_store(tmp_path / "lock.sqlite")
    assert not list(tmp_path.iterdir())


def test_existing_store_is_never_replaced(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(Conflict):
        create_lock_store(path, bytes(16), [A])
    assert path.read_bytes() == before


def test_damaged_store_is_malformed(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + bytes(4000))
    for read in (LockStore, read_lock_store):
        with pytest.raises(Malformed) as caught:
            read(path)
        assert caught.value.code == "lock_store_corrupt"


def test_reader_sees_the_state_before_a_commit_that_was_cut(path: Path, tmp_path: Path) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = TRUNCATE")
    database.execute("PRAGMA cache_size = 1")
    database.execute("PRAGMA cache_spill = 1")
    database.execute("BEGIN IMMEDIATE")
    database.execute("UPDATE logs SET note = ?", ("x" * 20_000,))  # spills into the file before it is committed
    database.execute("UPDATE logs SET size = 9, note = ?", ("y" * 40_000,))
    cut = tmp_path / "cut"
    shutil.copytree(path.parent, cut)
    database.close()
    assert (cut / "lock.sqlite-journal").stat().st_size
    before = {each.name: each.read_bytes() for each in cut.iterdir()}
    assert read_lock_store(cut / "lock.sqlite") == {"host/a": A, "host/b": B}
    assert {each.name: each.read_bytes() for each in cut.iterdir()} == before


def test_a_full_disk_is_not_taken_for_a_corrupt_store(path: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    store = LockStore(path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, limit[1]))  # what SQLite must write does not fit
    try:
        with pytest.raises(Unavailable, match="could not be used") as opened:
            LockStore(path)
        with pytest.raises(Unavailable, match="could not be used") as committed:
            store.commit([], 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        store.close()
    assert (opened.value.code, committed.value.code) == ("storage_failed", "storage_failed")
    assert "never restore" in opened.value.hint
    assert read_lock_store(path) == {"host/a": A, "host/b": B}, "and it is what it was"
    LockStore(path).close()
