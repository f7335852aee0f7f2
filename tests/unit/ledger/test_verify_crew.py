"""Several processes see what one sees; one that dies over a file is a fault of that file; a time limit ends them all."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.scenes import attacks
from tests.scenes.sealed_ledger import INFERENCE, Scene, build, prediction

from jurat.ledger import verify_crew, verify_parts
from jurat.ledger.faults import Report
from jurat.ledger.layout import events_directory
from jurat.ledger.manifest import read_manifest
from jurat.ledger.verify import verify_workspace


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build(tmp_path_factory.mktemp("crew") / "ws")


@pytest.fixture
def mine(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(verify_parts, "_WORTH_A_PROCESS", 0)
    return scene.copy_to(tmp_path / "ws")


def verify(scene: Scene, jobs: int) -> Report:
    return verify_workspace(scene.root, scene.keys, scene.lock, jobs=jobs)


def parts(scene: Scene) -> list[Path]:
    directory = events_directory(scene.root, "main")
    return [directory / part.path for part in read_manifest(directory).parts]


def altered_rows(scene: Scene) -> None:
    other = prediction(7).replace(b"released", b"withheld")
    attacks.change_rows(scene, INFERENCE, lambda rows: [attacks.row_with(r, other) if r["idx"] == 7 else r for r in rows])


def lost_rows(scene: Scene) -> None:
    attacks.change_rows(scene, INFERENCE, lambda rows: [row for row in rows if row["idx"] not in (3, 4, 5)])


def doubled_rows(scene: Scene) -> None:
    attacks.change_rows(scene, INFERENCE, lambda rows: [*rows, rows[-1]])


def flipped(scene: Scene) -> None:
    for path in parts(scene):
        attacks.flip_byte(path, path.stat().st_size // 2)


def gone(scene: Scene) -> None:
    parts(scene)[0].unlink()


def pipes(scene: Scene) -> None:
    for path in parts(scene):
        path.unlink()
        os.mkfifo(path)


@pytest.mark.parametrize("attack", [None, altered_rows, lost_rows, doubled_rows, flipped, gone, pipes])
def test_several_processes_see_what_one_sees(mine: Scene, attack: object) -> None:
    if attack is not None:
        attack(mine)  # type: ignore[operator]
    alone, together = verify(mine, 1), verify(mine, 2)
    assert msgspec.to_builtins(alone) == msgspec.to_builtins(together)
    assert alone.is_clean == (attack in (None, lost_rows))  # the journal still has what the archive lost


def test_a_process_that_dies_over_a_file_is_a_fault_of_the_file(mine: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = next(path for path in parts(mine) if "class=inference" in str(path))
    ordinary = verify_crew._Mate.check

    def check(mate: verify_crew._Mate, work: verify_crew.Work, tick: Callable[[int], None]) -> verify_crew.Seen:
        if Path(work.path) == victim:
            mate._start().kill()  # whoever takes this file dies over it
        return ordinary(mate, work, tick)

    monkeypatch.setattr(verify_crew._Mate, "check", check)
    report = verify(mine, 3)
    died = [fault for fault in report.faults if fault.what == "parquet_altered"]
    assert [fault.file for fault in died] == [f"main/events/{victim.relative_to(events_directory(mine.root, 'main'))}"]
    assert all("died of it (exit status -9)" in fault.detail for fault in died)
    assert victim.exists()


def test_nobody_is_left_behind_when_time_is_up(mine: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    ordinary = verify_crew._Mate._start

    def start(mate: verify_crew._Mate) -> subprocess.Popen[bytes]:
        process = ordinary(mate)
        process.send_signal(signal.SIGSTOP)  # it will never answer
        started.append(process)
        return process

    class TimeIsUp(Exception):
        pass

    def stop(*_: object) -> None:
        raise TimeIsUp

    monkeypatch.setattr(verify_crew._Mate, "_start", start)
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 1.5)
    try:
        with pytest.raises(TimeIsUp):
            verify(mine, 2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(started) == 2
    deadline = time.monotonic() + 5
    while any(process.poll() is None for process in started):
        assert time.monotonic() < deadline
        time.sleep(0.01)
