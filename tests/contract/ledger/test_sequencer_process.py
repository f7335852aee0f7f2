"""The real sequencer process, asked by the real clients over its socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.ledger_workspace import BENCH_PRODUCER, INFERENCE, PREDICTION_MADE, Daemon, make_workspace, running

from jurat.core.errors import Conflict, Malformed, NotFound, Unavailable
from jurat.core.workspace import Workspace
from jurat.ledger import wire
from jurat.ledger.arrays import ArrayReader
from jurat.ledger.client import AsyncLedgerClient, LedgerClient
from jurat.ledger.endpoint import socket_address
from jurat.ledger.journal import scan, segment_numbers
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import ANCHOR, LogName, events_directory, journal_directory, log_keys_file, signing_key_file
from jurat.ledger.manifest import Manifest, manifest_path, write_manifest
from jurat.ledger.receipt import open_receipt
from jurat.merkle.entry import unpack_entry
from jurat.merkle.note import parse_vkey
from jurat.merkle.tree import hash_leaves, root_of

RAW = b'{"kind":"prediction.made.v1"}'


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running(make_workspace(tmp_path_factory.mktemp("ledger") / "ws")) as found:
        yield found


@pytest.fixture
def client(daemon: Daemon) -> Iterator[LedgerClient]:
    with daemon.connect() as found:
        yield found


def items(count: int, raw: bytes = RAW) -> list[tuple[int, bytes]]:
    return [(PREDICTION_MADE, raw)] * count


def test_events_get_dense_indices(client: LedgerClient) -> None:
    first = client.append(INFERENCE, 1, items(3))
    second = client.append(INFERENCE, 4, items(1))
    assert (first.count, first.duplicate, second.first_index) == (3, False, first.first_index + 3)
    assert client.last_seq(INFERENCE) == 4
    assert client.last_seq(LogName("main", "error")) == 0


def test_sending_again_changes_nothing(client: LedgerClient) -> None:
    first = client.append(INFERENCE, 1, items(3), want_receipt=True)
    client.append(INFERENCE, 4, items(2))
    again = client.append(INFERENCE, 1, items(3), want_receipt=True)
    assert (again.first_index, again.received_ns, again.receipt, again.duplicate) == (
        first.first_index,
        first.received_ns,
        first.receipt,
        True,
    )
    partly = client.append(INFERENCE, 5, items(3))
    assert (partly.first_index, partly.count, partly.duplicate) == (first.first_index + 4, 3, True)
    assert client.last_seq(INFERENCE) == 7


def test_gap_is_refused_with_what_was_expected(client: LedgerClient) -> None:
    client.append(INFERENCE, 1, items(3))
    with pytest.raises(Conflict) as caught:
        client.append(INFERENCE, 5, items(1))
    assert (caught.value.code, caught.value.fields["expected"]) == ("sequence_gap", 4)
    client.append(INFERENCE, 4, items(1))  # the connection is still good


def test_fresh_epochs_differ_and_known_ones_go_on(daemon: Daemon, client: LedgerClient) -> None:
    client.append(INFERENCE, 1, items(2))
    with daemon.connect() as other:
        assert other.epoch > client.epoch
        assert other.append(INFERENCE, 1, items(1)).duplicate is False
    with daemon.connect(epoch=client.epoch) as same:
        assert same.last_seq(INFERENCE) == 2


def test_receipt_holds_and_says_where(daemon: Daemon, client: LedgerClient) -> None:
    keys = {each.log: each for each in load_log_keys(log_keys_file(daemon.workspace.keys))}["main/inference"]
    verifier = parse_vkey(keys.receipt_vkey)
    appended = client.append(INFERENCE, 1, items(5), want_receipt=True)
    receipt = open_receipt(appended.receipt, verifier)
    client.flush()
    reader = ArrayReader(INFERENCE.directory(daemon.workspace.ledger), 59)
    entries = reader.entries(appended.first_index, appended.first_index + 5)
    reader.close()
    assert receipt.root == root_of(hash_leaves(entries))
    assert (receipt.origin, receipt.first_index, receipt.count) == (keys.origin, appended.first_index, 5)
    assert (receipt.producer, receipt.epoch, receipt.first_seq) == (BENCH_PRODUCER, client.epoch, 1)
    assert (receipt.received_ns, receipt.merge_delay_ms) == (appended.received_ns, 10_000)
    single = open_receipt(client.receipt_for(INFERENCE, appended.first_index + 3), verifier)
    assert (single.first_index, single.count, single.first_seq, single.root) == (appended.first_index + 3, 1, 4, hash_leaves(entries)[3])
    with pytest.raises(NotFound):
        client.receipt_for(INFERENCE, 10**9)
    with pytest.raises(NotFound):
        client.receipt_for(ANCHOR, 0)


def test_flush_returns_when_sealed(client: LedgerClient) -> None:
    appended = client.append(INFERENCE, 1, items(5))
    client.flush()
    status = {each.log: each for each in client.status()}
    assert list(status) == [*(f"main/{n}" for n in ("training", "deployment", "inference", "access", "configuration", "error")), "anchor"]
    assert status["main/inference"].sealed_size >= appended.first_index + 5
    assert status["anchor"].sealed_size > 0


def test_seal_comes_by_itself_within_the_interval(client: LedgerClient) -> None:
    appended = client.append(INFERENCE, 1, items(1))
    deadline = time.monotonic() + 5
    while {each.log: each for each in client.status()}["main/inference"].sealed_size <= appended.first_index:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("log", "sent", "code"),
    [
        (INFERENCE, [(PREDICTION_MADE, b"x" * 1_048_577)], "event_too_large"),
        (INFERENCE, [(PREDICTION_MADE, b"")], "event_empty"),
        (INFERENCE, [(10, RAW)], "kind_unknown"),
        (INFERENCE, [(999, RAW)], "kind_unknown"),
        (INFERENCE, [], "nothing_to_append"),
        (INFERENCE, items(10_001), "event_too_large"),
        (LogName("main", "nonsense"), items(1), "malformed"),
    ],
    ids=["too_large", "empty", "other_class", "unknown_kind", "nothing", "too_many", "unknown_log"],
)  # fmt: skip
def test_bad_appends_are_refused_and_leave_no_trace(client: LedgerClient, log: LogName, sent: list[tuple[int, bytes]], code: str) -> None:
    with pytest.raises(Malformed) as caught:
        client.append(log, 1, sent)
    assert caught.value.code == code
    assert client.last_seq(INFERENCE) == 0
    client.append(INFERENCE, 1, items(1))


@pytest.mark.parametrize("log", [LogName("other", "inference"), ANCHOR])
def test_logs_of_others_cannot_be_written(client: LedgerClient, log: LogName) -> None:
    with pytest.raises(NotFound):
        client.append(log, 1, items(1))


def test_largest_event_is_taken(client: LedgerClient) -> None:
    assert client.append(INFERENCE, 1, items(2, b"x" * 1_048_576)).count == 2


def test_unknown_producer_is_refused(daemon: Daemon) -> None:
    with pytest.raises(Malformed, match="catalogue"):
        daemon.connect(producer=77)


@pytest.mark.parametrize(
    "raw", [b"\x00\x00\x00\x03abc", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02\x91\x01"], ids=["not_msgpack", "huge", "short"]
)
def test_garbage_closes_that_connection_only(daemon: Daemon, client: LedgerClient, raw: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as bad:
        bad.settimeout(5)
        bad.connect(str(socket_address(daemon.workspace.run)))
        bad.sendall(raw)
        received = b""
        while chunk := bad.recv(65536):
            received += chunk
    _, refused = wire.parse_reply(wire.FrameReader().feed(received)[0])
    assert isinstance(refused, wire.Refused)
    assert client.append(INFERENCE, 1, items(1)).count == 1


def test_append_before_hello_is_refused(daemon: Daemon) -> None:
    with socket.socket(socket.AF_UNIX) as bare:
        bare.settimeout(5)
        bare.connect(str(socket_address(daemon.workspace.run)))
        bare.sendall(wire.format_message(1, wire.Append("main/inference", 1, [PREDICTION_MADE], [RAW], False)))
        _, refused = wire.parse_reply(wire.FrameReader().feed(bare.recv(65536))[0])
    assert isinstance(refused, wire.Refused)
    assert "hello" in refused.detail


def test_requests_in_one_breath_are_answered_in_order(daemon: Daemon) -> None:
    """Many small appends that arrive together make few groups, and each gets its own answer."""
    with socket.socket(socket.AF_UNIX) as pipelined:
        pipelined.settimeout(10)
        pipelined.connect(str(socket_address(daemon.workspace.run)))
        pipelined.sendall(
            wire.format_message(0, wire.Hello(wire.VERSION, BENCH_PRODUCER, None))
            + b"".join(wire.format_message(n, wire.Append("main/inference", n, [PREDICTION_MADE], [RAW], False)) for n in range(1, 501))
        )
        frames, replies = wire.FrameReader(), []
        while len(replies) < 501:
            replies += [wire.parse_reply(frame) for frame in frames.feed(pipelined.recv(65536))]
    assert [number for number, _ in replies] == list(range(501))
    indices = [reply.first_index for _, reply in replies[1:] if isinstance(reply, wire.Appended)]
    assert indices == list(range(indices[0], indices[0] + 500))


# ── asyncio ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_async_puts_are_each_durable_in_the_order_of_the_calls(daemon: Daemon) -> None:
    async def go() -> list[int]:
        client = await AsyncLedgerClient.connect(daemon.workspace.run, 2)
        try:
            return [
                each.entry_index
                for each in await asyncio.gather(*(client.put(INFERENCE, PREDICTION_MADE, b"%d" % n) for n in range(2_500)))
            ]
        finally:
            await client.close()

    indices = asyncio.run(go())
    assert indices == sorted(set(indices))
    with daemon.connect() as client:
        client.flush()
    reader = ArrayReader(INFERENCE.directory(daemon.workspace.ledger), 59)
    entries = [unpack_entry(reader.entries(index, index + 1)[0]) for index in indices]
    reader.close()
    assert [entry.seq for entry in entries] == list(range(1, 2_501))
    assert {entry.producer for entry in entries} == {2}


def test_async_refusal_takes_no_other_event_down(daemon: Daemon) -> None:
    async def go() -> list[object]:
        client = await AsyncLedgerClient.connect(daemon.workspace.run, 2)
        try:
            puts = [
                client.put(INFERENCE, PREDICTION_MADE, RAW),
                client.put(INFERENCE, 10, RAW),
                client.put(INFERENCE, PREDICTION_MADE, b""),
            ]
            return await asyncio.gather(*puts, client.put(INFERENCE, PREDICTION_MADE, RAW), return_exceptions=True)
        finally:
            await client.close()

    good, wrong_kind, empty, also_good = asyncio.run(go())
    assert isinstance(wrong_kind, Malformed)
    assert isinstance(empty, Malformed)
    assert also_good.entry_index == good.entry_index + 1


def test_async_client_survives_a_restart_and_gives_up_in_time(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws")

    async def go() -> None:
        first = Daemon(workspace)
        client = await AsyncLedgerClient.connect(workspace.run, 2, timeout_s=1.0)
        before = await client.put(INFERENCE, PREDICTION_MADE, b"1")
        first.kill()
        started = time.monotonic()
        with pytest.raises(Unavailable):
            await client.put(INFERENCE, PREDICTION_MADE, b"2")
        assert 0.9 < time.monotonic() - started < 2
        waiting = asyncio.ensure_future(client.put(INFERENCE, PREDICTION_MADE, b"3"))
        await asyncio.sleep(0.1)
        second = await asyncio.to_thread(Daemon, workspace)
        try:
            with_restart = await waiting
        except Unavailable:  # the start took longer than the timeout; the next one must do
            with_restart = await client.put(INFERENCE, PREDICTION_MADE, b"4")
        after = await client.put(INFERENCE, PREDICTION_MADE, b"5")
        assert (before.entry_index, with_restart.entry_index, after.entry_index) == (0, 1, 2)
        await client.close()
        assert second.stop() == (0, "")

    asyncio.run(go())


def test_async_connect_without_a_sequencer_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        asyncio.run(AsyncLedgerClient.connect(tmp_path, 2, timeout_s=1))


# ── the process ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_second_sequencer_is_refused(daemon: Daemon) -> None:
    second = Daemon(daemon.workspace)
    code, errors = second.wait()
    assert (second.ready_line, code) == ("", Conflict.exit_code)
    assert "another sequencer runs" in errors


def test_sigterm_seals_and_ends_within_two_seconds(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws")
    daemon = Daemon(workspace)
    with daemon.connect() as client:
        client.append(INFERENCE, 1, items(1_000))
        started = time.monotonic()
        assert daemon.stop() == (0, "")
        assert time.monotonic() - started < 2
        with pytest.raises(Unavailable):
            client.status()
    assert not socket_address(workspace.run).exists()
    checkpoint = (INFERENCE.directory(workspace.ledger) / "checkpoint").read_text()
    assert checkpoint.splitlines()[1] == "1000"


def test_end_of_the_parent_ends_the_sequencer(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws")
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "jurat.ledger.daemon", str(workspace.root), "--parent-fd", str(read_end)],
        pass_fds=[read_end], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(read_end)
    assert process.stdout.readline().startswith("ready ")
    os.close(write_end)
    assert process.communicate(timeout=5) == ("", "")
    assert process.returncode == 0


def test_deep_workspace_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    workspace = make_workspace(deep / "ws")
    with running(workspace) as daemon:
        address = socket_address(workspace.run)
        assert len(str(address)) < 100
        assert address.parent.stat().st_mode & 0o777 == 0o700
        assert address.stat().st_mode & 0o777 == 0o600
        with daemon.connect() as client:
            client.append(INFERENCE, 1, items(1))
    assert not address.parent.exists()
    assert not (workspace.run / "ledger.addr").exists()


def test_killed_sequencer_leaves_a_socket_that_the_next_one_replaces(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws")
    Daemon(workspace).kill()
    assert socket_address(workspace.run).exists()
    with running(workspace) as daemon, daemon.connect() as client:
        client.append(INFERENCE, 1, items(1))


FAILING = """
import os, sys
from jurat.ledger import daemon
real, calls = os.{call}, [0]
def fails(*arguments):
    calls[0] += 1
    if calls[0] > {after}:
        raise OSError({errno}, os.strerror({errno}))
    return real(*arguments)
