"""Duties that exclude each other: asked when granting and when acting, through whatever a person answers for, and by what they did."""

from __future__ import annotations

import dataclasses
import re

import msgspec
import pytest
from tests.unit.domain.law import Law

from jurat.core.clock import format_at
from jurat.core.errors import Conflict, Denied, Malformed
from jurat.domain import commands, facts, rows
from jurat.domain.commands_access import ApplyAccessRules
from jurat.domain.decide import decide
from jurat.domain.duties import rules_in_force
from jurat.domain.events import Event
from jurat.domain.facts_access import AccessRulesApplied, NoticeGiven
from jurat.domain.values import PrincipalType
from jurat.policy.accessrules import default_access
from jurat.policy.policyset import SCHEMA_NAME, PolicySet, default_sources


@pytest.fixture
def law() -> Law:
    law = Law()
    law.add("fay", PrincipalType.PERSON)
    law.apply_gates()
    return law


def give(law: Law, who: str, role: str, scope: str = "*", by: str = "olga") -> list[commands.Command]:
    ends = format_at(law.now_ns + 10**15)
    return law.do(by, commands.GrantRole(principal=f"prn_{who}", role=role, reason="test", expires_at=ends, scope=scope))


def waiting(law: Law) -> rows.Request:
    """A version by ada, measured, in staging by ben, and asked for by ben."""
    version = law.register()
    law.to_staging(version)
    law.soak(version)
    law.do("ben", commands.RequestPromotion(version=version.version, to_stage="production", lifetime_s=86_400))
    return law.state.find(rows.Request)[0]


def approve(law: Law, who: str, request: rows.Request) -> list[object]:
    return law.do(who, commands.Approve(request=request.request, shown_digest=request.shown_digest))


# --- when granting


@pytest.mark.parametrize(
    ("first", "second"), [("operator", "data_scientist"), ("data_scientist", "operator"), ("auditor", "operator"), ("operator", "auditor")]
)
def test_roles_that_exclude_each_other_are_not_granted_to_one_person(law: Law, first: str, second: str) -> None:
    give(law, "fay", first)
    with pytest.raises(Denied) as caught:
        give(law, "fay", second)
    assert caught.value.code == "separation_of_duties"
    assert f"`prn_fay` holds `{first}`" in caught.value.detail
    assert "conflict between" in caught.value.fields["reasons"][0]
    assert len(law.state.find(rows.Grant, principal="prn_fay")) == 1


def test_the_refusal_names_who_holds_the_role_already(law: Law) -> None:
    give(law, "fay", "auditor")
    with pytest.raises(Denied) as caught:
        give(law, "fay", "operator")
    assert "`prn_olga`" in caught.value.hint


def test_what_a_person_answers_for_counts_as_theirs(law: Law) -> None:
    law.add("bot", PrincipalType.SERVICE, owner="fay")
    give(law, "bot", "data_scientist")
    with pytest.raises(Denied) as caught:
        give(law, "fay", "operator")
    assert "through `prn_bot`" in caught.value.detail
    law.add("tool", PrincipalType.AGENT, owner="fay")
    with pytest.raises(Denied):
        give(law, "tool", "operator")


def test_a_role_that_ended_excludes_nothing(law: Law) -> None:
    law.grant("fay", "auditor", lifetime_s=60)
    law.wait(61)
    assert give(law, "fay", "operator")


def test_what_is_held_apart_on_one_version_only_is_granted_and_watched(law: Law) -> None:
    give(law, "fay", "data_scientist")
    (event,) = give(law, "fay", "ml_lead")
    assert isinstance(event.data, facts.RoleGranted)
    assert event.data.watched == ["whoever trained a version may never approve it"]


# --- when acting


