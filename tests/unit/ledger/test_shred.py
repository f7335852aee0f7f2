"""Columns say what the bytes say, and no bytes are an error."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jurat.core.jsonio import dump_json
from jurat.ledger.rows import SCHEMA, Span, table_of
from jurat.ledger.shred import Columns, shred, shred_all
from jurat.merkle.entry import Entry, pack_entry

FULL = {
    "id": "evt_1",
    "kind": "prediction.made.v1",
    "at": "2026-11-25T19:40:41.123456Z",
    "actor": {"principal": "prn_1", "type": "service", "chain": ["prn_1"]},
    "decision": {"effect": "allow", "policies": ["p"], "policy_set": "sha256:0"},
    "resource": "models/prod/credit@1.0.0",
    "because": [],
    "data": {"prediction": "prd_1", "version": "1.0.0", "latency_ms": 3, "confidence": 0.5, "outcome": "released", "output": [1, 2]},
}
AT = datetime(2026, 11, 25, 19, 40, 41, 123456, tzinfo=UTC)


def test_every_column_comes_from_its_field() -> None:
    assert shred(dump_json(FULL)) == Columns(
        "evt_1", AT, "prn_1", "models/prod/credit@1.0.0", "allow", "prd_1", "1.0.0", 3.0, 0.5, "released"
    )


def test_an_event_without_decision_and_data_has_nulls_there() -> None:
    columns = shred(dump_json(FULL | {"decision": None, "data": {}}))
    assert columns == Columns("evt_1", AT, "prn_1", "models/prod/credit@1.0.0")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"data": {"version": 7, "outcome": "released"}}, {"version": None, "outcome": "released"}),
        ({"data": [1]}, {"prediction": None, "event_id": "evt_1"}),
        ({"actor": "someone"}, {"principal": None, "event_id": "evt_1"}),
        ({"id": 5}, {"event_id": None, "principal": "prn_1"}),
        ({"data": {"latency_ms": True, "confidence": "0.5"}}, {"latency_ms": None, "confidence": None, "event_id": "evt_1"}),
        ({"at": "yesterday"}, {"occurred_at": None, "event_id": "evt_1"}),
        ({"at": "2026-11-25T19:40:41"}, {"occurred_at": None, "event_id": "evt_1"}),  # no zone: no time
        ({"at": "0001-01-01T00:00:00+14:00"}, {"occurred_at": None, "event_id": "evt_1"}),
        ({"at": "2026-11-25T21:40:41.123456+02:00"}, {"occurred_at": AT}),
    ],
)
def test_a_field_of_another_type_is_null_and_the_others_still_count(change: dict[str, object], expected: dict[str, object]) -> None:
    columns = shred(dump_json(FULL | change))._asdict()
    assert {name: columns[name] for name in expected} == expected


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff", b"null", b"[]", b'"\\ud800"', b"[" * 100_000, b'{"data":{"latency_ms":1e400}}', b'{"at":1e99}']
)
def test_what_is_no_event_has_no_columns(raw: bytes) -> None:
    assert shred(raw) == Columns()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
odd_data = st.fixed_dictionaries({}, optional=dict.fromkeys(FULL["data"], json_values))  # type: ignore[call-overload]
odd_events = st.fixed_dictionaries(
    {}, optional={name: st.just(value) | json_values for name, value in FULL.items()} | {"data": odd_data | json_values}
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.binary(max_size=60) | odd_events.map(json.dumps).map(str.encode), min_size=1, max_size=5))
def test_any_bytes_fit_into_the_table(raws: list[bytes]) -> None:
    entries = b"".join(pack_entry(Entry(51, 2, 1, seq, 10**18, bytes(32))) for seq in range(len(raws)))
    sizes = b"".join(len(raw).to_bytes(4) for raw in raws)
    table = table_of([Span(7, len(raws), entries, sizes, b"".join(bytes(16) + raw for raw in raws))])
    table.validate(full=True)
    assert table.schema == SCHEMA
    assert table["raw"].to_pylist() == raws
    assert table["idx"].to_pylist() == list(range(7, 7 + len(raws)))
    columns = [table[name].to_pylist() for name in Columns._fields]
    together = Columns(*shred_all(raws))
    times = [at and at.replace(tzinfo=UTC) for at in together.occurred_at.tolist()]  # type: ignore[union-attr]
    assert columns == list(together._replace(occurred_at=times)) == [list(column) for column in zip(*map(shred, raws), strict=True)]  # type: ignore[arg-type]
