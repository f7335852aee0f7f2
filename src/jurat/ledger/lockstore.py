"""The last signed checkpoint of each log: the commit point, and the one thing that a restored backup must not hold.

SQLite, `synchronous=FULL`, best on another volume than the ledger. A checkpoint counts once it is here; a sequencer
that finds another size, root or fence than it left has been deposed or was rolled back, and stops.
Trusted; if it is rolled back together with the data, only a witness or a kept checkpoint shows it.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from jurat.core.errors import Conflict, Malformed, NotFound, Unavailable

_SCHEMA: Final = """
CREATE TABLE logs (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, note TEXT NOT NULL, sealed_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE sequencer (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1), journal_uuid BLOB NOT NULL, fence INTEGER NOT NULL, sealed_group INTEGER NOT NULL
) STRICT;
PRAGMA user_version = 1;
"""


_OF_THE_DISK: Final = frozenset({
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY,
})  # fmt: skip


class Locked(NamedTuple):
    """The last checkpoint that a log signed. `note` is the whole signed note."""

    origin: str
    size: int
    root: bytes
    note: str
    sealed_ns: int


class Swap(NamedTuple):
    """Move a log from one checkpoint to the next."""

    old_size: int
    old_root: bytes
    new: Locked


class LockStore:
    """The one writer, which has taken the fence when it was made: whoever held it before can commit nothing more."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise NotFound(
                f"there is no lock store at `{path}`",
                hint="is its volume mounted? never make a new one: it is what keeps a restored backup from becoming a fork",
                code="lock_store_missing",
            )
        self._path = path
        try:
            self._database = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = TRUNCATE")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute("PRAGMA fullfsync = ON")
            row = self._database.execute("UPDATE sequencer SET fence = fence + 1 RETURNING journal_uuid, fence, sealed_group").fetchone()
            if row is None:
                raise sqlite3.DatabaseError("its sequencer row is gone")
            self.logs = {each.origin: each for each in _read_logs(self._database)}
        except sqlite3.Error as error:
            raise _unreadable(path, error) from error
        self.journal_uuid: bytes = row[0]
        self.fence: int = row[1]
        self.sealed_group: int = row[2]

    def commit(self, swaps: Sequence[Swap], sealed_group: int) -> None:
        """Make all of these checkpoints the last ones, or none. Durable when this returns.

        `sealed_group`: the journal group that they cover; a journal that ends before it was rolled back.

        Raises:
            Conflict: another sequencer was here. Fatal: stop, do not merge.
            Unavailable: the store could not be written; the outcome is unknown and the process must end.
        """
        try:
            self._database.execute("BEGIN IMMEDIATE")
            found = self._database.execute(
                "UPDATE sequencer SET sealed_group = ? WHERE fence = ? AND sealed_group <= ?", (sealed_group, self.fence, sealed_group)
            ).rowcount
            for old_size, old_root, new in swaps:
                found += self._database.execute(
                    "UPDATE logs SET size = ?, root = ?, note = ?, sealed_ns = ? WHERE origin = ? AND size = ? AND root = ? AND size <= ?",
                    (new.size, new.root, new.note, new.sealed_ns, new.origin, old_size, old_root, new.size),
                ).rowcount
            if found != len(swaps) + 1:
                self._database.execute("ROLLBACK")
                raise Conflict(
                    "another sequencer has written to the lock store", hint="this one stops; start it again to see where the log is",
                    code="deposed",
                )  # fmt: skip
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise _not_written(self._path, error) from error
        self.sealed_group = sealed_group
        self.logs.update({swap.new.origin: swap.new for swap in swaps})

    def close(self) -> None:
        self._database.close()


def create_lock_store(path: Path, journal_uuid: bytes, logs: Sequence[Locked]) -> None:
    """Give birth to logs: from now on each has a first checkpoint that the next ones must follow.

    Raises:
        Conflict: there is a store already.
        Unavailable: it could not be written.
    """
    if path.exists():
        raise Conflict(f"there is a lock store at `{path}` already", hint="logs are born once; choose another directory", code="log_exists")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        database = sqlite3.connect(path, isolation_level=None)
        try:
            database.execute("PRAGMA synchronous = FULL")
            database.executescript(f"BEGIN; {_SCHEMA}")
            database.execute("INSERT INTO sequencer VALUES (1, ?, 0, 0)", (journal_uuid,))
            database.executemany("INSERT INTO logs VALUES (?, ?, ?, ?, ?)", logs)
            database.execute("COMMIT")
        finally:
            database.close()
    except sqlite3.Error as error:
        path.unlink(missing_ok=True)
        raise _not_written(path, error) from error


def read_lock_store(path: Path) -> dict[str, Locked]:
    """Return the last checkpoint of each log by origin, for verifiers; nothing is changed, also after a crash.

    Raises:
        NotFound: there is none.
        Malformed: it cannot be read.
        Unavailable: the disk does not let us.
    """
    if not path.exists():
        raise NotFound(f"there is no lock store at `{path}`", code="lock_store_missing")
    try:
        return _query(f"file:{quote(str(path.absolute()))}?mode=ro")
    except sqlite3.Error:
        pass  # perhaps a commit that a crash has cut: a read-only reader may not roll it back, so do that in a copy
    try:
        with tempfile.TemporaryDirectory(prefix="jurat-lock-") as directory:
            copy = Path(directory) / path.name
            for suffix in ("", "-journal"):
                if (source := path.with_name(path.name + suffix)).exists():
                    shutil.copyfile(source, copy.with_name(copy.name + suffix))
            return _query(f"file:{quote(str(copy))}")
    except (sqlite3.Error, OSError) as error:
        raise _unreadable(path, error) from error


def _query(uri: str) -> dict[str, Locked]:
    database = sqlite3.connect(uri, uri=True, timeout=5)
    try:
        return {each.origin: each for each in _read_logs(database)}
    finally:
        database.close()


def _read_logs(database: sqlite3.Connection) -> list[Locked]:
    return [Locked(*row) for row in database.execute("SELECT origin, size, root, note, sealed_ns FROM logs ORDER BY origin")]


def _unreadable(path: Path, error: Exception) -> Malformed | Unavailable:
    """Return what a failure means: the disk, which says nothing about the store; or the store."""
    if isinstance(error, OSError) or getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_DISK:
        return _not_written(path, error)
    return Malformed(
        f"the lock store `{path}` cannot be read: {str(error).lower()}",
        hint="it is never rebuilt from the ledger, which it guards: restore the volume, or compare with a witness",
        code="lock_store_corrupt",
    )


def _not_written(path: Path, error: Exception) -> Unavailable:
    return Unavailable(
        f"the lock store `{path}` could not be used: {str(error).lower()}",
        hint="free some space on its volume if it is full, and start again: never restore or remake it for that",
        code="storage_failed",
    )
