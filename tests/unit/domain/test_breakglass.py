"""Break-glass: at once, told at once, over by itself, and looked at by somebody else before it happens again."""

from __future__ import annotations

import pytest
from tests.unit.domain.law import Law

from jurat.core.clock import format_at
from jurat.core.errors import Conflict, Denied, JuratError
from jurat.domain import commands, facts, rows
from jurat.domain.commands import Command
from jurat.domain.commands_access import (
    ApplyAccessRules,
    ApproveAccess,
    BreakGlass,
    CloseGlass,
    EndExpired,
    ReportDrill,
    RequestAccess,
    ReviewGlass,
    SeeNotice,
)
from jurat.domain.commands_identity import DeclareTrust, InviteIdentity, RegisterProvider
from jurat.domain.commands_people import Deactivate, IssueLink, Reactivate, TransferOwnership
from jurat.domain.facts_access import AccessRequested, GlassBroken, GlassClosed, NoticeGiven
from jurat.domain.grants import review_overdue, window_of
from jurat.domain.roles import people_behind, roles_held
from jurat.domain.values import PrincipalType
from jurat.policy.accessrules import default_access
from jurat.policy.policyset import SCHEMA_NAME, PolicySet, default_sources

HOUR = 3600.0
SOURCES = default_sources()
SCHEMA = SOURCES.pop(SCHEMA_NAME)


@pytest.fixture
def law() -> Law:
    law = Law()
    law.add("fay", PrincipalType.PERSON)
    law.grant("fay", "compliance_officer")
    law.grant("ada", "data_scientist")
    return law


def smash(law: Law, who: str = "ada", *, hours: float = 0.0, **changes: object) -> GlassBroken:
    fields = {"principal": f"prn_{who}", "role": "ml_engineer", "scope": "*", "reason": "wrong answers", "ticket": "INC-1"}
    events = law.do(who, BreakGlass(**{**fields, "lifetime_s": hours * HOUR, **changes}))  # type: ignore[arg-type]
    assert isinstance(events[0].data, GlassBroken)
    return events[0].data


def look_at(law: Law, who: str, glass: str, verdict: str = "justified", comment: str = "read it all") -> list[object]:
    return law.do(who, ReviewGlass(glass=glass, verdict=verdict, comment=comment, acts=3, shown_digest="sha256:" + "a" * 64))


def held(law: Law, who: str = "ada") -> frozenset[str]:
    return roles_held(law.state, f"prn_{who}", "models/prod/x@1.0.0", law.now_ns)


def test_the_role_is_there_at_once_for_an_hour_and_everybody_is_told(law: Law) -> None:
    broken = smash(law)
    assert "ml_engineer" in held(law)
    assert set(broken.skipped) == {"prn_ben", "prn_cleo"}, "the approvers of anything that reaches production: ml_leads, but herself"
    assert set(broken.told) == {"prn_ben", "prn_cleo", "prn_olga", "prn_fay"}
    notices = [e.data for e in law.events if isinstance(e.data, NoticeGiven)]
    assert {n.to for n in notices} == set(broken.told)
    assert all("INC-1" in n.text and n.about == broken.glass for n in notices)
    assert {law.state.find(rows.Notice, to=who)[0].about for who in broken.told} == {broken.glass}
    law.wait(HOUR - 1)
    assert "ml_engineer" in held(law)
    law.wait(2)
    assert "ml_engineer" not in held(law), "nothing ran"
    (closed,) = law.do("olga", EndExpired())
    assert isinstance(closed.data, GlassClosed)
    assert (closed.data.how, closed.data.ended_at) == ("expired", broken.expires_at)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"reason": "  "}, "malformed"),
        ({"ticket": ""}, "malformed"),
        ({"hours": 4.01}, "malformed"),
        ({"hours": -1.0}, "malformed"),
        ({"hours": float("nan")}, "malformed"),
        ({"role": "auditor"}, "role_not_breakable"),
        ({"scope": "models/prd/x"}, "empty_scope"),
        ({"principal": "prn_ben"}, "person_required"),
    ],
)
def test_what_is_no_break_glass(law: Law, changes: dict[str, object], code: str) -> None:
    with pytest.raises(JuratError) as caught:
        smash(law, **changes)  # type: ignore[arg-type]
    assert caught.value.code == code
    assert not law.state.find(rows.Glass)


def test_who_may_not(law: Law) -> None:
    with pytest.raises(Denied, match="none of the roles"):
        smash(law, "fay")
    law.add("bot", PrincipalType.AGENT, owner="ada")
    law.grant("bot", "data_scientist")
    with pytest.raises(Denied, match="a person's own act"):
        smash(law, "bot")


