"""Principals, grants, tokens: a reason, an end, and somebody who answers for it."""

from __future__ import annotations

import pytest
from tests.unit.domain.law import Law

from jurat.core.clock import format_at
from jurat.core.errors import Conflict, Denied, JuratError, Malformed, NotFound
from jurat.domain import commands, facts, rows
from jurat.domain.roles import in_scope, person_behind, roles_held
from jurat.domain.values import PrincipalType


@pytest.fixture
def law() -> Law:
    return Law()


def grant(law: Law, **changes: object) -> commands.GrantRole:
    fields = {"principal": "prn_ben", "role": "ml_engineer", "reason": "joins the team", "expires_at": format_at(law.now_ns + 10**15)}
    return commands.GrantRole(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_grant_is_held_until_it_ends(law: Law) -> None:
    law.do("olga", grant(law, expires_at=format_at(law.now_ns + 60 * 10**9)))
    assert "ml_engineer" in roles_held(law.state, "prn_ben", "models/prod/x@1.0.0", law.now_ns)
    law.wait(61)
    assert "ml_engineer" not in roles_held(law.state, "prn_ben", "models/prod/x@1.0.0", law.now_ns)


@pytest.mark.parametrize(
    ("changes", "family", "code"),
    [
        ({"role": "king"}, Malformed, "malformed"),
        ({"reason": "  "}, Malformed, "malformed"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, Malformed, "malformed"),
        ({"expires_at": "2027-01-01T00:00:00"}, Malformed, "malformed"),  # no zone
        ({"expires_at": "9999-01-01T00:00:00Z"}, Malformed, "malformed"),
        ({"expires_at": "soon"}, Malformed, "malformed"),
        ({"principal": "prn_nobody"}, NotFound, "not_found"),
        ({"principal": "prn_olga"}, Denied, "no_self_grant"),
    ],
)
def test_what_is_no_grant(law: Law, changes: dict[str, object], family: type[JuratError], code: str) -> None:
    with pytest.raises(family) as caught:
        law.do("olga", grant(law, **changes))
    assert caught.value.code == code


def test_nobody_grants_to_their_own_service(law: Law) -> None:
    law.add("bot", PrincipalType.SERVICE, owner="olga")
    with pytest.raises(Denied) as caught:
        law.do("olga", grant(law, principal="prn_bot"))
    assert caught.value.code == "no_self_grant"


@pytest.mark.parametrize("owner", [None, "prn_nobody", "prn_bot"])
def test_what_acts_by_itself_has_an_owner_who_is_a_person(law: Law, owner: str | None) -> None:
    law.add("bot", PrincipalType.SERVICE, owner="olga")
    with pytest.raises(Conflict) as caught:
        law.do("olga", commands.RegisterPrincipal(type=PrincipalType.AGENT, name="helper", owner=owner))
    assert caught.value.code == "owner_required"


def test_a_persons_name_stays_out_of_the_event(law: Law) -> None:
    (event,) = law.do("olga", commands.RegisterPrincipal(type=PrincipalType.PERSON, name="Ada Byron", email="ada@example.org"))
    assert isinstance(event.data, facts.PrincipalRegistered)
    assert event.data.name is None


def test_a_tokens_chain_begins_with_a_person(law: Law) -> None:
    law.add("bot", PrincipalType.SERVICE, owner="dan")
    (event,) = law.do("olga", commands.IssueToken(principal="prn_bot", lifetime_s=900))
    assert isinstance(event.data, facts.TokenIssued)
    assert event.data.chain == ["prn_dan", "prn_bot"]


@pytest.mark.parametrize("lifetime_s", [0, -1, 40 * 86_400])
def test_a_token_has_a_sensible_life(law: Law, lifetime_s: float) -> None:
    with pytest.raises(Malformed):
        law.do("olga", commands.IssueToken(principal="prn_ben", lifetime_s=lifetime_s))


def test_nobody_stands_behind_the_unknown(law: Law) -> None:
    assert person_behind(law.state, "prn_nobody") is None


@pytest.mark.parametrize(
    ("scope", "resource", "inside"),
    [
        ("*", "models/prod/x@1", True),
        ("models/prod/", "models/prod/x@1", True),
        ("models/prod", "models/prod/x@1", False),
        ("models/dev/", "models/prod/x@1", False),
        ("models/prod/x@1", "models/prod/x@1", True),
        ("models/prod/x@1", "models/prod/x@10", False),
    ],
)
def test_scopes_are_whole_branches(scope: str, resource: str, inside: bool) -> None:
    assert in_scope(scope, resource) is inside


def test_reading_data_needs_a_purpose(law: Law) -> None:
    from tests.unit.domain.law import dataset

    law.do("ada", dataset())
    with pytest.raises(Malformed):
        law.do("ada", commands.ReadData(dataset="loans@v1", purpose=" "))
    (event,) = law.do("ada", commands.ReadData(dataset="loans@v1", purpose="retrain"))
    assert isinstance(event.data, facts.DataRead)


def test_a_person_decides_a_case_once(law: Law) -> None:
    command = commands.OverridePrediction(
        prediction="prd_1", output=True, reason="seen the papers", endpoint="e", version="churn@1.0.0", model_output=False, event="evt_1"
    )
    law.do("dan", command)
    assert law.state.get(rows.Override, "prd_1") is not None
    with pytest.raises(Conflict) as caught:
        law.do("cleo", command)
    assert caught.value.code == "already_decided"
