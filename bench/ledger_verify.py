"""How many events a second can be doubted: hashed again, compared, led back to a signature.

`ledger.verify.eps`          entries and tiles of one log against its signed checkpoint, per core (CPU time)
`ledger.verify_payload.eps`  a whole ledger: that, and every event in Parquet, its commitment and its columns, per core
`ledger.verify_jobs.speedup` the same by the wall clock with one process per core, against one process
`ledger.verify_alone.eps`    the stand-alone verifier over an exported directory, per core
`ledger.export.eps`          `jurat log export` into an empty directory, by the wall clock
"""

from __future__ import annotations

import hashlib
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.predictions import MADE, make_predictions
from bench.support import BATCH, LOG, make_ledger, result, scratch

from jurat.core.clock import SystemClock
from jurat.core.settings import Settings, lock_file
from jurat.core.workspace import Workspace
from jurat.domain.kinds import BENCH
from jurat.ledger.archive import Follower
from jurat.ledger.create import load_signers
from jurat.ledger.export import export_log
from jurat.ledger.faults import Faults
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import log_keys_file
from jurat.ledger.lockstore import LockStore
from jurat.ledger.publish import ForwardClock, Publisher
from jurat.ledger.recover import recover
from jurat.ledger.sequencer import ProducerKey, Submission
from jurat.ledger.verify import verify_workspace
from jurat.ledger.verify_checkpoints import gather_claims
from jurat.ledger.verify_log import check_tree

TARGET_EPS: Final = 500_000  # per core, entries and tiles
TARGET_PAYLOAD_EPS: Final = 150_000  # per core, with the events
_HASHES: Final = 200_000
_SEGMENT_SIZE: Final = 1024 * 1024  # small, so that next to nothing is left in the journal and checked twice


def run(quick: bool) -> list[dict[str, Any]]:
    """Return the results, each with its `name`, `value`, `unit`, `against` and `ratio`."""
    rounds, total = (3, 100_000) if quick else (5, 500_000)
    with scratch() as directory:
        workspace = write_ledger(directory / "ws", total)
        tree_s = statistics.median(cpu_s(lambda: check_tree_of(workspace)) for _ in range(rounds))
        whole_s = statistics.median(cpu_s(lambda: check_whole(workspace, jobs=1)) for _ in range(rounds))
        one_s, many_s = (statistics.median(wall_s(partial(check_whole, workspace, jobs=jobs)) for _ in range(3)) for jobs in (1, cores()))
        export_s = wall_s(lambda: export_log(workspace.ledger, LOG, keys_of(workspace), directory / "out"))
        alone_s = statistics.median(child_cpu_s(directory / "out", workspace) for _ in range(3))
        hash_ns = statistics.median(cpu_s(hash_leaves_of_nothing) for _ in range(rounds)) / _HASHES * 1e9
    unit = f"one SHA-256 of 60 bytes took {hash_ns:.0f} ns"  # 250 when nobody disturbs the machine that the targets are for
    return [
        result(
            "ledger.verify.eps", total / tree_s, "events/s of CPU time", f"target {TARGET_EPS:,}; {unit}", total / tree_s / TARGET_EPS
        ),
        result(
            "ledger.verify_payload.eps", total / whole_s, "events/s of CPU time", f"target {TARGET_PAYLOAD_EPS:,}; {unit}",
            total / whole_s / TARGET_PAYLOAD_EPS,
        ),
        result("ledger.verify_jobs.speedup", one_s / many_s, "times", f"one process, on {cores()} cores", one_s / many_s),
        result("ledger.verify_alone.eps", total / alone_s, "events/s of CPU time", "ledger.verify.eps", tree_s / alone_s),
        result("ledger.export.eps", total / export_s, "events/s", "ledger.verify.eps", tree_s / export_s),
    ]  # fmt: skip


def hash_leaves_of_nothing() -> None:
    sha256, entry = hashlib.sha256, bytes(60)
    for _ in range(_HASHES):
        sha256(entry).digest()


def cores() -> int:
    return os.cpu_count() or 1


def keys_of(workspace: Workspace) -> list[Any]:
    return load_log_keys(log_keys_file(workspace.keys))


def write_ledger(root: Path, total: int) -> Workspace:
    """Return a ledger with `total` sealed predictions, all of them in the archive in one compacted file or a few."""
    workspace, settings = make_ledger(root), Settings()
    clock = ForwardClock(SystemClock())
    signers, lock = load_signers(workspace, settings, clock), LockStore(lock_file(workspace, settings))
    engine, state = recover(workspace.ledger, signers, lock, segment_size=_SEGMENT_SIZE)
    publisher = Publisher(
        workspace.ledger, signers, lock, engine.arrays, state, clock, lambda entries: engine.append_anchors(entries, clock.now_ns())
    )
    key = ProducerKey(LOG, BENCH.code, 1)
    with Follower(workspace.ledger, LOG.tenant) as follower:
        for first in range(0, total, BATCH):
            raws = list(make_predictions(first, BATCH))
            engine.settle(engine.write([Submission(key, first + 1, [MADE] * BATCH, raws)], clock.now_ns()))
            if first % (100 * BATCH) == 99 * BATCH or first + BATCH >= total:
                publisher.publish(engine.snapshot())
                follower.step(flush=True)
        publisher.remove_segments({str(LOG): total})
    engine.close()
    lock.close()
    return workspace


def check_tree_of(workspace: Workspace) -> None:
    claims = gather_claims(workspace.ledger, keys_of(workspace), lock_file(workspace, Settings()), (), Faults())
    claim = next(claim for claim in claims if claim.log == LOG)
    assert claim.newest is not None
    check = check_tree(claim.files, claim.newest.size, claim.waypoints, lambda _count: None)
    if check.root != claim.newest.root or check.differing:
        raise AssertionError("the ledger does not verify")


def check_whole(workspace: Workspace, *, jobs: int) -> None:
    report = verify_workspace(workspace.ledger, keys_of(workspace), lock_file(workspace, Settings()), jobs=jobs)
    if not report.is_clean:
        raise AssertionError(f"the ledger does not verify: {report.faults[:3]}")


def cpu_s(work: Callable[[], Any]) -> float:
    """Return the CPU seconds that it took, of this process and of those that it started."""
    started = process_s()
    work()
    return process_s() - started


def process_s() -> float:
    usages = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def wall_s(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def child_cpu_s(directory: Path, workspace: Workspace) -> float:
    command = [sys.executable, "-I", str(directory / "verify_log.py"), "--keys", str(log_keys_file(workspace.keys)), str(directory)]
    return cpu_s(lambda: subprocess.run(command, check=True, capture_output=True))


if __name__ == "__main__":
    for each in run("--quick" in sys.argv):
        print(each)
