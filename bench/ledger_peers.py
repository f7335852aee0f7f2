"""What others make of the same events, in the same batches of a thousand, each batch durable before the next.

`ledger.vs_postgres_copy`  PostgreSQL (the embedded one, synced): COPY of the events, shredded, into a table with the same
                           four indexes; against our sequencer behind its socket, one producer
`ledger.vs_pymerkle`       pymerkle 7, its SQLite tree; and
`ledger.vs_witness_log`    witness-log 0.6 with its payload store: in one process, so against our write path in one process

The value is the peer's, the ratio is ours to it; ours is to be twice the best of them. Ours gives each event a salted
commitment and a leaf, and keeps entries and tiles; the searchable copy (Parquet) comes later, see `ledger.end_to_end.eps`.
Rounds are taken in turns, so that a disturbance of the machine hits everybody.
"""

from __future__ import annotations

import shutil
import statistics
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
from bench.predictions import MADE, make_predictions
from bench.support import BATCH, LOG, make_ledger, result, scratch, sequencer_process, timed

from jurat.core.clock import SystemClock
from jurat.core.settings import Settings, lock_file
from jurat.core.workspace import Workspace
from jurat.domain.kinds import BENCH
from jurat.ledger.client import LedgerClient
from jurat.ledger.create import load_signers
from jurat.ledger.journal import SEGMENT_SIZE
from jurat.ledger.lockstore import LockStore
from jurat.ledger.publish import ForwardClock
from jurat.ledger.recover import recover
from jurat.ledger.sequencer import ProducerKey, Submission
from jurat.ledger.shred import shred
from jurat.store.cluster import SUPERUSER, Cluster

PEERS: Final = Path(sys.prefix) / "peers" / "bin" / "python"
FLOOR: Final = 2.0  # times the best peer
_COLUMNS: Final = (
    "event_id",
    "occurred_at",
    "principal",
    "resource",
    "effect",
    "prediction",
    "version",
    "latency_ms",
    "confidence",
    "outcome",
)
_TABLE: Final = """
CREATE TABLE event (
    event_id text, occurred_at timestamptz, principal text, resource text, effect text, prediction text, version text,
    latency_ms float8, confidence float8, outcome text, raw bytea
);
CREATE INDEX ON event (event_id);
CREATE INDEX ON event (principal);
CREATE INDEX ON event (resource);
CREATE INDEX ON event (prediction)
"""


class Rates(NamedTuple):
    """Events a second of each round."""

    ours_alone: list[float]
    ours_socket: list[float]
    postgres: list[float]
    pymerkle: list[float]
    witness_log: list[float]


def run(quick: bool) -> list[dict[str, Any]]:
    """Return the results, each with its `name`, `value`, `unit`, `against` and `ratio`."""
    if not PEERS.exists():
        raise RuntimeError(f"there is no `{PEERS}`: run `make bench`, which sets it up")
    rounds, batches = (2, 10) if quick else (5, 50)
    chunks = [list(make_predictions(first, BATCH)) for first in range(0, batches * BATCH, BATCH)]
    rows = [[(*shred(raw), raw) for raw in chunk] for chunk in chunks]
    total, rates = batches * BATCH, Rates([], [], [], [], [])
    with scratch() as directory, postgres(directory) as dsn:
        write_file(directory / "events", chunks)
        for number in range(rounds):
            rates.ours_alone.append(total / write_alone(directory / f"alone-{number}", chunks))
            rates.ours_socket.append(total / write_through_socket(directory / f"socket-{number}", chunks))
            rates.postgres.append(total / copy_into_postgres(dsn, rows))
            rates.pymerkle.append(total / run_peer("pymerkle", directory))
            rates.witness_log.append(total / run_peer("witness-log", directory))
    alone, socket, *peers = (statistics.median(each) for each in rates)
    floor = f"to be {FLOOR:g} times the best, {max(peers):,.0f}"
    return [
        result(f"ledger.vs_{name}", peer, "events/s", f"ours {ours:,.0f} events/s {how}, {floor}", ours / peer)
        for name, peer, ours, how in (
            ("postgres_copy", peers[0], socket, "through the socket"),
            ("pymerkle", peers[1], alone, "in one process"),
            ("witness_log", peers[2], alone, "in one process"),
        )
    ]


