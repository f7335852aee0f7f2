"""How many events a second become durable, against nothing but writing and syncing the same bytes, and against the hashing.

`ledger.journal.eps`           in one process: sequence numbers, salts, commitments, entries, leaf hashes, journal, fdatasync
`journal.eps`                  the same against the raw write and sync alone
`ledger.journal.eps_per_core`  the same by CPU time, which a busy machine disturbs less
`ledger.journal.hash_floor`    the two SHA-256 of each event by hashlib, one call each, and nothing else: what the journal could
                               not go below before they were made in one call (0108). The ratio is its speed over that
`ledger.journal.socket_eps`    the real sequencer process, two producers, batches of 1,000
`ledger.journal.ack_p50_ms`    one event at a time through the socket: the wait for one sync and two processes
"""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

from bench.support import BATCH, LOG, make_ledger, result, scratch, sequencer_process

from jurat.core.clock import SystemClock
from jurat.domain.kinds import BENCH
from jurat.ledger.client import LedgerClient
from jurat.ledger.journal import JournalWriter, first_position
from jurat.ledger.memory import keep_freed_memory
from jurat.ledger.sequencer import Fresh, LogHead, ProducerKey, Sequencer, Submission

KIND: Final = 51
TARGET_EPS: Final = 250_000


def make_events(count: int) -> list[bytes]:
    """Return events of 600 bytes, no two alike."""
    return [
        (b'{"id":"evt_%026d","kind":"prediction.made.v1","data":{"fill":"' % n + os.urandom(270).hex().encode())[:597] + b'"}}'
        for n in range(count)
    ]


def run(quick: bool) -> list[dict[str, Any]]:
    """Return the results, each with its `name`, `value`, `unit`, `against` and `ratio`."""
    rounds, batches = (3, 30) if quick else (7, 100)
    events = make_events(BATCH)
    keep_freed_memory()  # as the sequencer's process does
    raw_rates, rates, core_rates, hash_rates = [], [], [], []
    with scratch() as directory:
        for number in range(rounds):  # taken in turns, so that a disturbance of the machine hits all
            raw_rates.append(write_raw(directory / f"raw-{number}", batches))
            rate, core_rate = write_journal(directory / f"journal-{number}", events, batches)
            rates.append(rate)
            core_rates.append(core_rate)
            hash_rates.append(hash_only(events, batches))
        socket_rate, ack_s = write_through_socket(directory / "ws", events, batches)
    raw_rate, rate, core_rate, hash_rate = (statistics.median(each) for each in (raw_rates, rates, core_rates, hash_rates))
    target, raw = f"target {TARGET_EPS:,}", f"raw write+fdatasync of the same bytes, {raw_rate:,.0f} events/s"
    return [
        result("ledger.journal.eps", rate, "events/s", f"{target}; {raw}", rate / TARGET_EPS),
        result("journal.eps", rate, "events/s", raw, rate / raw_rate),
        result("ledger.journal.eps_per_core", core_rate, "events/s of CPU time", target, core_rate / TARGET_EPS),
        result("ledger.journal.hash_floor", hash_rate, "events/s of CPU time", "ledger.journal.eps_per_core", core_rate / hash_rate),
        result("ledger.journal.socket_eps", socket_rate, "events/s", raw, socket_rate / raw_rate),
        result("ledger.journal.ack_p50_ms", ack_s * 1000, "ms", "one fdatasync of one event", ack_s / sync_one(quick)),
    ]


def hash_only(events: list[bytes], batches: int) -> float:
    """Return events/s of CPU time of a loop that makes one commitment and one leaf hash of each event."""
    sha256, entry, opened = hashlib.sha256, bytes(60), [bytes(32) + event for event in events]
    started = time.process_time()
    for _ in range(batches):
        for each in opened:
            sha256(each).digest()
            sha256(entry).digest()
    return BATCH * batches / (time.process_time() - started)


def record_bytes() -> int:
    """Bytes that the journal writes for a batch."""
    return 80 + BATCH * (59 + 4 + 16 + 600)


def write_raw(path: Path, batches: int) -> float:
    """Return events/s of a loop that only writes and syncs, into a preallocated file as the journal does."""
    chunk = os.urandom(record_bytes())
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.posix_fallocate(descriptor, 0, len(chunk) * batches)
    os.fsync(descriptor)
    started = time.perf_counter()
    for number in range(batches):
        os.pwrite(descriptor, chunk, number * len(chunk))
        os.fdatasync(descriptor)
    elapsed_s = time.perf_counter() - started
    os.close(descriptor)
    path.unlink()
    return BATCH * batches / elapsed_s


def write_journal(directory: Path, events: list[bytes], batches: int) -> tuple[float, float]:
    """Return events/s by the wall clock and by CPU time."""
    directory.mkdir()
    (directory / "uuid").write_text("00" * 16)
    writer = JournalWriter(directory, first_position(directory), segment_size=record_bytes() * batches)
    sequencer, clock, key = Sequencer({LOG: LogHead(bytes(8), 0, 0)}, {}), SystemClock(), ProducerKey(LOG, BENCH.code, 1)
    kinds = [KIND] * BATCH
    started, started_cpu = time.perf_counter(), time.process_time()
    for number in range(batches):
        verdicts = sequencer.prepare([Submission(key, number * BATCH + 1, kinds, events)], clock.now_ns())
        writer.append([verdict.batch for verdict in verdicts if isinstance(verdict, Fresh)])
        sequencer.confirm(verdicts)
    elapsed_s, cpu_s = time.perf_counter() - started, time.process_time() - started_cpu
    assert sequencer.heads[LOG].size == BATCH * batches
    writer.close()
    shutil.rmtree(directory)
    return BATCH * batches / elapsed_s, BATCH * batches / cpu_s


def write_through_socket(root: Path, events: list[bytes], batches: int) -> tuple[float, float]:
    """Return events/s of two producers through the sequencer process, and the median wait for one event, in seconds."""
    workspace = make_ledger(root)
    with sequencer_process(workspace):
        items = [(KIND, raw) for raw in events]

        def produce() -> None:
            with LedgerClient.connect(workspace.run, BENCH.code, timeout_s=60) as client:
                for number in range(batches):
                    client.append(LOG, number * BATCH + 1, items)

        producers = [threading.Thread(target=produce) for _ in range(2)]
        started = time.perf_counter()
        for each in producers:
            each.start()
        for each in producers:
            each.join()
        rate = 2 * BATCH * batches / (time.perf_counter() - started)
        with LedgerClient.connect(workspace.run, BENCH.code) as client:
            waits = []
            for seq in range(1, 301):
                started = time.perf_counter()
                client.append(LOG, seq, items[:1])
                waits.append(time.perf_counter() - started)
        return rate, statistics.median(waits)


def sync_one(quick: bool) -> float:
    """Return the median time, in seconds, of writing and syncing one event."""
    waits = []
    with scratch() as directory:
        descriptor = os.open(directory / "one", os.O_RDWR | os.O_CREAT, 0o600)
        os.posix_fallocate(descriptor, 0, 1024 * 1024)
        os.fsync(descriptor)
        chunk = os.urandom(759)
        for number in range(100 if quick else 300):
            started = time.perf_counter()
            os.pwrite(descriptor, chunk, number * len(chunk))
            os.fdatasync(descriptor)
            waits.append(time.perf_counter() - started)
        os.close(descriptor)
    return statistics.median(waits)


if __name__ == "__main__":
    for each in run("--quick" in sys.argv):
        print(each)
