"""One peer, in its own environment: `python peer.py pymerkle|witness-log EVENTS DIRECTORY`. Not a benchmark itself.

EVENTS is the same file for everybody: per batch a u32 count, then each event as u32 size and bytes. Each batch is durable
before the next; events are stored, not only hashed. Prints the seconds that it took, wall and CPU, of the writing alone.
Imports nothing of ours: this is run by another interpreter.
"""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path


def read_batches(path: Path) -> list[list[bytes]]:
    raw, at, batches = path.read_bytes(), 0, []
    while at < len(raw):
        (count,) = struct.unpack_from(">I", raw, at)
        at += 4
        batch = []
        for _ in range(count):
            (size,) = struct.unpack_from(">I", raw, at)
            batch.append(raw[at + 4 : at + 4 + size])
            at += 4 + size
        batches.append(batch)
    return batches


def pymerkle_writer(directory: Path) -> tuple[Callable[[list[bytes]], object], Callable[[], int]]:
    from pymerkle import SqliteTree

    tree = SqliteTree(str(directory / "pymerkle.db"))
    if tree.con.execute("PRAGMA synchronous").fetchone() != 2:  # FULL: each commit is synced
        raise RuntimeError("pymerkle's database does not sync its commits")
    return tree.append_entries, tree.get_size


def witness_log_writer(directory: Path) -> tuple[Callable[[list[bytes]], object], Callable[[], int]]:
    from witness_log import JournaledLog

    log = JournaledLog.create_ephemeral(str(directory / "witness.log"))
    log.enable_payload_store()

    def write(batch: list[bytes]) -> None:
        append = log.append_result
        for event in batch:
            append(event)
        log.sync()

    return write, log.tree_size


def main() -> None:
    name, events, directory = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    batches = read_batches(events)
    write, size = {"pymerkle": pymerkle_writer, "witness-log": witness_log_writer}[name](directory)
    started, started_cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        write(batch)
    elapsed_s, cpu_s = time.perf_counter() - started, time.process_time() - started_cpu
    if size() != sum(map(len, batches)):
        raise RuntimeError(f"{name} holds {size()} entries")
    print(elapsed_s, cpu_s)


if __name__ == "__main__":
    main()