def test_whoever_trained_a_version_never_approves_it_though_nothing_of_it_is_theirs_any_more(law: Law) -> None:
    """dan's process registered it for ben, and is olga's by now: no row names dan, and the deed does."""
    law.add("bot", PrincipalType.PROCESS, owner="dan")
    law.principals["bot"] = ("prn_bot", PrincipalType.PROCESS, ["prn_ben", "prn_bot"])
    version = law.register(by="bot")
    bot = law.state.get(rows.Principal, "prn_bot")
    assert bot is not None
    law.state.tables["principals"]["prn_bot"] = msgspec.structs.replace(bot, owner="prn_olga")
    law.good(version)
    law.do("olga", commands.RequestPromotion(version=version.version, to_stage="production", lifetime_s=86_400))
    request = law.state.find(rows.Request)[0]
    with pytest.raises(Denied) as caught:
        approve(law, "dan", request)
    assert caught.value.code == "separation_of_duties"
    assert "`prn_dan` did `model:register` on `churn@1.0.0`" in caught.value.detail
    assert caught.value.hint.startswith("who could: ")
    assert set(re.findall(r"prn_\w+", caught.value.hint)) == {"prn_ada", "prn_cleo"}
    approve(law, "cleo", request)


def test_whoever_moved_a_version_does_not_approve_it_and_whoever_approved_it_does_not_move_it(law: Law) -> None:
    request = waiting(law)
    law.do("cleo", commands.Approve(request=request.request, shown_digest=request.shown_digest))
    row = law.state.find(rows.Request)[0]  # as if olga had asked: what ben did is not what the row says
    law.state.tables["requests"][row.request] = msgspec.structs.replace(row, requested_by="prn_olga", asking_person="prn_olga")
    with pytest.raises(Denied, match="`prn_ben` did `model:promote`"):
        approve(law, "ben", request)
    approve(law, "dan", request)
    law.do("ben", commands.Promote(version=request.version, to_stage="production"))
    endpoint = commands.ConfigureEndpoint(endpoint="credit", version=request.version, upstream="http://127.0.0.1:9", confidence_floor=0.5)
    with pytest.raises(Denied, match="`prn_cleo` did `request:approve`") as caught:
        law.do("cleo", endpoint)
    assert caught.value.code == "separation_of_duties"


def test_an_agents_deed_is_its_persons_and_its_owners(law: Law) -> None:
    """dan's agent registers on behalf of ben: neither may approve, though neither registered anything."""
    law.add("bot", PrincipalType.AGENT, owner="dan")
    law.principals["bot"] = ("prn_bot", PrincipalType.AGENT, ["prn_ben", "prn_bot"])
    law.register(by="bot")
    assert {d.person for d in law.state.find(rows.Deed, subject="churn@1.0.0")} == {"prn_ben", "prn_dan"}


def test_a_conflict_that_came_about_later_stops_the_act(law: Law) -> None:
    """Roles that were granted before the rules, or by a directory, or with an owner's leave: the act is asked all the same."""
    law.grant("fay", "operator")
    law.add("bot", PrincipalType.SERVICE, owner="fay")
    law.grant("bot", "ml_engineer")
    with pytest.raises(Denied) as caught:
        give(law, "dan", "ml_lead", by="fay")
    assert caught.value.code == "separation_of_duties"
    assert "holds `ml_engineer` through `prn_bot`" in caught.value.detail
    assert "who could: `prn_olga`" in caught.value.hint


def test_taking_a_role_away_is_never_held_up(law: Law) -> None:
    law.grant("fay", "operator")
    law.grant("fay", "ml_engineer")
    grant = law.state.find(rows.Grant, principal="prn_fay", role="ml_engineer")[0]
    law.do("olga", commands.RevokeRole(grant=grant.grant, reason="two duties"))
    assert give(law, "dan", "ml_lead", by="fay")


def test_where_the_file_says_so_whoever_answers_for_the_training_data_does_not_deploy(law: Law) -> None:
    version = law.register()
    law.good(version)
    at, end = (default_access().index(mark) for mark in ("  # - between: [curate", "  - between: [grant"))
    stricter = default_access()[at:end].replace("  # ", "  ")
    rules(law, default_access()[:at] + stricter + default_access()[end:])
    with pytest.raises(Denied, match="training data of a version") as caught:
        law.do("ada", commands.Promote(version=version.version, to_stage="staging"))
    assert "did `data:register` on `loans@v1`" in caught.value.detail