def test_four_hours_are_the_most(law: Law) -> None:
    assert smash(law, hours=4.0)
    law.wait(4 * HOUR)
    assert "ml_engineer" not in held(law)


def test_where_nobody_else_could_look_nobody_breaks_glass(law: Law) -> None:
    law.state.tables["grants"] = {k: g for k, g in law.state.tables["grants"].items() if getattr(g, "principal", "") == "prn_ada"}
    with pytest.raises(Conflict) as caught:
        smash(law)
    assert caught.value.code == "nobody_to_review"


def test_the_next_one_waits_until_somebody_else_has_looked(law: Law) -> None:
    broken = smash(law)
    with pytest.raises(Conflict, match="is in break-glass"):
        smash(law)
    with pytest.raises(Conflict, match="is open until"):
        look_at(law, "fay", broken.glass)
    law.do("ada", CloseGlass(glass=broken.glass))
    assert "ml_engineer" not in held(law)
    with pytest.raises(Denied) as caught:
        smash(law)
    assert caught.value.code == "review_pending"
    assert "`prn_fay`" in caught.value.hint
    law.grant("ada", "auditor")
    with pytest.raises(Denied, match="their own"):
        look_at(law, "ada", broken.glass)
    with pytest.raises(Denied) as caught:
        look_at(law, "ben", broken.glass)
    assert caught.value.code == "role_required"
    assert smash(law, "ben"), "it is one person's debt, not everybody's"
    look_at(law, "fay", broken.glass)
    with pytest.raises(Conflict, match="reviewed already"):
        look_at(law, "fay", broken.glass)
    assert smash(law)


def test_a_verdict_is_told_and_words_are_needed(law: Law) -> None:
    broken = smash(law)
    law.wait(HOUR)
    for verdict, comment in (("fine", "x"), ("justified", " ")):
        with pytest.raises(JuratError):
            look_at(law, "fay", broken.glass, verdict, comment)
    told = [e.data for e in look_at(law, "fay", broken.glass, "unjustified", "it was not needed")[1:]]  # type: ignore[attr-defined]
    assert {n.to for n in told} == {"prn_ada", "prn_olga"}


def test_an_overdue_review_locks_whoever_broke_the_glass(law: Law) -> None:
    broken = smash(law)
    law.wait(73 * HOUR - 1)
    assert review_overdue(law.state, "prn_ada", law.now_ns) == ""
    law.wait(1)
    assert broken.glass in review_overdue(law.state, "prn_ada", law.now_ns)
    assert review_overdue(law.state, "prn_ben", law.now_ns) == ""
    look_at(law, "fay", broken.glass)
    assert review_overdue(law.state, "prn_ada", law.now_ns) == ""


def test_the_window_is_the_persons_whatever_acts_for_them(law: Law) -> None:
    law.add("bot", PrincipalType.AGENT, owner="ada")
    broken = smash(law)
    window = window_of(law.state, people_behind(law.state, law.context("bot").actor), law.now_ns)
    assert window is not None
    assert window.glass == broken.glass
    assert window_of(law.state, ["prn_ben"], law.now_ns) is None


def test_a_grant_given_in_a_window_ends_with_it(law: Law) -> None:
    smash(law, role="operator")
    for seconds, fits in ((2 * HOUR, False), (HOUR / 2, True)):
        wish = commands.GrantRole(
            principal="prn_dan", role="product_owner", reason="x", expires_at=format_at(law.now_ns + round(seconds * 1e9))
        )
        if fits:
            assert isinstance(law.do("ada", wish)[0].data, facts.RoleGranted)
        else:
            with pytest.raises(Denied) as caught:
                law.do("ada", wish)
            assert caught.value.code == "beyond_window"


def test_a_token_issued_in_a_window_ends_with_it(law: Law) -> None:
    smash(law, role="operator")
    for seconds, fits in ((8 * HOUR, False), (HOUR / 2, True)):
        wish = commands.IssueToken(principal="prn_olga", lifetime_s=seconds)
        if fits:
            assert isinstance(law.do("ada", wish)[0].data, facts.TokenIssued)
        else:
            with pytest.raises(Denied) as caught:
                law.do("ada", wish)
            assert caught.value.code == "beyond_window"


