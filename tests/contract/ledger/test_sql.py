"""What a user's SELECT can do, and everything that it cannot: once in this process, once in the process that it gets."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from tests.ledger_workspace import INFERENCE
from tests.scenes.archive import Bench, prediction_id

from jurat.core.errors import Denied, Exhausted, Malformed, Tampered
from jurat.ledger import sql_child
from jurat.ledger.query import Events
from jurat.ledger.sql import Reader

Ask = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Ten events in the archive, two in the tail."""
    bench = Bench(tmp_path_factory.mktemp("sql"))
    bench.append(10)
    bench.archive()
    bench.append(2)
    yield bench
    bench.close()


@pytest.fixture(params=["here", "in its own process"])
def ask(bench: Bench, request: pytest.FixtureRequest) -> Ask:
    events = bench.events()
    if request.param != "here":
        return lambda query: events.sql(query).rows

    def here(query: str) -> list[tuple[object, ...]]:
        with Reader(events.source(events.snapshot())) as reader:
            table = ask_locked(reader, query)
            return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    return here


def test_a_select_sees_archive_and_tail(ask: Ask) -> None:
    assert ask("SELECT count(*), min(idx), max(idx), count(DISTINCT prediction) FROM events") == [(12, 0, 11, 6)]
    assert ask("FROM events SELECT idx WHERE principal = 'prn_3' ORDER BY ALL") == [(3,), (10,)]
    assert ask("WITH slow AS (SELECT * FROM events WHERE latency_ms > 2) SELECT count(*) FROM slow") == [(3,)]


FORBIDDEN = {
    "read a file": "SELECT * FROM read_csv('/etc/passwd')",
    "read a file by its name": "SELECT * FROM '/etc/passwd'",
    "read a file as text": "SELECT content FROM read_text('/etc/passwd')",
    "read a file as bytes": "SELECT content FROM read_blob('/etc/passwd')",
    "list files": "SELECT * FROM glob('/*')",
    "read another archive file": "SELECT * FROM read_parquet('{events}/other.parquet')",
    "read the manifest": "SELECT * FROM read_json('{events}/manifest-1.json')",
    "read within a query within": "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
    "write a file": "COPY events TO '{events}/stolen.csv'",
    "overwrite a part": "COPY events TO '{part}'",
    "export": "EXPORT DATABASE '{events}/export'",
    "install an extension": "INSTALL httpfs",
    "load an extension": "LOAD httpfs",
    "attach a database": "ATTACH '{events}/x.db'",
    "change a setting": "SET enable_external_access = true",
    "change a setting by pragma": "PRAGMA enable_external_access = true",
    "reset a setting": "RESET lock_configuration",
    "read the environment": "SELECT getenv('HOME')",
    "read a Python variable": "SELECT * FROM bench",
    "make a table": "CREATE TABLE mine AS SELECT * FROM events",
    "replace the relation": "CREATE OR REPLACE VIEW events AS SELECT 1",
    "drop the relation": "DROP VIEW events",
    "delete": "DELETE FROM _tail",
    "call": "CALL pragma_version()",
    "two statements": "SELECT 1; SELECT 2",
    "a statement behind a comment": "/* SELECT */ SET threads = 1",
    "nothing": "",
    "nothing but a comment": "-- SELECT",
    "nonsense": "SELEC",
    "an unknown column": "SELECT salary FROM events",
    "a null byte": "SELECT 1 \0; SELECT 2",
}


REACHING = ("read", "list", "write", "overwrite", "export", "install", "load", "attach", "change", "reset")
OUTSIDE = [name for name in FORBIDDEN if name.startswith(REACHING)]


def ask_locked(reader: Reader, text: str) -> pa.Table:
    reader.check_select(text)
    return reader.select(text, timeout_s=20, max_rows=100)


