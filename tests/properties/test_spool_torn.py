"""A producer's spool after the power went: its newest bytes lost or torn at any place. What was put and survived is whole, and in order.

A spool that is damaged further in is refused in words and left as it is; the sender never dies of it in silence.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from jurat.client import Client
from jurat.client.spool import Spool
from jurat.core.clock import FixedClock
from jurat.core.errors import Unavailable

NOBODY = "http://127.0.0.1:9"
PAGE, WAL_HEADER, FRAME = 4096, 32, 24 + 4096  # SQLite's file format, §4


class Put(NamedTuple):
    """How the files were once a put had returned."""

    count: int
    wal_bytes: int


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Put]]:
    """Copies of a spool's files as a dying process leaves them, and how far each put had come."""
    directory = tmp_path_factory.mktemp("spool")
    spool = open_spool(directory / "live")
    puts = [Put(0, (directory / "live-wal").stat().st_size)]
    for number in range(12):
        spool.put("inference", [event(number, at) for at in range(number % 3 + 1)], timeout_s=0)
        puts.append(Put(puts[-1].count + number % 3 + 1, (directory / "live-wal").stat().st_size))
    for suffix in ("", "-wal"):
        shutil.copyfile(directory / f"live{suffix}", directory / f"spool{suffix}")
    spool.close()
    return directory, puts


def open_spool(path: Path) -> Spool:
    return Spool(path, FixedClock(1_795_635_641 * 10**9), max_events=10_000, max_bytes=10**8, period_s=10)


def event(number: int, at: int) -> bytes:
    return b'{"put":%d,"event":%d,"fill":"%s"}' % (number, at, b"x" * (number * 977 % 6000))


EVENTS = [event(number, at) for number in range(12) for at in range(number % 3 + 1)]


def left_in(path: Path) -> list[bytes]:
    """The events of a spool, oldest first, without our own statements."""
    spool = open_spool(path)
    try:
        waiting = spool.oldest(10_000, 10**8)
        assert waiting is None or [waiting.first_seq, spool.waiting] == [1, len(waiting.raws)]
        return [raw for raw in waiting.raws if raw.startswith(b'{"put"')] if waiting else []
    finally:
        spool.close()


def copy_of(made: Path, directory: Path, wal: bytes) -> Path:
    directory.mkdir()
    shutil.copyfile(made / "spool", directory / "spool")
    (directory / "spool-wal").write_bytes(wal)
    return directory / "spool"


def test_cut_anywhere_it_holds_every_put_that_was_synced_by_then(made: tuple[Path, list[Put]], tmp_path: Path) -> None:
    directory, puts = made
    wal = (directory / "spool-wal").read_bytes()
    assert len(EVENTS) == puts[-1].count
    edges = {WAL_HEADER + FRAME * n + more for n in range(len(wal) // FRAME + 1) for more in (-1, 24)}
    cuts = sorted(cut for cut in edges | {put.wal_bytes for put in puts} | {0, 1, 31} if 0 <= cut <= len(wal))
    seen = set()
    for cut in cuts:
        left = left_in(copy_of(directory, tmp_path / str(cut), wal[:cut]))
        assert left == EVENTS[: len(left)], "a prefix, each event whole"
        assert len(left) in {put.count for put in puts}, "a put is there whole or not at all"
        assert len(left) >= max((put.count for put in puts if put.wal_bytes <= cut), default=0), "it was durable"
        seen.add(len(left))
    assert seen == {put.count for put in puts}, "the cuts fall between all of them"


def test_torn_in_any_page_it_holds_what_was_before(made: tuple[Path, list[Put]], tmp_path: Path) -> None:
    directory, puts = made
    wal = (directory / "spool-wal").read_bytes()
    for number in range(len(wal) // FRAME):
        torn = bytearray(wal)
        at = WAL_HEADER + FRAME * number + 24 + 512 * (number % 8)
        torn[at : at + 512] = bytes(512) if any(torn[at : at + 512]) else b"\xff" * 512
        left = left_in(copy_of(directory, tmp_path / str(number), bytes(torn)))
        assert left == EVENTS[: len(left)]
        assert len(left) in {put.count for put in puts}
        assert len(left) >= max((put.count for put in puts if put.wal_bytes <= at), default=0)


@pytest.fixture(scope="module")
def settled(made: tuple[Path, list[Put]]) -> bytes:
    """The same spool as one file: its last process closed it."""
    directory, _ = made
    closed = directory / "closed"
    for suffix in ("", "-wal"):
        shutil.copyfile(directory / f"spool{suffix}", directory / f"closed{suffix}")
    open_spool(closed).close()
    assert not (directory / "closed-wal").exists()
    return closed.read_bytes()


def test_a_file_that_was_cut_or_altered_is_refused_and_kept(settled: bytes, tmp_path: Path) -> None:
    assert left_in(write(tmp_path / "whole", settled)) == EVENTS
    refused = 0
    for page in range(len(settled) // PAGE):
        altered = settled[: page * PAGE] + b"\xa5" * PAGE + settled[(page + 1) * PAGE :]
        for number, damaged in enumerate((settled[: page * PAGE + 1_000], altered)):
            path = write(tmp_path / f"{page}-{number}", damaged)
            try:
                assert left_in(path) == EVENTS, "nothing that mattered was in that page"
            except Unavailable as error:
                assert error.code == "spool_damaged"  # noqa: PT017 - either is right, a third is not
                assert path.read_bytes() == damaged, "it is kept as it is, for whoever mends it"
                refused += 1
    assert refused > len(settled) // PAGE


def write(path: Path, raw: bytes) -> Path:
    path.write_bytes(raw)
    return path


def test_a_disk_that_fails_later_is_the_clients_trouble_and_not_its_end(tmp_path: Path) -> None:
    client = Client(NOBODY, "jrt_x", spool=tmp_path / "spool")
    client.put("inference", {"n": 1})
    real, client._spool._database = client._spool._database, Broken()  # type: ignore[assignment]
    try:
        deadline = time.monotonic() + 10
        while "spool" not in (client.trouble or ""):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with pytest.raises(Unavailable):
            client.put("inference", {"n": 2})
    finally:
        client._spool._database = real
    client.put("inference", {"n": 3})
    assert client._sender._thread.is_alive()
    with pytest.raises(Unavailable):
        client.close(0.1)


class Broken:
    """A database on a disk that fails."""

    def execute(self, *_: object) -> None:
        import sqlite3

        raise sqlite3.OperationalError("disk I/O error")

    def close(self) -> None:
        pass
