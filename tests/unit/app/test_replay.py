"""Replay: its numbers are those of asking the engine each question again, one after the other."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, NamedTuple

import msgspec
import pytest

from jurat.app.replay import replay_events
from jurat.core.clock import FixedClock, format_at
from jurat.core.ids import new_id
from jurat.domain import facts, facts_policy
from jurat.domain.decisions import DecisionRef, as_requests, decided
from jurat.domain.events import Actor, Event, encode_event
from jurat.domain.values import PrincipalType
from jurat.policy.engine import Engine, Request
from jurat.policy.policyset import SCHEMA_NAME, PolicySet, default_sources

NOW_NS = 1_764_000_000 * 10**9
CANDIDATE = """
@id("own.no_prod") @reason("nobody retires in production") forbid (principal, action == Action::"model:retire", resource in Models::"prod");
@id("own.analysts") @reason("analysts see models") permit (principal in Role::"business_analyst", action == Action::"model:read", resource);
"""


class Raw(NamedTuple):
    raw: bytes
    received_ns: int = NOW_NS


def sets(extra: str = CANDIDATE) -> tuple[PolicySet, PolicySet]:
    sources = default_sources()
    schema = sources.pop(SCHEMA_NAME)
    return PolicySet.load(sources, schema), PolicySet.load({**sources, "own.cedar": extra}, schema)


def event(ref: DecisionRef, number: int, *, data: Any = None) -> Event:
    clock = FixedClock(NOW_NS + number * 1_000_000)
    actor = Actor(principal="prn_x", type=PrincipalType.PERSON, chain=["prn_x"])
    said = data or facts.RecordsRead(question="q", subject="s", as_of={})
    return Event(id=new_id("evt", clock), at=format_at(clock.now_ns()), actor=actor, resource="workspace", decision=ref, data=said)


def history(count: int, *, seed: int = 7) -> list[Event]:
    """Return acts of all sorts, decided by the set that was in force."""
    before, chance = Engine(sets()[0]), random.Random(seed)
    found = []
    for number in range(count):
        role = chance.choice(["ml_engineer", "business_analyst", "data_scientist", "operator"])
        action = chance.choice(["model:retire", "model:read", "model:promote"])
        place = f"models/{chance.choice(['dev', 'prod'])}/m{chance.randrange(5)}@1.0.0"
        said = {"reason": f"reason {chance.randrange(3)}"} if chance.random() < 0.5 else {}
        asked = Request(f"prn_{chance.randrange(9)}", "person", frozenset({role}), action, place, {"risk_tier": "high"}, said)
        agent = Request("prn_bot", "agent", frozenset({"ml_engineer"}), action, place, {"risk_tier": "high"}, said)
        chain = [asked, agent] if chance.random() < 0.2 else [asked]
        found.append(event(decided(before.decide_chain(chain), chain, id=new_id("dec", FixedClock(NOW_NS))), number))
    return found


def test_the_numbers_are_those_of_asking_each_question_again() -> None:
    events, candidate = history(400), sets()[1]
    live = Engine(candidate)
    counts: Counter[str] = Counter()
    people: Counter[str] = Counter()
    for each in events:
        assert each.decision is not None
        assert each.decision.asked is not None
        new = live.decide_chain(as_requests(each.decision.asked, each.at)).effect
        counts["same" if new == each.decision.effect else f"newly {new}"] += 1
        if new != each.decision.effect and new == "deny":
            people[each.decision.asked.hops[0].principal] += 1
    found = replay_events([Raw(encode_event(each)) for each in events], candidate, "")
    assert counts["newly deny"] > 10  # else this shows nothing
    assert counts["newly allow"] > 10
    assert found.acts == len(events)
    assert (found.same, found.newly_denied.acts, found.newly_allowed.acts) == (counts["same"], counts["newly deny"], counts["newly allow"])
    assert found.newly_denied.principals == dict(people.most_common())
    assert sum(found.newly_allowed.resources.values()) == found.newly_allowed.acts
    assert found.newly_allowed.roles.keys() == {"business_analyst"}
    assert found.newly_denied.policies == {"own.no_prod": counts["newly deny"]}
    assert found.questions < 100  # of 400 acts


def test_the_set_in_force_changes_no_answer() -> None:
    found = replay_events([Raw(encode_event(each)) for each in history(200)], sets()[0], "")
    assert (found.same, found.newly_denied.acts, found.newly_allowed.acts) == (200, 0, 0)


def test_three_examples_the_oldest_with_the_policies_that_decide() -> None:
    events = history(200)
    found = replay_events([Raw(encode_event(each)) for each in events], sets()[1], "")
    denied = found.newly_denied.examples
    assert len(denied) == 3
    assert [example.at for example in denied] == sorted(example.at for example in denied)
    assert all(example.decided_by == ["own.no_prod"] for example in denied)
    assert {example.event for example in denied} <= {each.id for each in events}


def test_repetitions_count_and_what_has_no_question_is_counted_apart() -> None:
    before, candidate = sets()
    asked = [Request("prn_1", "person", frozenset({"ml_engineer"}), "model:retire", "models/prod/m@1")]
    ref = decided(Engine(before).decide_chain(asked), asked, id="dec_1")
    counted = facts_policy.AccessDecided(asked_by="prn_s", count=41, first_at="", last_at="")
    asks = facts.PredictionRequested(prediction="prd_1", endpoint="e", version="v", version_digest="", input_hash="", guardrails=[])
    events = [
        event(ref, 1),
        event(ref.without_question(), 2),  # the same act
        event(ref, 3, data=counted),
        event(DecisionRef(effect="allow", policies=[], policy_set=""), 4),  # from before questions were recorded
        event(msgspec.structs.replace(ref.without_question(), id="dec_2"), 5, data=asks),  # a remembered answer whose question is not here
        event(msgspec.structs.replace(ref, id="dec_3"), 6, data=asks),
        event(msgspec.structs.replace(ref.without_question(), id="dec_3"), 7, data=asks),
    ]
    found = replay_events([Raw(encode_event(each)) for each in events], candidate, "")
    assert found.acts == found.newly_denied.acts == 1 + 41 + 2
    assert found.unknown == 2


def test_what_nobody_recorded_is_named() -> None:
    extra = """@id("own.tier") forbid (principal, action == Action::"model:read", resource is Model)
    when { resource has author && resource.author == "x" };"""
    found = replay_events([Raw(encode_event(each)) for each in history(20)], sets(extra)[1], "")
    assert "resource.author" in found.never_recorded
    assert "context.reason" not in found.never_recorded


@pytest.mark.parametrize("hour", [3, 12])
def test_the_time_of_an_act_is_its_own(hour: int) -> None:
    extra = '@id("own.day") forbid (principal, action, resource) when { context has at && context.at.toTime() < duration("8h") };'
    before, candidate = sets(extra)
    asked = [Request("prn_1", "person", frozenset({"ml_engineer"}), "model:read", "models/prod/m@1")]
    done = event(decided(Engine(before).decide_chain(asked), asked, id="dec_1"), 1)
    done = msgspec.structs.replace(done, at=f"2026-11-25T{hour:02}:00:00.000000Z")
    assert replay_events([Raw(encode_event(done))], candidate, "").newly_denied.acts == (1 if hour < 8 else 0)