def write_file(path: Path, chunks: list[list[bytes]]) -> None:
    """Write what `peer` reads."""
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(struct.pack(">I", len(chunk)) + b"".join(struct.pack(">I", len(raw)) + raw for raw in chunk))


def write_alone(root: Path, chunks: list[list[bytes]]) -> float:
    """Return the seconds of our write path in this process: journal, synced, then entries and tiles."""
    workspace, settings, clock = make_ledger(root), Settings(), ForwardClock(SystemClock())
    lock = LockStore(lock_file(workspace, settings))
    engine, _ = recover(workspace.ledger, load_signers(workspace, settings, clock), lock, segment_size=SEGMENT_SIZE)
    key, kinds = ProducerKey(LOG, BENCH.code, 1), [MADE] * BATCH

    def write() -> None:
        for number, raws in enumerate(chunks):
            engine.settle(engine.write([Submission(key, number * BATCH + 1, kinds, raws)], clock.now_ns()))

    try:
        return timed(write)
    finally:
        engine.close()
        lock.close()
        shutil.rmtree(root)


def write_through_socket(root: Path, chunks: list[list[bytes]]) -> float:
    """Return the seconds of one producer that waits for each batch."""
    workspace: Workspace = make_ledger(root)
    with sequencer_process(workspace), LedgerClient.connect(workspace.run, BENCH.code, timeout_s=60) as client:
        batches = [[(MADE, raw) for raw in chunk] for chunk in chunks]

        def write() -> None:
            for number, items in enumerate(batches):
                client.append(LOG, number * BATCH + 1, items)

        elapsed_s = timed(write)
    shutil.rmtree(root)
    return elapsed_s


def run_peer(name: str, directory: Path) -> float:
    """Return the seconds that a peer needed for the same events."""
    place = directory / name
    place.mkdir()
    try:
        command = [str(PEERS), "-I", str(Path(__file__).parent / "peer.py"), name, str(directory / "events"), str(place)]
        said = subprocess.run(command, check=True, capture_output=True, text=True, env={"HOME": str(place)}).stdout
        return float(said.split()[0])
    finally:
        shutil.rmtree(place)


def copy_into_postgres(dsn: str, rows: list[list[tuple[Any, ...]]]) -> float:
    """Return the seconds of one COPY and one synced commit a batch."""
    with psycopg.connect(dsn) as connection:
        connection.execute("DROP TABLE IF EXISTS event")
        connection.execute(_TABLE)
        settings = {name: connection.execute(f"SHOW {name}").fetchone() for name in ("fsync", "synchronous_commit")}
        connection.commit()
        if settings != {"fsync": ("on",), "synchronous_commit": ("on",)}:
            raise RuntimeError(f"PostgreSQL does not sync its commits: {settings}")

        def write() -> None:
            for chunk in rows:
                with connection.cursor() as cursor, cursor.copy(f"COPY event ({', '.join((*_COLUMNS, 'raw'))}) FROM STDIN") as copy:
                    for row in chunk:
                        copy.write_row(row)
                connection.commit()

        elapsed_s = timed(write)
        counted = connection.execute("SELECT count(*) FROM event").fetchone()
        if counted != (sum(map(len, rows)),):
            raise RuntimeError(f"PostgreSQL holds {counted}")
    return elapsed_s


@contextmanager
def postgres(directory: Path) -> Iterator[str]:
    """The embedded server as a workspace has it, with nothing in it; its connection string."""
    root = directory / "postgres"
    root.mkdir()
    cluster = Cluster(Workspace(root), Settings(), throwaway=True)
    cluster.start()
    try:
        yield cluster.dsn(SUPERUSER, "postgres")
    finally:
        cluster.stop()
        cluster.remove()


if __name__ == "__main__":
    for each in run("--quick" in sys.argv):
        print(each)
