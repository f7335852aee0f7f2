"""Access reviews: every live grant before somebody who answers, reminders, and silence that takes it away, whether a clock runs or not."""

from __future__ import annotations

import pytest
from tests.unit.domain.law import Law

from jurat.core.errors import Conflict, Denied, JuratError
from jurat.domain import facts, rows
from jurat.domain.commands_access import AnswerReview, OpenReview, RunReviews
from jurat.domain.decide_review import decider_of, review_is_due, reviewed_grants, turn_of
from jurat.domain.duties import rules_in_force
from jurat.domain.facts_access import NoticeGiven, ReviewClosed, ReviewItem, ReviewOpened
from jurat.domain.roles import roles_held
from jurat.domain.values import PrincipalType

DAY = 86_400.0


@pytest.fixture
def law() -> Law:
    law = Law()
    law.add("max", PrincipalType.PERSON)
    law.grant("max", "operator", lifetime_s=DAY * 300)
    context = law.context("max")
    endless = facts.RoleGranted(grant=context.fresh("grt"), principal="prn_max", role="operator", scope="*", reason="boot", expires_at=None)
    law.apply([context.event(endless)])
    return law


def items(law: Law) -> list[ReviewItem]:
    return [
        ReviewItem(
            grant=g.grant, principal=g.principal, role=g.role, scope=g.scope, decider="prn_forged", granted_at=g.granted_at, uses=0,
            last_used="", needed=0, proposal="remove", why="never used", silence_removes=False,
        )
        for g in reviewed_grants(law.state, law.now_ns)
    ]  # fmt: skip


def begin(law: Law, **changes: object) -> ReviewOpened:
    fields = {"reason": "the review of May", "items": items(law), "answer_within_s": 0.0, "used_since": "2025-01-01T00:00:00Z", "as_of": {}}
    events = law.do("olga", OpenReview(**{**fields, "policy_set": "", **changes}))  # type: ignore[arg-type]
    assert isinstance(events[0].data, ReviewOpened)
    return events[0].data


def grant_of(law: Law, who: str, role: str) -> rows.Grant:
    return law.state.find(rows.Grant, principal=f"prn_{who}", role=role)[0]


def say(law: Law, who: str, review: str, grant: str, answer: str = "keep", reason: str = "needed") -> list[object]:
    return law.do(who, AnswerReview(review=review, grant=grant, answer=answer, reason=reason))


def test_every_live_grant_has_a_decider_who_is_somebody_else(law: Law) -> None:
    opened = begin(law)
    assert len(opened.items) == 8
    assert all(i.decider != i.principal for i in opened.items), "who decides is the law's to say, not the caller's"
    assert {i.decider for i in opened.items} == {"prn_olga", "prn_max"}
    told = [e.data for e in law.events if isinstance(e.data, NoticeGiven)]
    assert {n.to for n in told} == {"prn_olga", "prn_max"}


def test_silence_ends_a_grant_when_it_is_read_and_the_clock_writes_it_down(law: Law) -> None:
    opened = begin(law)
    kept = grant_of(law, "ben", "ml_lead")
    say(law, "olga", opened.review, kept.grant)
    law.wait(14 * DAY - 1)
    assert roles_held(law.state, "prn_cleo", "x", law.now_ns) == {"ml_lead", "product_owner"}
    law.wait(1)
    assert roles_held(law.state, "prn_cleo", "x", law.now_ns) == frozenset(), "no clock has run"
    assert roles_held(law.state, "prn_ben", "x", law.now_ns) == {"ml_lead"}
    with pytest.raises(Conflict, match="was to be answered by"):
        say(law, "olga", opened.review, grant_of(law, "cleo", "ml_lead").grant)
    events = law.do("max", RunReviews())
    closed = events[0].data
    assert isinstance(closed, ReviewClosed)
    assert (closed.kept, closed.removed, len(closed.by_silence), len(closed.unanswered)) == (1, 0, 6, 1)
    assert len([e for e in events if isinstance(e.data, facts.RoleRevoked)]) == 6
    assert {(g.principal, g.role) for g in law.state.find(rows.Grant)} == {("prn_ben", "ml_lead"), ("prn_max", "operator")}
    assert roles_held(law.state, "prn_max", "x", law.now_ns) == {"operator"}, "the endless grant stays, so somebody can come back"
    with pytest.raises(Conflict, match="no review"):
        law.do("max", RunReviews())


