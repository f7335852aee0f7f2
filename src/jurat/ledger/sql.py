"""DuckDB, locked: one relation `events`, nothing else to read, nothing to write, nothing to load.

The lock, in this order: the exact files of the manifest are allowed (a directory would also allow `COPY … TO` over a
part), threads and memory are bounded, nothing spills, no extension is installed or loaded, no Python variable is a
table, external access ends, the configuration is locked. A statement must be one SELECT.
Knows DuckDB, and Arrow tables as input; where rows come from is `query`'s, who may ask is not decided here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import duckdb
import numpy as np
import pyarrow as pa

from jurat.core.digests import digest_file
from jurat.core.errors import Denied, Exhausted, JuratError, Malformed
from jurat.ledger.parts import damaged_part, missing_part
from jurat.ledger.rows import SCHEMA, kind_name

_TAIL_SCHEMA: Final = pa.schema([*SCHEMA, pa.field("class", pa.string()), pa.field("kind", pa.string()), pa.field("date", pa.date32())])
_SETUP_S: Final = 10.0  # after a failed set-up, when to try again
_DAY_NS: Final = 86_400 * 1_000_000_000


class Source(NamedTuple):
    """Where the rows of one answer are: the parts of a manifest, and the tail beyond them."""

    tenant: str
    parts: Mapping[Path, str]  # file → its SHA-256 in the manifest
    tail: pa.Table  # of `with_partition`
    as_of: Mapping[str, int]
    masked: Mapping[str, Sequence[int]] = {}  # log → indexes that nobody is shown


def with_partition(table: pa.Table, class_name: str) -> pa.Table:
    """Return the rows with the three columns that the archive's folders give to a part's rows."""
    names: dict[int, str] = {}
    kinds = [names.get(code) or names.setdefault(code, kind_name(code)) for code in table["kind_code"].to_numpy().tolist()]
    days = (table["received_ns"].to_numpy() // _DAY_NS).astype(np.int32)
    return pa.Table.from_arrays(
        [
            *table.columns,
            pa.array([class_name] * table.num_rows, pa.string()),
            pa.array(kinds, pa.string()),
            pa.array(days, pa.int32()).cast(pa.date32()),
        ],
        schema=_TAIL_SCHEMA,
    )


def join_tails(tables: Sequence[pa.Table]) -> pa.Table:
    """Return one table of all the tails; an empty one for none."""
    return pa.concat_tables(tables) if tables else _TAIL_SCHEMA.empty_table()


class Reader:
    """A locked database that sees one `Source` as the relation `events`. May be used from several threads.

    Its columns: those of the archive; `log`, `kind`, `date` (UTC day of receipt), `received_at`; `event`, the bytes as
    JSON (NULL if they are none); `as_of`, the next index of the row's log at this answer.
    """

    def __init__(self, source: Source, *, memory_mb: int = 512, threads: int = 2) -> None:
        """Raises: Tampered, a part is missing or damaged; Exhausted, the tail does not fit into the memory."""
        self.source = source
        self._database = duckdb.connect(":memory:")
        try:
            _lock(self._database, source, memory_mb, threads)
        except duckdb.Error as error:
            self.close()
            raise self._explain(error, _SETUP_S) from error

    def check_select(self, query: str) -> None:
        """Pass if `query` is one SELECT.

        Raises:
            Malformed: it cannot be parsed, or is none or several statements.
            Denied: it is a statement of another kind.
        """
        try:
            statements = self._database.extract_statements(query)
        except duckdb.Error as error:
            raise Malformed(
                f"the query cannot be parsed: {_first_lines(error)}",
                hint="see the columns with `DESCRIBE events`",
                code="sql_malformed",
            ) from error
        if len(statements) != 1:
            raise Malformed(f"the query has `{len(statements)}` statements, expected one SELECT", code="sql_malformed")
        if statements[0].type != duckdb.StatementType.SELECT:
            raise Denied(
                f"`{statements[0].type.name}` is not allowed here, only SELECT is",
                hint="the ledger is read with SELECT over the relation `events`, and changed by nobody",
                code="sql_not_allowed",
            )

    def select(
        self, query: str, parameters: Sequence[Any] = (), *, timeout_s: float, max_rows: int, source: Source | None = None
    ) -> pa.Table:  # fmt: skip
        """Return up to `max_rows` + 1 rows (the last one tells that there are more).

        Args:
            source: of these parts or some of them, with another tail, other marks: seen by this query alone. To open them
                again is dear.

        Raises:
            Malformed: the query is wrong.
            Denied: it reaches for a file, an extension, a setting.
            Exhausted: it took too long or too much memory.
            Tampered: a part of the archive is missing or damaged.
        """
        with self._database.cursor() as cursor:
            timer = threading.Timer(timeout_s, cursor.interrupt)
            timer.start()
            try:
                if source is not None:
                    _see(cursor, source, "TEMP")
                rows: pa.RecordBatchReader = cursor.sql(query, params=parameters or None).to_arrow_reader(2_048)
                batches, count = [], 0
                for batch in rows:
                    batches.append(batch.slice(0, max_rows + 1 - count))
                    count += batches[-1].num_rows
                    if count > max_rows:
                        break
                return pa.Table.from_batches(batches, schema=rows.schema)
            except (duckdb.Error, pa.ArrowException, OSError) as error:
                raise self._explain(error, timeout_s) from error
            finally:
                timer.cancel()

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _explain(self, error: Exception, timeout_s: float) -> JuratError:
        """Return the error of ours that says what DuckDB's means."""
        text = str(error)
        if isinstance(error, duckdb.InterruptException) or "INTERRUPT" in text:
            return too_long(timeout_s)
        if isinstance(error, duckdb.OutOfMemoryException | pa.ArrowMemoryError) or "Out of Memory" in text:
            return too_large(timeout_s)
        gone = [path for path in self.source.parts if not path.exists()]
        if gone:  # DuckDB takes the name for a pattern then, and reports what it likes
            return missing_part(gone[0])
        if isinstance(error, duckdb.PermissionException):
            return Denied(
                "the query reaches for something outside the relation `events`",
                hint="files, extensions, settings and other databases cannot be reached from here",
                code="sql_not_allowed",
            )
        if isinstance(error, duckdb.ParserException | duckdb.BinderException | duckdb.CatalogException):
            return _wrong(error)
        # What is left may be the query's fault or the files', and a query can fake any message: so look at the files.
        return next(_damaged(self.source.parts), None) or _wrong(error)