@pytest.mark.parametrize(
    "wish",
    [
        IssueLink(principal="prn_olga", lifetime_s=60.0),
        InviteIdentity(principal="prn_olga", lifetime_s=60.0),
        RegisterProvider(provider="mine", issuer="https://idp.example.org", client_id="x", reason="x", directory=""),
        DeclareTrust(issuer="https://ci.example.org", audience="jurat", claims={"sub": "mine"}, principal="prn_bot", reason="x"),
        ApplyAccessRules(source=default_access().replace("usual: 1h", "usual: 2h"), reason="x"),
        TransferOwnership(from_owner="prn_olga", to_owner="prn_ada", reason="x"),
        Reactivate(principal="prn_gone", reason="x"),
    ],
    ids=lambda wish: type(wish).__name__,
)
def test_no_way_in_is_opened_in_a_window_that_would_outlive_it(law: Law, wish: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.unit.domain.law.ROLES", PolicySet.load(SOURCES, SCHEMA).roles)
    law.add("bot", PrincipalType.PROCESS, owner="olga")
    law.add("gone", PrincipalType.PERSON)
    law.do("olga", Deactivate(principal="prn_gone", reason="left"))
    smash(law, role="operator")
    with pytest.raises(Denied) as caught:
        law.do("ada", wish)
    assert caught.value.code == "beyond_window"
    assert law.do("olga", wish), "somebody who is in no emergency may"


def test_a_role_of_an_emergency_fills_no_seat_of_an_approval(law: Law) -> None:
    law.add("max", PrincipalType.PERSON)
    wish = RequestAccess(principal="prn_max", role="data_scientist", scope="models/dev/", lifetime_s=90 * 24 * HOUR, reason="x")
    event = law.do("max", wish)[0]
    asked = event.data
    assert isinstance(asked, AccessRequested)
    smash(law, role="operator")
    yes = ApproveAccess(request=asked.request, shown_digest=asked.shown_digest)
    with pytest.raises(Denied) as caught:
        law.do("ada", yes)
    assert caught.value.code == "role_required"
    assert isinstance(law.do("olga", yes)[1].data, facts.RoleGranted)


def test_a_role_of_an_emergency_reviews_no_emergency(law: Law) -> None:
    bens = smash(law, "ben")
    law.do("ben", CloseGlass(glass=bens.glass))
    smash(law, role="operator")
    with pytest.raises(Denied) as caught:
        look_at(law, "ada", bens.glass)
    assert caught.value.code == "role_required"


def test_what_somebody_did_binds_them_in_an_emergency_too(law: Law) -> None:
    law.apply_gates()
    version = law.register(by="ben")
    law.to_staging(version)
    law.soak(version)
    request = law.request(version)
    for who in ("ada", "cleo", "dan"):
        law.approve(who, request)
    law.do("ben", commands.Promote(version=version.version, to_stage="production"))
    smash(law, role="operator")
    wish = commands.ConfigureEndpoint(
        endpoint="credit", version=version.version, upstream="http://127.0.0.1:1/v2/models/credit/infer", confidence_floor=0.5
    )
    with pytest.raises(Denied) as caught:
        law.do("ada", wish)
    assert caught.value.code == "separation_of_duties"
    assert law.do("olga", wish), "who approved nothing may"


def test_a_drill_gives_the_role_and_lets_nothing_be_done_with_it(law: Law) -> None:
    drill = smash(law, drill=True)
    assert "ml_engineer" in held(law)
    assert drill.review_due == ""
    assert law.state.find(rows.Notice, to="prn_ben")[0].text.startswith("DRILL, nothing is wrong")
    with pytest.raises(Denied) as caught:
        law.register()
    assert caught.value.code == "in_a_drill"
    report = ReportDrill(glass=drill.glass, to_access_s=0.1, to_notify_s={"prn_ben": 0.2}, to_revoke_s=0.1, method="test")
    with pytest.raises(Conflict, match="is not over"):
        law.do("ada", report)
    law.do("ada", CloseGlass(glass=drill.glass))
    assert law.do("ada", report)
    with pytest.raises(Conflict, match="was a drill"):
        look_at(law, "fay", drill.glass)
    assert smash(law), "a drill waits for no review"


def test_a_drill_is_short(law: Law) -> None:
    with pytest.raises(JuratError, match="a drill lasts up to"):
        smash(law, hours=1.0, drill=True)
    smash(law, drill=True)
    law.wait(301)
    assert "ml_engineer" not in held(law)


def test_a_notice_is_taken_note_of_by_whom_it_was_given(law: Law) -> None:
    smash(law)
    notice = law.state.find(rows.Notice, to="prn_ben")[0]
    with pytest.raises(JuratError, match="not in your inbox"):
        law.do("fay", SeeNotice(notice=notice.notice))
    law.do("ben", SeeNotice(notice=notice.notice))
    assert not law.state.find(rows.Notice, to="prn_ben")
