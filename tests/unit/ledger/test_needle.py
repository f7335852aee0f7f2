"""An event is found by its id, wherever it lies; its id tells only where to look first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from tests.ledger_workspace import INFERENCE, PREDICTION_MADE
from tests.scenes.archive import PREDICTION_REQUESTED, START_NS, Bench

from jurat.core.clock import FixedClock
from jurat.core.errors import Tampered
from jurat.core.ids import new_id
from jurat.core.jsonio import dump_json
from jurat.ledger.query import Events

DAY_NS = 86_400 * 1_000_000_000


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def put(bench: Bench, event_id: str, received_ns: int, text: str) -> None:
    """Record one event of that id at that time, and archive it."""
    bench.clock.at_ns = received_ns
    bench.ledger.append(INFERENCE, len(bench.recorded[INFERENCE]) + 1, [dump_json({"id": event_id, "text": text})])
    bench.recorded[INFERENCE].append(b"")
    bench.archive()


@pytest.mark.parametrize("late_days", [0, 1, 3, 400], ids=lambda days: f"received_{days}_days_late")
def test_an_event_is_found_whenever_it_was_received(bench: Bench, late_days: int) -> None:
    wanted = new_id("evt", FixedClock(START_NS))
    put(bench, new_id("evt", FixedClock(START_NS)), START_NS, "another")
    put(bench, wanted, START_NS + late_days * DAY_NS, "wanted")
    found = bench.events().find(wanted)
    assert found is not None
    assert b"wanted" in found.raw


@pytest.mark.parametrize(
    "odd", ["", "evt_", "evt_7zzzzzzzzzzzzzzzzzzzzzzzzz", "evt_00000000000000000000000000", "evt_" + "z" * 26, "x", "' OR 1=1 --"]
)
def test_an_id_of_any_form_is_looked_for(bench: Bench, odd: str) -> None:
    assert bench.events().find(odd or "nothing") is None
    put(bench, odd, START_NS, "here")
    found = bench.events().find(odd)
    assert found is not None
    assert b"here" in found.raw


def test_of_two_events_with_one_id_the_first_is_told(bench: Bench) -> None:
    wanted = new_id("evt", FixedClock(START_NS))
    put(bench, wanted, START_NS, "first")
    put(bench, wanted, START_NS + 10 * DAY_NS, "second")
    found = bench.events().find(wanted)
    assert found is not None
    assert b"first" in found.raw


def test_only_the_days_around_are_read_at_first(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, asked = new_id("evt", FixedClock(START_NS)), []
    put(bench, wanted, START_NS, "wanted")
    events, lookup = bench.events(), Events._lookup
    monkeypatch.setattr(Events, "_lookup", lambda self, *what: asked.append(what) or lookup(self, *what))
    assert events.find(wanted)
    assert asked == [("event_id", wanted, (date(2026, 11, 24), date(2026, 11, 26)))]


def test_a_question_asked_again_knows_what_has_come_since(bench: Bench) -> None:
    events, question = bench.events(), "SELECT count(*), max(as_of) FROM events"
    assert events.select(question).rows == [(0, None)]
    for number in range(1, 4):
        bench.append(2)
        bench.seal()
        assert events.select(question).rows == [(2 * number, 2 * number)], "in the tail"
        assert events.select(question).rows == [(2 * number, 2 * number)], "and again"
    bench.archive()
    assert events.select(question).rows == [(6, 6)]
    bench.append(1)
    assert events.select(question).rows == [(7, 7)]


def test_a_question_for_some_kinds_does_not_look_at_the_files_of_others(bench: Bench) -> None:
    bench.append(4, kinds=[PREDICTION_REQUESTED, PREDICTION_MADE])
    bench.archive()
    bench.append(2, kinds=[PREDICTION_REQUESTED, PREDICTION_MADE])
    bench.seal()
    events, question = bench.events(), "SELECT count(*) FROM events WHERE kind = 'prediction.made.v1'"
    assert events.select(question).rows == events.select(question, kinds=["prediction.made.v1"]).rows == [(3,)]
    for path in bench.parts():
        if "prediction.requested" in str(path):
            path.write_bytes(b"no archive file")
    assert events.select(question, kinds=["prediction.made.v1"]).rows == [(3,)]
    with pytest.raises(Tampered):
        events.select("SELECT count(DISTINCT idx) FROM events")
