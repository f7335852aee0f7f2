"""The power goes after each call, and the disk kept any part of what was not synced: acknowledged = present, archived = readable.

Kill tests leave the page cache whole; these do not. See `scenes.lost_writes` for what a disk may do.
"""

from __future__ import annotations

import pickle
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.crash.test_every_call_fails import CHECKS, for_archive, for_erase, for_write
from tests.scenes.faulty_runs import Ran, Runs
from tests.scenes.lost_writes import Disk, Traced

KEEP = (0.0, 0.5, 0.9, 1.0)  # how likely each unsynced thing is kept
MAKERS = {"write": for_write, "archive": for_archive, "erase": for_erase}


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    with Runs() as found:
        yield found


def trace_of(scene: str, template: Path, directory: Path, runs: Runs) -> tuple[str, Traced]:
    root = directory / "traced"
    shutil.copytree(template, root)
    assert runs.run(scene, root, trace=directory / "trace").is_done
    shutil.rmtree(root)
    return str(root), pickle.loads((directory / "trace").read_bytes())


def survive_each(scene: str, step: int, keeps: tuple[float, ...], directory: Path, runs: Runs) -> None:
    (directory / "made").mkdir()
    template = MAKERS[scene](directory / "made")
    root, traced = trace_of(scene, template, directory, runs)
    for number, at in enumerate(range(0, len(traced) + 1, step)):
        for keep in keeps if len(keeps) > 1 or step == 1 else (KEEP[number % len(KEEP)],):
            disk = Disk(template, root)
            for name, facts in traced[:at]:
                disk.apply(name, facts)
            left = directory / "left"
            disk.survive(left, random.Random(f"{scene} {at} {keep}"), keep)
            try:
                CHECKS[scene](left, Ran(0, disk.said, []), runs)
            except BaseException as error:
                error.add_note(f"after call {at} ({traced[at - 1][0] if at else 'none'} {traced[at - 1][1].get('path', '')}), kept {keep}")
                raise
            shutil.rmtree(left)


@pytest.mark.parametrize("scene", CHECKS)
def test_the_power_goes_after_one_call_in_twenty_nine(scene: str, runs: Runs, tmp_path: Path) -> None:
    survive_each(scene, 29, (0.5,), tmp_path, runs)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scene", CHECKS)
def test_the_power_goes_after_each_call(scene: str, runs: Runs, tmp_path: Path) -> None:
    survive_each(scene, 1, KEEP, tmp_path, runs)
