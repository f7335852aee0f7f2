"""One law for every sort of request: each sort is put through the same questions, and must give the same answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest
from tests.unit.domain.law import GATES, Law

from jurat.core.clock import format_at
from jurat.core.errors import Conflict, Denied, JuratError, Malformed, NotFound
from jurat.domain import commands, commands_keeping, commands_policy, facts, requests, rows
from jurat.domain.commands import Command
from jurat.domain.commands_access import ApproveAccess, RejectAccess, RequestAccess
from jurat.domain.commands_people import Deactivate
from jurat.domain.retention import Kept
from jurat.domain.state import Put
from jurat.domain.values import PrincipalType
from jurat.policy.policyset import SCHEMA_NAME, PolicySet, default_sources
from jurat.policy.retentionfile import default_retention

WEEK_S = 7 * 86_400.0
OTHER = "sha256:" + "0" * 64


def sources(extra: str = "") -> tuple[dict[str, str], str]:
    files = default_sources()
    schema = files.pop(SCHEMA_NAME)
    return {**files, **({"own.cedar": extra} if extra else {})}, schema


def promotion(law: Law) -> Command:
    law.apply_gates()
    version = law.register(by="ada")
    law.to_staging(version)
    law.soak(version)
    return commands.RequestPromotion(version=version.version, to_stage="production", lifetime_s=WEEK_S)


def access(_law: Law) -> Command:
    return RequestAccess(principal="prn_helper", role="ml_engineer", scope="models/prod/", lifetime_s=7200.0, reason="roll back")


def policy_change(_law: Law) -> Command:
    files, schema = sources('@id("own.closed") @reason("closed") forbid (principal, action == Action::"data:read", resource);\n')
    return commands_policy.RequestPolicyChange(files=files, schema=schema, reason="closed", lifetime_s=WEEK_S)


def shortening(_law: Law) -> Command:
    shorter = default_retention().replace("inference: P90D", "inference: P30D")
    return commands_keeping.RequestShortening(source=shorter, reason="less is better", lifetime_s=WEEK_S)


def erasure(_law: Law) -> Command:
    found = [Kept(log="main/inference", index=0, kind="prediction.made.v1", received_ns=1_577_836_800 * 10**9)]
    return commands_keeping.RequestErasure(
        selector="event", reference="", person="", found=found, reason="objection", legal_basis="GDPR 17(1)(c)", only_free=False,
        lifetime_s=WEEK_S,
    )  # fmt: skip


class Kind(NamedTuple):
    row: type[rows.Row]
    ask: Callable[[Law], Command]
    yes: Callable[..., Command]
    no: Callable[..., Command]


KINDS = [
    Kind(rows.Request, promotion, commands.Approve, commands.Reject),
    Kind(rows.AccessRequest, access, ApproveAccess, RejectAccess),
    Kind(rows.PolicyChange, policy_change, commands_policy.ApprovePolicyChange, commands_policy.RejectPolicyChange),
    Kind(rows.Shortening, shortening, commands_keeping.ApproveShortening, commands_keeping.RejectShortening),
    Kind(rows.Erasure, erasure, commands_keeping.ApproveErasure, commands_keeping.RejectErasure),
]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.row.__name__)


@pytest.fixture
def law() -> Law:
    """An agent of Ben's that acts for Dan: whatever it asks for is asked for by both."""
    law = Law()
    law.add("helper", PrincipalType.AGENT, owner="ben")
    law.principals["helper"] = ("prn_helper", PrincipalType.AGENT, ["prn_dan", "prn_helper"])
    files, schema = sources()
    law.apply([law.context("olga").event(facts.PolicySetApplied(
        digest=PolicySet.load(files, schema).digest, files=files, schema=schema, reason="test"))])  # fmt: skip
    return law


def ask(law: Law, kind: Kind) -> Any:
    fact: Any = law.do("helper", kind.ask(law))[0].data
    row: Any = law.state.get(kind.row, fact.request)
    assert row is not None
    return row


def refused(law: Law, who: str, command: Command) -> JuratError:
    with pytest.raises(JuratError) as caught:
        law.do(who, command)
    return caught.value


