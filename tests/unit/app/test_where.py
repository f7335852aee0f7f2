"""Conditions on events as people write them, and cursors: read strictly, and never a part of the statement."""

from __future__ import annotations

import duckdb
import pytest

from jurat.app.follow import format_cursor, parse_cursor
from jurat.app.where import MOST_CONDITIONS, parse_where
from jurat.core.errors import Malformed

ROWS = [
    ("main/inference", 0, "prediction.made.v1", "prn_a", "models/prod/credit@1.0.0", 0.5, 1_764_000_000_000_000_000),
    ("main/inference", 1, "prediction.made.v1", "prn_b", 'models/prod/it\'s "x" and y', 0.9, 1_765_000_000_000_000_000),
    ("main/access", 0, "act.denied.v1", None, "workspace", None, 1_766_000_000_000_000_000),
]


def found(text: str) -> list[int]:
    """Return which rows fit, as a real database answers."""
    where = parse_where(text)
    with duckdb.connect() as database:
        database.execute(
            "CREATE TABLE events (log TEXT, idx UBIGINT, kind TEXT, principal TEXT, resource TEXT, confidence DOUBLE, received_ns UBIGINT)"
        )
        database.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", ROWS)
        rows = database.execute(f"SELECT log, idx FROM events WHERE {' AND '.join(where.sql) or 'true'}", where.parameters).fetchall()
    return sorted([row[:2] for row in ROWS].index(row) for row in rows)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", [0, 1, 2]),
        ("class=inference", [0, 1]),
        ("class = inference and principal=prn_a", [0]),
        ("class!=inference", [2]),
        ("principal != prn_a", [1, 2]),
        ("log=main/access AND kind=act.denied.v1", [2]),
        ('resource="models/prod/it\'s \\"x\\" and y"', [1]),
        ("resource~credit@", [0]),
        ("confidence<0.6", [0]),
        ("confidence>=0.5 and index<1", [0]),
        ("received>=2025-12-01T00:00:00Z", [1, 2]),
        ("received<2025-12-01T01:00:00+01:00", [0]),
        ("principal=\"x' OR '1'='1\"", []),
    ],
)
def test_conditions_mean_what_they_say(text: str, rows: list[int]) -> None:
    assert found(text) == rows


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("class", "expected a condition"),
        ("class=inference or kind=x", "expected `and`"),
        ("class=inference andkind=x", "expected `and`"),
        ("clas=inference", "column `clas` is unknown"),
        ("class=predictions", "class `predictions` is unknown"),
        ("kind<x", "cannot be asked with `<`"),
        ("confidence<many", "is not a number"),
        ("confidence<1e5", "is not a number"),
        ("received>yesterday", "is not a time with a zone"),
        ("received>2025-12-01", "is not a time with a zone"),
        ("log=nowhere", "is not a log"),
        ('resource="open', "expected a condition"),
        ("kind=a; DROP TABLE events", "expected `and`"),
        (" and ".join(["index=1"] * (MOST_CONDITIONS + 1)), "more than"),
        ("x" * 3_000, "expected at most"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text: str, says: str) -> None:
    with pytest.raises(Malformed, match=says):
        parse_where(text)


def test_cursors_are_written_as_they_are_read() -> None:
    text = format_cursor({"main/inference": 7, "main/access": 12})
    assert text == "access:12,inference:7"
    assert parse_cursor(text) == {"access": 12, "inference": 7}
    for nonsense in ("", "access", "access:-1", "access:1,", "Access:1", "access:1;x", "access:" + "9" * 30):
        with pytest.raises(Malformed, match="is not a cursor"):
            parse_cursor(nonsense)
