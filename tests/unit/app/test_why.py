"""Who can, what can somebody, why: from decisions made again, with the question as it was recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
from tests.scenes.governed import World, make_world

from jurat.app.census import Census, Found
from jurat.app.walk import act
from jurat.app.why import Page, what_can, who_can, why_event, why_not
from jurat.core.errors import Denied, JuratError, Malformed, NotFound
from jurat.domain import commands
from jurat.domain.events import encode_event
from jurat.domain.facts import ActDenied, RecordsRead
from jurat.policy.engine import Engine


class Stored(NamedTuple):
    raw: bytes


class OutboxAsLedger:
    """What was recorded, as the ledger would show it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def as_of(self) -> dict[str, int]:
        return {"main/access": len(self._world.store.events)}

    def scan(self) -> Iterator[Stored]:
        return (Stored(encode_event(event)) for event in self._world.store.events)

    def find(self, event_id: str) -> Stored | None:
        return next((Stored(encode_event(event)) for event in self._world.store.events if event.id == event_id), None)


@pytest.fixture
def world(tmp_path: Path) -> World:
    found = make_world(tmp_path / "w", "compliance_officer", "data_scientist", "ml_engineer", "business_analyst")
    found.app.events = cast("Any", OutboxAsLedger(found))
    return found


def denied(world: World, who: str, command: commands.Command) -> str:
    with pytest.raises(JuratError) as refused:
        act(world.app, world.tokens[who], command)
    return str(refused.value.fields["event"])


def test_who_can(world: World) -> None:
    token = world.tokens["compliance_officer"]
    found = who_can(world.app, token, "model:promote", "models/prod/credit@1.1.0", {}).found
    assert [(each.principal, each.policies) for each in found] == [(world.ids["ml_engineer"], ["ml_engineer.models.prod"])]
    assert isinstance(world.store.events[-1].data, RecordsRead)
    silent = who_can(world.app, token, "data:read", "data/training/loans@v5", {}).found
    said = who_can(world.app, token, "data:read", "data/training/loans@v5", {"purpose": "retrain"}).found
    assert silent == []
    assert {each.principal for each in said} == {world.ids["data_scientist"], world.ids["ml_engineer"]}


def test_long_answers_come_in_pages(world: World) -> None:
    def pages(ask: Callable[..., Page]) -> list[Found]:
        found: list[Found] = []
        page = ask(after="", limit=2)
        while page.next:
            assert len(page.found) == 2
            found += page.found
            page = ask(after=page.next, limit=2)
        return found + page.found

    token, principal = world.tokens["operator"], world.ids["data_scientist"]
    what = what_can(world.app, token, principal, {}).found
    assert len(what) > 4
    assert pages(partial(what_can, world.app, token, principal, {})) == what
    who = who_can(world.app, token, "policy:read", "workspace", {})
    assert len(who.found) > 2
    assert who.next == ""
    assert pages(partial(who_can, world.app, token, "policy:read", "workspace", {})) == who.found


@pytest.mark.parametrize(("action", "resource"), [("model:promot", "models/prod/x@1.0.0"), ("model:read", "nowhere/x")])
def test_who_can_do_what_nobody_knows_is_refused(world: World, action: str, resource: str) -> None:
    with pytest.raises(Malformed) as refused:
        who_can(world.app, world.tokens["operator"], action, resource, {})
    assert refused.value.hint


def test_what_can_is_for_those_who_may_ask_and_for_oneself(world: World) -> None:
    own = what_can(world.app, world.tokens["data_scientist"], world.ids["data_scientist"], {}).found
    assert ("policy:read", "workspace") in {(each.action, each.resource) for each in own}
    assert what_can(world.app, world.tokens["operator"], world.ids["data_scientist"], {}).found == own
    with pytest.raises(Denied):
        what_can(world.app, world.tokens["data_scientist"], world.ids["ml_engineer"], {})
    with pytest.raises(NotFound):
        what_can(world.app, world.tokens["operator"], "prn_" + "0" * 26, {})


def test_a_census_says_what_asking_each_says(world: World) -> None:
    engine = world.app.engine(world.store.state)
    assert isinstance(engine, Engine)
    census = Census(world.store.state, engine, world.app.clock.now_ns(), {"purpose": "debugging"})
    for action in ("model:read", "data:read", "session:read", "role:grant"):
        for place in (*census.places(), "models/prod/x@1.0.0", "data/training/x@v1"):
            found = {each.principal for each in census.who_can(action, place)}
            each_alone = {who for who in world.ids.values() if engine.decide_chain(census.questions(who, action, place)).is_allowed}
            assert found == each_alone


def test_why_was_it_denied(world: World) -> None:
    event = denied(world, "business_analyst", commands.ReadData(dataset="loans@v5", purpose="curiosity"))
    found = why_event(world.app, world.tokens["compliance_officer"], event)
    assert (found.event, found.effect, found.same, found.rule) == (event, "deny", True, "")
    assert found.question.context == {"purpose": "curiosity"}
    hop = found.hops[0]
    assert (hop.principal, hop.roles) == (world.ids["business_analyst"], ["business_analyst"])
    assert hop.explanation is not None
    assert [[(change.what, change.name) for change in changes] for changes in hop.explanation.changes] == [
        [("role", "data_engineer")], [("role", "data_owner")],
    ]  # fmt: skip
    assert found.ask["data_engineer"] == []


def test_two_changes_are_found_where_one_is_not_enough(world: World) -> None:
    found = (
        why_not(world.app, world.tokens["operator"], world.ids["business_analyst"], "data:read", "data/training/loans@v5", {})
        .hops[0]
        .explanation
    )
    assert found is not None
    assert found.forbidden_by == ["house.purpose_of_data"]
    assert all({change.what for change in changes} == {"role", "context"} for changes in found.changes)
    assert "data_scientist" in {change.name for changes in found.changes for change in changes}


def test_why_was_it_allowed_is_asked_of_the_policies_of_then(world: World) -> None:
    act(world.app, world.tokens["operator"], commands.GrantRole(
        principal=world.ids["business_analyst"], role="auditor", reason="a look", expires_at="2026-01-01T00:00:00Z"
    ))  # fmt: skip
    event = world.store.events[-1].id
    found = why_event(world.app, world.tokens["operator"], event)
    assert (found.effect, found.same) == ("allow", True)
    assert found.hops[0].policies == {"operator.people": "operators register principals, grant roles and issue tokens"}
    assert found.hops[0].explanation is None


def test_a_rule_beyond_the_policies_is_named(world: World) -> None:
    event = denied(world, "operator", commands.GrantRole(
        principal=world.ids["operator"], role="auditor", reason="for me", expires_at="2026-01-01T00:00:00Z"
    ))  # fmt: skip
    assert isinstance(world.store.events[-1].data, ActDenied)
    found = why_event(world.app, world.tokens["operator"], event)
    assert (found.effect, found.same) == ("allow", True)
    assert found.rule == "no_self_grant"


def test_nobody_explains_anothers_decision_without_the_right(world: World) -> None:
    event = denied(world, "business_analyst", commands.ReadData(dataset="loans@v5", purpose="curiosity"))
    with pytest.raises(Denied):
        why_event(world.app, world.tokens["ml_engineer"], event)
    with pytest.raises(NotFound):
        why_event(world.app, world.tokens["operator"], "evt_" + "0" * 26)
