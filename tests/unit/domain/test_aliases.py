"""Rules 1 and 10: a person is one person, under whatever name, token or chain they act."""

from __future__ import annotations

import pytest
from tests.unit.domain.law import Law

from jurat.core.clock import format_at
from jurat.core.errors import Denied, JuratError, Malformed
from jurat.domain import commands, rows
from jurat.domain.facts import TokenIssued
from jurat.domain.values import PrincipalType


@pytest.fixture
def law() -> Law:
    law = Law()
    law.apply_gates()
    return law


def as_if(law: Law, handle: str, owner: str, person: str, kind: PrincipalType = PrincipalType.PROCESS) -> None:
    """`handle` is owned by one person, and acts on behalf of another."""
    law.add(handle, kind, owner=owner)
    event, *_told = law.do("olga", commands.IssueToken(principal=f"prn_{handle}", lifetime_s=900, on_behalf_of=f"prn_{person}"))
    assert isinstance(event.data, TokenIssued)
    assert event.data.chain == [f"prn_{person}", f"prn_{handle}"]
    law.principals[handle] = (f"prn_{handle}", kind, event.data.chain)


def refused(law: Law, handle: str, command: commands.Command) -> JuratError:
    with pytest.raises(JuratError) as caught:
        law.do(handle, command)
    return caught.value


def test_rule_1_a_person_acts_for_nobody_but_themselves(law: Law) -> None:
    """Else one approver with two tokens would be two people."""
    error = refused(law, "olga", commands.IssueToken(principal="prn_cleo", lifetime_s=900, on_behalf_of="prn_dan"))
    assert isinstance(error, Malformed)
    assert error.code == "person_acts_alone"
    law.do("olga", commands.IssueToken(principal="prn_cleo", lifetime_s=900, on_behalf_of="prn_cleo"))


def test_rule_10_the_first_in_a_chain_is_a_person(law: Law) -> None:
    law.add("desk", PrincipalType.SERVICE, owner="dan")
    law.add("bot", PrincipalType.AGENT, owner="ben")
    error = refused(law, "olga", commands.IssueToken(principal="prn_bot", lifetime_s=900, on_behalf_of="prn_desk"))
    assert isinstance(error, Malformed)
    assert error.code == "person_required"


@pytest.mark.parametrize("approver", ["cleo", "dan"])
def test_rule_1_what_somebody_elses_process_registered_for_me_is_mine_and_theirs(law: Law, approver: str) -> None:
    as_if(law, "ci", owner="dan", person="cleo")
    version = law.register(by="ci")
    request = law.request(version)
    error = refused(law, approver, commands.Approve(request=request.request, shown_digest=request.shown_digest))
    assert isinstance(error, Denied)
    assert error.code == "no_self_approval"


@pytest.mark.parametrize("approver", ["cleo", "dan"])
def test_rule_1_what_somebody_elses_process_asked_for_me_is_mine_and_theirs(law: Law, approver: str) -> None:
    as_if(law, "ci", owner="dan", person="cleo")
    request = law.request(law.register(), by="ci")
    error = refused(law, approver, commands.Approve(request=request.request, shown_digest=request.shown_digest))
    assert error.code == "no_self_approval"


@pytest.mark.parametrize(("owner", "person"), [("cleo", "olga"), ("olga", "cleo")])
def test_rule_1_neither_the_owner_nor_the_person_of_a_promoting_process_counts(law: Law, owner: str, person: str) -> None:
    as_if(law, "ci", owner=owner, person=person)
    version = law.register()
    law.to_staging(version)
    law.soak(version)
    request = law.request(version)
    law.approve("cleo", request)
    law.approve("dan", request)
    error = refused(law, "ci", commands.Promote(version=version.version, to_stage="production"))
    assert error.code == "gate_not_passed"
    assert "the approval of `prn_cleo`, who promotes, does not count" in error.detail
    law.do("ben", commands.Promote(version=version.version, to_stage="production"))
    found = law.state.get(rows.Version, version.version)
    assert found is not None
    assert found.stage == "production"


@pytest.mark.parametrize(("owner", "person"), [("dan", "olga"), ("olga", "dan")])
def test_rule_1_a_process_grants_nothing_to_its_owner_or_its_person(law: Law, owner: str, person: str) -> None:
    as_if(law, "ci", owner=owner, person=person)
    for grantee in ("prn_dan", "prn_olga", "prn_ci"):
        command = commands.GrantRole(principal=grantee, role="operator", reason="convenient", expires_at=format_at(law.now_ns + 10**15))
        assert refused(law, "ci", command).code == "no_self_grant"
