"""Every call that changes a file fails once, in every way, under sequencer, follower and eraser. See `scenes.faulty_disk`.

Promised: what was acknowledged is there; what is there was sent; the next start needs no help, finds no fault and goes on; and an
error of the disk is never taken for success. `make test` takes one call in thirteen, `make test-long` every call in every way.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.ledger_workspace import ACCESS, INFERENCE, OpenLedger, make_workspace
from tests.scenes.archive import START_NS, Bench, event, told
from tests.scenes.faulty_disk import FAULTS
from tests.scenes.faulty_runs import BATCHES, EACH, ERASED, FIRST, SEGMENT_BYTES, Ran, Runs, raws_of
from tests.scenes.forgetting import Forgetting
from tests.scenes.keeping import files_with

from jurat.core.clock import FixedClock
from jurat.core.settings import Settings, lock_file
from jurat.core.workspace import Workspace
from jurat.domain.places import covers
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import events_directory, log_keys_file
from jurat.ledger.query import Events
from jurat.ledger.sequencer import Gap, Repeated
from jurat.ledger.verify import verify_workspace

_STEP = 13
LAST = FIRST + EACH * (BATCHES - 1)


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    with Runs() as found:
        yield found


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A workspace for each scene, in the state that its run begins with."""
    return {
        name: make(tmp_path_factory.mktemp(name)) for name, make in (("write", for_write), ("archive", for_archive), ("erase", for_erase))
    }


def for_write(directory: Path) -> Path:
    workspace = make_workspace(directory / "ws")
    with OpenLedger(workspace, clock=FixedClock(START_NS), segment_size=SEGMENT_BYTES) as ledger:
        ledger.append(INFERENCE, 1, raws_of(INFERENCE, 1, FIRST - 1))
        ledger.publish()
        ledger.append(INFERENCE, FIRST, raws_of(INFERENCE, FIRST, 1))
    return workspace.root


def for_archive(directory: Path) -> Path:
    bench = Bench(directory, segment_size=SEGMENT_BYTES)
    for _ in range(2):
        bench.append(6)
        bench.archive()
    bench.append(6)
    bench.append(2, ACCESS)
    bench.seal()
    bench.close()
    return bench.workspace.root


def for_erase(directory: Path) -> Path:
    bench = Forgetting(directory)
    bench.ask(ERASED)
    assert bench.approve(ERASED) == 1
    bench.close()
    return bench.workspace.root


def faults_of(root: Path) -> list[object]:
    workspace = Workspace(root)
    keys = load_log_keys(log_keys_file(workspace.keys))
    return [*verify_workspace(workspace.ledger, keys, lock_file(workspace, Settings())).faults]


def check_write(root: Path, ran: Ran, _runs: Runs) -> None:
    promised = {(said["log"], said["first"] + at) for said in ran.said if "log" in said for at in range(said["count"])}
    with OpenLedger(Workspace(root), clock=FixedClock(START_NS + 10**13), segment_size=SEGMENT_BYTES) as ledger:
        for log, first, last in ((INFERENCE, FIRST + 1, LAST), (ACCESS, 1, EACH)):
            before = ledger.engine.arrays[log].size
            assert before >= max((seq for name, seq in promised if name == log.name), default=0), "acknowledged, and gone"
            for seq in range(first, last + 1, EACH):  # the producer sends everything again
                verdict = ledger.append(log, seq, raws_of(log, seq, EACH))
                assert isinstance(verdict, Repeated) == (seq + EACH - 1 <= before)
                assert not isinstance(verdict, Gap)
            assert ledger.engine.arrays[log].size == last
        ledger.publish()
    assert faults_of(root) == []
    found = {log: [event.raw for event in Events(Workspace(root).ledger, "main").scan(classes=[log])] for log in ("inference", "access")}
    assert found == {"inference": raws_of(INFERENCE, 1, LAST), "access": raws_of(ACCESS, 1, EACH)}  # each once, in order


def check_archive(root: Path, _ran: Ran, runs: Runs) -> None:
    assert faults_of(root) == []
    expected = {"main/inference": [event(INFERENCE, n) for n in range(18)], "main/access": [event(ACCESS, n) for n in range(2)]}
    assert told(Events(Workspace(root).ledger, "main")) == expected
    assert runs.run("archive", root).is_done
    assert told(Events(Workspace(root).ledger, "main")) == expected
    parts = {path.relative_to(root).as_posix() for path in root.rglob("*.parquet")}
    assert len(parts) == 2, "merged, and nothing left over"
    assert not list(root.rglob("*.tmp"))
    assert faults_of(root) == []


def check_erase(root: Path, _ran: Ran, runs: Runs) -> None:
    assert faults_of(root) == [], "whatever is half done is not a fault"
    assert runs.run("erase", root).is_done
    workspace = Workspace(root)
    left = [each.index for each in Events(workspace.ledger, "main").scan(classes=["inference"])]
    assert left == [index for index in range(40) if not covers(ERASED, "main/inference", index)]
    for stretch in ERASED["main/inference"]:
        for index in range(stretch.first, stretch.last + 1):
            assert files_with(root, event(INFERENCE, index)) == []
    assert len(list(events_directory(workspace.ledger, "main").glob("class=inference/**/*.parquet"))) == 1
    assert not list(root.rglob("*.tmp"))
    assert faults_of(root) == []


CHECKS: dict[str, Callable[[Path, Ran, Runs], None]] = {"write": check_write, "archive": check_archive, "erase": check_erase}


def fail_at(scene: str, at: int, fault: str, template: Path, directory: Path, runs: Runs) -> None:
    root = directory / "ws"
    shutil.copytree(template, root)
    ran = runs.run(scene, root, fault, at)
    call = ran.calls[at - 1] if len(ran.calls) >= at else ""
    if fault in ("kill", "torn"):
        assert ran.status == -9
    elif not call.startswith(("mkdir", "unlink")):
        assert any("error" in said or "refused" in said for said in ran.said), f"{call} failed, and nobody said so"
    CHECKS[scene](root, ran, runs)
    shutil.rmtree(root)


@pytest.mark.parametrize("scene", CHECKS)
def test_one_call_in_thirteen_fails_in_one_way(scene: str, runs: Runs, templates: dict[str, Path], tmp_path: Path) -> None:
    calls = calls_of(scene, runs, templates, tmp_path)
    for turn, at in enumerate(range(1, len(calls) + 1, _STEP)):
        fail_at(scene, at, FAULTS[turn % len(FAULTS)], templates[scene], tmp_path, runs)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scene", CHECKS)
def test_each_call_fails_in_every_way(scene: str, fault: str, runs: Runs, templates: dict[str, Path], tmp_path: Path) -> None:
    for at in range(1, len(calls_of(scene, runs, templates, tmp_path)) + 1):
        fail_at(scene, at, fault, templates[scene], tmp_path, runs)


def calls_of(scene: str, runs: Runs, templates: dict[str, Path], tmp_path: Path) -> list[str]:
    root = tmp_path / "whole"
    shutil.copytree(templates[scene], root)
    ran = runs.run(scene, root)
    assert ran.is_done, ran.said
    kinds = {call.partition(" ")[0] for call in ran.calls}
    assert {"create", "write", "sync", "rename"} <= kinds
    CHECKS[scene](root, ran, runs)
    shutil.rmtree(root)
    return ran.calls
