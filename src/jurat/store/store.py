"""The store's door: one act is one transaction. Nothing changes without the event that says so, and nothing halfway.

BEGIN; lock the head row      acts happen one after the other, so seq has no gaps
read state, decide            by the caller, through `tx.state`
events → outbox → projections by `tx.record`, in that order: the database checks that each change has its event
COMMIT                        durable; or rolled back; or, if the connection dies in this very moment, unknown
"""

from __future__ import annotations

import contextlib
import logging
import select
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, LiteralString, NamedTuple, Self
from weakref import WeakKeyDictionary

import msgspec
import psycopg
from psycopg_pool import ConnectionPool

from jurat.core.errors import Malformed, Unavailable
from jurat.domain.events import Event, encode_event
from jurat.domain.evolve import evolve
from jurat.store.failures import database_errors
from jurat.store.kept import KeptRows
from jurat.store.lineage import Walk, walk
from jurat.store.vault import Vault
from jurat.store.view import ViewState, apply_puts

FIRST_SEQ: Final = 1  # of a producer in a log
CHANNEL: Final = "jurat_outbox"  # NOTIFY: the relay has something to do
_POOL_SIZE: Final = 8
_TRUSTED_S: Final = 1.0  # idle for longer, a connection is tried before it is used: a network may have swallowed it
_used_s: Final[WeakKeyDictionary[psycopg.Connection, float]] = WeakKeyDictionary()
logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())  # its warnings reach our callers as errors


class _Head(NamedTuple):
    """`outbox.head`: the last position, what the relay's streams come to next, which event changed each table last."""

    position: int
    next_seq: dict[str, int]
    changed: dict[str, int]


class Snapshot(ViewState):
    """A consistent picture of what holds, as of one moment.

    Attributes:
        as_of: the position of the last event that this picture contains; 0 before the first.
    """

    def __init__(self, connection: psycopg.Connection, head: _Head, kept: KeptRows) -> None:
        super().__init__(connection, head.changed, kept)
        self.as_of = head.position
        self.vault = Vault(connection)

    def walk(self, start: str, *, up: bool, depth: int = 64, limit: int = 100_000, without: Sequence[str] = ()) -> Walk:
        """Return what a node of the lineage rests on, or what rests on it (`lineage.walk`)."""
        return walk(self._connection, start, up=up, depth=depth, limit=limit, without=without)


class Tx:
    """One act under way.

    `state` sees the act's own changes; `vault` is part of the same transaction; `position` is that of the last event so far.
    """

    def __init__(self, connection: psycopg.Connection, head: _Head, kept: KeptRows, max_event_bytes: int) -> None:
        self._connection = connection
        self._next_seq, self._changed = dict(head.next_seq), dict(head.changed)
        self._max_event_bytes = max_event_bytes
        self.position = head.position
        self.state = ViewState(connection, head.changed, kept)
        self.vault = Vault(connection)

    def record(self, events: Sequence[Event]) -> None:
        """Put the events into the outbox and make the changes of state that they cause; durable at the end of the act.

        Raises:
            Malformed: no event at all, one too large, or with text that cannot be stored.
            Tampered: an event speaks of something that no earlier event made.
        """
        if not events:
            raise Malformed("an act leaves at least one event, got none")
        with self._connection.pipeline():  # one round trip for all of it, unless `evolve` has to look something up
            for event in events:
                self._put_outbox(event, encode_event(event))
                puts = evolve(self.state, event)
                apply_puts(self._connection, puts)
                self.state.touch(puts)
                self._changed |= dict.fromkeys((put.table for put in puts), self.position)
            self._connection.execute(
                "UPDATE outbox.head SET next_position = %s, next_seq = %s::jsonb, changed = %s::jsonb",
                [self.position + 1, msgspec.json.encode(self._next_seq).decode(), msgspec.json.encode(self._changed).decode()],
            )
            self._connection.execute("SELECT pg_notify(%s, '')", [CHANNEL])

    def _put_outbox(self, event: Event, raw: bytes) -> None:
        if len(raw) > self._max_event_bytes:
            raise Malformed(
                f"event of kind `{event.kind.name}` has {len(raw)} bytes, expected at most {self._max_event_bytes}",
                hint="keep large things as artefacts and name them by digest",
                code="event_too_large",
            )
        assert event.kind.retention is not None, "every fact has a class"
        log = event.kind.retention.value
        seq = self._next_seq.get(log, FIRST_SEQ)
        self._connection.execute(
            "INSERT INTO outbox.event (position, log, seq, event_id, kind_code, raw) VALUES (%s, %s, %s, %s, %s, %s)",
            [self.position + 1, log, seq, event.id, event.kind.code, raw],
        )
        self.position += 1
        self._next_seq[log] = seq + 1


