"""The sequencer is killed at each named point of the write path, while producers send and resend.

Promised: what was acknowledged is there, once, in order, with its bytes; nothing is there that was not sent; a replay of
the journal gives the same bytes; the ledger starts again by itself.
"""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest
from tests.ledger_workspace import ACCESS, BENCH_PRODUCER, INFERENCE, PREDICTION_MADE, RECORDS_READ, Daemon, make_workspace, running

from jurat.core.errors import Unavailable
from jurat.core.workspace import Workspace
from jurat.ledger.arrays import ArrayReader
from jurat.ledger.client import Appended, LedgerClient
from jurat.ledger.crash_points import POINTS
from jurat.ledger.journal import scan
from jurat.ledger.layout import LogName, hash_origin, journal_directory
from jurat.merkle.entry import commit_event, unpack_entry

TOTAL = 400  # events of each producer


class Producer(threading.Thread):
    """Sends events 1 to TOTAL in batches of uneven size, and sends each again until it is acknowledged."""

    def __init__(self, workspace: Workspace, producer: int, log: LogName, kind: int) -> None:
        super().__init__()
        self.workspace, self.producer, self.log, self.kind = workspace, producer, log, kind
        self.acknowledged: dict[int, int] = {}  # seq -> index
        self.sent = 0
        self.give_up = threading.Event()

    def raw(self, seq: int) -> bytes:
        return b'{"producer":%d,"seq":%d,"fill":"%s"}' % (self.producer, seq, b"x" * (seq * 37 % 900))

    def run(self) -> None:
        client: LedgerClient | None = None
        seq = 1
        while seq <= TOTAL and not self.give_up.is_set():
            count = min(1 + seq * 7 % 23, TOTAL - seq + 1)
            try:
                client = client or LedgerClient.connect(self.workspace.run, self.producer, epoch=1, timeout_s=5)
                self.sent = max(self.sent, seq + count - 1)
                appended = client.append(self.log, seq, [(self.kind, self.raw(n)) for n in range(seq, seq + count)])
            except Unavailable:
                self.give_up.wait(0.02)
                continue
            self.note(seq, count, appended)
            seq += count
        if client is not None:
            client.close()

    def note(self, seq: int, count: int, appended: Appended) -> None:
        self.acknowledged[seq] = appended.first_index
        if not appended.duplicate:
            self.acknowledged.update({seq + n: appended.first_index + n for n in range(count)})
        self.acknowledged.setdefault(seq + count - 1, -1)  # acknowledged, wherever it is


def read_log(workspace: Workspace, log: LogName, size: int) -> list[tuple[int, int]]:
    """Return (producer, seq) of each entry, every event's bytes checked against its commitment and its entry."""
    reader = ArrayReader(log.directory(workspace.ledger), log.entry_size)
    entries = [unpack_entry(raw) for raw in reader.entries(0, size)]
    reader.close()
    wanted, at = hash_origin(f"jurat.local/{log}")[:8], 0
    for placed in scan(journal_directory(workspace.ledger)):
        if placed.record.header.origin_hash == wanted:
            for salt, raw in placed.record.payloads():
                assert commit_event(salt, raw) == entries[at].commitment
                assert b'{"producer":%d,"seq":%d,' % (entries[at].producer, entries[at].seq) in raw
                at += 1
    assert at == size
    return [(entry.producer, entry.seq) for entry in entries]


def array_files(workspace: Workspace) -> dict[str, bytes]:
    names = [*workspace.ledger.glob("main/*/entries"), *workspace.ledger.glob("main/*/L?"), *workspace.ledger.glob("anchor/[eL]*")]
    return {str(path.relative_to(workspace.ledger)): path.read_bytes() for path in names}


def check_promises(workspace: Workspace, producers: list[Producer]) -> None:
    with running(workspace) as daemon, daemon.connect() as client:
        client.flush()
        status = {each.log: each for each in client.status()}
    for log in (INFERENCE, ACCESS):
        of_log = [each for each in producers if each.log == log]
        assert status[str(log)].sealed_size == status[str(log)].size
        found = read_log(workspace, log, status[str(log)].size)
        for producer in of_log:
            mine = [(index, seq) for index, (number, seq) in enumerate(found) if number == producer.producer]
            assert [seq for _, seq in mine] == list(range(1, TOTAL + 1))  # each once, in order, none missing
            where = {seq: index for index, seq in mine}
            assert {seq: index for seq, index in producer.acknowledged.items() if index >= 0}.items() <= where.items()
        assert len(found) == TOTAL * len(of_log)
    expected = array_files(workspace)
    for name in expected:
        (workspace.ledger / name).unlink()
    with running(workspace):
        pass
    assert array_files(workspace) == expected


@pytest.mark.parametrize("times", [pytest.param(1, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_point_of_the_write_path(tmp_path: Path, point: str, times: int) -> None:
    workspace = make_workspace(tmp_path / "ws")
    producers = [Producer(workspace, BENCH_PRODUCER, INFERENCE, PREDICTION_MADE), Producer(workspace, 3, INFERENCE, PREDICTION_MADE)]
    producers.append(Producer(workspace, 3, ACCESS, RECORDS_READ))
    first = Daemon(workspace, crash_at=f"{point}:{times}", segment_bytes=64 * 1024)
    second: Daemon | None = None
    try:
        for producer in producers:
            producer.start()
        if point.startswith(("after_sign", "after_cas")):
            _flush_until_dead(first)
        code, errors = first.wait()
        assert code == -signal.SIGKILL, errors
        second = Daemon(workspace, segment_bytes=64 * 1024)
        assert second.ready_line, second.wait()
        for producer in producers:
            producer.join(60)
            assert not producer.is_alive()
        assert second.stop() == (0, "")
    finally:
        for producer in producers:
            producer.give_up.set()
        for daemon in (first, second):
            if daemon is not None and daemon.process.poll() is None:
                daemon.kill()
    check_promises(workspace, producers)


def test_killed_again_and_again_at_any_moment(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws")
    producers = [Producer(workspace, 3, INFERENCE, PREDICTION_MADE), Producer(workspace, 3, ACCESS, RECORDS_READ)]
    daemon = Daemon(workspace, segment_bytes=64 * 1024)
    try:
        for producer in producers:
            producer.start()
        for round_number in range(6):
            producers[0].join(0.003 + 0.011 * round_number)
            daemon.kill()
            daemon = Daemon(workspace, segment_bytes=64 * 1024)
            assert daemon.ready_line, daemon.wait()
        for producer in producers:
            producer.join(60)
            assert not producer.is_alive()
        assert daemon.stop() == (0, "")
    finally:
        for producer in producers:
            producer.give_up.set()
        if daemon.process.poll() is None:
            daemon.kill()
    check_promises(workspace, producers)


def _flush_until_dead(daemon: Daemon) -> None:
    """Seal again and again, so that the point is reached soon; something new each time."""
    seq = 1
    try:
        with daemon.connect(producer=2, epoch=7) as client:
            while daemon.process.poll() is None:
                client.append(LogName("main", "error"), seq, [(70, b"{}")])
                client.flush()
                seq += 1
    except Unavailable:
        pass
