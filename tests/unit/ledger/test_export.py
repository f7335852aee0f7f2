"""Exports: tlog-tiles by an independent reading of the specification, resumable, and never of a log that does not verify."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from tests.scenes import attacks
from tests.scenes.sealed_ledger import INFERENCE, ROUNDS, START_NS, Scene, build, write

from jurat.core.clock import FixedClock
from jurat.core.errors import Conflict, JuratError, NotFound, Tampered, Unavailable
from jurat.ledger import export as exporting
from jurat.ledger.export import export_log, read_verifier
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import ANCHOR, LogName, checkpoint_file


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build(tmp_path_factory.mktemp("export") / "ws")


@pytest.fixture
def mine(scene: Scene, tmp_path: Path) -> Scene:
    return scene.copy_to(tmp_path / "ws")


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def node(raw: bytes) -> bytes:
    """MTH of RFC 6962 over leaf hashes, by its recursive definition."""
    count = len(raw) // 32
    if count == 1:
        return raw
    split = 1
    while split * 2 < count:
        split *= 2
    return hashlib.sha256(b"\1" + node(raw[: 32 * split]) + node(raw[32 * split :])).digest()


def test_an_export_is_tlog_tiles(scene: Scene, tmp_path: Path) -> None:
    """Read as C2SP tlog-tiles says, with nothing of ours: the names, the widths, the hashes, the root."""
    done = export_log(scene.root, INFERENCE, scene.keys, tmp_path / "x")
    found = files_of(tmp_path / "x")
    assert set(found) == {
        "checkpoint", "log-keys.json", "verify_log.py",
        "tile/entries/000", "tile/entries/001", "tile/entries/002.p/188",
        "tile/0/000", "tile/0/001", "tile/0/002.p/188", "tile/1/000.p/2",
    }  # fmt: skip
    leaves = b""
    for name, width in (("000", 256), ("001", 256), ("002.p/188", 188)):
        bundle, hashes = found[f"tile/entries/{name}"], b""
        while bundle:
            size = int.from_bytes(bundle[:2], "big")
            hashes += hashlib.sha256(b"\0" + bundle[2 : 2 + size]).digest()
            bundle = bundle[2 + size :]
        assert found[f"tile/0/{name}"] == hashes
        assert len(hashes) == 32 * width
        leaves += hashes
    assert found["tile/1/000.p/2"] == node(leaves[: 256 * 32]) + node(leaves[256 * 32 : 512 * 32])
    origin, size, root, *_ = found["checkpoint"].decode().split("\n")
    assert (origin, size) == ("jurat.local/main/inference", "700")
    assert root == __import__("base64").b64encode(node(leaves)).decode()
    assert found["checkpoint"] == checkpoint_file(scene.root, INFERENCE).read_bytes()
    assert (done.size, done.root, done.files, done.written) == (700, node(leaves), 7, 7)
    assert found["verify_log.py"] == read_verifier()
    assert [each.log for each in load_log_keys(tmp_path / "x/log-keys.json")] == ["main/inference"]


def test_a_broken_off_export_goes_on_and_a_grown_log_adds_its_new_tiles(mine: Scene, tmp_path: Path) -> None:
    out = tmp_path / "x"
    whole = files_of(_exported(mine, out))
    (out / "checkpoint").unlink()
    (out / "tile/0/001").unlink()
    (out / "tile/0/.001.abc.tmp").write_bytes(b"half")
    assert export_log(mine.root, INFERENCE, mine.keys, out).written == 1
    assert files_of(out) == whole
    assert export_log(mine.root, INFERENCE, mine.keys, out).written == 0
    clock = FixedClock(START_NS)
    clock.advance(100)
    write(mine, clock, (300,), archived_rounds=0, epoch=2)
    done = export_log(mine.root, INFERENCE, mine.keys, out)
    assert done.size == sum(ROUNDS) + 300
    assert done.written == 5  # bundle and tile 2 are full now, 3 is new, and the level above is wider
    assert whole.items() - files_of(out).items() == {("checkpoint", whole["checkpoint"])}  # what was handed out stays


def _exported(scene: Scene, directory: Path, log: LogName = INFERENCE) -> Path:
    export_log(scene.root, log, scene.keys, directory)
    return directory


@pytest.mark.parametrize(
    ("name", "offset"),
    [("entries", 61 * 300 + 20), ("entries", 61 * 699 + 60), ("L0", 32 * 10), ("L0", 32 * 699), ("L1", 33)],
)
def test_what_does_not_verify_does_not_leave(mine: Scene, tmp_path: Path, name: str, offset: int) -> None:
    attacks.flip_byte(INFERENCE.directory(mine.root) / name, offset)
    with pytest.raises(Tampered):
        export_log(mine.root, INFERENCE, mine.keys, tmp_path / "x")
    assert not (tmp_path / "x/checkpoint").exists()


def test_arrays_rewritten_to_match_do_not_leave(mine: Scene, tmp_path: Path) -> None:
    entries = attacks.entries_of(mine, INFERENCE)
    entries[5], entries[6] = entries[6], entries[5]
    attacks.put_entries(mine, INFERENCE, entries, levels=True)
    with pytest.raises(Tampered, match="do not give the root"):
        export_log(mine.root, INFERENCE, mine.keys, tmp_path / "x")


def test_a_checkpoint_without_signatures_or_keys_is_not_exported(mine: Scene, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        export_log(mine.root, INFERENCE, [key for key in mine.keys if key.log != "main/inference"], tmp_path / "x")
    path = checkpoint_file(mine.root, INFERENCE)
    path.write_bytes(path.read_bytes().replace(b"\n700\n", b"\n699\n"))
    with pytest.raises(JuratError):
        export_log(mine.root, INFERENCE, mine.keys, tmp_path / "x")
    path.unlink()
    with pytest.raises(Tampered):
        export_log(mine.root, INFERENCE, mine.keys, tmp_path / "x")


def test_a_directory_with_something_else_is_not_touched(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(Conflict, match="other things"):
        export_log(scene.root, INFERENCE, scene.keys, tmp_path)
    assert files_of(tmp_path) == {"thesis.doc": b"mine"}


def test_a_tile_that_was_changed_in_the_export_is_named_not_overwritten(scene: Scene, tmp_path: Path) -> None:
    out = _exported(scene, tmp_path / "x")
    attacks.flip_byte(out / "tile/0/001", 7)
    with pytest.raises(Conflict, match="tile/0/001"):
        export_log(scene.root, INFERENCE, scene.keys, out)


def test_one_directory_holds_one_log_and_never_an_older_state(scene: Scene, mine: Scene, tmp_path: Path) -> None:
    out = _exported(scene, tmp_path / "x")
    with pytest.raises(Conflict, match="holds log"):
        export_log(scene.root, ANCHOR, scene.keys, out)
    clock = FixedClock(START_NS)
    clock.advance(100)
    write(mine, clock, (10,), archived_rounds=0, epoch=2)
    export_log(mine.root, INFERENCE, mine.keys, out)
    with pytest.raises(Tampered) as caught:
        export_log(scene.root, INFERENCE, scene.keys, out)
    assert caught.value.code == "rolled_back"
    (out / "checkpoint").write_text("what?")
    with pytest.raises(Tampered):
        export_log(mine.root, INFERENCE, mine.keys, out)


def test_a_full_disk_is_unavailable_and_publishes_nothing(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, raw: bytes) -> bool:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(exporting, "_put", full)
    with pytest.raises(Unavailable, match="no space left"):
        export_log(scene.root, INFERENCE, scene.keys, tmp_path / "x")
    assert not (tmp_path / "x/checkpoint").exists()
    shutil.rmtree(tmp_path / "x")


def test_progress_reaches_the_end(scene: Scene, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    export_log(scene.root, INFERENCE, scene.keys, tmp_path / "x", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (700, 700)
    assert {total for _, total in seen} == {700}
