"""Access that is asked for: a reason and an end, the people whom the rules name, a scope that matches something."""

from __future__ import annotations

import pytest
from tests.unit.domain.law import Law

from jurat.core.clock import format_at
from jurat.core.errors import Conflict, Denied, JuratError, Malformed
from jurat.domain import commands, facts, rows
from jurat.domain.commands_access import ApproveAccess, EndExpired, RejectAccess, RequestAccess
from jurat.domain.facts_access import AccessRequested, GrantExpired
from jurat.domain.grants import check_scope, past_end, scope_within
from jurat.domain.roles import roles_held
from jurat.domain.values import PrincipalType
from jurat.policy.policyset import SCHEMA_NAME, PolicySet, default_sources

PROD = "models/prod/"


@pytest.fixture
def law() -> Law:
    law = Law()
    for handle in ("fay", "max"):
        law.add(handle, PrincipalType.PERSON)
    law.grant("max", "operator")
    sources = default_sources()
    schema = sources.pop(SCHEMA_NAME)
    fact = facts.PolicySetApplied(digest=PolicySet.load(sources, schema).digest, files=sources, schema=schema, reason="test")
    law.apply([law.context("olga").event(fact)])
    return law


def ask(law: Law, who: str = "fay", role: str = "ml_engineer", scope: str = PROD, hours: float = 2.0, **more: str) -> rows.AccessRequest:
    wish = RequestAccess(principal=f"prn_{who}", role=role, scope=scope, lifetime_s=hours * 3600, **{"reason": "roll back", **more})
    (event,) = law.do(who, wish)
    assert isinstance(event.data, AccessRequested)
    found = law.state.get(rows.AccessRequest, event.data.request)
    assert found is not None
    return found


def say_yes(law: Law, who: str, request: rows.AccessRequest) -> list[facts.Fact]:
    return [e.data for e in law.do(who, ApproveAccess(request=request.request, shown_digest=request.shown_digest))]


def held(law: Law, who: str, resource: str = "models/prod/x@1.0.0") -> frozenset[str]:
    return roles_held(law.state, f"prn_{who}", resource, law.now_ns)


def test_asked_approved_held_and_over_by_itself(law: Law) -> None:
    request = ask(law)
    assert request.approvers == ["ml_lead"]
    assert not held(law, "fay")
    law.wait(3600)  # its two hours begin when it is approved
    _, granted = say_yes(law, "ben", request)
    assert isinstance(granted, facts.RoleGranted)
    assert granted.request == request.request
    assert held(law, "fay") == {"ml_engineer"}
    assert held(law, "fay", "models/dev/x@1.0.0") == frozenset()
    law.wait(7190)
    assert held(law, "fay") == {"ml_engineer"}
    law.wait(10)
    assert held(law, "fay") == frozenset(), "nothing ran in between"
    assert [g.grant for g in past_end(law.state, law.now_ns)] == [granted.grant]
    (ended,) = law.do("olga", EndExpired())
    assert isinstance(ended.data, GrantExpired)
    assert law.state.get(rows.Grant, granted.grant) is None
    with pytest.raises(Conflict, match="no grant"):
        law.do("olga", EndExpired())


def test_two_seats_take_two_people(law: Law) -> None:
    law.grant("dan", "compliance_officer")
    request = ask(law, role="operator", scope="*", hours=1)
    assert request.approvers == ["operator", "compliance_officer"]
    assert len(say_yes(law, "olga", request)) == 1
    again = law.state.get(rows.AccessRequest, request.request)
    assert again is not None
    with pytest.raises(Conflict, match="people are counted"):
        say_yes(law, "olga", again)
    assert len(say_yes(law, "max", again)) == 1, "the same seat: another operator does not fill the other"
    assert not held(law, "fay")
    assert isinstance(say_yes(law, "dan", again)[-1], facts.RoleGranted)
    assert held(law, "fay") == {"operator"}