os.{call} = fails
sys.exit(daemon.main())
"""


@pytest.mark.parametrize(("call", "errno"), [("fdatasync", 5), ("pwrite", 5), ("pwrite", 28)])
def test_failed_write_or_sync_ends_the_process_and_the_next_start_goes_on(tmp_path: Path, call: str, errno: int) -> None:
    workspace = make_workspace(tmp_path / "ws")
    broken = Daemon(workspace, code=FAILING.format(call=call, errno=errno, after=12))
    acknowledged = 0
    with broken.connect() as client, contextlib.suppress(Unavailable):
        for seq in range(1, 1_000):
            client.append(INFERENCE, seq, items(1))
            acknowledged = seq
    code, errors = broken.wait()
    assert code == Unavailable.exit_code
    assert os.strerror(errno).lower() in errors
    assert 0 < acknowledged < 999
    with running(workspace) as daemon, daemon.connect(epoch=client.epoch) as again:
        assert acknowledged <= again.last_seq(INFERENCE) <= acknowledged + 1
        again.append(INFERENCE, again.last_seq(INFERENCE) + 1, items(1))


def test_full_disk_refuses_new_events_until_there_is_room(tmp_path: Path) -> None:
    code = """
import os, sys
from jurat.ledger import daemon
real = os.posix_fallocate
def full(descriptor, offset, size):
    if os.path.exists(sys.argv[1] + "/full"):
        raise OSError(28, os.strerror(28))
    real(descriptor, offset, size)
