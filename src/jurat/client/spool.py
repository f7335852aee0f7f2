"""The durable spool: one SQLite file with every event that has no receipt yet, numbered when it is put.

    stream   per class: how far numbers were given out, how far receipts came, the running hash over what has one
    event    what waits: class, number, bytes; deleted when its receipt came
    refused  what the ledger will never take, with its reason; for the owner to look at

`synchronous=FULL`: what was put survives `kill -9` and, on a disk that honours a sync, the loss of power. One process owns
a spool (flock). An epoch lives as long as the numbers in it; a spool that was restored from a copy gets a fresh one.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from jurat.core.clock import Clock, format_at
from jurat.core.errors import Conflict, Exhausted, Unavailable
from jurat.core.statements import NO_HASH, OPENED, Stated, Statement, extend_hash, format_statement

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS spool (epoch INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS stream (
  class TEXT PRIMARY KEY, last_seq INTEGER NOT NULL, receipted INTEGER NOT NULL, running_hash BLOB NOT NULL,
  previous_epoch INTEGER NOT NULL, previous_last_seq INTEGER NOT NULL, is_closed INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS event (
  class TEXT, seq INTEGER, statement TEXT NOT NULL, raw BLOB NOT NULL, crc INTEGER, PRIMARY KEY (class, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refused (class TEXT NOT NULL, seq INTEGER NOT NULL, code TEXT NOT NULL, detail TEXT NOT NULL, raw BLOB NOT NULL);
"""
_MOST_REFUSED: Final = 1_000


class Waiting(NamedTuple):
    """Events of one class that follow each other."""

    retention: str
    first_seq: int
    raws: list[bytes]


class Stream(NamedTuple):
    """How one class stands."""

    retention: str
    last_seq: int
    receipted: int
    running_hash: bytes
    previous_epoch: int
    previous_last_seq: int
    is_closed: bool