def test_a_seat_is_empty_again_once_its_role_has_ended(law: Law) -> None:
    law.grant("dan", "compliance_officer", lifetime_s=60)
    request = ask(law, role="operator", scope="*", hours=1)
    say_yes(law, "dan", request)
    law.wait(61)
    assert len(say_yes(law, "olga", request)) == 1
    assert not held(law, "fay")


@pytest.mark.parametrize(
    ("who", "family", "code"),
    [("fay", Denied, "no_self_approval"), ("olga", Denied, "role_required"), ("bot", Denied, "person_required")],
)
def test_who_may_not_approve(law: Law, who: str, family: type[JuratError], code: str) -> None:
    law.add("bot", PrincipalType.AGENT, owner="cleo")
    law.grant("bot", "ml_lead")
    law.grant("fay", "ml_lead")
    request = ask(law)
    with pytest.raises(family) as caught:
        say_yes(law, who, request)
    assert caught.value.code == code
    assert not law.state.get(rows.AccessRequest, request.request).approvals  # type: ignore[union-attr]


def test_an_owner_does_not_approve_what_their_service_asks_for(law: Law) -> None:
    law.add("bot", PrincipalType.SERVICE, owner="ben")
    request = ask(law, "bot")
    with pytest.raises(Denied) as caught:
        say_yes(law, "ben", request)
    assert caught.value.code == "no_self_approval"
    assert say_yes(law, "cleo", request)


def test_an_approval_is_of_exactly_what_was_shown(law: Law) -> None:
    request = ask(law)
    with pytest.raises(Conflict) as caught:
        law.do("ben", ApproveAccess(request=request.request, shown_digest="sha256:" + "0" * 64))
    assert caught.value.code == "shown_changed"


def test_a_rejection_closes_and_an_expired_request_is_dead(law: Law) -> None:
    request = ask(law)
    law.do("ben", RejectAccess(request=request.request, shown_digest=request.shown_digest, comment="staging is enough"))
    with pytest.raises(Conflict, match="closed: rejected"):
        say_yes(law, "cleo", request)
    late = ask(law)
    law.wait(7 * 86_400)
    with pytest.raises(Conflict, match="expired"):
        say_yes(law, "cleo", late)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"role": "king"}, "in no policy"),
        ({"reason": " "}, "needs a reason"),
        ({"hours": 0.0}, "up to 8 h"),
        ({"hours": 9.0}, "up to 8 h"),
        ({"hours": float("nan")}, "up to 8 h"),
        ({"scope": "models/prd/"}, "matches nothing"),
        ({"scope": "models/prod/none@1.0.0"}, "matches nothing"),
        ({"scope": "nowhere/"}, "is no root"),
    ],
)
def test_what_cannot_be_asked_for(law: Law, changes: dict[str, object], said: str) -> None:
    with pytest.raises(Malformed) as caught:
        ask(law, **changes)  # type: ignore[arg-type]
    assert said in f"{caught.value.detail}"
    assert not law.state.find(rows.AccessRequest)


def test_a_wider_wish_never_takes_fewer_people(law: Law) -> None:
    assert ask(law, scope="models/", hours=1).approvers == ["ml_lead"]
    assert ask(law, scope="*", hours=1).approvers == ["ml_lead"]
    assert ask(law, scope="models/dev/", hours=100).approvers == ["operator"]


def test_what_nobody_could_grant_is_not_asked_for(law: Law) -> None:
    law.grant("fay", "auditor")
    with pytest.raises(Denied) as caught:
        ask(law, role="operator", scope="*", hours=1)
    assert caught.value.code == "separation_of_duties"


def test_a_conflict_that_came_meanwhile_stops_the_grant(law: Law) -> None:
    law.grant("dan", "compliance_officer")
    request = ask(law, role="operator", scope="*", hours=1)
    say_yes(law, "olga", request)
    law.grant("fay", "auditor")
    with pytest.raises(Denied) as caught:
        say_yes(law, "dan", request)
    assert caught.value.code == "separation_of_duties"
    assert held(law, "fay") == {"auditor"}