def _lock(database: duckdb.DuckDBPyConnection, source: Source, memory_mb: int, threads: int) -> None:
    files = ", ".join(_quoted(str(path)) for path in source.parts)
    for statement in (
        f"SET allowed_paths = [{files}]",
        f"SET threads = {threads}",
        f"SET memory_limit = '{memory_mb}MB'",
        "SET temp_directory = ''",
        "SET TimeZone = 'UTC'",
        "SET python_enable_replacements = false",
        "SET autoinstall_known_extensions = false",
        "SET autoload_known_extensions = false",
    ):
        database.execute(statement)
    _see(database, source)
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")


def _see(database: duckdb.DuckDBPyConnection, source: Source, lifetime: str = "") -> None:
    """Let the relation `events` be this source; with `TEMP`, for this cursor only, where it hides the one of all."""
    if source.tail.num_rows or not source.parts:
        database.register("_arriving", source.tail)
        database.execute(f"CREATE {lifetime} TABLE _tail AS FROM _arriving")
        database.unregister("_arriving")
    database.execute(f"CREATE {lifetime} VIEW events AS {_events_query(source)}")


def _damaged(parts: Mapping[Path, str]) -> Iterator[JuratError]:
    """Yield an error for each part that is not what the manifest says."""
    for path, digest in parts.items():
        try:
            found = digest_file(path)
        except OSError:
            yield missing_part(path)
        else:
            if found != digest:
                yield damaged_part(path, f"its digest is `{found}`, expected `{digest}`")


def _wrong(error: Exception) -> Malformed:
    return Malformed(f"the query is wrong: {_first_lines(error)}", hint="see the columns with `DESCRIBE events`", code="sql_malformed")


def too_long(timeout_s: float) -> Exhausted:
    return Exhausted(
        f"the query took longer than `{timeout_s:g}s` and was stopped",
        hint="ask for fewer days or kinds: `WHERE date >= … AND kind = …`",
        code="query_too_long",
        retry_after_s=timeout_s,
    )


def too_large(timeout_s: float) -> Exhausted:
    return Exhausted(
        "the query, or its answer, needs more memory than it may have",
        hint="group or filter more, or ask for fewer columns than `*`",
        code="query_too_large",
        retry_after_s=timeout_s,
    )


def _events_query(source: Source) -> str:
    partition = f"{_quoted(source.tenant + '/')} || class AS log, kind, date"
    columns = ", ".join(SCHEMA.names)
    sources = [f"SELECT {partition}, {columns} FROM _tail"] if source.tail.num_rows or not source.parts else []
    if source.parts:  # all of one schema: with `union_by_name`, each query would open every file before it begins
        files, types = ", ".join(_quoted(str(path)) for path in source.parts), "{'class': VARCHAR, 'kind': VARCHAR, 'date': DATE}"
        sources.insert(0, f"SELECT {partition}, {columns} FROM read_parquet([{files}], hive_partitioning = true, hive_types = {types})")
    as_of = " ".join(f"WHEN {_quoted(log)} THEN {index}" for log, index in source.as_of.items())
    return (
        f"SELECT log, idx, kind, date, make_timestamp(CAST(received_ns // 1000 AS BIGINT)) AT TIME ZONE 'UTC' AS received_at, "
        f"* EXCLUDE (log, idx, kind, date), TRY_CAST(TRY(decode(raw)) AS JSON) AS event, CAST(CASE log {as_of} END AS UBIGINT) AS as_of "
        f"FROM ({' UNION ALL '.join(sources)}){_unmasked(source.masked)}"
    )


def _unmasked(masked: Mapping[str, Sequence[int]]) -> str:
    hidden = [f"(log = {_quoted(log)} AND idx IN ({', '.join(map(str, indexes))}))" for log, indexes in masked.items() if indexes]
    return f" WHERE NOT ({' OR '.join(hidden)})" if hidden else ""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _first_lines(error: Exception) -> str:
    text = str(error).partition("\n\nLINE ")[0].replace("\n", " ").strip()
    text = text.partition(": ")[2] or text
    return (text[:1].lower() + text[1:])[:300].rstrip(".")
