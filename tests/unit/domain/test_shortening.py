"""Keeping something for a shorter time: asked for by one person, allowed by another, and never for what was received before."""

from __future__ import annotations

from datetime import date

import pytest
from tests.unit.domain.law import Law

from jurat.core.errors import Conflict, Denied, Malformed, NotFound
from jurat.core.periods import day_of, last_day, parse_period
from jurat.domain import commands_keeping as commands
from jurat.domain import rows
from jurat.domain.facts_keeping import RetentionApplied, ShorteningApproved, ShorteningRequested
from jurat.domain.retention import Kept, is_due, keep_until, tables_in_force
from jurat.policy.retentionfile import default_retention

SHORTER = default_retention().replace("inference: P90D", "inference: P30D")
DAY_NS = 86_400 * 10**9


def ask(law: Law, source: str = SHORTER) -> ShorteningRequested:
    fact = law.do("olga", commands.RequestShortening(source=source, reason="less is better", lifetime_s=7 * 86_400))[0].data
    assert isinstance(fact, ShorteningRequested)
    return fact


def approve(law: Law, who: str, fact: ShorteningRequested, shown: str | None = None) -> list[object]:
    command = commands.ApproveShortening(request=fact.request, shown_digest=shown or fact.shown_digest, comment="compared")
    return [event.data for event in law.do(who, command)]


def event_at(law: Law, received_ns: int) -> Kept:
    return Kept(log="main/inference", index=0, kind="prediction.made.v1", received_ns=received_ns)


def test_two_people_shorten_and_what_was_promised_before_stays() -> None:
    law = Law()
    law.do("olga", commands.ApplyRetention(source=default_retention(), reason="first"))
    fact = ask(law)
    assert "inference" in fact.less
    assert tables_in_force(law.state).current.digest != fact.digest, "asked for is not in force"
    said = approve(law, "cleo", fact)
    assert [type(each) for each in said] == [ShorteningApproved, RetentionApplied]
    tables = tables_in_force(law.state)
    assert tables.current.digest == fact.digest
    before, after = law.now_ns - DAY_NS, law.now_ns + DAY_NS
    today = day_of(law.now_ns + 40 * DAY_NS)
    for received_ns, days in ((before, "P90D"), (after, "P30D")):
        assert keep_until(event_at(law, received_ns), tables, {}, today) == last_day(day_of(received_ns), parse_period(days))
    later = law.now_ns + 60 * DAY_NS
    assert not is_due(event_at(law, before), tables, {}, later)
    assert is_due(event_at(law, after), tables, {}, later)
    row = law.state.get(rows.Shortening, fact.request)
    assert row is not None
    assert row.status == "approved"


def test_a_second_shortening_keeps_every_earlier_promise() -> None:
    law = Law()
    law.do("olga", commands.ApplyRetention(source=default_retention(), reason="first"))
    first_ns = law.now_ns
    approve(law, "cleo", ask(law))
    law.now_ns += 10 * DAY_NS
    approve(law, "cleo", ask(law, SHORTER.replace("inference: P30D", "inference: P10D")))
    tables, today = tables_in_force(law.state), date(2099, 1, 1)
    for age, days in ((-1, "P90D"), (5, "P30D"), (11, "P10D")):
        received_ns = first_ns + age * DAY_NS
        assert keep_until(event_at(law, received_ns), tables, {}, today) == last_day(day_of(received_ns), parse_period(days))


def test_nobody_decides_on_their_own_wish_or_on_something_else_than_was_shown() -> None:
    law = Law()
    law.do("olga", commands.ApplyRetention(source=default_retention(), reason="first"))
    fact = ask(law)
    with pytest.raises(Denied, match="asked for this shortening"):
        approve(law, "olga", fact)
    with pytest.raises(Conflict, match="you looked at"):
        approve(law, "cleo", fact, "sha256:" + "0" * 64)
    with pytest.raises(NotFound):
        law.do("cleo", commands.ApproveShortening(request="req_none", shown_digest=fact.shown_digest))
    with pytest.raises(Malformed, match="needs a comment"):
        law.do("cleo", commands.RejectShortening(request=fact.request, shown_digest=fact.shown_digest))
    law.now_ns += 8 * DAY_NS
    with pytest.raises(Conflict, match="expired at"):
        approve(law, "cleo", fact)


def test_a_request_is_void_once_another_table_holds_and_closed_once_answered() -> None:
    law = Law()
    law.do("olga", commands.ApplyRetention(source=default_retention(), reason="first"))
    fact, other = ask(law), ask(law, SHORTER.replace("P30D", "P20D"))
    law.do("cleo", commands.RejectShortening(request=other.request, shown_digest=other.shown_digest, comment="no"))
    with pytest.raises(Conflict, match="is closed: rejected"):
        approve(law, "cleo", other)
    law.do("olga", commands.ApplyRetention(source=default_retention().replace("inference: P90D", "inference: P91D"), reason="longer"))
    with pytest.raises(Conflict, match="another table has come into force"):
        approve(law, "cleo", fact)


def test_what_is_not_shorter_needs_nobody() -> None:
    law = Law()
    law.do("olga", commands.ApplyRetention(source=default_retention(), reason="first"))
    with pytest.raises(Conflict, match="keeps nothing for a shorter time"):
        ask(law, default_retention().replace("inference: P90D", "inference: P91D"))
    with pytest.raises(Malformed, match="reason"):
        law.do("olga", commands.RequestShortening(source=SHORTER, reason=" ", lifetime_s=60))
