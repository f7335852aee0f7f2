"""What was recorded under which `Idempotency-Key`, for a day: so that a batch that is sent again is recorded once.

The intent is durable before the append: key, digest of the bytes, epoch and first number. After a crash in between, the
same append is sent under the same number, and the ledger answers it once. The answer is kept beside it, and given again.
SQLite with `synchronous=FULL`. Losing this file loses no event; a batch sent again would then be recorded twice.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Final, NamedTuple

from jurat.core.errors import Malformed, Unavailable

KEPT_S: Final = 86_400
LONGEST_KEY: Final = 255
_CLEAN_EVERY: Final = 500
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS repeat (
  producer INTEGER, key TEXT, log TEXT NOT NULL, digest BLOB NOT NULL, epoch INTEGER NOT NULL, first_seq INTEGER NOT NULL,
  answer BLOB, at_s INTEGER NOT NULL, PRIMARY KEY (producer, key)
) WITHOUT ROWID"""
_INDEX: Final = "CREATE INDEX IF NOT EXISTS repeat_at ON repeat (at_s)"


class Repeat(NamedTuple):
    """What a key stands for."""

    log: str
    digest: bytes  # SHA-256 of the events' bytes, each with its size
    epoch: int
    first_seq: int
    answer: bytes | None  # None: not known to be recorded


class Repeats:
    """The keys of all producers. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._since_clean = 0
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5.0)
        path.chmod(0o600)
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", _TABLE, _INDEX):
            self._database.execute(statement)

    def find(self, producer: int, key: str, now_s: int) -> Repeat | None:
        """Return what a key stands for, if it is not older than a day."""
        row = self._execute(
            "SELECT log, digest, epoch, first_seq, answer FROM repeat WHERE producer = ? AND key = ? AND at_s > ?",
            (producer, key, now_s - KEPT_S),
        ).fetchone()
        return Repeat(*row) if row else None

    def begin(self, producer: int, key: str, repeat: Repeat, now_s: int) -> bool:
        """Make the intent durable; False if somebody else was faster."""
        self._clean(now_s)
        done = self._execute(
            "INSERT INTO repeat VALUES (?, ?, ?, ?, ?, ?, NULL, ?) ON CONFLICT DO UPDATE SET log = excluded.log, digest = excluded.digest,"
            " epoch = excluded.epoch, first_seq = excluded.first_seq, answer = NULL, at_s = excluded.at_s WHERE at_s <= ?",
            (producer, key, repeat.log, repeat.digest, repeat.epoch, repeat.first_seq, now_s, now_s - KEPT_S),
        )
        return done.rowcount == 1

    def finish(self, producer: int, key: str, answer: bytes) -> None:
        """Keep the answer."""
        self._execute("UPDATE repeat SET answer = ? WHERE producer = ? AND key = ?", (answer, producer, key))

    def forget(self, producer: int, key: str) -> None:
        """Take an intent back that is known not to have been recorded."""
        self._execute("DELETE FROM repeat WHERE producer = ? AND key = ? AND answer IS NULL", (producer, key))

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def _clean(self, now_s: int) -> None:
        self._since_clean += 1
        if self._since_clean % _CLEAN_EVERY == 1:
            self._execute("DELETE FROM repeat WHERE at_s <= ?", (now_s - KEPT_S,))

    def _execute(self, statement: str, values: tuple[object, ...]) -> sqlite3.Cursor:
        with self._lock:
            try:
                return self._database.execute(statement, values)
            except sqlite3.Error as error:
                raise Unavailable(
                    f"the keys of repeated batches cannot be kept: {error}", hint="nothing was recorded; try again", code="storage_failed"
                ) from error


def check_key(key: str) -> str:
    """Return an `Idempotency-Key` if it can be one.

    Raises:
        Malformed: empty, too long, or not printable ASCII.
    """
    if not 0 < len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise Malformed(f"an `Idempotency-Key` has 1 to {LONGEST_KEY} printable ASCII characters", hint="a UUID is a good one")
    return key