@each_kind
def test_every_row_that_can_be_approved_is_here(kind: Kind) -> None:
    """A new sort of request is put through these questions too, or this fails."""
    asked = {row for row in rows.ROWS.values() if {"shown_digest", "expires_at", "status"} <= set(row.__struct_fields__)}
    assert asked == {each.row for each in KINDS}
    assert next(f.default for f in msgspec.structs.fields(kind.row) if f.name == "status") in requests.WAITING


@each_kind
def test_nobody_behind_a_request_says_yes_to_it(law: Law, kind: Kind) -> None:
    """Neither the agent, nor whom it acted for, nor who answers for it: one person by any of these is no second one."""
    row = ask(law, kind)
    yes = kind.yes(request=row.request, shown_digest=row.shown_digest)
    assert refused(law, "helper", yes).code == "person_required"
    for who in ("dan", "ben"):
        assert refused(law, who, yes).code == "no_self_approval"
    law.do("cleo", yes)


@each_kind
def test_an_answer_is_to_what_is_open_and_was_shown(law: Law, kind: Kind) -> None:
    row = ask(law, kind)
    for answer in (kind.yes, kind.no):
        assert isinstance(refused(law, "cleo", answer(request="req_none", shown_digest=row.shown_digest, comment="x")), NotFound)
        other = refused(law, "cleo", answer(request=row.request, shown_digest=OTHER, comment="x"))
        assert (type(other), other.code) == (Conflict, "shown_changed")
        assert row.request in other.hint
        says = answer(request=row.request, shown_digest=row.shown_digest, comment="x")
        for status in ("rejected", "void", "used", "whatever"):
            law.state.apply([Put(rows.TABLE_OF[kind.row], row.request, msgspec.structs.replace(row, status=status))])
            assert refused(law, "cleo", says).code == "request_closed"
        late = msgspec.structs.replace(row, expires_at=format_at(law.now_ns))
        law.state.apply([Put(rows.TABLE_OF[kind.row], row.request, late)])
        assert refused(law, "cleo", says).code == "request_expired", "at that very moment it is over"
        law.state.apply([Put(rows.TABLE_OF[kind.row], row.request, row)])


@each_kind
def test_a_no_says_why_and_is_the_end(law: Law, kind: Kind) -> None:
    row = ask(law, kind)
    assert isinstance(refused(law, "cleo", kind.no(request=row.request, shown_digest=row.shown_digest, comment="  ")), Malformed)
    law.do("cleo", kind.no(request=row.request, shown_digest=row.shown_digest, comment="not like this"))
    assert refused(law, "cleo", kind.yes(request=row.request, shown_digest=row.shown_digest)).code == "request_closed"


@each_kind
@pytest.mark.parametrize("lifetime_s", [0.0, -1.0, math.nan, math.inf, 1e9])
def test_a_request_ends_within_a_year(law: Law, kind: Kind, lifetime_s: float) -> None:
    if kind.row is not rows.AccessRequest:  # there the lifetime is the grant's; the request's is fixed
        assert isinstance(refused(law, "helper", msgspec.structs.replace(kind.ask(law), lifetime_s=lifetime_s)), Malformed)


def test_approvals_of_a_void_request_promote_nothing(law: Law) -> None:
    """The asker left after everybody had said yes: what they asked for is not done in their name."""
    law.apply_gates(GATES.replace("        - role: product_owner\n", ""))
    version = law.register(by="ada")
    law.to_staging(version)
    law.soak(version)
    law.add("eve", PrincipalType.PERSON)
    request = law.request(version, by="eve")
    law.approve("cleo", request)
    law.do("olga", Deactivate(principal="prn_eve", reason="left"))
    error = refused(law, "ben", commands.Promote(version=version.version, to_stage="production"))
    assert "is closed: void" in error.detail
    again = law.request(version, by="dan")
    law.approve("cleo", again)
    law.do("ben", commands.Promote(version=version.version, to_stage="production"))


def test_a_hint_to_ask_somebody_names_nobody_who_may_not(law: Law) -> None:
    row = ask(law, KINDS[0])
    error = refused(law, "ada", commands.Approve(request=row.request, shown_digest=row.shown_digest))
    assert isinstance(error, Denied)
    assert "prn_cleo" in error.hint
    assert not any(f"`prn_{who}`" in error.hint for who in ("ada", "ben", "dan"))
