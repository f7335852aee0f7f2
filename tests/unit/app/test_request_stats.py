"""How people answer requests: what is counted, and that nobody looks away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.scenes.governed import NOW_NS, World, make_world
from tests.unit.domain.law import GATES, Law

from jurat.app.request_stats import NO, SHOWN, YES, count_answers, show_request
from jurat.core.errors import JuratError
from jurat.domain.facts_rollout import RequestShown
from jurat.domain.kinds import BY_NAME

START = datetime(2026, 1, 1, tzinfo=UTC)


def line(kind: str, person: str, request: str, at_s: float) -> tuple[Any, ...]:
    return kind, person, request, START + timedelta(seconds=at_s)


def test_every_kind_of_answer_is_one_of_the_catalogue() -> None:
    assert {*YES, *NO, SHOWN} <= set(BY_NAME)
    assert [k.replace("approved", "") for k in YES] == [k.replace("rejected", "") for k in NO]


def test_fast_slow_and_unseen() -> None:
    lines = [
        line(SHOWN, "cleo", "r1", 0), line(YES[0], "cleo", "r1", 4.9), line(SHOWN, "cleo", "r2", 10), line(YES[0], "cleo", "r2", 15.1),
        line(YES[1], "cleo", "r3", 20), line(NO[0], "cleo", "r4", 30),
    ]  # fmt: skip
    (found,) = count_answers(lines)
    assert (found.yes, found.no, found.too_fast, found.unseen, found.median_s) == (3, 1, 1, 1, 5.1)
    assert found.signs == ["1 under 5 s after it was shown", "1 without a look on record"]


def test_the_last_look_counts_and_only_ones_own() -> None:
    lines = [line(SHOWN, "dan", "r1", 0), line(SHOWN, "cleo", "r1", 0), line(SHOWN, "cleo", "r1", 60), line(YES[0], "cleo", "r1", 62)]
    assert count_answers(lines)[0].too_fast == 1
    assert count_answers([lines[0], lines[3]])[0].unseen == 1


def test_yes_to_everything_is_told_once_there_is_enough() -> None:
    def signs(count: int, noes: int = 0) -> list[str]:
        lines = [each for n in range(count) for each in (line(SHOWN, "c", f"r{n}", n * 100), line(YES[0], "c", f"r{n}", n * 100 + 50))]
        return count_answers([*lines, *[line(NO[0], "c", "x", 9_999)] * noes])[0].signs

    assert signs(9) == []
    assert signs(10) == ["yes to all 10"]
    assert signs(10, noes=1) == []


@pytest.fixture
def world(tmp_path: Path) -> World:
    found = make_world(tmp_path / "w", "ml_lead", "compliance_officer", "business_analyst")
    law = Law()
    law.now_ns = NOW_NS - 3_600 * 10**9
    law.apply_gates(GATES)
    version = law.register()
    law.good(version)
    law.request(version)
    for table, rows in law.state.tables.items():
        if table not in ("principals", "grants", "policy_sets"):
            found.store.state.tables[table] |= rows
    return found


def test_an_approvers_look_is_on_record_and_anothers_is_not(world: World) -> None:
    (request,) = world.store.state.tables["requests"]
    before = len(world.store.events)
    shown = show_request(world.app, world.tokens["compliance_officer"], request)
    assert len(world.store.events) == before
    show_request(world.app, world.tokens["ml_lead"], request)
    (event,) = world.store.events[before:]
    assert isinstance(event.data, RequestShown)
    assert event.data.shown_digest == shown.shown_digest
    with pytest.raises(JuratError):
        show_request(world.app, world.tokens["business_analyst"], request)
