"""The engine: deny is the answer to everything that is not a clean allow. The six traps of Cedar each have a test."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import cedarpy
import msgspec
import pytest

from jurat.core.errors import Malformed
from jurat.policy.cedar import CedarAnswer, ask_cedar
from jurat.policy.engine import Decision, Engine, Request
from jurat.policy.explain import explain
from jurat.policy.policyset import PolicySet, load_default_policies
from jurat.policy.slices import principal_entity, resource_entity
from jurat.policy.values import pack_values, round_down, round_up

SCHEMA = """
type Act = { share?: decimal, at?: datetime, count?: Long, why?: String, sure?: Bool };
entity Role enum ["reader", "boss"];
entity Models enum ["prod"];
entity Person, Service, Agent, Process in [Role] { id: String };
entity Model in [Models] { name: String, version?: String, risk_tier?: String, budget?: Long };
action "model:read", "model:write" appliesTo { principal: [Person, Service, Agent, Process], resource: [Model], context: Act };
"""
READ = '@id("reader") @reason("readers read") permit (principal in Role::"reader", action == Action::"model:read", resource);'
HIGH = """
@id("high") @reason("high risk is not read")
forbid (principal, action, resource) when { resource has risk_tier && resource.risk_tier == "high" };
"""
PATH = "models/prod/churn@2.3.1"


def engine(*policies: str) -> Engine:
    return Engine(PolicySet.load({"test.cedar": "\n".join(policies)}, SCHEMA))


def ask(action: str = "model:read", *roles: str, who: str = "prn_1", kind: str = "person", **more: dict[str, object]) -> Request:
    return Request(who, kind, frozenset(roles or ("reader",)), action, PATH, **more)  # type: ignore[arg-type]


def test_an_allow_names_its_policies_their_reasons_and_the_set() -> None:
    asked = engine(READ, HIGH)
    assert asked.decide(ask()) == Decision("allow", ["reader"], asked.policy_set.digest, ["readers read"], [])


def test_a_forbid_beats_every_permit_and_gives_its_reason() -> None:
    decision = engine(READ, HIGH).decide(ask(attributes={"risk_tier": "high"}))
    assert (decision.effect, decision.policies, decision.reasons) == ("deny", ["high"], ["high risk is not read"])


def test_no_policy_is_a_deny_that_says_so() -> None:
    decision = engine(READ).decide(ask("model:write"))
    assert not decision.is_allowed
    assert decision.policies == []
    assert decision.reasons == [f"no policy permits `model:write` on `{PATH}` to role `reader`"]
    assert decision.errors == []  # it was answered


# ── the six traps ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "request_",
    [
        ask(context={"colour": "red"}),  # off-schema
        ask(context={"why": 3}),
        ask("model:sell"),
        ask(attributes={"colour": "red"}),
        ask(attributes={"name": "other"}),
        ask(kind="robot"),
        ask(who=""),
        Request("prn_1", "person", frozenset({"reader"}), "model:read", "workspace"),
        Request("prn_1", "person", frozenset({"reader"}), "model:read", "models/nowhere/churn"),
        Request("prn_1", "person", frozenset({"reader"}), "model:read", "../../etc/passwd"),
        Request("prn_1", "person", frozenset({"reader"}), "model:read", "models/prod/\ud800"),
        Request("prn_1", "person", frozenset({"reader"}), "model:read\ud800", PATH),
        Request("prn_\ud800", "person", frozenset({"reader"}), "model:read", PATH),
        Request("prn_1", "person", frozenset({"reader", "\ud800"}), "model:write\ud800", PATH),
    ],
)
def test_trap_1_a_question_that_makes_no_sense_is_a_deny_with_errors_that_can_be_recorded(request_: Request) -> None:
    decision = engine(READ).decide(request_)
    assert not decision.is_allowed
    assert decision.errors
    assert decision.policies == []
    assert msgspec.json.decode(msgspec.json.encode(decision), type=Decision) == decision


@pytest.mark.parametrize(
    "answer",
    [
        {"decision": "NoDecision", "diagnostics": {}},
        {"decision": "NoDecision", "diagnostics": {"reason": ["policy0"], "id_annotations_by_reason": {"policy0": "reader"}}},
        {"decision": "Allow", "diagnostics": {}},  # nobody allowed it
        {"decision": "Allow", "diagnostics": {"reason": ["policy0"]}},  # somebody without a name did
        {"decision": "Allow", "diagnostics": {"reason": ["policy0"], "id_annotations_by_reason": {"policy0": "reader"}, "errors": ["x"]}},
    ],
)
def test_trap_1_an_answer_that_is_not_a_clean_allow_is_a_deny(answer: dict[str, object]) -> None:
    assert not engine(READ)._answer(msgspec.convert(answer, CedarAnswer), lambda: "nobody").is_allowed


@pytest.mark.parametrize("context", ["{}", '{"why":"audit"}', '{"colour":"red"}', '{"share":0.5}', "{", "[]", '{"why":"a","why":"b"}'])
@pytest.mark.parametrize("action", ["model:read", "model:write", "model:sell"])
def test_trap_1_the_short_way_to_cedar_answers_as_its_public_one(action: str, context: str) -> None:
    asked = engine(READ, HIGH)
    for who, tier in (("reader", "low"), ("reader", "high"), ("boss", "low")):
        principal, resource = (
            principal_entity("person", "prn_1", frozenset({who}), "{}"),
            resource_entity(PATH, f'{{"risk_tier":"{tier}"}}'),
        )
        entities, schema = asked._slices.of(principal, resource), asked.policy_set.schema
        short = ask_cedar(principal.uid, action, resource.uid, context, asked.policy_set.handle, entities, schema)
        request = {"principal": principal.uid, "action": {"type": "Action", "id": action}, "resource": resource.uid, "context": context}
        public = cedarpy.is_authorized(request, asked.policy_set.handle, entities, schema)
        assert short.decision == public.decision.value
        assert short.diagnostics.reason == public.diagnostics.reasons
        assert bool(short.diagnostics.errors) == bool(public.diagnostics.errors)  # in other words where an act is unknown
        assert short.diagnostics.id_annotations_by_reason == public.diagnostics.id_annotations_by_reason


def test_trap_2_a_forbid_that_fails_denies_although_cedar_says_allow() -> None:
    """INVARIANT: any error denies."""
    overflow = '@id("broke") forbid (principal, action, resource) when { resource has budget && resource.budget * 4 > 10 };'
    asked = engine(READ, overflow)
    request = ask(attributes={"budget": 2**62})
    raw = asked._ask(request, asked.policy_set.handle)
    assert raw.decision == "Allow"  # the trap is there
    decision = asked.decide(request)
    assert not decision.is_allowed
    assert any("`broke`" in error for error in decision.errors)  # by our name, not `policy1`


def test_trap_2_principal_and_resource_are_always_in_the_slice() -> None:
    asked = engine(READ)
    for _ in range(2):  # checked against the schema first, then known to fit
        principal, resource = principal_entity("person", "prn_1", frozenset({"reader"}), "{}"), resource_entity(PATH, "{}")
        entities = str(asked._slices._build(principal, resource))
        assert '"id": "prn_1"' in entities
        assert f'"id": "{PATH}"' in entities


NO_ZONE = datetime(2026, 1, 1)  # noqa: DTZ001
INEXACT = [0.5, 1.0, Decimal("0.85123"), Decimal("NaN"), Decimal("Infinity"), Decimal(10**15), NO_ZONE, 2**63, None]


@pytest.mark.parametrize("value", INEXACT)
def test_trap_3_what_cedar_cannot_hold_exactly_is_an_error_and_a_deny(value: object) -> None:
    with pytest.raises(Malformed):
        pack_values({"x": value})  # type: ignore[dict-item]
    assert engine(READ).decide(ask(context={"share": value})).errors


EXACT = """
@id("exact") permit (principal, action == Action::"model:read", resource) when {
    context has share && context.share == decimal("0.8512") &&
    context has at && context.at == datetime("2026-11-25T19:40:41.123Z") &&
    context has count && context.count == 9007199254740993 &&
    context has sure && context.sure
};
"""


def test_trap_3_decimals_and_times_arrive_exactly() -> None:
    asked = engine(EXACT)
    right = {
        "share": Decimal("0.8512"),
        "at": datetime(2026, 11, 25, 19, 40, 41, 123999, tzinfo=UTC),
        "count": 2**53 + 1,
        "sure": True,
    }
    assert asked.decide(ask(context=right)).is_allowed
    for key, wrong in {"share": Decimal("0.8513"), "count": 2**53, "sure": False, "at": datetime(2026, 11, 25, tzinfo=UTC)}.items():
        decision = asked.decide(ask(context={**right, key: wrong}))
        assert not decision.is_allowed
        assert not decision.errors


def test_trap_3_rounding_goes_where_it_cannot_help() -> None:
    assert round_down(Decimal("0.85129")) == Decimal("0.8512")
    assert round_up(Decimal("0.85121")) == Decimal("0.8513")
    assert round_down(Decimal("-0.85121")) == Decimal("-0.8513")
    assert round_up(Decimal("-0.85129")) == Decimal("-0.8512")


def test_trap_4_an_empty_set_is_refused() -> None:
    for files in ({}, {"a.cedar": ""}, {"a.cedar": "// nothing\n"}):
        with pytest.raises(Malformed) as refused:
            PolicySet.load(files, SCHEMA)
        assert refused.value.code == "no_policies"


def test_trap_5_explanations_come_from_decisions_made_again_and_never_grant() -> None:
    asked = engine(READ, '@id("boss") @hint("say why") permit (principal in Role::"boss", action, resource) when { context has why };')
    explanation = explain(asked, ask("model:write", "boss"))
    assert not explanation.decision.is_allowed
    assert explanation.unmet == ["boss"]
    assert explanation.hint == "say why"
    assert asked.decide(ask("model:write", "boss", context={"why": "because"})).is_allowed


def test_trap_6_one_engine_answers_the_same_from_several_threads() -> None:
    from concurrent.futures import ThreadPoolExecutor

    asked = engine(READ, HIGH)
    requests = [ask(who=f"prn_{n % 7}", attributes={"risk_tier": "high"} if n % 3 else {}) for n in range(200)]
    alone = [asked.decide(request) for request in requests]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(asked.decide, requests)) == alone


# ── slices are kept, answers are not ─────────────────────────────────────────────────────────────────────────────────


def test_a_kept_slice_never_answers_for_another_question() -> None:
    asked = engine(READ, HIGH)
    assert asked.decide(ask()).is_allowed
    assert not asked.decide(ask("model:read", "boss")).is_allowed  # the role was taken away
    assert not asked.decide(ask(attributes={"risk_tier": "high"})).is_allowed  # the model was reclassified
    assert asked.decide(ask(kind="service")).is_allowed
    assert asked.decide(ask(attributes={"budget": 1})).is_allowed
    assert asked.decide(ask(attributes={"budget": True})).errors  # True == 1 in Python, and not in a policy
    assert asked.decide(ask()).is_allowed


def test_ids_are_data_and_cannot_become_policy_text() -> None:
    asked = engine('@id("one") permit (principal == Person::"prn_1", action, resource);')
    for who in ('prn_2" || Person::"prn_1', 'prn_1"', "prn_1\n", "PRN_1", "prn_1\x00"):
        assert not asked.decide(ask(who=who)).is_allowed
    assert asked.decide(ask(who="prn_1")).is_allowed


def test_a_role_that_no_policy_speaks_of_changes_nothing() -> None:
    asked = engine(READ)
    assert asked.decide(ask("model:read", "reader", "long_gone")).is_allowed
    assert not asked.decide(ask("model:read", "long_gone")).is_allowed
    assert not asked.decide(ask("model:read", "long_gone")).errors


# ── chains ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_chain_may_do_what_every_hop_may() -> None:
    asked = engine(READ)
    person, agent = ask(), ask(who="prn_agent", kind="agent")
    outsider = ask("model:read", "boss", who="prn_outsider")
    assert asked.decide_chain([person, agent]).is_allowed
    assert asked.decide_chain([person]) == asked.decide(person)
    for chain in ([outsider, agent], [person, ask("model:read", "boss", who="prn_agent", kind="agent")]):
        decision = asked.decide_chain(chain)
        assert not decision.is_allowed
        assert len(decision.reasons) == 1  # only the hop that may not
    assert asked.decide_chain([outsider, agent]).reasons[0].startswith("person `prn_outsider`: no policy permits")


def test_an_empty_chain_and_a_chain_of_different_acts_are_denied() -> None:
    asked = engine(READ, '@id("w") permit (principal in Role::"reader", action == Action::"model:write", resource);')
    assert asked.decide_chain([]).errors == ["the chain is empty: nobody acts"]
    assert not asked.decide_chain([]).is_allowed
    assert asked.decide_chain([ask(), ask("model:write")]).errors


# ── explanations ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_explanation_says_which_role_would_do_and_whom_to_ask() -> None:
    asked = Engine(load_default_policies())
    analyst = Request("prn_1", "person", frozenset({"business_analyst"}), "data:read", "data/training/loans@v5", {}, {"purpose": "x"})
    explanation = explain(asked, analyst)
    assert explanation.roles == ["data_engineer", "data_owner", "data_scientist", "ml_engineer", "model_maintainer"]
    assert explanation.forbidden_by == []
    assert "ask an operator to grant `data_engineer` or `data_owner` or `data_scientist`" in explanation.hint


def test_an_explanation_of_a_forbid_offers_no_role() -> None:
    asked = Engine(load_default_policies())
    own = Request("prn_1", "person", frozenset({"ml_lead"}), "request:approve", "requests/req_1", attributes={"authored_by": "prn_1"})
    explanation = explain(asked, own)
    assert explanation.forbidden_by == ["house.nobody_approves_their_own"]
    assert explanation.roles == []
    assert explanation.hint == "ask somebody else who holds the role"


def test_an_explanation_of_a_missing_purpose_says_which() -> None:
    asked = Engine(load_default_policies())
    explanation = explain(asked, Request("prn_1", "person", frozenset({"ml_engineer"}), "data:read", "data/production/loans"))
    assert explanation.unmet == ["ml_engineer.data.production"]
    assert "`debugging`" in explanation.hint


def test_an_explanation_of_an_allow_and_of_an_error_promise_nothing() -> None:
    asked = engine(READ)
    assert explain(asked, ask()).hint == ""
    broken = explain(asked, ask("model:sell"))
    assert broken.roles == []
    assert "operator" in broken.hint
