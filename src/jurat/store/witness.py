"""A witness's memory in PostgreSQL: schema `witness`, for a witness that runs on several machines or where disks come and go.

The same two tables as its SQLite file, and one more row: whose memory it is, so that no other witness cosigns out of it.
One transaction compares, signs and stores; `synchronous_commit` is on, and a server without `fsync` is refused. Knows
connections and rows; what is compared is `ledger.witness`'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import psycopg

from jurat.core.errors import Conflict, JuratError, NotFound, Unavailable
from jurat.store.conninfo import with_session
from jurat.store.failures import database_errors

_SCHEMA: Final = """
CREATE SCHEMA witness;
CREATE TABLE witness.me (only_row integer PRIMARY KEY CHECK (only_row = 1), vkeys text NOT NULL);
CREATE TABLE witness.logs (
    origin text PRIMARY KEY, origin_hash text NOT NULL UNIQUE, vkeys text NOT NULL, size bigint, root bytea, note text,
    cosigned_s bigint NOT NULL DEFAULT 0
);
CREATE TABLE witness.evidence (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, origin text NOT NULL, at_ns bigint NOT NULL, why text NOT NULL,
    request bytea NOT NULL, held text
);
"""


class PostgresMemory:
    """One connection, made anew when it is lost. To be used by one thread at a time; other processes may have their own.

    Raises (on construction):
        NotFound: there is no memory of a witness in that database.
        Conflict: it is another witness's.
        Unavailable: the database is away, or does not sync.
    """

    def __init__(self, url: str, vkeys: Sequence[str]) -> None:
        self._dsn, self._vkeys = with_session(url, application_name="jurat-witness"), "\n".join(vkeys)
        self._connection: psycopg.Connection | None = None
        self._connect()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold off every other writer; what was written inside is durable when this ends, or was never written.

        Raises:
            Unavailable: the database did not commit, or nobody knows whether it did; nothing may be answered.
        """
        connection = self._connect()
        try:
            with database_errors(), connection.transaction():
                connection.execute("LOCK TABLE witness.logs IN EXCLUSIVE MODE")
                yield
        except JuratError as error:
            if isinstance(error, Unavailable):
                self._drop()
            raise

    def run(self, statement: str, values: Sequence[object] = ()) -> None:
        with database_errors():
            self._connect().execute(_translated(statement), values)

    def rows(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            with database_errors():
                return self._connect().execute(_translated(query), values).fetchall()
        except Unavailable:
            self._drop()
            raise

    def close(self) -> None:
        self._drop()

    def _connect(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            with database_errors():
                connection = psycopg.connect(self._dsn, autocommit=True)
                try:
                    self._check(connection)
                    connection.execute("SET search_path = witness")
                except BaseException:
                    connection.close()
                    raise
            self._connection = connection
        return self._connection

    def _check(self, connection: psycopg.Connection) -> None:
        _refuse_without_sync(connection)
        if connection.execute("SELECT to_regclass('witness.me')::text").fetchone() == (None,):
            raise NotFound(
                "there is no witness's memory in that database",
                hint="is it the right one? a witness that forgot would cosign a fork: make another witness, with another key",
                code="witness_store_missing",
            )
        if connection.execute("SELECT vkeys FROM witness.me").fetchone() != (self._vkeys,):
            raise Conflict("the witness's memory in that database is another witness's", hint="one database each", code="witness_other")

    def _drop(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
            self._connection = None


def create_witness_memory(url: str, vkeys: Sequence[str]) -> None:
    """Make an empty memory for the witness with these keys; needs a role that may create a schema.

    Raises:
        Conflict: there is one.
        Unavailable: the database is away, or does not sync.
    """
    with database_errors(), psycopg.connect(with_session(url, application_name="jurat-witness"), autocommit=True) as connection:
        _refuse_without_sync(connection)
        if connection.execute("SELECT to_regnamespace('witness')::text").fetchone() != (None,):
            hint = "a witness is born once; one database each"
            raise Conflict("that database has a schema `witness` already", hint=hint, code="witness_exists")
        with connection.transaction():
            connection.execute(_SCHEMA)
            connection.execute("INSERT INTO witness.me VALUES (1, %s)", ["\n".join(vkeys)])


def _refuse_without_sync(connection: psycopg.Connection) -> None:
    if connection.execute("SHOW fsync").fetchone() != ("on",):
        raise Unavailable(
            "that database runs with `fsync = off`: a witness that can forget may cosign a fork", hint="turn it on", code="no_fsync"
        )


def _translated(statement: str) -> Any:
    """Return the statement with PostgreSQL's marks."""
    assert "%" not in statement
    return statement.replace("?", "%s")
