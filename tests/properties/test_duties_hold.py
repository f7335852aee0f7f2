"""Whatever groups, owners and delegations there are: no k-1 people ever satisfy a quorum of k, and no person holds two duties.

Worlds are random: nested groups of a directory with a table of roles, services, agents and processes with owners, tokens that act
for anybody. Every act goes through the law; what it refuses is part of the world. Then what came of it is counted by people.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.domain.law import Law

from jurat.core.clock import format_at
from jurat.core.errors import JuratError
from jurat.domain import commands, facts, rows
from jurat.domain.commands_access import ApproveAccess, RequestAccess
from jurat.domain.commands_people import ApplyGroupRoles, DefineGroup
from jurat.domain.duties import roles_of_person, rules_in_force
from jurat.domain.roles import people_behind
from jurat.domain.values import PrincipalType
from jurat.policy.accessrules import PERSON

PEOPLE = ["p0", "p1", "p2", "p3"]
THINGS = ["t0", "t1", "t2"]
GROUPS = ["G0", "G1", "G2"]
ROLES = ["ml_lead", "product_owner", "ml_engineer", "data_scientist", "operator", "auditor"]
people, things, groups = st.sampled_from(PEOPLE), st.sampled_from(THINGS), st.sampled_from(GROUPS)

steps = st.one_of(
    st.tuples(st.just("group"), groups, st.lists(people, max_size=3), st.lists(groups, max_size=2)),
    st.tuples(st.just("table"), st.dictionaries(groups, st.sampled_from(ROLES), min_size=1, max_size=3)),
    st.tuples(st.just("grant"), st.sampled_from(["olga", *PEOPLE, *THINGS]), st.sampled_from([*PEOPLE, *THINGS]), st.sampled_from(ROLES)),
    st.tuples(st.just("owner"), things, people),
    st.tuples(st.just("acts for"), things, people),
)
SENIORS = ["ada", "ben", "cleo", "dan"]  # who hold approving roles from the beginning, some of them two
anybody = st.sampled_from([*PEOPLE, *SENIORS, *THINGS])
actors = st.lists(anybody, min_size=1, max_size=8)
group_steps = st.tuples(st.just("group"), groups, st.lists(people, min_size=1, max_size=2), st.lists(groups, max_size=2))
table_steps = st.tuples(st.just("table"), st.dictionaries(groups, st.sampled_from(ROLES), min_size=2, max_size=3))
grant_steps = st.tuples(st.just("grant"), st.just("olga"), st.sampled_from([*PEOPLE[:2], *THINGS]), st.sampled_from(ROLES))
granted = st.lists(st.one_of(group_steps, table_steps, grant_steps), min_size=4, max_size=14)


@dataclass
class World:
    law: Law
    groups: dict[str, str]

    def take(self, step: tuple[object, ...]) -> None:
        """Do one thing; a refusal is an answer too."""
        with contextlib.suppress(JuratError):
            match step:
                case ("group", str(name), list(who), list(inner)):
                    wish = DefineGroup(
                        group=self.groups.get(name, ""), name=name, people=[f"prn_{p}" for p in who],
                        groups=[self.groups[g] for g in inner if g in self.groups],
                    )  # fmt: skip
                    done = self.law.do("dir", wish)[0].data
                    self.groups[name] = done.group  # type: ignore[attr-defined]
                case ("table", dict(table)):
                    lines = "".join(f"  {g}:\n    - role: {r}\n" for g, r in table.items())
                    self.law.do("olga", ApplyGroupRoles(source=f"lifetime: 90d\ngroups:\n{lines}", reason="test"))
                case ("grant", str(by), str(to), str(role)):
                    ends = format_at(self.law.now_ns + 10**16)
                    self.law.do(by, commands.GrantRole(principal=f"prn_{to}", role=role, reason="test", expires_at=ends))
                case ("owner", str(thing), str(person)):
                    row = self.law.state.get(rows.Principal, f"prn_{thing}")
                    assert row is not None
                    new = rows.Principal(as_of=row.as_of, principal=row.principal, type=row.type, owner=f"prn_{person}", name=row.name)
                    self.law.state.tables["principals"][row.principal] = new
                    self.law.principals[thing] = (row.principal, row.type, [f"prn_{person}", row.principal])
                case ("acts for", str(thing), str(person)):
                    principal, kind, _ = self.law.principals[thing]
                    self.law.principals[thing] = (principal, kind, [f"prn_{person}", principal])


def world_of(taken: list[tuple[object, ...]]) -> World:
    law = Law()
    for person in PEOPLE:
        law.add(person, PrincipalType.PERSON)
        row = law.state.get(rows.Principal, f"prn_{person}")
        assert row is not None
        law.state.tables["principals"][row.principal] = rows.Principal(
            as_of=row.as_of, principal=row.principal, type=row.type, owner=None, name=None, directory="prn_dir"
        )
    for thing, kind in zip(THINGS, (PrincipalType.AGENT, PrincipalType.SERVICE, PrincipalType.PROCESS), strict=True):
        law.add(thing, kind, owner=PEOPLE[0])
    law.add("dir", PrincipalType.SERVICE, owner="olga")
    world = World(law, {})
    for step in taken:
        world.take(step)
    return world


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, max_size=8), actors, anybody, anybody, anybody)
def test_a_promotion_takes_as_many_people_as_its_gate_has_seats(
    taken: list[tuple[object, ...]], yes: list[str], author: str, mover: str, promoter: str
) -> None:
    world = world_of(taken)
    law = world.law
    law.apply_gates()
    with contextlib.suppress(JuratError):
        version = law.register(by=author)
        law.good(version)
        law.do(mover, commands.Promote(version=version.version, to_stage="staging"))
        law.soak(version)
        law.do(promoter, commands.RequestPromotion(version=version.version, to_stage="production", lifetime_s=86_400))
    for request in law.state.find(rows.Request):
        approvers: set[str] = set()
        for who in yes:
            with contextlib.suppress(JuratError):
                behind = people_behind(law.state, law.context(who).actor)
                law.do(who, commands.Approve(request=request.request, shown_digest=request.shown_digest))
                approvers |= behind
        promoted = False
        with contextlib.suppress(JuratError):
            law.do(promoter, commands.Promote(version=request.version, to_stage="production"))
            promoted = True
        trained = {d.person for d in law.state.find(rows.Deed, permission="model:register")}
        moved = {d.person for d in law.state.find(rows.Deed, permission="model:promote")}
        assert not approvers & trained, "who trained it approved it"
        if promoted:
            assert len(approvers - people_behind(law.state, law.context(promoter).actor)) >= 2, "fewer people than seats"
        assert not approvers & moved, "who approved it moved it"


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, max_size=8), st.lists(st.sampled_from(["olga", "p3", *PEOPLE]), min_size=1, max_size=4), st.sampled_from(PEOPLE))
def test_access_for_two_seats_takes_two_people_beside_the_asker(taken: list[tuple[object, ...]], yes: list[str], asker: str) -> None:
    law = world_of(taken).law
    for role in ("compliance_officer", "operator"):  # as from before the rules: one person for both seats
        law.grant("p3", role)
    try:
        (asked,) = law.do(asker, RequestAccess(principal=f"prn_{asker}", role="operator", scope="*", lifetime_s=3600, reason="x"))
    except JuratError:
        return
    request = law.state.get(rows.AccessRequest, asked.data.request)  # type: ignore[attr-defined]
    assert request is not None
    assert len(request.approvers) == 2
    approvers: set[str] = set()
    granted = False
    for who in yes:
        with contextlib.suppress(JuratError):
            done = law.do(who, ApproveAccess(request=request.request, shown_digest=request.shown_digest))
            approvers |= people_behind(law.state, law.context(who).actor)
            granted |= any(isinstance(e.data, facts.RoleGranted) for e in done)
    assert f"prn_{asker}" not in approvers
    if granted:
        assert len(approvers) >= 2


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(granted)
def test_nobody_who_could_act_holds_both_sides_of_a_conflict_by_a_grant(taken: list[tuple[object, ...]]) -> None:
    """Owners may change what a person answers for; then the act is stopped. Without that, granting alone keeps duties apart."""
    law = world_of(taken).law
    rules = rules_in_force(law.state)
    for person in PEOPLE:
        held = roles_of_person(law.state, f"prn_{person}", law.now_ns).keys()
        for conflict in rules.conflicts:
            if conflict.within == PERSON:
                one, other = (set(rules.duties[duty].roles) & held for duty in conflict.between)
                assert not (one and other), f"{person} holds {one} and {other}"


def test_the_worlds_are_not_empty() -> None:
    """A promotion and an access do come about: else the properties above would say nothing."""
    world = world_of([("grant", "olga", "p1", "ml_lead"), ("grant", "olga", "p2", "product_owner"), ("grant", "olga", "p3", "ml_engineer")])
    law = world.law
    law.apply_gates()
    version = law.register(by="p0")
    law.good(version)
    law.do("p3", commands.Promote(version=version.version, to_stage="staging"))
    law.soak(version)
    (asked,) = law.do("p3", commands.RequestPromotion(version=version.version, to_stage="production", lifetime_s=86_400))
    request = law.state.get(rows.Request, asked.data.request)  # type: ignore[attr-defined]
    assert request is not None
    for who in ("p1", "p2"):
        law.do(who, commands.Approve(request=request.request, shown_digest=request.shown_digest))
    law.do("p3", commands.Promote(version=version.version, to_stage="production"))
    nested = world_of([
        ("group", "G0", ["p1"], []), ("group", "G1", [], ["G0"]), ("table", {"G1": "auditor"}), ("grant", "olga", "p1", "operator"),
    ])  # fmt: skip
    assert roles_of_person(nested.law.state, "prn_p1", nested.law.now_ns).keys() == {"auditor"}, "through a group in a group"
    with pytest.raises(JuratError):
        nested.law.do(
            "olga", ApplyGroupRoles(source="lifetime: 90d\ngroups:\n  G1:\n    - role: auditor\n    - role: operator\n", reason="x")
        )
