"""How many events a second go all the way: acknowledged, sealed, in Parquet and searchable.

`ledger.end_to_end.eps`           two producers, the real sequencer process and the real follower in a process of its own, from
                                  the first append until the archive holds every event and a query over it has found the last
`sealed.eps`                      the same against nothing but writing and syncing as many bytes
`ledger.end_to_end.eps_per_core`  the same by the CPU time of sequencer and follower, which a busy machine disturbs less
`ledger.end_to_end.ack_p50_ms`    the wait for a batch of a thousand at half of that load, and
`ledger.end_to_end.ack_p99_ms`    at the 99th percentile
`ledger.rss_mb`                   the most that sequencer and follower held together; the ratio is to its limit of 1 GB
`ledger.bytes_per_event`          on disk, all in: Parquet, entries, tiles; realistic content, see `predictions`

`--soak S` writes for S seconds, as fast as it goes, and also says whether memory stayed flat.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from bench.ledger_write import write_raw
from bench.predictions import MADE, event_id, make_predictions
from bench.support import BATCH, LOG, Child, follower_process, make_ledger, percentile, result, scratch, sequencer_process

from jurat.core.workspace import Workspace
from jurat.domain.kinds import BENCH
from jurat.ledger.client import LedgerClient
from jurat.ledger.layout import events_directory
from jurat.ledger.manifest import high_water, read_manifest
from jurat.ledger.query import Events

PRODUCERS: Final = 2
TARGET_EPS: Final = 100_000  # sustained, end to end
TARGET_RSS_MB: Final = 1_000
TARGET_BYTES: Final = 260
TARGET_ACK_MS: Final = (10, 50)  # p50 and p99, at half load
_AHEAD: Final = 150  # batches of each producer that are made before the clock starts; a soak goes round them
_CATCH_UP_S: Final = 900.0
_COUNTED_AT_ONCE: Final = 2_000_000

Chunk = list[tuple[int, bytes]]


class Written:
    """What one run showed."""

    def __init__(self) -> None:
        self.events = 0
        self.bytes_per_event = 0.0
        self.elapsed_s = self.sequencer_s = self.follower_s = 0.0
        self.memory_mb: list[float] = []
        self.waits_s: list[float] = []  # at half load
        self.half_eps = 0.0


def run(quick: bool, soak: float = 0.0) -> list[dict[str, Any]]:
    """Return the results, each with its `name`, `value`, `unit`, `against` and `ratio`."""
    ahead = 30 if quick else _AHEAD
    chunks = [make_chunks(producer, ahead) for producer in range(PRODUCERS)]
    raw_bytes = statistics.mean(len(raw) for chunk in chunks[0] for _, raw in chunk)
    with scratch() as directory:
        raw_eps = write_raw(directory / "raw", 30 if quick else 100)
        workspace = make_ledger(directory / "ws")
        seen = write_and_archive(workspace, chunks, soak, half_load_s=2.0 if quick else 10.0)
    eps, core_eps = (seen.events / s for s in (seen.elapsed_s, seen.sequencer_s + seen.follower_s))
    each = f"sequencer {seen.sequencer_s / seen.events * 1e6:.1f} and follower {seen.follower_s / seen.events * 1e6:.1f} µs of CPU an event"
    how, half = f"{seen.events:,} events in {seen.elapsed_s:.0f} s", f"at {seen.half_eps:,.0f} events/s"
    waits = [percentile(seen.waits_s, part) * 1000 for part in (0.5, 0.99)]
    third, most = max(1, len(seen.memory_mb) // 3), max(seen.memory_mb)
    rss = f"limit {TARGET_RSS_MB} MB; {how}; last third "
    grown = statistics.median(seen.memory_mb[-third:]) / statistics.median(seen.memory_mb[third : 2 * third] or seen.memory_mb)
    return [
        result("ledger.end_to_end.eps", eps, "events/s", f"target {TARGET_EPS:,}; {how}", eps / TARGET_EPS),
        result("sealed.eps", eps, "events/s", f"raw write+fdatasync of the same bytes, {raw_eps:,.0f} events/s", eps / raw_eps),
        result("ledger.end_to_end.eps_per_core", core_eps, "events/s of CPU time", f"target {TARGET_EPS:,}; {each}", core_eps / TARGET_EPS),
        *(
            result(f"ledger.end_to_end.ack_{name}_ms", wait, "ms", f"target {target} ms {half}", wait / target)
            for name, wait, target in zip(("p50", "p99"), waits, TARGET_ACK_MS, strict=True)
        ),
        result(
            "ledger.rss_mb", most, "MiB", f"{rss}{grown:.2f} times the one before", most / TARGET_RSS_MB
        ),
        result(
            "ledger.bytes_per_event", seen.bytes_per_event, "bytes", f"target {TARGET_BYTES}; the event itself {raw_bytes:.0f}",
            seen.bytes_per_event / TARGET_BYTES,
        ),
    ]  # fmt: skip


def make_chunks(producer: int, count: int) -> list[Chunk]:
    """Return a producer's batches; no two events of a run are alike."""
    first = producer * count * BATCH
    return [[(MADE, raw) for raw in make_predictions(at, BATCH)] for at in range(first, first + count * BATCH, BATCH)]


