"""How many events a second go all the way: acknowledged, sealed, in Parquet and searchable.

`sealed.eps`           two producers, the real sequencer process and the real follower in a process of its own, from the
                       first append until the archive holds every event and a query over it has found the last one
`sealed.eps_per_core`  the same by the CPU time of sequencer and follower, which a busy machine disturbs less
`sealed.bytes`         what an event costs on disk in Parquet, against its raw bytes
`sealed.find_ms`       one event by its id among all of them, against reading one column of all rows
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench.ledger_write import LOG, result, scratch, sequencer_process

from jurat.core.workspace import Workspace
from jurat.domain.kinds import BENCH
from jurat.ledger.archive import Follower
from jurat.ledger.client import LedgerClient
from jurat.ledger.layout import events_directory
from jurat.ledger.manifest import high_water, read_manifest
from jurat.ledger.query import Events
from jurat.ledger.rows import Span, table_of

KIND: Final = 51
BATCH: Final = 1_000
PRODUCERS: Final = 2
TARGET_EPS: Final = 100_000  # sustained, end to end
_TIMEOUT_S: Final = 300.0


def run(quick: bool) -> list[dict[str, Any]]:
    """Return the results, each with its `name`, `value`, `unit`, `against` and `ratio`."""
    batches = 30 if quick else 150
    total = PRODUCERS * batches * BATCH
    chunks = [make_batch(producer, number) for producer in range(PRODUCERS) for number in range(batches)]
    raw_bytes = sum(len(raw) for chunk in chunks for _, raw in chunk)
    with scratch() as directory:
        raw_rate = write_raw(directory / "raw", chunks)
        elapsed_s, cpu_s, workspace = write_and_archive(directory / "ws", chunks, batches)
        events = Events(workspace.ledger, LOG.tenant)
        scan_s = statistics.median(timed(lambda: events.select("SELECT count(DISTINCT event_id) FROM events")) for _ in range(5))
        find_s = statistics.median(timed(lambda number=number: find(events, number)) for number in range(0, total, total // 9))
        parts = read_manifest(events_directory(workspace.ledger, LOG.tenant)).parts
    per_event = sum(part.size_bytes for part in parts) / total
    return [
        result(
            "sealed.eps",
            total / elapsed_s,
            "events/s",
            f"raw write+fdatasync of the same bytes, {raw_rate:,.0f} events/s",
            total / elapsed_s / raw_rate,
        ),
        result("sealed.eps_per_core", total / cpu_s, "events/s of CPU time", f"target {TARGET_EPS:,}", total / cpu_s / TARGET_EPS),
        result("sealed.bytes", per_event, "bytes/event", f"the event's own {raw_bytes / total:.0f} bytes", per_event / (raw_bytes / total)),
        result("sealed.find_ms", find_s * 1000, "ms", f"one column of all {total:,} rows", find_s / scan_s),
    ]


def children_cpu_s() -> float:
    """Return the CPU seconds of the processes that we started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def event_id(number: int) -> str:
    return f"evt_{number:026d}"


def make_batch(producer: int, number: int) -> list[tuple[int, bytes]]:
    """Return a batch as the gateway writes it: predictions of some 650 bytes, no two alike."""
    first = (number * PRODUCERS + producer) * BATCH
    return [(KIND, make_event(first + place)) for place in range(BATCH)]


def make_event(number: int) -> bytes:
    """Return a prediction's record. Ids and the input's hash cannot be compressed, the rest can, as in real ones."""
    return json.dumps(
        {
            "id": event_id(number),
            "kind": "prediction.made.v1",
            "at": f"2026-11-25T19:{number // 60_000_000 % 60:02}:{number // 1_000_000 % 60:02}.{number % 1_000_000:06}Z",
            "actor": {"principal": f"prn_{number % 40:026d}", "type": "service", "chain": [f"prn_{number % 40:026d}"]},
            "decision": {"effect": "allow", "policies": ["serve-production"], "policy_set": "sha256:" + "7" * 64},
            "resource": f"models/prod/credit@1.{number % 3}.0",
            "because": [],
            "data": {
                "prediction": f"prd_{os.urandom(13).hex()}",
                "endpoint": "credit",
                "version": f"1.{number % 3}.0",
                "input_hash": os.urandom(32).hex(),
                "output": [round(number % 997 / 997, 6)],
                "confidence": round(number % 991 / 991, 6),
                "outcome": "released",
                "latency_ms": number % 89 / 8,
            },
        }
    ).encode()