def test_without_an_endless_operator_silence_takes_no_operator_away(law: Law) -> None:
    law.state.tables["grants"] = {k: g for k, g in law.state.tables["grants"].items() if getattr(g, "expires_at", "") is not None}
    begin(law)
    law.wait(14 * DAY)
    assert "operator" in roles_held(law.state, "prn_olga", "x", law.now_ns)
    assert not roles_held(law.state, "prn_ben", "x", law.now_ns)


def test_an_answer_of_no_ends_it_at_once(law: Law) -> None:
    opened = begin(law)
    grant = grant_of(law, "ben", "ml_lead")
    answered, revoked = say(law, "olga", opened.review, grant.grant, "remove", "moved")
    assert isinstance(revoked.data, facts.RoleRevoked)  # type: ignore[attr-defined]
    assert not roles_held(law.state, "prn_ben", "x", law.now_ns)
    row = law.state.get(rows.Answer, f"{opened.review}/{grant.grant}")
    assert row is not None
    assert (row.answer, row.answered_by, row.reason, row.as_of) == ("remove", "prn_olga", "moved", answered.id)  # type: ignore[attr-defined]
    with pytest.raises(Conflict, match="answered already"):
        say(law, "olga", opened.review, grant.grant)


@pytest.mark.parametrize(
    ("who", "answer", "reason", "code"),
    [
        ("cleo", "keep", "mine", "no_self_review"),
        ("bot", "keep", "mine", "person_required"),
        ("dan", "keep", "x", "not_yours"),
        ("olga", "perhaps", "x", "malformed"),
        ("olga", "keep", " ", "malformed"),
    ],
)
def test_who_and_what_is_no_answer(law: Law, who: str, answer: str, reason: str, code: str) -> None:
    law.add("bot", PrincipalType.AGENT, owner="olga")
    opened = begin(law)
    with pytest.raises(JuratError) as caught:
        say(law, who, opened.review, grant_of(law, "cleo", "ml_lead").grant, answer, reason)
    assert caught.value.code == code


def test_an_owner_does_not_decide_on_what_their_service_holds(law: Law) -> None:
    law.add("bot", PrincipalType.SERVICE, owner="olga")
    law.grant("bot", "ml_engineer")
    opened = begin(law)
    grant = grant_of(law, "bot", "ml_engineer")
    assert decider_of(law.state, rules_in_force(law.state), grant, law.now_ns) == "prn_max"
    with pytest.raises(Denied, match="on their own access"):
        say(law, "olga", opened.review, grant.grant)
    assert say(law, "max", opened.review, grant.grant)


def test_reminders_go_out_once_each(law: Law) -> None:
    opened = begin(law)
    review = law.state.get(rows.Review, opened.review)
    assert review is not None
    assert turn_of(law.state, review, law.now_ns) is None
    law.wait(7.5 * DAY)
    reminders = law.do("max", RunReviews())
    assert {e.data.subject for e in reminders if isinstance(e.data, NoticeGiven)} == {"reminder"}
    with pytest.raises(Conflict, match="no review"):
        law.do("max", RunReviews())
    law.wait(5.7 * DAY)
    assert len(law.do("max", RunReviews())) == 2
    for answer in law.state.find(rows.Answer, review=opened.review):
        say(law, "max" if answer.decider == "prn_max" else "olga", opened.review, answer.grant)
    row = law.state.get(rows.Review, opened.review)
    assert row is not None
    assert turn_of(law.state, row, law.now_ns) is None
    law.wait(2 * DAY)
    (closed,) = law.do("max", RunReviews())
    assert isinstance(closed.data, ReviewClosed)
    assert closed.data.kept == 8


def test_it_is_opened_for_exactly_the_grants_there_are_and_once(law: Law) -> None:
    found = items(law)
    for wrong in (found[:-1], [*found, found[0]], []):
        with pytest.raises(Conflict) as caught:
            begin(law, items=wrong)
        assert caught.value.code == "judged_otherwise"
    begin(law)
    with pytest.raises(Conflict, match="is open until"):
        begin(law)


def test_monthly_by_default(law: Law) -> None:
    assert not review_is_due(law.state, law.now_ns)
    law.wait(30 * DAY)
    assert review_is_due(law.state, law.now_ns)
    begin(law)
    assert not review_is_due(law.state, law.now_ns)
    law.wait(15 * DAY)
    law.do("max", RunReviews())
    assert not review_is_due(law.state, law.now_ns)
    law.wait(15 * DAY)
    assert review_is_due(law.state, law.now_ns)
