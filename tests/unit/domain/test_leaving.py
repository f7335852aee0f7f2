"""Leaving: everything that a person had dies and is listed, nothing they answer for is lost silently, nobody acts for the gone."""

from __future__ import annotations

import msgspec
import pytest
from tests.unit.domain.law import Law

from jurat.core.errors import Conflict, JuratError, Malformed, NotFound
from jurat.domain import rows
from jurat.domain.commands_people import Deactivate, Reactivate, TransferOwnership
from jurat.domain.facts_people import PrincipalDeactivated
from jurat.domain.roles import why_suspended
from jurat.domain.state import Put
from jurat.domain.values import PrincipalType


@pytest.fixture
def law() -> Law:
    return Law()


def suspended(law: Law, handle: str) -> str:
    principal, _, chain = law.principals[handle]
    return why_suspended(law.state, principal, chain)


def gone(law: Law, handle: str, **more: object) -> PrincipalDeactivated:
    fact = law.do("olga", Deactivate(principal=f"prn_{handle}", reason="left", **more))[-1].data  # type: ignore[arg-type]
    assert isinstance(fact, PrincipalDeactivated)
    return fact


def test_grants_requests_and_pending_approvals_die_and_are_listed(law: Law) -> None:
    law.apply_gates()
    for number, asker in enumerate(("dan", "ben")):
        version = law.register(f"1.0.{number}", "ab"[number])
        law.to_staging(version)
        law.soak(version)
        law.approve("cleo", law.request(version, by=asker))
    mine, theirs = law.state.find(rows.Request, requested_by="prn_dan")[0], law.state.find(rows.Request, requested_by="prn_ben")[0]
    law.approve("dan", theirs)
    fact = gone(law, "dan")
    assert fact.ended["requests"] == [mine.request]
    assert [each.partition("/")[0] for each in fact.ended["approvals"]] == [theirs.request]
    assert len(fact.ended["grants"]) == 1
    assert fact.count == 3
    assert not law.state.find(rows.Grant, principal="prn_dan")
    left = law.state.get(rows.Request, theirs.request)
    assert left is not None
    assert [a.principal for a in left.approvals] == ["prn_cleo"]
    dead = law.state.get(rows.Request, mine.request)
    assert dead is not None
    assert dead.status == "void"
    with pytest.raises(JuratError):
        law.approve("ada", dead)


def test_whatever_waits_for_a_word_is_void_without_its_asker(law: Law) -> None:
    """Of every sort that waits: made by hand, since each has a law of its own."""
    asked = {
        rows.AccessRequest: {"asking_person": "prn_ben", "principal": "prn_ben"}, rows.PolicyChange: {"asking_person": "prn_ben"},
        rows.Shortening: {"requested_by": "prn_ben"}, rows.Erasure: {"requested_by": "prn_ben"},
    }  # fmt: skip
    for number, (row_type, fields) in enumerate(asked.items()):
        law.state.apply([Put(rows.TABLE_OF[row_type], f"req_{number}", made(row_type, f"req_{number}", **fields))])
    other = made(
        rows.AccessRequest, "req_9", approvals=[rows.Approval(event="evt_1", principal="prn_ben", person="prn_ben", roles=[], at="")]
    )
    law.state.apply([Put("access_requests", "req_9", other)])
    fact = gone(law, "ben")
    assert [fact.ended[sort] for sort in ("access_requests", "policy_changes", "shortenings", "erasures")] == [
        ["req_0"], ["req_1"], ["req_2"], ["req_3"]
    ]  # fmt: skip
    assert fact.ended["access_approvals"] == ["req_9/evt_1"]
    for number, row_type in enumerate(asked):
        assert law.state.get(row_type, f"req_{number}").status == "void"  # type: ignore[union-attr]
    left = law.state.get(rows.AccessRequest, "req_9")
    assert left is not None
    assert (left.approvals, left.status) == ([], "waiting_for_approvers")


def made(row_type: type[rows.Row], request: str, **fields: object) -> rows.Row:
    """Return a row that says what is given, and nothing else."""
    blank = {str: "", "str": "", int: 0, float: 0.0}
    empty = {f.name: blank.get(f.type, [] if "list" in str(f.type) else {}) for f in msgspec.structs.fields(row_type) if f.required}
    return row_type(**{**empty, "request": request, **fields})


