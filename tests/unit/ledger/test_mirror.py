"""A mirror in an object store: complete, never overwritten, resumed, doubted; by a folder here, by a real S3 server in `contract`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.scenes.sealed_ledger import START_NS, Scene, build, write

from jurat.core.clock import FixedClock
from jurat.core.errors import Conflict, Malformed, NotFound, Tampered, Unavailable
from jurat.ledger.archive import Follower
from jurat.ledger.mirror import push_mirror
from jurat.ledger.objects import ObjectStore, parse_store_url
from jurat.ledger.verify_mirror import verify_mirror


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build(tmp_path_factory.mktemp("mirror") / "ws")


@pytest.fixture
def mine(scene: Scene, tmp_path: Path) -> Scene:
    return scene.copy_to(tmp_path / "ws")


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_mirror_is_whole_grows_and_is_never_put_twice(mine: Scene, tmp_path: Path) -> None:
    store = ObjectStore((tmp_path / "mirror").as_uri())
    first = push_mirror(mine.root, "main", mine.keys, store)
    assert (first.logs["main/inference"], first.parts > 0, first.removed) == (700, True, 0)
    before = files_of(tmp_path / "mirror")
    assert {"anchor/checkpoint", "main/inference/checkpoint", "main/inference/tile/entries/000"} <= set(before)
    report = verify_mirror(store, mine.keys)
    assert report.faults == []
    assert {each.log: each.checked_payloads for each in report.logs}["main/inference"] == 600

    again = push_mirror(mine.root, "main", mine.keys, store)
    assert (again.tiles, again.parts, again.bytes, again.removed) == (0, 0, 0, 0)
    assert files_of(tmp_path / "mirror") == before

    kept = store.read("main/inference/checkpoint")
    assert kept is not None
    write(mine, FixedClock(START_NS + 10**12), (300,), archived_rounds=1, epoch=2)
    with Follower(mine.root, "main", clock=FixedClock(START_NS + 10**13), grace_s=0) as follower:
        follower.step(flush=True)
        follower.compact(everything=True)
        follower.compact()
    grown = push_mirror(mine.root, "main", mine.keys, store)
    assert (grown.logs["main/inference"], grown.removed > 0) == (1_000, True)
    assert verify_mirror(store, mine.keys, since=[kept]).faults == []
    names = {name for name in files_of(tmp_path / "mirror") if name.startswith("events/class")}
    assert names == {f"events/{part.path}" for part in follower.manifest.parts}, "what is not listed is gone: an erasure reaches the mirror"


def test_a_push_that_was_broken_off_goes_on(mine: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, left = ObjectStore((tmp_path / "mirror").as_uri()), [9]
    create = ObjectStore.create

    def tired(self: ObjectStore, path: str, raw: bytes) -> bool:
        left[0] -= 1
        if left[0] < 0:
            raise Unavailable("away")
        return create(self, path, raw)

    monkeypatch.setattr(ObjectStore, "create", tired)
    with pytest.raises(Unavailable):
        push_mirror(mine.root, "main", mine.keys, store)
    monkeypatch.undo()
    with pytest.raises(NotFound, match="there is nothing at"):
        verify_mirror(store, mine.keys)
    push_mirror(mine.root, "main", mine.keys, store)
    assert verify_mirror(store, mine.keys).faults == []


def test_what_somebody_changed_there_is_found_and_never_overwritten(mine: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "mirror"
    store = ObjectStore(folder.as_uri())
    push_mirror(mine.root, "main", mine.keys, store)
    part = next(path for path in files_of(folder) if path.endswith(".parquet") and "prediction" in path)
    for name, what in (
        ("main/inference/tile/entries/001", "entry_altered"), ("main/inference/tile/1/000.p/2", "tree_altered"), (part, "parquet_altered"),
    ):  # fmt: skip
        raw = (folder / name).read_bytes()
        (folder / name).write_bytes(raw[:40] + bytes([raw[40] ^ 1]) + raw[41:])
        assert what in {fault.what for fault in verify_mirror(store, mine.keys).faults}, name
        (folder / name).write_bytes(raw)
    (folder / part).unlink()
    assert [(f.what, f.detail) for f in verify_mirror(store, mine.keys).faults] == [("parquet_altered", "it is listed, and not there")]
    push_mirror(mine.root, "main", mine.keys, store)

    shutil.rmtree(folder / "main/inference")
    (folder / "main/inference/tile/0").mkdir(parents=True)
    (folder / "main/inference/tile/0/000").write_bytes(b"something else")
    with pytest.raises(Conflict, match="is there with other bytes"):
        push_mirror(mine.root, "main", mine.keys, store)
    assert (folder / "main/inference/tile/0/000").read_bytes() == b"something else"


def test_an_older_ledger_does_not_push_over_a_newer_mirror(scene: Scene, mine: Scene, tmp_path: Path) -> None:
    store = ObjectStore((tmp_path / "mirror").as_uri())
    write(mine, FixedClock(START_NS + 10**12), (20,), archived_rounds=0, epoch=2)
    push_mirror(mine.root, "main", mine.keys, store)
    with pytest.raises(Tampered, match="holds size"):
        push_mirror(scene.root, "main", scene.keys, store)
    assert verify_mirror(store, mine.keys).faults == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "is not an object store"), ("https://x/y", "is not an object store"), ("s3:///x", "is not an object store"),
        ("s3://key:secret@bucket/x", "credentials"), ("s3://b/x?versionId=1", "is not an object store"),
        ("/tmp/x", "is not an object store"),
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_and_no_secret_is_repeated(url: str, says: str) -> None:
    with pytest.raises(Malformed, match=says) as told:
        parse_store_url(url)
    assert "secret" not in told.value.detail + told.value.hint