def test_a_renewal_takes_the_place_of_the_old_grant(law: Law) -> None:
    old = say_yes(law, "ben", ask(law))[1]
    assert isinstance(old, facts.RoleGranted)
    renewed = say_yes(law, "ben", ask(law, renews=old.grant))
    assert [type(f) for f in renewed][1:] == [facts.RoleGranted, facts.RoleRevoked]
    assert [g.grant for g in law.state.find(rows.Grant, principal="prn_fay")] == [renewed[1].grant]  # type: ignore[attr-defined]
    with pytest.raises(JuratError, match="no live grant of yours"):
        ask(law, renews=old.grant)
    with pytest.raises(Malformed, match="asked for `ml_engineer` on `models/dev/`"):
        ask(law, scope="models/dev/", renews=renewed[1].grant)  # type: ignore[attr-defined]


# --- how far a grant reaches


@pytest.mark.parametrize(
    ("scope", "fits"),
    [
        ("*", True), ("models/", True), ("models/prod/", True), ("models/prd/", False), ("models", None), ("data/training/", True),
        ("/", None),
        ("principals/", True), ("principals/prn_ben", True), ("principals/prn_nobody", False), ("principals/new/", False), ("", None),
        ("models/prod/x", False), ("ledger/access", True), ("ledger/acess", False), ("infrastructure/dev/notebooks", True),
        ("infrastructure/moon/notebooks", False), ("workspace", True), ("**", None), ("*/", None), ("models/prod/../dev/", False),
    ],
)  # fmt: skip
def test_a_scope_matches_something_or_is_refused(law: Law, scope: str, fits: bool | None) -> None:
    if fits:
        check_scope(law.state, scope)
        return
    with pytest.raises(Malformed) as caught:
        check_scope(law.state, scope)
    assert (caught.value.code == "empty_scope") == (fits is False)


@pytest.mark.parametrize(
    ("inner", "outer", "within"),
    [
        ("*", "*", True), ("models/", "*", True), ("*", "models/", False), ("models/prod/", "models/", True),
        ("models/", "models/prod/", False),
        ("models/prod/x@1", "models/prod/", True), ("models/production/", "models/prod", False), ("modelsx/", "models/", False),
    ],
)  # fmt: skip
def test_what_lies_within_what(inner: str, outer: str, within: bool) -> None:
    assert scope_within(inner, outer) is within


def test_nobody_grants_further_than_their_own_grant_reaches(law: Law) -> None:
    """An operator of some accounts could make one of them an operator of everything."""
    context = law.context("olga")
    law.apply([
        context.event(
            facts.RoleGranted(
                grant=context.fresh("grt"), principal="prn_fay", role="operator", scope="principals/", reason="front desk",
                expires_at=format_at(law.now_ns + 10**15),
            )
        )
    ])  # fmt: skip
    law.grant("fay", "business_analyst")  # reaches everywhere, and grants nothing: it must not lend its reach

    def give(scope: str) -> list[object]:
        ends = format_at(law.now_ns + 10**14)
        return law.do("fay", commands.GrantRole(principal="prn_ben", role="ml_engineer", reason="x", expires_at=ends, scope=scope))

    for scope in ("*", "models/", "models/prod/"):
        with pytest.raises(Denied) as caught:
            give(scope)
        assert caught.value.code == "beyond_own_scope", scope
    with pytest.raises(Denied) as caught:
        give("principals/")  # within its reach, and stopped by her other role
    assert caught.value.code == "separation_of_duties"
    law.state.tables["grants"] = {k: g for k, g in law.state.tables["grants"].items() if getattr(g, "role", "") != "business_analyst"}
    assert give("principals/")
    assert give("principals/prn_ada")
