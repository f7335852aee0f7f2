"""Questions of one class have one answer: searches and replays that ask a class once say what asking each would say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jurat.policy.classes import Answers, Classes
from jurat.policy.engine import Engine, Request
from jurat.policy.policyset import SCHEMA_NAME, PolicySet, default_sources

OWN = """
@id("own.like") permit (principal in Role::"auditor", action == Action::"model:write", resource)
when { resource has owner && resource.owner like "prn_a*" };
@id("own.named") permit (principal == Person::"prn_b", action == Action::"model:delete", resource == Model::"models/dev/m@1");
@id("own.same") permit (principal in Role::"auditor", action == Action::"model:deploy", resource)
when { resource has owner && resource.owner == principal.id }
unless { resource has author && resource has owner && resource.author == resource.owner };
@id("own.choice") forbid (principal, action == Action::"model:read", resource)
when { if context has reason then context.reason == "no" else false };
@id("own.within") permit (principal in Role::"auditor", action == Action::"model:register", resource)
when { context has reason && ["a", "b"].contains(context.reason) };
"""


def engine() -> Engine:
    sources = default_sources()
    schema = sources.pop(SCHEMA_NAME)
    return Engine(PolicySet.load({**sources, "own.cedar": OWN}, schema))


ENGINE = engine()
NAMES = st.sampled_from(["prn_a", "prn_b", "prn_c", "prn_ab"])
SAID = st.dictionaries(st.sampled_from(["purpose", "reason"]), st.sampled_from(["", "debugging", "no", "a", "b", "other"]))
MODELS = st.fixed_dictionaries({}, optional={"owner": NAMES, "author": NAMES, "risk_tier": st.sampled_from(["high", "limited"])})
REQUESTS = st.fixed_dictionaries({}, optional={"requested_by": NAMES, "authored_by": NAMES})
ROLES = st.frozensets(st.sampled_from(["auditor", "ml_engineer", "data_scientist", "operator", "ml_lead", "gone"]), max_size=3)
STANDING = st.fixed_dictionaries({}, optional={"review_overdue": st.booleans()})
KINDS = st.sampled_from(["person", "agent", "process"])
MODEL_ACTS = st.sampled_from([f"model:{verb}" for verb in ("read", "write", "delete", "deploy", "register", "promote")] + ["alias:move"])


@st.composite
def questions(draw: Any) -> Request:
    who, kind, roles, standing, context = draw(NAMES), draw(KINDS), draw(ROLES), draw(STANDING), draw(SAID)
    place = draw(st.sampled_from(["model", "request", "data", "account"]))
    if place == "model":
        path = draw(st.sampled_from(["models/dev/m@1", "models/dev/n@1", "models/prod/m@1", "models/nowhere/m@1"]))
        attributes = draw(MODELS) | draw(st.fixed_dictionaries({}, optional={"gates_green": st.booleans()}))
        return Request(who, kind, roles, draw(MODEL_ACTS), path, attributes, context, standing)
    if place == "request":
        return Request(who, kind, roles, "request:approve", "requests/req_1", draw(REQUESTS), context, standing)
    if place == "account":
        action = draw(st.sampled_from(["session:read", "role:grant", "passkey:add"]))
        return Request(who, kind, roles, action, f"principals/{draw(NAMES)}", {}, context, standing)
    path = draw(st.sampled_from(["data/training/x", "data/production/x", "data/features/x"]))
    personal = draw(st.fixed_dictionaries({}, optional={"personal": st.booleans()}))
    return Request(who, kind, roles, draw(st.sampled_from(["data:read", "features:read"])), path, personal, context, standing)


@settings(max_examples=60, deadline=None)
@given(st.lists(questions(), min_size=2, max_size=40))
def test_a_class_has_one_answer(asked: list[Request]) -> None:
    answers = Answers(ENGINE)
    for request in asked:
        each, once = ENGINE.decide(request), answers.decide(request)
        assert (each.effect, each.policies, bool(each.errors)) == (once.effect, once.policies, bool(once.errors))


def test_a_thousand_people_with_one_role_are_one_question() -> None:
    answers = Answers(ENGINE)
    for number in range(1_000):
        answers.decide(
            Request(f"prn_{number}", "person", frozenset({"ml_engineer"}), "model:promote", "models/prod/m@1", {"owner": "prn_x"})
        )
    assert answers.asked == 1


@pytest.mark.parametrize(
    ("action", "one", "other"),
    [
        ("model:write", {"owner": "prn_a"}, {"owner": "prn_b"}),  # `like`: the exact value counts
        ("model:deploy", {"owner": "prn_q"}, {"owner": "prn_z"}),  # the asker's own, or not
        ("model:read", {}, {"owner": "prn_z"}),  # an attribute more
    ],
)
def test_what_a_policy_could_tell_apart_is_not_one_class(action: str, one: dict[str, str], other: dict[str, str]) -> None:
    classes = Classes(ENGINE.policy_set)
    asked = [Request("prn_q", "person", frozenset({"auditor"}), action, "models/prod/m@1", each) for each in (one, other)]
    assert classes.key(asked[0]) != classes.key(asked[1])


def test_somebody_whom_a_policy_names_is_a_class_of_their_own() -> None:
    classes = Classes(ENGINE.policy_set)
    keys = {classes.key(Request(who, "person", frozenset(), "model:delete", "models/dev/m@1")) for who in ("prn_a", "prn_b", "prn_c")}
    assert len(keys) == 3