class Spool:
    """The file. Thread-safe. `changed` is notified whenever something was put or got its receipt."""

    def __init__(self, path: Path, clock: Clock, *, max_events: int, max_bytes: int, period_s: float) -> None:
        self._clock, self._max_events, self._max_bytes = clock, max_events, max_bytes
        self.changed = threading.Condition()  # owns the database and the counts
        self._lock_descriptor = _own(path)
        try:
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            path.chmod(0o600)
            if (found := self._database.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":  # before anything is written to it
                raise sqlite3.DatabaseError(found)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.executescript(_TABLES)
            if "crc" not in [row[1] for row in self._database.execute("PRAGMA table_info(event)")]:  # a spool of an earlier version
                self._database.execute("ALTER TABLE event ADD COLUMN crc INTEGER")
            if self._database.execute("SELECT count(*) FROM spool").fetchone()[0] == 0:
                self._database.execute("INSERT INTO spool VALUES (0)")
            row = self._database.execute("SELECT count(*), coalesce(sum(length(raw)), 0) FROM event").fetchone()
        except sqlite3.Error as error:
            if hasattr(self, "_database"):
                self._database.close()
            os.close(self._lock_descriptor)
            raise _failed(path, error) from error
        self.waiting, self.waiting_bytes = int(row[0]), int(row[1])
        self._period_s = period_s
        self._last_served = ""
        self._path = path

    @property
    def epoch(self) -> int:
        """The epoch of the numbers in here; 0 before the ledger has given one."""
        with self.changed:
            return int(self._query("SELECT epoch FROM spool").fetchone()[0])

    def put(self, retention: str, raws: Sequence[bytes], *, timeout_s: float) -> int:
        """Return the number of the last of these events, once all of them are durable here.

        Raises:
            Exhausted: no room within `timeout_s`; nothing was put.
            Unavailable: the disk refused; nothing was put.
        """
        size = sum(map(len, raws))
        with self.changed:
            if not self.changed.wait_for(lambda: self._has_room(len(raws), size), timeout_s):
                raise Exhausted(
                    f"the spool holds `{self.waiting}` events and `{self.waiting_bytes}` bytes without a receipt",
                    retry_after_s=1,
                    hint="the ledger is away or slow: see `Client.trouble`; slow down, or give the spool more room",
                    code="spool_full",
                )
            last = self._write(retention, [("", raw) for raw in raws])
            self.changed.notify_all()
            return last

    def state(self, retention: str, kind: str) -> None:
        """Put a statement about a class's stream, unless the last thing that waits in it is one already."""
        with self.changed:
            row = self._query("SELECT statement FROM event WHERE class = ? ORDER BY seq DESC LIMIT 1", [retention]).fetchone()
            if row is None or not row[0]:
                self._write(retention, [(kind, self._statement(self._stream(retention), kind))])
                self.changed.notify_all()

    def streams(self) -> list[Stream]:
        """Return how each class stands that was ever used."""
        with self.changed:
            rows = self._query("SELECT * FROM stream ORDER BY class").fetchall()
        return [Stream._make((*row[:-1], bool(row[-1]))) for row in rows]

    def oldest(self, max_events: int, max_bytes: int) -> Waiting | None:
        """Return the first events of a class that has some waiting."""
        with self.changed:
            behind = [each.retention for each in self.streams() if each.last_seq > each.receipted]
            if not behind:
                return None
            retention = next((each for each in behind if each > self._last_served), behind[0])  # each class in its turn
            self._last_served = retention
            found = self._read(retention, max_events)
        raws: list[bytes] = []
        for _, raw in found:
            max_bytes -= len(raw)
            if raws and max_bytes < 0:
                break
            raws.append(raw)
        return Waiting(retention, found[0][0], raws)

    def _read(self, retention: str, max_events: int) -> list[tuple[int, bytes]]:
        """Return events whose bytes are those that were put: SQLite takes a page that is missing for zeros, and says nothing."""
        rows = self._query("SELECT seq, raw, crc FROM event WHERE class = ? ORDER BY seq LIMIT ?", [retention, max_events]).fetchall()
        for seq, raw, crc in rows:
            if crc is not None and zlib.crc32(raw) != crc:
                raise _failed(self._path, sqlite3.DatabaseError(f"event {seq} of `{retention}` is not what was put"))
        return [(seq, raw) for seq, raw, _ in rows]

    def settle(self, waiting: Waiting, commitments: Sequence[bytes]) -> None:
        """Delete events that have their receipt."""
        last = waiting.first_seq + len(waiting.raws) - 1
        with self.changed:
            stream = self._stream(waiting.retention)
            running = extend_hash(stream.running_hash, commitments)
            self._transact(
                ("DELETE FROM event WHERE class = ? AND seq <= ?", [waiting.retention, last]),
                ("UPDATE stream SET receipted = ?, running_hash = ? WHERE class = ?", [last, running, waiting.retention]),
            )
            self.waiting -= len(waiting.raws)
            self.waiting_bytes -= sum(map(len, waiting.raws))
            self.changed.notify_all()

    def replace_refused(self, retention: str, seq: int, code: str, detail: str) -> None:
        """Put a note of the refusal in the place of an event that the ledger will never take; the event is kept aside."""
        with self.changed:
            (raw,) = self._query("SELECT raw FROM event WHERE class = ? AND seq = ?", [retention, seq]).fetchone()
            note = b'{"refused":"%s","size_bytes":%d}' % (code.encode(), len(raw))
            self._transact(
                ("INSERT INTO refused VALUES (?, ?, ?, ?, ?)", [retention, seq, code, detail, raw]),
                ("DELETE FROM refused WHERE rowid <= (SELECT max(rowid) FROM refused) - ?", [_MOST_REFUSED]),
                ("UPDATE event SET raw = ?, crc = ? WHERE class = ? AND seq = ?", [note, zlib.crc32(note), retention, seq]),
            )
            self.waiting_bytes += len(note) - len(raw)

    def refused(self) -> list[tuple[str, int, str, str, bytes]]:
        """Return what the ledger refused for good: class, number, code, detail, bytes."""
        with self.changed:
            return self._query("SELECT * FROM refused ORDER BY rowid").fetchall()

    def begin_epoch(self, epoch: int) -> None:
        """Number everything that waits anew, from 1 in each class, in a fresh epoch; statements of the old one are dropped."""
        with self.changed:
            old = self.epoch
            changes: list[tuple[str, list[object]]] = [("UPDATE spool SET epoch = ?", [epoch])]
            for stream in self.streams():
                rows = self._query(
                    "SELECT raw, crc FROM event WHERE class = ? AND statement = '' ORDER BY seq", [stream.retention]
                ).fetchall()
                before = (old, stream.receipted) if old and stream.receipted else (stream.previous_epoch, stream.previous_last_seq)
                fresh = Stream(stream.retention, 0, 0, NO_HASH, *before, False)
                changes.append(("DELETE FROM event WHERE class = ?", [stream.retention]))
                opened = self._statement(fresh, OPENED, epoch)
                items = [(OPENED, opened, zlib.crc32(opened)), *(("", *row) for row in rows)] if rows else []
                changes += [
                    ("INSERT INTO event VALUES (?, ?, ?, ?, ?)", [stream.retention, seq, *item]) for seq, item in enumerate(items, start=1)
                ]
                if rows:
                    changes.append(
                        ("INSERT OR REPLACE INTO stream VALUES (?, ?, 0, ?, ?, ?, 0)", [stream.retention, len(items), NO_HASH, *before])
                    )
                else:  # nothing is said of a class until it is used again
                    changes.append(("INSERT OR REPLACE INTO stream VALUES (?, 0, 0, ?, ?, ?, 0)", [stream.retention, NO_HASH, *before]))
            self._transact(*changes)
            row = self._query("SELECT count(*), coalesce(sum(length(raw)), 0) FROM event").fetchone()
            self.waiting, self.waiting_bytes = int(row[0]), int(row[1])
            self.changed.notify_all()

    def close_streams(self) -> None:
        """Remember that the streams were closed in the ledger: what comes next needs a fresh epoch."""
        with self.changed:
            self._transact(("UPDATE stream SET is_closed = 1 WHERE last_seq > 0", []))

    def close(self) -> None:
        with self.changed:
            self._database.close()
            os.close(self._lock_descriptor)

    def _write(self, retention: str, items: Sequence[tuple[str, bytes]]) -> int:
        stream = self._stream(retention)
        if stream.last_seq == 0 and not items[0][0]:
            items = [(OPENED, self._statement(stream, OPENED)), *items]
        last = stream.last_seq + len(items)
        self._transact(
            *(
                ("INSERT INTO event VALUES (?, ?, ?, ?, ?)", [retention, seq, kind, raw, zlib.crc32(raw)])
                for seq, (kind, raw) in enumerate(items, start=stream.last_seq + 1)
            ),
            (
                "INSERT INTO stream VALUES (?, ?, 0, ?, 0, 0, 0) ON CONFLICT DO UPDATE SET last_seq = excluded.last_seq",
                [retention, last, NO_HASH],
            ),
        )
        self.waiting += len(items)
        self.waiting_bytes += sum(len(raw) for _, raw in items)
        return last

    def _statement(self, stream: Stream, kind: str, epoch: int | None = None) -> bytes:
        said = Stated(
            epoch=self.epoch if epoch is None else epoch, last_seq=stream.last_seq, hashed_seq=stream.receipted,
            running_hash=stream.running_hash.hex(), period_s=self._period_s, previous_epoch=stream.previous_epoch,
            previous_last_seq=stream.previous_last_seq,
        )  # fmt: skip
        return format_statement(Statement(kind=kind, at=format_at(self._clock.now_ns()), data=said))

    def _stream(self, retention: str) -> Stream:
        row = self._query("SELECT * FROM stream WHERE class = ?", [retention]).fetchone()
        return Stream._make((*row[:-1], bool(row[-1]))) if row else Stream(retention, 0, 0, NO_HASH, 0, 0, False)

    def _has_room(self, events: int, size: int) -> bool:
        return self.waiting + events <= self._max_events and self.waiting_bytes + size <= self._max_bytes

    def _query(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        try:
            return self._database.execute(statement, values)
        except sqlite3.Error as error:
            raise _failed(self._path, error) from error

    def _transact(self, *changes: tuple[str, Sequence[object]]) -> None:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                for statement, values in changes:
                    self._database.execute(statement, values)
                self._database.execute("COMMIT")
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _failed(self._path, error) from error


def _own(path: Path) -> int:
    try:
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _failed(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Conflict(
            f"another process uses the spool `{path}`", hint="give each process a spool of its own", code="spool_in_use"
        ) from None
    return descriptor


def _failed(path: Path, error: Exception) -> Unavailable:
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return Unavailable(
            f"the spool `{path}` is damaged: {str(error).splitlines()[0][:200].lower()}",
            hint="it is left as it is: move it away and keep it (`sqlite3 SPOOL .recover` shows what can be read); a new one begins empty",
            code="spool_damaged",
        )
    return Unavailable(f"the spool `{path}` failed: {error}", hint="is its disk full? nothing was put", code="storage_failed")