def write_raw(path: Path, chunks: list[list[tuple[int, bytes]]]) -> float:
    """Return events/s of a loop that only writes and syncs the same bytes, batch by batch, into a preallocated file."""
    joined = [b"".join(raw for _, raw in chunk) for chunk in chunks]
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.posix_fallocate(descriptor, 0, sum(map(len, joined)))
    os.fsync(descriptor)
    started, at = time.perf_counter(), 0
    for chunk in joined:
        at += os.pwrite(descriptor, chunk, at)
        os.fdatasync(descriptor)
    elapsed_s = time.perf_counter() - started
    os.close(descriptor)
    path.unlink()
    return BATCH * len(chunks) / elapsed_s


def write_and_archive(root: Path, chunks: list[list[tuple[int, bytes]]], batches: int) -> tuple[float, float, Workspace]:
    """Return the seconds from the first append until the last event was found in the archive, and those of CPU time."""
    cpu_before_s = children_cpu_s()
    total, workspace = len(chunks) * BATCH, Workspace(root)
    marks = events_directory(workspace.ledger, LOG.tenant)
    with sequencer_process(root) as run_directory, follower_process(root) as start_cpu_s:

        def produce(producer: int) -> None:
            with LedgerClient.connect(run_directory, BENCH.code, timeout_s=60) as client:
                for number, items in enumerate(chunks[producer * batches : (producer + 1) * batches]):
                    client.append(LOG, number * BATCH + 1, items)

        started = time.perf_counter()
        threads = [threading.Thread(target=produce, args=(producer,)) for producer in range(PRODUCERS)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        while high_water(marks).get(str(LOG), 0) < total:
            if time.perf_counter() - started > _TIMEOUT_S:
                raise TimeoutError(f"only {high_water(marks)} of {total} events were archived within {_TIMEOUT_S:.0f} s")
            time.sleep(0.02)
        events = Events(workspace.ledger, LOG.tenant)
        find(events, total - 1)
        elapsed_s = time.perf_counter() - started
        counted = events.select("SELECT count(*), count(DISTINCT idx), max(idx) FROM events").rows
        if counted != [(total, total, total - 1)]:
            raise AssertionError(f"the archive holds {counted}, expected {total} events")
    return elapsed_s, children_cpu_s() - cpu_before_s - start_cpu_s, workspace


def find(events: Events, number: int) -> None:
    found = events.find(event_id(number))
    if found is None or json.loads(found.raw)["id"] != event_id(number):
        raise AssertionError(f"event {number} was not found")


def timed(work: Any) -> float:
    """Return how long it took, in seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@contextmanager
def follower_process(root: Path) -> Iterator[float]:
    """Run the archive's follower in a process of its own; yields the CPU seconds that its start took."""
    command = [sys.executable, "-m", "bench.ledger_sealed", str(root)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield float(process.stdout.readline())
    finally:
        process.communicate()  # closes its stdin, at which it ends
    if process.returncode != 0:
        raise RuntimeError(f"the follower ended with {process.returncode}")


def follow(root: Path) -> None:
    """Archive what is sealed until stdin ends. What waited a second is due: nobody waits a minute for a figure."""
    ended = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    with Follower(Workspace(root).ledger, LOG.tenant, flush_age_s=1.0) as follower:
        table_of([Span(0, 1, bytes(59), bytes(4), bytes(16))])  # pyarrow's lazy imports belong to the start
        print(time.process_time(), flush=True)
        while not ended.wait(0.05):
            follower.step()


if __name__ == "__main__":
    follow(Path(sys.argv[1]))