def test_a_request_that_loses_its_asker_and_an_approval_loses_both(law: Law) -> None:
    law.apply_gates()
    version = law.register(by="ada")
    law.to_staging(version)
    law.soak(version)
    law.add("bot", PrincipalType.SERVICE, owner="cleo")
    request = law.request(version, by="bot")
    law.approve("dan", request)
    gone(law, "dan")
    gone(law, "cleo", suspend_owned=True)
    left = law.state.get(rows.Request, request.request)
    assert left is not None
    assert (left.status, left.approvals) == ("void", [])


def test_what_a_person_answers_for_is_never_lost_silently(law: Law) -> None:
    law.add("scorer", PrincipalType.SERVICE, owner="ben")
    law.add("agent", PrincipalType.AGENT, owner="ben")
    with pytest.raises(Conflict, match="2 that nobody would answer for") as refused:
        gone(law, "ben")
    assert refused.value.fields["orphans"] == ["prn_agent", "prn_scorer"]
    assert not suspended(law, "scorer")
    with pytest.raises(Malformed):
        gone(law, "ben", transfer_to="prn_cleo", suspend_owned=True)
    with pytest.raises(Conflict, match="an owner is another person"):
        gone(law, "ben", transfer_to="prn_scorer")
    assert gone(law, "ben", transfer_to="prn_cleo").suspended == []
    moved = law.state.get(rows.Principal, "prn_scorer")
    assert moved is not None
    assert moved.owner == "prn_cleo"
    # a chain that names who left is over, though the service itself lives on
    assert "`prn_ben` is deactivated" in suspended(law, "scorer")
    assert not why_suspended(law.state, "prn_scorer", ["prn_cleo", "prn_scorer"])


def test_without_a_living_owner_nothing_acts_not_even_for_somebody_else(law: Law) -> None:
    law.add("scorer", PrincipalType.SERVICE, owner="ben")
    assert gone(law, "ben", suspend_owned=True).suspended == ["prn_scorer"]
    assert "no active person answers for `prn_scorer`" in why_suspended(law.state, "prn_scorer", ["prn_cleo", "prn_scorer"])
    law.do("olga", TransferOwnership(from_owner="prn_ben", to_owner="prn_dan", reason="takes over"))
    assert not why_suspended(law.state, "prn_scorer", ["prn_cleo", "prn_scorer"])
    assert why_suspended(law.state, "prn_scorer", ["prn_scorer"]) == "`prn_scorer` is no person"


def test_coming_back_gives_nothing_back(law: Law) -> None:
    gone(law, "ben")
    with pytest.raises(Conflict, match="deactivated already"):
        gone(law, "ben")
    law.do("olga", Reactivate(principal="prn_ben", reason="came back"))
    assert not suspended(law, "ben")
    assert not law.state.find(rows.Grant, principal="prn_ben")
    with pytest.raises(Conflict, match="is active"):
        law.do("olga", Reactivate(principal="prn_ben", reason="came back"))


def test_what_nobody_answers_for_does_not_come_back(law: Law) -> None:
    law.add("scorer", PrincipalType.SERVICE, owner="ben")
    gone(law, "scorer")
    gone(law, "ben")
    with pytest.raises(Conflict, match="no active person answers"):
        law.do("olga", Reactivate(principal="prn_scorer", reason="needed"))


def test_the_last_operator_stays(law: Law) -> None:
    law.grant("olga", "operator")
    with pytest.raises(Conflict, match="last operator"):
        gone(law, "olga")
    law.grant("dan", "operator", lifetime_s=60)
    law.wait(61)
    with pytest.raises(Conflict, match="last operator"):  # an expired grant makes no operator
        gone(law, "olga")
    law.grant("dan", "operator")
    gone(law, "olga")


@pytest.mark.parametrize(
    ("changes", "family"),
    [
        ({"from_owner": "prn_nobody"}, NotFound), ({"to_owner": "prn_ben"}, Conflict), ({"to_owner": "prn_nobody"}, Conflict),
        ({"to_owner": "prn_scorer"}, Conflict), ({"reason": " "}, Malformed), ({"principals": ["prn_ada"]}, Conflict),
        ({"principals": ["prn_scorer", "prn_scorer"]}, Malformed), ({"from_owner": "prn_dan"}, Malformed),
    ],
)  # fmt: skip
def test_a_transfer_that_makes_no_sense_changes_nothing(law: Law, changes: dict[str, object], family: type[JuratError]) -> None:
    law.add("scorer", PrincipalType.SERVICE, owner="ben")
    fields = {"from_owner": "prn_ben", "to_owner": "prn_cleo", "reason": "moves", **changes}
    before = len(law.events)
    with pytest.raises(family):
        law.do("olga", TransferOwnership(**fields))  # type: ignore[arg-type]
    assert len(law.events) == before
