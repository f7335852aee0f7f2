"""Conditions: on state, on time, on purpose, on the environment, on the risk tier, on an overdue review."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from jurat.policy.engine import Engine, Request
from jurat.policy.explain import explain
from jurat.policy.policyset import SCHEMA_NAME, PolicySet, default_sources, load_default_policies

ENGINE = Engine(load_default_policies())
ALL_ROLES = sorted(ENGINE.policy_set.roles)
MOVE = Request("prn_7", "person", frozenset({"ml_engineer"}), "alias:move", "models/prod/churn@2.3.1", {"gates_green": True})


def with_file(text: str) -> Engine:
    sources = default_sources()
    schema = sources.pop(SCHEMA_NAME)
    return Engine(PolicySet.load({**sources, "own.cedar": text}, schema))


@pytest.mark.parametrize("attributes", [{}, {"gates_green": False}])
def test_an_alias_moves_only_while_its_gates_are_green(attributes: dict[str, bool]) -> None:
    assert ENGINE.decide(MOVE).policies == ["ml_engineer.models.prod"]
    assert ENGINE.decide(replace(MOVE, attributes=attributes)).policies == ["house.aliases_move_on_green"]


@pytest.mark.parametrize("purpose", [None, ""])
@pytest.mark.parametrize(
    ("role", "place", "attributes"),
    [
        ("data_scientist", "data/training/loans@v5", {}),
        ("data_engineer", "data/production/loans@v5", {"personal": True}),
        ("data_owner", "data/features/loans@v5", {"personal": True}),
    ],
)
def test_personal_and_training_data_are_read_for_a_purpose(role: str, place: str, attributes: dict[str, bool], purpose: str | None) -> None:
    asked = Request("prn_7", "person", frozenset({role}), "data:read", place, attributes)
    silent = ENGINE.decide(asked if purpose is None else replace(asked, context={"purpose": purpose}))
    assert silent.policies == ["house.purpose_of_data"]
    assert "--purpose" in explain(ENGINE, asked).hint
    assert ENGINE.decide(replace(asked, context={"purpose": "retrain the model"})).is_allowed


def test_data_that_is_neither_needs_no_purpose() -> None:
    asked = Request("prn_7", "person", frozenset({"data_engineer"}), "data:read", "data/aggregated/loans@v5", {"personal": False})
    assert ENGINE.decide(asked).is_allowed


@pytest.mark.parametrize("role", ALL_ROLES)
def test_whoever_owes_a_review_is_locked_with_that_reason_whatever_their_role(role: str) -> None:
    asked = Request(
        "prn_7", "person", frozenset({role, "ml_engineer"}), "model:read", "models/prod/churn@2.3.1", standing={"review_overdue": True}
    )
    decision = ENGINE.decide(asked)
    assert decision.policies == ["house.reviews_come_first"]
    assert "locked until audit requirements are complete" in decision.reasons[0]
    assert ENGINE.decide(replace(asked, standing={"review_overdue": False})).is_allowed
    assert ENGINE.decide(replace(asked, standing={})).is_allowed
    assert "finish the review" in explain(ENGINE, asked).hint


def test_an_agent_of_somebody_who_owes_a_review_is_locked_too() -> None:
    person = replace(MOVE, standing={"review_overdue": True})
    agent = replace(MOVE, principal_id="prn_8", principal_type="agent")
    assert ENGINE.decide_chain([replace(person, standing={}), agent]).is_allowed
    assert not ENGINE.decide_chain([person, agent]).is_allowed


OFFICE_HOURS = """
@id("own.office_hours") @reason("nobody moves an alias at night")
forbid (principal, action == Action::"alias:move", resource)
unless {
    context has at && context.at.toTime() >= duration("8h") && context.at.toTime() < duration("18h")
};
"""
HIGH_RISK = """
@id("own.high_risk") @reason("high-risk models move with a reason")
forbid (principal, action == Action::"alias:move", resource)
when { resource has risk_tier && resource.risk_tier == "high" }
unless { context has reason && context.reason != "" };
"""
TEST_ONLY = """
@id("own.test_only") @reason("aliases are moved in test environments only")
forbid (principal, action == Action::"alias:move", resource) unless { context has environment && context.environment == "test" };
"""


@pytest.mark.parametrize(("hour", "allowed"), [(7, False), (8, True), (17, True), (18, False)])
def test_time(hour: int, allowed: bool) -> None:
    engine = with_file(OFFICE_HOURS)
    assert ("context", "at") in engine.policy_set.reads
    asked = replace(MOVE, context={"at": datetime(2026, 11, 25, hour, 0, tzinfo=UTC)})
    assert engine.decide(asked).is_allowed is allowed
    assert not engine.decide(MOVE).is_allowed  # no time told: no


def test_risk_tier() -> None:
    engine = with_file(HIGH_RISK)
    high = replace(MOVE, attributes={"gates_green": True, "risk_tier": "high"})
    assert not engine.decide(high).is_allowed
    assert engine.decide(replace(high, context={"reason": "fixes the leak"})).is_allowed
    assert engine.decide(replace(MOVE, attributes={"gates_green": True, "risk_tier": "limited"})).is_allowed


@pytest.mark.parametrize(("environment", "allowed"), [("test", True), ("production", False)])
def test_environment(environment: str, allowed: bool) -> None:
    assert with_file(TEST_ONLY).decide(replace(MOVE, context={"environment": environment})).is_allowed is allowed


def test_an_operators_own_role_is_a_file_and_a_word_in_the_schema() -> None:
    sources = default_sources()
    schema = sources.pop(SCHEMA_NAME).replace('"operator", "auditor"', '"operator", "model_librarian", "auditor"')
    own = '@id("model_librarian.cards") permit (principal in Role::"model_librarian", action == Action::"model_card:read", resource);'
    engine = Engine(PolicySet.load({**sources, "model_librarian.cedar": own}, schema))
    asked = Request("prn_7", "person", frozenset({"model_librarian"}), "model_card:read", "models/prod/churn@2.3.1")
    assert engine.decide(asked).policies == ["model_librarian.cards"]
    assert not engine.decide(replace(asked, action="model:read")).is_allowed