os.posix_fallocate = full
sys.exit(daemon.main())
"""
    workspace = make_workspace(tmp_path / "ws")
    daemon = Daemon(workspace, code=code, segment_bytes=65536)
    with daemon.connect() as client:
        client.append(INFERENCE, 1, items(10, b"x" * 2_000))
        (workspace.root / "full").touch()
        with pytest.raises(Unavailable) as caught:
            client.append(INFERENCE, 11, items(30, b"x" * 2_000))
        assert caught.value.code == "storage_failed"
        (workspace.root / "full").unlink()
        assert client.append(INFERENCE, 11, items(30, b"x" * 2_000)).first_index == 10
    assert daemon.stop() == (0, "")


def test_corrupt_key_is_a_clear_refusal(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws")
    path = signing_key_file(workspace.keys)
    path.write_bytes(path.read_bytes().replace(b"\n", b"0\n", 2))
    code, errors = Daemon(workspace).wait()
    assert code == Malformed.exit_code
    assert "is corrupt" in errors
    assert "Traceback" not in errors


def test_missing_ledger_is_not_made(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws")
    elsewhere = tmp_path / "volume"
    workspace.ledger.rename(elsewhere)
    code, errors = Daemon(workspace).wait()
    assert code == NotFound.exit_code
    assert "mounted" in errors
    assert not workspace.ledger.exists()


def test_directory_without_workspace_is_refused(tmp_path: Path) -> None:
    code, errors = Daemon(Workspace(tmp_path)).wait()
    assert code == NotFound.exit_code
    assert "jurat init" in errors


# ── a sequence number that comes again with something else ──────────────────────────────────────────────────────────


def test_other_bytes_under_a_used_number_are_refused_and_not_taken_for_recorded(client: LedgerClient) -> None:
    client.append(INFERENCE, 1, [(PREDICTION_MADE, b"one"), (PREDICTION_MADE, b"two"), (PREDICTION_MADE, b"three")])
    for sent in ([(PREDICTION_MADE, b"TWO")], [(PREDICTION_MADE, b"two"), (PREDICTION_MADE, b"THREE"), (PREDICTION_MADE, b"four")]):
        with pytest.raises(Conflict) as caught:
            client.append(INFERENCE, 2, sent)
        assert caught.value.code == "sequence_reused"
    with pytest.raises(Conflict):
        client.append(INFERENCE, 2, [(50, b"two")])  # same bytes, another kind
    assert client.last_seq(INFERENCE) == 3
    assert client.append(INFERENCE, 2, [(PREDICTION_MADE, b"two"), (PREDICTION_MADE, b"three"), (PREDICTION_MADE, b"four")]).duplicate


def test_repetition_is_still_compared_after_a_restart(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws")
    with running(workspace) as daemon, daemon.connect() as client:
        client.append(INFERENCE, 1, items(300))
    with running(workspace) as daemon, daemon.connect(epoch=client.epoch) as again:
        assert again.append(INFERENCE, 299, items(2)).duplicate
        with pytest.raises(Conflict):
            again.append(INFERENCE, 299, items(2, b"{}"))


def test_repetition_inside_one_group_is_compared_too(daemon: Daemon) -> None:
    with socket.socket(socket.AF_UNIX) as pipelined:
        pipelined.settimeout(10)
        pipelined.connect(str(socket_address(daemon.workspace.run)))
        sent = [(1, b"a"), (2, b"b"), (2, b"b"), (2, b"B"), (3, b"c")]
        pipelined.sendall(
            wire.format_message(0, wire.Hello(wire.VERSION, BENCH_PRODUCER, None))
            + b"".join(
                wire.format_message(n, wire.Append("main/inference", seq, [PREDICTION_MADE], [raw], False))
                for n, (seq, raw) in enumerate(sent, 1)
            )
        )
        frames, replies = wire.FrameReader(), []
        while len(replies) < 6:
            replies += [wire.parse_reply(frame) for frame in frames.feed(pipelined.recv(65536))]
    first, second, same, other, third = (reply for _, reply in replies[1:])
    assert (same.first_index, same.duplicate) == (second.first_index, True)
    assert isinstance(other, wire.Refused)
    assert other.code == "sequence_reused"
    assert (second.first_index, third.first_index) == (first.first_index + 1, first.first_index + 2)


# ── the journal shrinks as the archive grows ────────────────────────────────────────────────────────────────────────


def wait_for(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_archived_segments_are_removed_and_a_damaged_manifest_removes_nothing(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws")
    events, journal = events_directory(workspace.ledger, "main"), journal_directory(workspace.ledger)
    events.mkdir()
    daemon = Daemon(workspace, segment_bytes=65536)
    with daemon.connect() as client:
        for n in range(20):
            client.append(INFERENCE, 20 * n + 1, items(20, b"x" * 1_000))
        client.flush()
        before = segment_numbers(journal)
        manifest_path(events, 1).write_bytes(b"{")
        client.append(INFERENCE, 401, items(1))
        client.flush()
        time.sleep(0.3)
        assert segment_numbers(journal) == before
        manifest_path(events, 1).unlink()
        write_manifest(events, Manifest(number=2, high_water={"main/inference": 200}))
        wait_for(lambda: segment_numbers(journal) != before)
        assert next(scan(journal)).record.header.first_index <= 200
        assert client.append(INFERENCE, 401, items(1)).duplicate
    code, errors = daemon.stop()
    assert code == 0
    assert "no journal segment is removed" in errors