def write_and_archive(workspace: Workspace, chunks: list[list[Chunk]], soak_s: float, *, half_load_s: float) -> Written:
    """Write all chunks (or go round them for `soak_s`), wait until the last event was found in the archive; then half of the load."""
    seen, marks = Written(), events_directory(workspace.ledger, LOG.tenant)
    with sequencer_process(workspace) as sequencer, follower_process(workspace) as follower:
        started = time.perf_counter()
        with watched(seen, sequencer, follower), contextlib.ExitStack() as stack:
            clients = [stack.enter_context(LedgerClient.connect(workspace.run, BENCH.code, timeout_s=60)) for _ in chunks]
            sent = in_parallel(lambda number: send(clients[number], chunks[number], 1, until_s=started + soak_s if soak_s else 0.0))
            seen.events = sum(sent)
            while high_water(marks).get(str(LOG), 0) < seen.events:
                if time.perf_counter() - started > soak_s + _CATCH_UP_S:
                    raise TimeoutError(f"only {high_water(marks)} of {seen.events} events were archived")
                time.sleep(0.02)
            events = Events(workspace.ledger, LOG.tenant)
            find(events, len(chunks) * len(chunks[0]) * BATCH - 1)
            seen.elapsed_s = time.perf_counter() - started
            seen.sequencer_s, seen.follower_s = sequencer.cpu_s(), follower.cpu_s()
            count_all(events, seen.events)
            seen.bytes_per_event = bytes_on_disk(workspace) / seen.events
            seen.half_eps = seen.events / seen.elapsed_s / 2
            pause_s = PRODUCERS * BATCH / seen.half_eps
            until_s = time.perf_counter() + half_load_s
            waits: list[list[float]] = [[] for _ in chunks]
            in_parallel(lambda number: send(clients[number], chunks[number], sent[number] + 1, until_s, pause_s, waits[number]))
            seen.waits_s = [wait for each in waits for wait in each]
    return seen


def send(
    client: LedgerClient, chunks: list[Chunk], first_seq: int, until_s: float = 0.0, pause_s: float = 0.0, waits: list[float] | None = None
) -> int:
    """Append each chunk once, or go round until a time; one every `pause_s`. Return how many events that were."""
    seq = first_seq
    while True:
        for items in chunks:
            started = time.perf_counter()
            if until_s and started >= until_s:
                return seq - first_seq
            client.append(LOG, seq, items)
            seq += len(items)
            took = time.perf_counter() - started
            if waits is not None:
                waits.append(took)
            if pause_s > took:
                time.sleep(pause_s - took)
        if not until_s:
            return seq - first_seq


def in_parallel(work: Callable[[int], int]) -> list[int]:
    """Return what `work` returns for each producer, all at the same time; the first error, if there is one."""
    found: list[Any] = [None] * PRODUCERS

    def one(number: int) -> None:
        try:
            found[number] = work(number)
        except Exception as error:
            found[number] = error

    threads = [threading.Thread(target=one, args=(number,)) for number in range(PRODUCERS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for each in found:
        if isinstance(each, Exception):
            raise each
    return found


@contextlib.contextmanager
def watched(seen: Written, *children: Child) -> Iterator[None]:
    """Note ten times a second what the processes hold in memory."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            seen.memory_mb.append(sum(child.rss_mb() for child in children))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def find(events: Events, number: int) -> None:
    found = events.find(event_id(0, number))
    if found is None or json.loads(found.raw)["id"] != event_id(0, number):
        raise AssertionError(f"event {number} was not found")


def count_all(events: Events, total: int) -> None:
    """Raises AssertionError if the archive does not hold every event once."""
    query = "SELECT count(*), count(DISTINCT idx) FROM events WHERE log = ? AND idx >= ? AND idx < ?"
    for first in range(0, total + 1, _COUNTED_AT_ONCE):  # what is distinct is kept in memory, and that is bounded
        end, due = first + _COUNTED_AT_ONCE, min(total - first, _COUNTED_AT_ONCE)
        counted = events.select(query, [str(LOG), first, end], timeout_s=300.0).rows
        if counted != [(due, due)]:
            raise AssertionError(f"the archive holds {counted} events from {first} on, expected {due}")


def bytes_on_disk(workspace: Workspace) -> int:
    """Return what the log's events cost that stay: Parquet, entries, levels. The journal is emptied behind them."""
    parts = read_manifest(events_directory(workspace.ledger, LOG.tenant)).parts
    arrays = [path for path in LOG.directory(workspace.ledger).iterdir() if path.name == "entries" or path.name.startswith("L")]
    return sum(part.size_bytes for part in parts if part.log == str(LOG)) + sum(path.stat().st_size for path in arrays)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--soak", type=float, default=0.0, metavar="S", help="write for so many seconds")
    options = parser.parse_args()
    for each in run(options.quick, options.soak):
        print(each)
