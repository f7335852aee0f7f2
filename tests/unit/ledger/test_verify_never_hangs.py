"""Whatever lies in the place of a ledger's file, `jurat verify` ends soon, and says which it is."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scenes.sealed_ledger import Scene, build

from jurat.ledger.verify import verify_workspace


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build(tmp_path_factory.mktemp("hangs") / "ws")


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """Fail after ten seconds, whatever it waits for."""

    def fail(*_: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, 10)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def names_of(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_a_pipe_or_an_endless_device_in_place_of_any_file_is_named(scene: Scene, tmp_path: Path) -> None:
    mine = scene.copy_to(tmp_path / "ws")
    names = names_of(mine.root)
    assert len(names) > 20
    for number, name in enumerate(names):
        path, kept = mine.root / name, tmp_path / "kept"
        path.rename(kept)
        if number % 2:
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero")
        report = verify_workspace(mine.root, mine.keys, mine.lock)
        assert [(fault.what, fault.file) for fault in report.faults] == [("not_a_file", name)]
        assert not report.is_clean
        path.unlink()
        kept.rename(path)
    assert verify_workspace(mine.root, mine.keys, mine.lock).is_clean


def test_a_circle_of_links_is_a_missing_file(scene: Scene, tmp_path: Path) -> None:
    mine = scene.copy_to(tmp_path / "ws")
    path = mine.root / "main/inference/L0"
    path.unlink()
    path.symlink_to("L0")
    report = verify_workspace(mine.root, mine.keys, mine.lock)
    assert {fault.what for fault in report.faults} == {"tree_altered"}


def test_a_file_as_large_as_a_disk_is_named_and_not_read(scene: Scene, tmp_path: Path) -> None:
    mine = scene.copy_to(tmp_path / "ws")
    named = 0
    for name in names_of(mine.root):
        path = mine.root / name
        size = path.stat().st_size
        os.truncate(path, 1 << 40)  # sparse: it takes no room
        report = verify_workspace(mine.root, mine.keys, mine.lock)
        os.truncate(path, size)
        if path.name == "flock" or path.name == "entries" or path.name.startswith("L"):
            continue  # what lies beyond the signed size is not judged; it only must not hold us up
        assert {fault.what for fault in report.faults} & {"too_large", "parquet_altered"}, name
        assert name in {fault.file for fault in report.faults}
        named += 1
    assert named > 10
    assert verify_workspace(mine.root, mine.keys, mine.lock).is_clean


def test_a_circle_of_directories_is_not_followed(scene: Scene, tmp_path: Path) -> None:
    mine = scene.copy_to(tmp_path / "ws")
    (mine.root / "main/inference/again").symlink_to(mine.root)
    (mine.root / "main/events/class=inference/kind=loop").symlink_to("..")
    assert verify_workspace(mine.root, mine.keys, mine.lock).is_clean
