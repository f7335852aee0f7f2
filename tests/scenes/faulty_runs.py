"""Sequencer, follower and eraser, each run on a disk that fails at the n-th call: `python -m tests.scenes.faulty_runs`.

One process imports everything once and forks for each run. On stdin, a line of JSON per run: what (`write`, `archive`, `erase`), the
workspace, the fault, at which call, and a file for what was said. On stdout, a line per run: how it ended. What was acknowledged is in
the file the moment it is acknowledged, however the run ends.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.ledger_workspace import ACCESS, BENCH_PRODUCER, INFERENCE, PREDICTION_MADE, OpenLedger
from tests.scenes.archive import START_NS, event
from tests.scenes.faulty_disk import FaultyDisk

from jurat.core.clock import FixedClock
from jurat.core.errors import JuratError, Unavailable
from jurat.core.workspace import Workspace
from jurat.domain.facts_keeping import Places
from jurat.domain.places import to_places
from jurat.ledger.archive import Follower
from jurat.ledger.erase import Word, erase_rows
from jurat.ledger.gone import mask
from jurat.ledger.layout import LogName, events_directory
from jurat.ledger.manifest import high_water
from jurat.ledger.sequencer import ProducerKey, Submission

Say = Callable[[dict[str, Any]], None]
SEGMENT_BYTES = 4_096  # so that segments end while we look
EPOCH = 1
FIRST, BATCHES, EACH = 254, 4, 3  # events before, and what `write` adds: past the end of the first tile
ERASED: Places = to_places({"main/inference": [3, 17, 18]})
_DONE, _REFUSED, _BROKEN = 0, 1, 2


def write(root: Path, say: Say) -> None:
    """Append and seal in turn, as the sequencer does; say what is acknowledged when it is."""
    clock = FixedClock(START_NS + 10**9)
    with OpenLedger(Workspace(root), clock=clock, segment_size=SEGMENT_BYTES) as ledger:
        for batch in range(BATCHES):
            log = ACCESS if batch == 2 else INFERENCE
            first = 1 if batch == 2 else FIRST + 1 + EACH * (batch if batch < 2 else batch - 1)
            raws = raws_of(log, first, EACH)
            submission = Submission(ProducerKey(log, BENCH_PRODUCER, EPOCH), first, [PREDICTION_MADE] * EACH, raws)
            verdicts = ledger.engine.write([submission], clock.now_ns())
            say({"log": log.name, "first": first, "count": EACH})
            ledger.engine.settle(verdicts)
            if batch % 2:
                ledger.publish()
            clock.advance(1)


def archive(root: Path, say: Say) -> None:
    """Archive what is sealed and merge, as the follower does; what the disk refuses is tried once more."""
    with Follower(Workspace(root).ledger, "main", clock=FixedClock(START_NS + 10**12), grace_s=0) as follower:
        for work in (lambda: follower.step(flush=True), lambda: follower.compact(everything=True), lambda: follower.compact()):
            try:
                work()
            except Unavailable as error:
                say({"refused": error.detail})
                work()


def erase(root: Path, say: Say) -> None:
    """Take the content of some events away, as `jurat erase run` does below its records."""
    workspace, clock = Workspace(root), FixedClock(START_NS + 10**12)
    events_dir = events_directory(workspace.ledger, "main")
    mask(events_dir, "req_1", ERASED)
    with OpenLedger(workspace, clock=clock) as ledger:
        ledger.engine.journal.rotate()
        key = ProducerKey(ACCESS, BENCH_PRODUCER, EPOCH)
        last = ledger.engine.sequencer.lasts.get(key)
        ledger.append(ACCESS, last.seq + 1 if last else 1, [event(ACCESS, 7)])
        ledger.publish()
        with Follower(workspace.ledger, "main", clock=clock) as follower:
            follower.step(flush=True)
            erase_rows(follower, ERASED, Word(1, datetime(2026, 11, 26, tzinfo=UTC), "erasure req_1"))
        ledger.publisher.remove_segments(high_water(events_dir))
    say({"erased": True})


SCENES: dict[str, Callable[[Path, Say], None]] = {"write": write, "archive": archive, "erase": erase}


def raws_of(log: LogName, first_seq: int, count: int) -> list[bytes]:
    """Return the bytes of the events with these numbers, of uneven size."""
    return [event(log, seq - 1) + b" " * (seq * 37 % 300) for seq in range(first_seq, first_seq + count)]


class Ran(NamedTuple):
    """How a run ended: `status` as of `os.waitstatus_to_exitcode`; what was said; the calls there were."""

    status: int
    said: list[dict[str, Any]]
    calls: list[str]

    @property
    def is_done(self) -> bool:
        return self.status == _DONE

    @property
    def is_refused(self) -> bool:
        return self.status == _REFUSED


class Runs:
    """The process that forks."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, scene: str, root: Path, fault: str = "", at: int = 0, trace: Path | None = None) -> Ran:
        """Run a scene to its end, whichever that is. `trace`: where to put a list of everything that was done to the disk."""
        out = root.with_name(f"{root.name}.said")
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        job = {"scene": scene, "root": str(root), "fault": fault, "at": at, "out": str(out), "trace": str(trace) if trace else ""}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        status = json.loads(self._process.stdout.readline())
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        out.unlink()
        ran = Ran(status, [line for line in lines if "calls" not in line], next((line["calls"] for line in lines if "calls" in line), []))
        assert status in (_DONE, _REFUSED, -9), ran.said
        return ran

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def _serve() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(_run(job))
        sys.stdout.write(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])) + "\n")
        sys.stdout.flush()


def _run(job: dict[str, Any]) -> int:
    out, real_write = os.open(job["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), os.write
    traced: list[tuple[str, dict[str, Any]]] = []

    def say(what: dict[str, Any]) -> None:
        traced.append(("said", what))
        real_write(out, json.dumps(what).encode() + b"\n")

    def trace(name: str, facts: dict[str, Any]) -> None:
        if name == "commit":
            facts["raw"] = Path(facts["path"]).read_bytes()
        traced.append((name, facts))

    disk = FaultyDisk(Path(job["root"]), job["fault"], job["at"], trace if job["trace"] else None)
    disk.install()
    status = _DONE
    try:
        SCENES[job["scene"]](Path(job["root"]), say)
    except (JuratError, OSError) as error:
        say({"error": f"{getattr(error, 'code', type(error).__name__)}: {error}"})
        status = _REFUSED
    except BaseException:
        say({"broken": traceback.format_exc()})
        status = _BROKEN
    say({"calls": disk.calls})
    if job["trace"]:
        with open(job["trace"], "wb") as file:  # noqa: PTH123 - plain on purpose
            pickle.dump(traced, file)
    return status


if __name__ == "__main__":
    _serve()
