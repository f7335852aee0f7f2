"""How long an auditor waits, over ten million predictions of ten days, their failures, and the changes around them.

`ledger.query.questions_ms`    the slowest of the four that everybody asks: which models are used most, and by whom; the
                               error rate by version; patterns in the failures; who made changes before an incident
`ledger.query.needle_ms`       one event by its id; and
`ledger.query.who_changed_ms`  who changed X before T: both as the API and the console ask, in a process that has been
                               asked before, with the live tail
`ledger.query.cli_ms`          the needle by `jurat events`' own path, in a process that starts for it: imports and all
`ledger.query.build_eps`       what wrote them: the real write path, sealed and archived, in one process; no target

`--scale 200k|1m|10m|100m` asks more or fewer; `--at DIR` keeps what was built and uses it again.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.predictions import (
    CHANGED_EVERY,
    CHANGES,
    FAILED,
    FAILED_EVERY,
    MADE,
    START_NS,
    STEP_NS,
    Prediction,
    at,
    event_id,
    make_changes,
    make_failures,
    make_predictions,
)
from bench.support import BATCH, LOG, make_ledger, percentile, result, scratch, timed

from jurat.core.clock import FixedClock
from jurat.core.settings import Settings, lock_file
from jurat.core.workspace import Workspace
from jurat.domain.kinds import BENCH
from jurat.ledger.archive import Follower
from jurat.ledger.create import load_signers
from jurat.ledger.layout import LogName
from jurat.ledger.lockstore import LockStore
from jurat.ledger.publish import ForwardClock, Publisher
from jurat.ledger.query import Events
from jurat.ledger.recover import recover
from jurat.ledger.sequencer import ProducerKey, Submission

ERRORS, CONFIGURATION = LogName("main", "error"), LogName("main", "configuration")
SCALES: Final = {"200k": 200_000, "1m": 1_000_000, "10m": 10_000_000, "100m": 100_000_000}
TARGET_QUESTION_MS, TARGET_NEEDLE_MS, TARGET_CHANGED_MS = 1_000, 60, 50
_GROUP: Final = 10_000  # predictions in one group of the journal
_AHEAD: Final = 4  # groups that are made before they are needed
_SEAL: Final = 200_000  # predictions between two seals
_KINDS: Final = ", ".join(f"'{kind}'" for kind in CHANGES)
QUESTIONS: Final = {
    "which models are used most, by whom": """
        SELECT version, principal, count(*) AS asked FROM events WHERE kind = 'prediction.made.v1'
        GROUP BY ALL ORDER BY asked DESC, version, principal LIMIT 20""",
    "the error rate by version": """
        SELECT version, count(*) FILTER (kind = 'prediction.failed.v1') / count(*) AS rate FROM events
        WHERE kind IN ('prediction.made.v1', 'prediction.failed.v1') GROUP BY version ORDER BY rate DESC""",
    "patterns in the failures": """
        SELECT event ->> '$.data.reason' AS reason, version, hour(received_at) AS hour, count(*) AS failed FROM events
        WHERE kind = 'prediction.failed.v1' GROUP BY ALL ORDER BY failed DESC LIMIT 50""",
}
WHO_CHANGED: Final = f"""
    SELECT received_at, principal, kind, event_id FROM events
    WHERE kind IN ({_KINDS}) AND resource = ? AND received_at < CAST(? AS TIMESTAMPTZ) ORDER BY received_at DESC LIMIT 20"""
_CLI: Final = """
import sys
from pathlib import Path
from jurat.ledger.query import Events
assert Events(Path(sys.argv[1]), "main").find(sys.argv[2]) is not None
"""


def run(quick: bool, scale: str = "", place: str = "") -> list[dict[str, Any]]:
    """Return the results, each with its `name`, `value`, `unit`, `against` and `ratio`."""
    total, rounds = SCALES[scale or ("200k" if quick else "10m")], 5 if quick else 9
    with ledger_of(total, place) as (workspace, built_s):
        events = Events(workspace.ledger, LOG.tenant)
        check(events, total)
        waits = {name: median_ms(partial(events.select, query), rounds) for name, query in QUESTIONS.items()}
        chance = random.Random(0)
        needles = [timed(lambda: find(events, chance.randrange(total))) * 1000 for _ in range(3 * rounds)]
        changed = [timed(lambda: who_changed(events, chance.randrange(total // 2, total))) * 1000 for _ in range(3 * rounds)]
        command = [sys.executable, "-c", _CLI, str(workspace.ledger)]
        cli_ms = median_ms(lambda: subprocess.run([*command, event_id(0, chance.randrange(total))], check=True), 3)
    waits["who made changes before an incident"] = statistics.median(changed)
    slowest = max(waits, key=lambda name: waits[name])
    share, told = (
        waits[slowest] / TARGET_QUESTION_MS,
        f"{total:,} predictions; " + "; ".join(f"{name}: {wait:.0f}" for name, wait in waits.items()),
    )
    needle_ms, changed_ms = statistics.median(needles), statistics.median(changed)
    return [
        result("ledger.query.questions_ms", waits[slowest], "ms", f"target {TARGET_QUESTION_MS}; {told}", share),
        result(
            "ledger.query.needle_ms", needle_ms, "ms",
            f"target {TARGET_NEEDLE_MS}; p90 {percentile(needles, 0.9):.0f}", needle_ms / TARGET_NEEDLE_MS,
        ),
        result(
            "ledger.query.who_changed_ms", changed_ms, "ms",
            f"target {TARGET_CHANGED_MS}; p90 {percentile(changed, 0.9):.0f}", changed_ms / TARGET_CHANGED_MS,
        ),
        result("ledger.query.cli_ms", cli_ms, "ms", "ledger.query.needle_ms", cli_ms / needle_ms),
        *([result("ledger.query.build_eps", total / built_s, "events/s", "no target", 1.0)] if built_s else []),
    ]  # fmt: skip


def median_ms(work: Callable[[], Any], rounds: int) -> float:
    """Return the median of so many, after one that warms up."""
    work()
    return statistics.median(timed(work) for _ in range(rounds)) * 1000


def find(events: Events, number: int) -> None:
    found = events.find(event_id(0, number))
    if found is None or event_id(0, number).encode() not in found.raw:
        raise AssertionError(f"event {number} was not found")


def who_changed(events: Events, number: int) -> None:
    found = events.select(WHO_CHANGED, ["endpoints/credit", at(number)], kinds=CHANGES)
    if not found.rows:
        raise AssertionError("nobody changed anything, it says")


def check(events: Events, total: int) -> None:
    """Raises AssertionError if the ledger does not hold what was written."""
    counted = dict(events.select("SELECT log, count(*) FROM events GROUP BY log", timeout_s=300).rows)
    expected = {str(LOG): total, str(ERRORS): total // FAILED_EVERY, str(CONFIGURATION): total // CHANGED_EVERY}
    if counted != expected:
        raise AssertionError(f"the ledger holds {counted}, expected {expected}")


@contextmanager
def ledger_of(total: int, place: str) -> Iterator[tuple[Workspace, float]]:
    """A ledger of so many predictions, and the seconds that it took to build; 0 if it was there."""
    if place and (Path(place) / f"done-{total}").exists():
        yield Workspace(Path(place) / "ws"), 0.0
        return
    with scratch() as directory:
        root = Path(place) if place else directory
        root.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        workspace = build(root / "ws", total)
        built_s = time.perf_counter() - started
        (root / f"done-{total}").touch()
        yield workspace, built_s


class Group(NamedTuple):
    """What is written at once: predictions from `first` on, and what happened meanwhile."""

    first: int
    predictions: list[bytes]
    failures: list[bytes]
    changes: list[Prediction]


def groups(total: int) -> Iterator[Group]:
    """Yield everything in its order, made by another process a little ahead."""
    with ProcessPoolExecutor(1) as maker:
        ahead: deque[Future[Group]] = deque()
        for first in range(0, total, _GROUP):
            ahead.append(maker.submit(make_group, first))
            if len(ahead) > _AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def make_group(first: int) -> Group:
    return Group(
        first,
        list(make_predictions(first, _GROUP)),
        list(make_failures(first // FAILED_EVERY, _GROUP // FAILED_EVERY)),
        list(make_changes(first // CHANGED_EVERY, _GROUP // CHANGED_EVERY)),
    )


def build(root: Path, total: int) -> Workspace:
    """Write predictions, failures and changes as they would have come, a million a day: sealed, archived, compacted."""
    workspace, settings, clock = make_ledger(root), Settings(), FixedClock(START_NS)
    forward = ForwardClock(clock)
    signers, lock = load_signers(workspace, settings, forward), LockStore(lock_file(workspace, settings))
    engine, state = recover(workspace.ledger, signers, lock, segment_size=64 * 2**20)
    publisher = Publisher(
        workspace.ledger, signers, lock, engine.arrays, state, forward, lambda entries: engine.append_anchors(entries, forward.now_ns())
    )
    with Follower(workspace.ledger, LOG.tenant) as follower:
        for group in groups(total):
            first = group.first
            clock.at_ns = START_NS + first * STEP_NS
            failed, changed = first // FAILED_EVERY, first // CHANGED_EVERY
            submissions = [
                Submission(ProducerKey(LOG, BENCH.code, 1), first + at + 1, [MADE] * BATCH, group.predictions[at : at + BATCH])
                for at in range(0, _GROUP, BATCH)
            ]
            submissions.append(Submission(ProducerKey(ERRORS, BENCH.code, 1), failed + 1, [FAILED] * len(group.failures), group.failures))
            kinds, raws = [each.kind for each in group.changes], [each.raw for each in group.changes]
            submissions.append(Submission(ProducerKey(CONFIGURATION, BENCH.code, 1), changed + 1, kinds, raws))
            engine.settle(engine.write(submissions, forward.now_ns()))
            if (first + _GROUP) % _SEAL == 0 or first + _GROUP >= total:
                publisher.publish(engine.snapshot())
                follower.step(flush=True)
                publisher.remove_segments(dict(follower.manifest.high_water))
        follower.compact(everything=True)
    engine.close()
    lock.close()
    return workspace


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--scale", choices=SCALES, default="")
    parser.add_argument("--at", default="", metavar="DIR", help="build there, or use what was built there")
    options = parser.parse_args()
    for each in run(options.quick, options.scale, options.at):
        print(each)