@pytest.mark.parametrize("query", FORBIDDEN.values(), ids=FORBIDDEN)
def test_what_is_not_a_select_over_events_is_refused(bench: Bench, query: str) -> None:
    events = bench.events()
    part = bench.parts()[0]
    before = {path: path.read_bytes() for path in bench.events_dir.rglob("*") if path.is_file()}
    text = query.replace("{events}", str(bench.events_dir)).replace("{part}", str(part))
    with Reader(events.source(events.snapshot())) as reader, pytest.raises((Denied, Malformed)):
        ask_locked(reader, text)
    assert {path: path.read_bytes() for path in bench.events_dir.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", OUTSIDE)
def test_the_database_itself_lets_nothing_out_or_in(bench: Bench, name: str) -> None:
    """Were the look at the statement to fail, the locked database would still hold."""
    events = bench.events()
    text = FORBIDDEN[name].replace("{events}", str(bench.events_dir)).replace("{part}", str(bench.parts()[0]))
    before = {path: path.read_bytes() for path in bench.events_dir.rglob("*") if path.is_file()}
    with Reader(events.source(events.snapshot())) as reader, pytest.raises(duckdb.Error):
        reader._database.execute(text).fetchall()
    assert {path: path.read_bytes() for path in bench.events_dir.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["overwrite a part", "an unknown column"])
def test_the_process_passes_refusals_on(bench: Bench, name: str) -> None:
    text = FORBIDDEN[name].replace("{part}", str(bench.parts()[0]))
    with pytest.raises((Denied, Malformed)) as caught:
        bench.events().sql(text)
    assert caught.value.code in {"sql_not_allowed", "sql_malformed"}
    assert "Error" not in caught.value.detail


def test_a_query_that_takes_too_long_is_stopped(bench: Bench) -> None:
    began = time.monotonic()
    with pytest.raises(Exhausted, match="took longer than `1s`") as caught:
        bench.events().sql("SELECT count(*) FROM range(1000000000000) AS t(a) WHERE hash(a) = 7", timeout_s=1)
    assert caught.value.code == "query_too_long"
    assert time.monotonic() - began < 1 + sql_child.START_S


@pytest.mark.parametrize(
    "query",
    [
        "SELECT repeat('x', 900000000)",
        "SELECT list(a) FROM range(100000000) AS t(a)",
        "SELECT a, repeat('x', 100000) FROM range(5000) AS t(a)",  # each row is small, the answer is not
        "SELECT length(string_agg(repeat('x', 1000000), '')) FROM range(3000)",
    ],
)
def test_a_query_that_takes_too_much_memory_is_stopped(bench: Bench, query: str) -> None:
    with pytest.raises(Exhausted) as caught:
        bench.events().sql(query, memory_mb=128)
    assert caught.value.code == "query_too_large"


def test_the_kernel_lets_the_process_write_no_file(bench: Bench, tmp_path: Path) -> None:
    """Were DuckDB's lock to fail, the process around it would still hold."""
    script = (
        "from jurat.ledger import sql_child as c; c._limit(c.Request('', '', '', [], 1.0, 1, 64)); "
        f"f = open({str(tmp_path / 'x')!r}, 'wb'); f.write(b'x' * 10); f.flush()"
    )
    assert subprocess.run([sys.executable, "-c", script], stderr=subprocess.DEVNULL).returncode != 0
    assert (tmp_path / "x").read_bytes() == b""


def test_an_answer_says_what_it_is_as_of_and_whether_it_is_cut(bench: Bench) -> None:
    events = bench.events()
    answer = events.sql("SELECT idx, as_of FROM events ORDER BY idx", max_rows=4)
    assert answer.rows == [(0, 12), (1, 12), (2, 12), (3, 12)]
    assert answer.columns == ["idx", "as_of"]
    assert answer.is_cut
    assert answer.as_of[str(INFERENCE)] == 12
    assert not events.sql("SELECT idx FROM events", max_rows=12).is_cut
    assert events.sql("SELECT idx FROM events WHERE false").rows == []


def test_values_come_as_parameters(bench: Bench) -> None:
    assert bench.events().sql("SELECT count(*) FROM events WHERE prediction = ? AND idx < ?", [prediction_id(2), 5]).rows == [(1,)]
    assert bench.events().sql("SELECT count(*) FROM events WHERE prediction = ?", ["' OR true --"]).rows == [(0,)]
    with pytest.raises(Malformed):
        bench.events().sql("SELECT count(*) FROM events WHERE prediction = ?")


def test_values_keep_their_types(bench: Bench) -> None:
    huge = 2**127 - 1
    query = f"SELECT raw, occurred_at, date, confidence, kind, NULL, [1, 2], {{'a': 1}}, {huge} FROM events WHERE idx = 0"
    row = bench.events().sql(query).rows[0]
    assert [type(value).__name__ for value in row] == ["bytes", "datetime", "date", "float", "str", "NoneType", "list", "dict", "Decimal"]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM 'x.parquet'",
        """SELECT error('Failed to read file "/x/part-0-9.parquet": ZSTD Decompression failure') FROM events""",
        "SELECT CAST('x.parquet' AS INTEGER)",
        "SELECT sum(idx) * 18446744073709551615 * 18446744073709551615 * 18446744073709551615 FROM events",
        "SELECT decode('\\xff'::BLOB)",
    ],
)
def test_no_query_can_raise_a_false_alarm(bench: Bench, query: str) -> None:
    with pytest.raises((Malformed, Denied)), Reader(bench.events().source(bench.events().snapshot())) as reader:
        ask_locked(reader, query)


def test_a_damaged_ledger_is_tampered_also_from_there(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.append(3)
    bench.archive()
    part = bench.parts()[0]
    whole = part.read_bytes()
    part.write_bytes(b"")
    with pytest.raises(Tampered, match=part.name) as caught:
        bench.events().sql("SELECT count(raw) FROM events")
    assert caught.value.code == "parquet_altered"
    part.write_bytes(whole[:2000] + bytes(500) + whole[2500:])
    with pytest.raises(Tampered, match=part.name):
        bench.events().sql("SELECT max(raw), max(commitment), max(event_id) FROM events")
    part.unlink()
    with pytest.raises(Tampered, match=part.name):
        Events(bench.root, "main").sql("SELECT 1")
    bench.close()
