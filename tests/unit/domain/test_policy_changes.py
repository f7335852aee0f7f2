"""The policies change by two people's word, whole or not at all, and from the next decision on."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from tests.scenes.governed import World, make_world

from jurat.app.walk import Done, act
from jurat.core.clock import FixedClock
from jurat.core.errors import Conflict, Denied, JuratError, Malformed
from jurat.domain import commands_policy as commands
from jurat.domain import facts, facts_policy, rows
from jurat.domain.commands import ReadData
from jurat.policy.policyset import SCHEMA_NAME, PolicySet, default_sources

OWN = '@id("own.closed") @reason("closed for now") forbid (principal, action == Action::"data:read", resource);\n'


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path / "w", "access_controller", "compliance_officer", "ml_engineer")


def sources(extra: str = OWN) -> tuple[dict[str, str], str]:
    files = default_sources()
    schema = files.pop(SCHEMA_NAME)
    return {**files, "own.cedar": extra}, schema


def ask(world: World, who: str = "operator", extra: str = OWN) -> facts_policy.PolicyChangeRequested:
    files, schema = sources(extra)
    done = act(world.app, world.tokens[who], commands.RequestPolicyChange(files=files, schema=schema, reason="closed"))
    return cast("facts_policy.PolicyChangeRequested", done.events[0].data)


def approve(world: World, who: str, asked: facts_policy.PolicyChangeRequested, shown: str = "") -> Done:
    word = commands.ApprovePolicyChange(request=asked.request, shown_digest=shown or asked.shown_digest)
    return act(world.app, world.tokens[who], word)


def in_force(world: World) -> str:
    found = world.store.state.get(rows.PolicySetInForce, "current")
    assert found is not None
    return found.digest


def read_data(world: World) -> str:
    """Return which policies answer somebody who reads data; the data set itself does not exist."""
    try:
        act(world.app, world.tokens["ml_engineer"], ReadData(dataset="loans@v5", purpose="debugging"))
    except JuratError as error:
        return error.code
    raise AssertionError("the data set does not exist")


def test_asking_changes_nothing_and_approving_changes_the_next_decision(world: World) -> None:
    before = in_force(world)
    asked = ask(world)
    assert in_force(world) == before
    assert asked.shown["changes"]["added"] == ["own.closed"]
    done = approve(world, "compliance_officer", asked)
    assert [event.kind.name for event in done.events] == ["policy_change.approved.v1", "policy_set.applied.v1"]
    assert isinstance(done.events[1].data, facts.PolicySetApplied)
    assert done.events[0].id in done.events[1].because
    assert in_force(world) == asked.digest == PolicySet.load(*sources()).digest
    assert world.store.state.get(rows.PolicySetInForce, before) is not None  # old answers can still be explained
    with pytest.raises(Denied) as refused:
        act(world.app, world.tokens["ml_engineer"], ReadData(dataset="loans@v5", purpose="debugging"))
    assert "closed for now" in refused.value.detail


def test_nobody_approves_their_own_change_not_even_with_the_role(world: World) -> None:
    asked = ask(world, "access_controller")
    with pytest.raises(Denied) as refused:
        approve(world, "access_controller", asked)
    assert refused.value.code == "no_self_approval"
    assert "who-can policy:approve workspace" in refused.value.hint
    approve(world, "compliance_officer", asked)


def test_whoever_may_ask_may_not_approve_without_the_permission(world: World) -> None:
    with pytest.raises(Denied) as refused:
        approve(world, "operator", ask(world, "access_controller"))
    assert refused.value.code == "policy_denied"


def test_an_approval_is_of_exactly_what_was_shown(world: World) -> None:
    asked = ask(world)
    with pytest.raises(Conflict) as refused:
        approve(world, "compliance_officer", asked, "sha256:" + "0" * 64)
    assert refused.value.code == "shown_changed"


def test_a_change_of_what_is_no_longer_in_force_is_void(world: World) -> None:
    first, second = ask(world), ask(world, extra=OWN.replace("own.closed", "own.shut"))
    approve(world, "compliance_officer", first)
    with pytest.raises(Conflict) as refused:
        approve(world, "compliance_officer", second)
    assert refused.value.code == "shown_changed"
    assert in_force(world) == first.digest


def test_a_request_ends_by_the_clock(world: World) -> None:
    asked = ask(world)
    cast("FixedClock", world.app.clock)
    world.app.clock = FixedClock(world.app.clock.now_ns() + 3_500 * 10**9)
    files, schema = sources()
    short = act(
        world.app,
        world.tokens["operator"],
        commands.RequestPolicyChange(files=files, schema=schema, reason="closed", lifetime_s=1.0),
    ).events[0]
    world.app.clock = FixedClock(world.app.clock.now_ns() + 2 * 10**9)
    with pytest.raises(Conflict) as refused:
        approve(world, "compliance_officer", cast("facts_policy.PolicyChangeRequested", short.data))
    assert refused.value.code == "request_expired"
    approve(world, "compliance_officer", asked)


def test_a_rejection_needs_a_reason_and_closes_the_request(world: World) -> None:
    asked = ask(world)
    token, before = world.tokens["compliance_officer"], in_force(world)
    with pytest.raises(Malformed):
        act(world.app, token, commands.RejectPolicyChange(request=asked.request, shown_digest=asked.shown_digest))
    act(world.app, token, commands.RejectPolicyChange(request=asked.request, shown_digest=asked.shown_digest, comment="too wide"))
    with pytest.raises(Conflict) as refused:
        approve(world, "compliance_officer", asked)
    assert refused.value.code == "request_closed"
    assert in_force(world) == before


BAD = {
    "not Cedar": ("permit (", "malformed"),
    "an unknown attribute": (
        '@id("x") permit (principal in Role::"auditor", action == Action::"model:read", resource) when { resource.colour == "red" };',
        "policy_invalid",
    ),
    "an unknown role": ('@id("x") permit (principal in Role::"boss", action == Action::"model:read", resource);', "policy_invalid"),
    "an unknown act": ('@id("x") permit (principal, action == Action::"model:sell", resource);', "policy_invalid"),
    "everything to everyone": ('@id("x") permit (principal, action, resource);', "malformed"),
    "everything to everyone, in other words": (
        '@id("x") permit (principal, action, resource) when { 1 == 1 };',
        "policy_too_wide",
    ),
    "everything to everyone, if they say anything": (
        '@id("x") permit (principal, action, resource) when { context has reason || context has purpose };',
        "policy_too_wide",
    ),
    "a role that gives everything": ('@id("x") permit (principal in Role::"auditor", action, resource);', "policy_too_wide"),
    "nobody could change it back": ('@id("x") forbid (principal, action == Action::"policy:approve", resource);', "policy_lockout"),
    "two of one name": ('@id("auditor.records") permit (principal, action == Action::"model:read", resource);', "malformed"),
    "no name": ('permit (principal, action == Action::"model:read", resource);', "malformed"),
}


@pytest.mark.parametrize(("text", "code"), BAD.values(), ids=BAD)
def test_a_bad_set_is_refused_whole_and_the_old_one_stays(world: World, text: str, code: str) -> None:
    before, count = in_force(world), len(world.store.events)
    with pytest.raises(Malformed) as refused:
        ask(world, extra=text)
    assert refused.value.code == code
    assert refused.value.hint
    assert in_force(world) == before
    assert len(world.store.events) == count
    assert read_data(world) == "not_found"  # decided, by the old set


def test_a_shadow_answers_beside_and_decides_nothing(world: World) -> None:
    files, schema = sources()
    act(world.app, world.tokens["operator"], commands.SetPolicyShadow(files=files, schema=schema, reason="try it"))
    act(world.app, world.tokens["operator"], commands.RequestPolicyChange(files=files, schema=schema, reason="closed"))
    last = world.store.events[-1]
    assert last.decision is not None
    assert last.decision.shadow is not None
    assert last.decision.shadow.effect == "allow"
    assert last.decision.shadow.policy_set == PolicySet.load(*sources()).digest != last.decision.policy_set
    assert read_data(world) == "not_found"  # the shadow says no, and nobody minds
    act(world.app, world.tokens["operator"], commands.SetPolicyShadow(reason="seen"))
    assert world.store.state.get(rows.PolicySetInForce, "shadow") is None


def test_a_shadow_that_comes_into_force_is_none_any_more(world: World) -> None:
    files, schema = sources()
    act(world.app, world.tokens["operator"], commands.SetPolicyShadow(files=files, schema=schema, reason="try it"))
    approve(world, "compliance_officer", ask(world))
    assert world.store.state.get(rows.PolicySetInForce, "shadow") is None


def test_the_question_is_written_once_per_act(world: World) -> None:
    approve(world, "compliance_officer", ask(world))
    first, second = world.store.events[-2:]
    assert first.decision is not None
    assert second.decision is not None
    assert first.decision.asked is not None
    assert first.decision.asked.hops[0].roles == ["compliance_officer"]
    assert second.decision.asked is None
    assert first.decision.id == second.decision.id != ""
    assert first.decision.asked_digest == second.decision.asked_digest