# --- the file


SOURCES = default_sources()
SCHEMA = SOURCES.pop(SCHEMA_NAME)
POLICIES = PolicySet.load(SOURCES, SCHEMA)


LAST_RULE = '  - roles: "*"\n    scope: "*"\n    approvers: [operator]'


def rules(law: Law, text: str, by: str = "olga") -> list[Event]:
    context = dataclasses.replace(law.context(by), known_roles=POLICIES.roles)
    events = decide(law.state, ApplyAccessRules(source=text, reason="test"), context)
    law.apply(events)
    return events


def test_rules_come_into_force_and_the_shipped_ones_hold_before(law: Law) -> None:
    before = rules_in_force(law.state).digest
    (event,) = rules(law, default_access().replace("longest: 90d", "longest: 89d"))
    assert isinstance(event.data, AccessRulesApplied)
    assert rules_in_force(law.state).digest == event.data.digest != before
    with pytest.raises(Conflict, match="in force"):
        rules(law, default_access().replace("longest: 90d", "longest: 89d") + "# another comment\n")


def test_whoever_audits_is_told_of_what_is_loosened(law: Law) -> None:
    law.grant("fay", "compliance_officer")
    text = default_access()
    at, end = text.index("  - between: [audit, operate]"), text.index("# Who says yes")
    told = [e.data for e in rules(law, text[:at] + text[end:])]
    assert isinstance(told[0], AccessRulesApplied)
    assert told[0].loosened == ["`audit` and `operate` within one person are no longer held apart"]
    assert [n.to for n in told[1:] if isinstance(n, NoticeGiven)] == ["prn_fay"]
    assert "no longer held apart" in law.state.find(rows.Notice, to="prn_fay")[0].text


def test_a_tighter_file_tells_nobody(law: Law) -> None:
    law.grant("fay", "compliance_officer")
    assert len(rules(law, default_access().replace("longest: 4h # never more", "longest: 2h"))) == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("permissions: [role:grant]", "permissions: [role:grnt]", "did you mean `role:grant`"),
        ("roles: [ml_lead, product_owner]", "roles: [ml_lead, product_ower]", "did you mean `product_owner`"),
        ("between: [train, approve]", "between: [train, aprove]", "did you mean `approve`"),
        ("between: [train, approve]", "between: [train]", "two duties"),
        ("within: version", "within: house", "`version` or `person`"),
        ("reason: whoever trained a version may never approve it", "reason: ' '", "needs a reason"),
        ("longest: 4h # never more", "longest: 5h", "outside what is sensible"),
        ("usual: 1h", "usual: 0s", "outside what is sensible"),
        ("answer_within: 14d", "answer_within: 31d", "longer than the time between"),
        ("scope: models/prod/", "scope: models/prd/", "matches nothing"),
        (LAST_RULE, LAST_RULE.replace('"*"', "[operator]", 1), "fits every role"),
        ("approvers: [ml_lead]", "approvers: []", "empty is never a pass"),
        ("conflicts:", "conflict:", "did you mean `conflicts`"),
        ("break_glass:\n", "break_glass: &x\n", "anchors"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_meant_changes_nothing(law: Law, old: str, new: str, said: str) -> None:
    in_force = facts.PolicySetApplied(digest=POLICIES.digest, files=SOURCES, schema=SCHEMA, reason="test")
    law.apply([law.context("olga").event(in_force)])
    text = default_access()
    assert text.count(old) >= 1
    before, count = rules_in_force(law.state).digest, len(law.events)
    with pytest.raises(Malformed) as caught:
        rules(law, text.replace(old, new, 1))
    assert said in f"{caught.value.detail} {caught.value.hint}"
    assert rules_in_force(law.state).digest == before
    assert len(law.events) == count


def test_a_role_with_both_sides_of_a_conflict_could_be_held_by_nobody(law: Law) -> None:
    text = default_access().replace("    roles: [auditor, compliance_officer, compliance_auditor]\n", "    roles: [auditor, operator]\n", 1)
    with pytest.raises(Malformed, match="nobody could ever hold it"):
        rules(law, text)