class Store:
    """PostgreSQL as the rest of jurat sees it. Thread-safe; connections are pooled and checked before use."""

    def __init__(
        self, pool: ConnectionPool[psycopg.Connection], kept: KeptRows, max_event_bytes: int, *, dsn: str, application: str
    ) -> None:
        self._pool = pool
        self._dsn, self._application = dsn, application
        self._kept = kept
        self._max_event_bytes = max_event_bytes
        self._alone: set[psycopg.AsyncConnection[Any]] = set()

    @classmethod
    def open(cls, dsn: str, *, application: str, max_event_bytes: int = 1_048_576, timeout_s: float = 10.0) -> Store:
        """Return a store that has connected once.

        Args:
            dsn: of one role (`Database.dsn`). What the store can do is what that role may do.
            application: shown in `pg_stat_activity`.
            timeout_s: how long to wait for a connection, now and later.
        Raises:
            Unavailable: the database does not answer.
        """
        kept, named = KeptRows(), f"jurat {application}"
        pool: ConnectionPool[psycopg.Connection] = ConnectionPool(
            dsn, min_size=1, max_size=_POOL_SIZE, timeout=timeout_s, open=False, name=f"jurat-{application}",
            kwargs={"autocommit": True, "application_name": named}, check=_check,
            configure=lambda _: kept.clear(),  # it may be another database behind the same name
        )  # fmt: skip
        try:
            with database_errors():
                pool.open(wait=True, timeout=timeout_s)
        except BaseException:
            pool.close()
            raise
        return cls(pool, kept, max_event_bytes, dsn=dsn, application=named)

    def close(self) -> None:
        """Give all connections back to the server."""
        for connection in list(self._alone):
            self.close_alone(connection)
        self._pool.close()

    async def connect_alone(self) -> psycopg.AsyncConnection[Any]:
        """Return a connection for one event loop, outside the pool; it ends with `close_alone`, or with the store."""
        connection = await psycopg.AsyncConnection.connect(self._dsn, autocommit=True, application_name=self._application)
        self._alone.add(connection)
        return connection

    def close_alone(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Close such a connection at once, whatever is under way on it."""
        self._alone.discard(connection)
        connection.pgconn.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Tx]:
        """One act: what is recorded inside is durable when the block has ended, or never happened if it raised.

        Raises:
            Unavailable: the database is away or busy, nothing happened; but with code `outcome_unknown`, nobody knows:
                the writer must stop and read again before it goes on.
        """
        with self.connection() as connection, _finished(connection):
            head = _begin(connection, "READ COMMITTED", " FOR UPDATE")
            yield Tx(connection, head, self._kept, self._max_event_bytes)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Snapshot]:
        """A picture of what holds at one moment. Nothing can be changed through it."""
        with self.connection() as connection, _finished(connection):
            yield Snapshot(connection, _begin(connection, "REPEATABLE READ READ ONLY"), self._kept)

    @contextlib.contextmanager
    def vaulting(self) -> Iterator[Vault]:
        """A transaction on the vault alone, for what changes no state: proofs seen, sign-ins under way."""
        with self.connection() as connection:
            connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
            with _finished(connection):
                yield Vault(connection)

    def outbox_size(self) -> int:
        """Return how many events the relay has not moved yet."""
        with self.connection() as connection:
            row = connection.execute("SELECT count(position) FROM outbox.event").fetchone()
            return int(row[0]) if row else 0

    def relay_epoch(self) -> int:
        """Return the relay's epoch as a producer: the same for the whole life of this database."""
        with self.connection() as connection:
            row = connection.execute("SELECT epoch FROM outbox.head").fetchone()
            return int(row[0]) if row else 0

    def next_seqs(self) -> dict[str, int]:
        """Return the next sequence number of the relay in each log that ever had an event; in others it is `FIRST_SEQ`."""
        with self.connection() as connection:
            row = connection.execute("SELECT next_seq FROM outbox.head").fetchone()
            return dict(row[0]) if row else {}

    @contextlib.contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A pooled connection for the modules of this package. Driver errors come out as errors of the house."""
        with database_errors(), self._pool.connection() as connection:
            yield connection


def _begin(connection: psycopg.Connection, isolation: LiteralString, lock: LiteralString = "") -> _Head:
    """Begin a transaction and read the head, in one round trip."""
    query = f"BEGIN ISOLATION LEVEL {isolation}; SELECT next_position, next_seq, changed FROM outbox.head{lock}"
    cursor = connection.execute(query)
    cursor.nextset()
    head = cursor.fetchone()
    if head is None:
        raise Unavailable("the outbox has no head row", hint="the database is not jurat's, or was damaged", code="database_failed")
    return _Head(head[0] - 1, head[1], head[2])


def _check(connection: psycopg.Connection) -> None:
    """Pass if a pooled connection can be used. A server that went away has closed it: then its socket has something to say."""
    said = select.poll()  # not `select`: it knows no descriptor from 1024 on, and a gateway has as many callers
    said.register(connection, select.POLLIN)
    if time.monotonic() - _used_s.get(connection, 0.0) > _TRUSTED_S or said.poll(0):
        ConnectionPool.check_connection(connection)
    _used_s[connection] = time.monotonic()


@contextlib.contextmanager
def _finished(connection: psycopg.Connection) -> Iterator[None]:
    """Commit the transaction under way if the block ends well, roll it back if not."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(psycopg.Error):
            connection.execute("ROLLBACK")
        raise
    _commit(connection)


def _commit(connection: psycopg.Connection) -> None:
    # INVARIANT: commit_of_a_failed_transaction_is_an_error. PostgreSQL answers `ROLLBACK`, without an error, to the
    # COMMIT of a transaction in which a statement failed and somebody swallowed the exception.
    try:
        answer = connection.execute("COMMIT").statusmessage
    except psycopg.Error as error:
        if connection.closed or error.sqlstate is None or error.sqlstate[:2] in ("08", "57", "58", "XX"):
            raise Unavailable(
                "the connection was lost while the act was being committed: it may have happened or not",
                hint="look before you try again: `jurat status`",
                code="outcome_unknown",
            ) from None
        raise
    if answer != "COMMIT":
        raise Unavailable("the act was rolled back: a statement in it had failed", code="database_failed")
