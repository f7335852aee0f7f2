"""What a witness remembers: per log its keys and the last checkpoint that it cosigned; and evidence of what it refused.

SQLite with `synchronous=FULL`, or a `Memory` that is plugged in (PostgreSQL: `store.witness`). Comparing and storing happen in
one transaction, which is durable before it is answered: otherwise an older request could roll the witness back. A store that
is gone is never made anew: it would cosign a fork.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from jurat.core.errors import Conflict, Malformed, NotFound, Unavailable
from jurat.ledger.keys import KeyPeriod, LogKeys
from jurat.ledger.layout import hash_origin
from jurat.merkle.checkpoint import Checkpoint

MAX_EVIDENCE: Final = 100  # kept per log; the first ones tell the story, and a disk cannot be filled with the rest
_SCHEMA: Final = """
CREATE TABLE logs (
    origin TEXT PRIMARY KEY, origin_hash TEXT NOT NULL UNIQUE, vkeys TEXT NOT NULL, size INTEGER, root BLOB, note TEXT,
    cosigned_s INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE evidence (
    number INTEGER PRIMARY KEY, origin TEXT NOT NULL, at_ns INTEGER NOT NULL, why TEXT NOT NULL, request BLOB NOT NULL, held TEXT
) STRICT;
PRAGMA user_version = 1;
"""


class Known(NamedTuple):
    """One log. `last` and `note` are None before anything was cosigned; `note` carries the log's and our signatures."""

    origin: str
    keys: LogKeys  # `log` and `receipt_vkey` are empty: a witness does not know them
    last: Checkpoint | None
    note: str | None
    cosigned_s: int


class Evidence(NamedTuple):
    """A signed checkpoint that contradicts what was cosigned: `request` as it came, `held` as it was then."""

    number: int
    origin: str
    at_ns: int
    why: str
    request: bytes
    held: str | None


class Memory(Protocol):
    """Where the tables `logs` and `evidence` lie. Statements have `?` for values. Raises `Unavailable` where it cannot."""

    def alone(self) -> AbstractContextManager[None]:
        """Hold off every other writer; what was written inside is durable when this ends, or was never written."""

    def run(self, statement: str, values: Sequence[object] = ()) -> None:
        """Run a statement inside `alone`."""

    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return what a query finds."""

    def close(self) -> None:
        """Let go of it."""


class SqliteMemory:
    """One connection to a file. To be used by one thread at a time; other processes may have their own.

    Raises (on construction):
        NotFound: there is no store.
        Malformed: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise NotFound(
                f"there is no witness's memory at `{path}`",
                hint="is its volume mounted? a witness that forgot would cosign a fork: make another witness, with another key",
                code="witness_store_missing",
            )
        try:
            self._database = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute("PRAGMA fullfsync = ON")
            self._database.execute("SELECT origin, note FROM logs").fetchone()
        except sqlite3.Error as error:
            raise Malformed(f"the witness's memory `{path}` cannot be read: {str(error).lower()}", code="witness_store_corrupt") from error

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold off every other writer; what was written inside is durable when this ends, or was never written.

        Raises:
            Unavailable: the disk refused; nothing may be answered.
        """
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise Unavailable(f"the witness's memory could not be written: {str(error).lower()}", code="storage_failed") from error

    def run(self, statement: str, values: Sequence[object] = ()) -> None:
        self._database.execute(statement, values)

    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise Unavailable(f"the witness's memory could not be read: {str(error).lower()}", code="storage_failed") from error

    def close(self) -> None:
        self._database.close()


class WitnessStore:
    """What a witness remembers, wherever it lies."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def alone(self) -> AbstractContextManager[None]:
        """Hold off every other writer; what was written inside is durable when this ends, or was never written.

        Raises:
            Unavailable: the disk refused; nothing may be answered.
        """
        return self._memory.alone()

    def known(self, origin: str) -> Known | None:
        """Return a log by its origin."""
        found = self._rows("WHERE origin = ?", origin)
        return found[0] if found else None

    def all(self) -> list[Known]:
        """Return every log."""
        return self._rows("")

    def note_of(self, origin_hash: str) -> str | None:
        """Return the last cosigned checkpoint of the log with this SHA-256, in hex, of its origin."""
        row = self._read("SELECT note FROM logs WHERE origin_hash = ?", origin_hash)
        return row[0][0] if row else None

    def add_log(self, keys: LogKeys) -> None:
        """From now on, this log may be cosigned; one that is known may add keys to those that it has, for larger sizes.

        Raises:
            Conflict: it is known already with other keys.
        """
        origin, said = keys.origin, msgspec.json.encode(keys.periods or keys.vkeys).decode()
        with self.alone():
            known = self.known(origin)
            if known is not None and not continues(known, keys):
                raise Conflict(f"log `{origin[:120]}` is known with other keys", hint="ask its operator whether it changed its keys")
            if known is None:
                row = (origin, hash_origin(origin).hex(), said)
                self._memory.run("INSERT INTO logs (origin, origin_hash, vkeys) VALUES (?, ?, ?)", row)
            else:
                self._memory.run("UPDATE logs SET vkeys = ? WHERE origin = ?", (said, origin))

    def put(self, checkpoint: Checkpoint, note: str, cosigned_s: int) -> None:
        """Remember this as the last one. Inside `alone` only."""
        self._memory.run(
            "UPDATE logs SET size = ?, root = ?, note = ?, cosigned_s = ? WHERE origin = ?",
            (checkpoint.size, checkpoint.root, note, cosigned_s, checkpoint.origin),
        )

    def keep_evidence(self, origin: str, at_ns: int, why: str, request: bytes, held: str | None) -> None:
        """Keep what contradicts what was cosigned, up to a bound per log; the same request once. Inside `alone` only."""
        self._memory.run(
            "INSERT INTO evidence (origin, at_ns, why, request, held) SELECT ?, ?, ?, ?, ? "
            "WHERE (SELECT count(*) FROM evidence WHERE origin = ?) < ? AND NOT EXISTS (SELECT 1 FROM evidence WHERE request = ?)",
            (origin, at_ns, why, request, held, origin, MAX_EVIDENCE, request),
        )

    def evidence(self) -> list[Evidence]:
        """Return what was kept, oldest first."""
        return [Evidence(*row) for row in self._read("SELECT number, origin, at_ns, why, request, held FROM evidence ORDER BY number")]

    def close(self) -> None:
        self._memory.close()

    def _rows(self, where: str, *values: object) -> list[Known]:
        rows = self._read(f"SELECT origin, vkeys, size, root, note, cosigned_s FROM logs {where} ORDER BY origin", *values)
        return [
            Known(origin, _keys(origin, vkeys), None if note is None else Checkpoint(origin, size, root), note, at_s)
            for origin, vkeys, size, root, note, at_s in rows
        ]

    def _read(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self._memory.rows(query, values)


def continues(known: Known, keys: LogKeys) -> bool:
    """Whether these keys are those that are known, or the known ones followed by others from some later size on."""
    old, new = known.keys, keys
    if old == msgspec.structs.replace(new, log="", receipt_vkey=""):
        return True
    last = known.last.size if known.last else 0
    is_longer = len(new.periods) > len(old.periods) and all(set(old.vkeys_at(size)) <= set(new.vkeys_at(size)) for size in (0, last))
    return is_longer and set(old.all_vkeys()) <= set(new.all_vkeys())


def _keys(origin: str, said: str) -> LogKeys:
    vkeys = msgspec.json.decode(said, type=list[str | KeyPeriod])
    periods = [each for each in vkeys if isinstance(each, KeyPeriod)]
    plain = [each for each in vkeys if isinstance(each, str)]
    return LogKeys("", origin, plain or next((p.vkeys for p in reversed(periods) if p.first_size is not None), []), "", periods)


def create_witness_store(path: Path) -> None:
    """Make an empty memory.

    Raises:
        Conflict: there is one.
        Unavailable: the disk refused.
    """
    if path.exists():
        raise Conflict(f"`{path}` is there already", hint="a witness is born once; choose another directory", code="witness_exists")
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("PRAGMA synchronous = FULL")
            database.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
    except sqlite3.Error as error:
        path.unlink(missing_ok=True)
        raise Unavailable(f"`{path}` could not be written: {str(error).lower()}", code="storage_failed") from error
