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
