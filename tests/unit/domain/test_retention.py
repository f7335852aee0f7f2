"""How long an event is kept: the calendar as laws count it, floors with their sources, holds, and who may erase what."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from tests.unit.domain.law import Law

from jurat.core.clock import to_ns
from jurat.core.errors import Conflict, Denied, Malformed, NotFound
from jurat.core.periods import Period, format_period, has_ended, last_day, parse_period
from jurat.domain import commands_keeping as commands
from jurat.domain import rows
from jurat.domain.decide_keeping import MOST_EVENTS
from jurat.domain.facts_keeping import ErasureRequested, HoldPlaced, Search, Stretch
from jurat.domain.places import count, covers, indexes_of, join, to_places, without
from jurat.domain.retention import Kept, is_due, keep_until, legal_bar, read_table
from jurat.policy.retentionfile import default_retention

TABLE = read_table(default_retention())
TODAY = date(2026, 11, 25)
HIGH = {"credit": "high", "chat": "minimal"}


def at(year: int, month: int, day: int, hour: int = 12) -> int:
    from datetime import UTC, datetime

    return to_ns(datetime(year, month, day, hour, tzinfo=UTC))


def kept(retention: str = "inference", received_ns: int = at(2026, 8, 31), **more: Any) -> Kept:
    return Kept(**{"log": f"main/{retention}", "index": 7, "kind": "prediction.made.v1", "received_ns": received_ns, **more})


@pytest.mark.parametrize(
    ("start", "period", "end"),
    [
        ((2026, 8, 31), "P6M", (2027, 2, 28)),  # no 31 February: the last day of the month
        ((2027, 8, 31), "P6M", (2028, 2, 29)),  # which a leap year moves
        ((2026, 8, 30), "P6M", (2027, 2, 28)),
        ((2026, 2, 28), "P6M", (2026, 8, 28)),  # the same date, not the month's end
        ((2028, 2, 29), "P1Y", (2029, 2, 28)),
        ((2028, 2, 29), "P4Y", (2032, 2, 29)),
        ((2026, 12, 31), "P2M", (2027, 2, 28)),
        ((2026, 12, 1), "P1M", (2027, 1, 1)),
        ((2026, 11, 25), "P90D", (2027, 2, 23)),
        ((2026, 1, 31), "P1M1D", (2026, 3, 1)),
        ((2026, 1, 31), "P2W", (2026, 2, 14)),
        ((9999, 1, 1), "P7Y", (9999, 12, 31)),
    ],
)
def test_periods_end_as_the_calendar_says(start: tuple[int, int, int], period: str, end: tuple[int, int, int]) -> None:
    assert last_day(date(*start), parse_period(period)) == date(*end)


@pytest.mark.parametrize("text", ["", "P", "P0D", "6M", "P6m", "PT6H", "P1Y1", "P-1Y", "P1.5Y", "P6M ", "P1D1M", "P99999999Y"])
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(Malformed, match="is not a period"):
        parse_period(text)


@pytest.mark.parametrize("text", ["P7Y", "P6M", "P90D", "P1Y6M3D"])
def test_periods_are_written_as_they_are_read(text: str) -> None:
    assert format_period(parse_period(text)) == text
    assert parse_period("P12M") == Period(12, 0) == parse_period("P1Y")


def test_a_day_has_ended_when_the_next_one_begins() -> None:
    assert not has_ended(TODAY, at(2026, 11, 25, 23))
    assert has_ended(TODAY, at(2026, 11, 26, 0))


def test_the_shipped_table_is_the_missions_and_floors_raise_it() -> None:
    defaults = {name: format_period(period) for name, period in TABLE.classes.items()}
    assert defaults == {
        "training": "P7Y",
        "deployment": "P7Y",
        "inference": "P90D",
        "access": "P2Y",
        "configuration": "P5Y",
        "error": "P1Y",
    }
    assert keep_until(kept(), TABLE, HIGH, TODAY) == date(2026, 11, 29)
    assert keep_until(kept(system="chat"), TABLE, HIGH, TODAY) == date(2026, 11, 29)
    assert keep_until(kept(system="credit"), TABLE, HIGH, TODAY) == date(2027, 2, 28), "six months of the calendar, by the AI Act"
    assert keep_until(kept(system="credit"), TABLE, HIGH, date(2026, 8, 1)) == date(2026, 11, 29), "which did not apply yet"
    assert keep_until(kept("access", system="credit"), TABLE, HIGH, TODAY) == date(2028, 8, 31), "the longer one counts"


def test_a_floor_that_starts_on_the_market_has_no_end_until_that_day_is_known() -> None:
    event = kept("deployment", system="credit")
    assert keep_until(event, TABLE, HIGH, TODAY) is None
    assert not is_due(event, TABLE, HIGH, at(2099, 1, 1))
    known = read_table(default_retention() + "\nplaced_on_market:\n  credit: 2026-11-25\n")
    assert keep_until(event, known, HIGH, TODAY) == date(2036, 11, 25)


def test_configuration_is_kept_as_long_as_what_it_explains() -> None:
    assert keep_until(kept("configuration"), TABLE, {"chat": "minimal"}, TODAY) == date(2033, 8, 31), "seven years, not five"
    assert keep_until(kept("configuration"), TABLE, HIGH, TODAY) is None


def test_an_event_is_due_once_its_last_day_is_over() -> None:
    assert not is_due(kept(), TABLE, HIGH, at(2026, 11, 29, 23))
    assert is_due(kept(), TABLE, HIGH, at(2026, 11, 30, 0))
    assert legal_bar(kept(system="credit"), TABLE, HIGH, at(2027, 2, 28)) is not None
    assert legal_bar(kept(system="credit"), TABLE, HIGH, at(2027, 3, 1)) is None
    assert legal_bar(kept(), TABLE, HIGH, at(2026, 9, 1)) is None, "the organisation's own period keeps nobody from erasing"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("  training: P7Y", "  training: P7X"), "line 7: `P7X` is not a period"),
        (("  training: P7Y # runs, data sets, evaluations, bias tests\n", ""), "class `training` has no period"),
        (("jurisdictions: [EU]\n", ""), "does not say `jurisdictions`"),
        (("tier: high", "tier: highest"), "tier `highest` is unknown"),
        (("starts: received", "starts: sometime"), "start `sometime` is unknown"),
        (("applies_from: 2026-08-02", "applies_from: soon"), "is not a date"),
        (("    source: Regulation (EU) 2024/1689 (AI Act), Article 18(1)\n", ""), "does not say its `source`"),
        (("classes: [inference, access, error]", "classes: [inference, acces]"), "class `acces` is unknown"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(change: tuple[str, str], says: str) -> None:
    source = default_retention()
    assert change[0] in source
    with pytest.raises(Malformed, match=says):
        read_table(source.replace(*change, 1))


def test_a_rule_under_a_floor_is_refused_with_its_source() -> None:
    rule = "\nrules:\n  - class: inference\n    tier: {}\n    period: {}\n"
    with pytest.raises(Malformed, match=r"`P90D` for `inference` of high-risk systems is under the legal floor of P6M") as caught:
        read_table(default_retention() + rule.format("high", "P90D"))
    assert caught.value.code == "under_floor"
    assert "Articles 19(1) and 26(6)" in caught.value.hint
    with pytest.raises(Malformed, match="under the legal floor"):
        read_table(default_retention() + rule.format("high", "P182D"))  # shorter than six months that begin in March
    table = read_table(default_retention() + rule.format("high", "P1Y"))
    assert keep_until(kept(system="credit"), table, HIGH, TODAY) == date(2027, 8, 31)
    assert read_table(default_retention() + rule.format("minimal", "P30D"))


def test_sets_of_events_join_and_split() -> None:
    places = to_places({"main/inference": [5, 3, 4, 9], "main/error": []})
    assert places == {"main/inference": [Stretch(first=3, last=5), Stretch(first=9, last=9)]}
    assert count(places) == 4
    assert [index for index in range(12) if covers(places, "main/inference", index)] == [3, 4, 5, 9]
    assert not covers(places, "main/error", 3)
    joined = join(places, to_places({"main/inference": [6, 7, 8], "main/access": [0]}))
    assert joined == {"main/access": [Stretch(first=0, last=0)], "main/inference": [Stretch(first=3, last=9)]}
    assert without(joined, places) == to_places({"main/inference": [6, 7, 8], "main/access": [0]})
    assert list(indexes_of(joined["main/inference"])) == [3, 4, 5, 6, 7, 8, 9]


# ── the law ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def law() -> Law:
    law = Law()
    law.register()  # the system `credit` is high-risk
    return law


def ask(law: Law, *found: Kept, only_free: bool = False, who: str = "dan", person: str = "") -> ErasureRequested:
    command = commands.RequestErasure(
        selector="event", reference="", person=person, found=list(found), reason="objection", legal_basis="GDPR 17(1)(c)",
        only_free=only_free, lifetime_s=3600,
    )  # fmt: skip
    fact = law.do(who, command)[0].data
    assert isinstance(fact, ErasureRequested)
    return fact


def old(**more: Any) -> Kept:
    return kept(received_ns=at(2020, 1, 1), **more)


def test_erasing_takes_two_people_and_exactly_what_was_shown(law: Law) -> None:
    fact = ask(law, old(), old(index=8), old(index=20))
    assert fact.events == {"main/inference": [Stretch(first=7, last=8), Stretch(first=20, last=20)]}
    yes = commands.ApproveErasure(request=fact.request, shown_digest=fact.shown_digest)
    with pytest.raises(Denied, match="asked for this erasure") as caught:
        law.do("dan", yes)
    assert caught.value.code == "no_self_approval"
    with pytest.raises(Conflict, match="you looked at"):
        law.do("cleo", commands.ApproveErasure(request=fact.request, shown_digest="sha256:" + "0" * 64))
    start = commands.StartErasure(request=fact.request, found=[old()])
    with pytest.raises(Conflict, match="cannot run: waiting_for_approval"):
        law.do("olga", start)
    approved = law.do("cleo", yes)[0].data
    assert approved.events == fact.events  # type: ignore[attr-defined]
    with pytest.raises(Conflict, match="is closed: approved"):
        law.do("ada", yes)
    with pytest.raises(Conflict, match="event 9 of `main/inference` is not part of"):
        law.do("olga", commands.StartErasure(request=fact.request, found=[old(index=9)]))
    law.do("olga", start)
    law.do("olga", start)  # again, after a crash
    search = Search(files=3, size_bytes=4, archive_rows=5, needles=3, left_over=[])
    finish = commands.FinishErasure(request=fact.request, files=["a"], removed=["b"], search=search)
    leftover = Search(files=3, size_bytes=4, archive_rows=5, needles=3, left_over=["postgres/x"])
    with pytest.raises(Conflict, match="was found in `postgres/x`") as caught:
        law.do("olga", commands.FinishErasure(request=fact.request, files=[], removed=[], search=leftover))
    assert caught.value.code == "erasure_incomplete"
    done = law.do("olga", finish)[0]
    row = law.state.get(rows.Erasure, fact.request)
    assert row is not None
    assert (row.status, row.certificate) == ("done", done.id)
    with pytest.raises(Conflict, match="not started: done"):
        law.do("olga", finish)


def test_the_subject_of_an_erasure_does_not_decide_on_it(law: Law) -> None:
    fact = ask(law, old(), person="prn_cleo")
    with pytest.raises(Denied, match="or is its subject"):
        law.do("cleo", commands.ApproveErasure(request=fact.request, shown_digest=fact.shown_digest))


def test_an_erasure_that_waits_too_long_or_was_rejected_is_closed(law: Law) -> None:
    fact = ask(law, old())
    law.do("cleo", commands.RejectErasure(request=fact.request, shown_digest=fact.shown_digest, comment="evidence in a dispute"))
    with pytest.raises(Conflict, match="is closed: rejected"):
        law.do("cleo", commands.ApproveErasure(request=fact.request, shown_digest=fact.shown_digest))
    late = ask(law, old())
    law.wait(3601)
    with pytest.raises(Conflict, match="expired at"):
        law.do("cleo", commands.ApproveErasure(request=late.request, shown_digest=late.shown_digest))


def test_a_legal_floor_refuses_with_its_source_or_is_left_out(law: Law) -> None:
    law.now_ns = at(2026, 11, 25)
    young = kept(received_ns=at(2026, 11, 1), index=9, system="credit")
    with pytest.raises(Conflict, match=r"the law keeps it until 2027-05-01: P6M by Regulation \(EU\) 2024/1689") as caught:
        ask(law, old(), young)
    assert caught.value.code == "legal_floor"
    fact = ask(law, old(), young, only_free=True)
    assert fact.events == {"main/inference": [Stretch(first=7, last=7)]}
    assert list(fact.kept.values()) == [1]
    with pytest.raises(Conflict, match="nothing that may be erased"):
        ask(law, young, only_free=True)


def test_a_hold_beats_an_erasure_when_it_is_asked_for_and_when_it_runs(law: Law) -> None:
    def hold(**what: Any) -> str:
        fact = law.do("ada", commands.PlaceHold(reason="claim 7", legal_basis="GDPR 17(3)(e)", **what))[0].data
        assert isinstance(fact, HoldPlaced)
        return fact.hold

    subject = "prd_" + "0" * 26
    event = old(system="credit", names=(subject,))
    for what in ({"systems": ["credit"]}, {"subject": subject}, {"received_until": "2020-01-02T00:00:00Z"}, {}):
        name = hold(**what)
        with pytest.raises(Conflict, match=f"hold `{name}` keeps it: claim 7") as caught:
            ask(law, event)
        assert caught.value.code == "legal_hold"
        law.do("ada", commands.ReleaseHold(hold=name, reason="settled"))
    for what in ({"subject": "prd_" + "1" * 26}, {"received_from": "2020-01-02T00:00:00Z"}):
        name = hold(**what)
        fact = ask(law, event)
        law.do("ada", commands.ReleaseHold(hold=name, reason="settled"))
    law.do("cleo", commands.ApproveErasure(request=fact.request, shown_digest=fact.shown_digest))
    hold(systems=["credit"])
    with pytest.raises(Conflict, match="keeps it: claim 7"):
        law.do("olga", commands.StartErasure(request=fact.request, found=[event]))
    with pytest.raises(NotFound, match="was released already"):
        law.do("ada", commands.ReleaseHold(hold=name, reason="again"))
    with pytest.raises(NotFound, match="system `ghost`"):
        hold(systems=["ghost"])
    with pytest.raises(Malformed, match="is not an id"):
        hold(subject="Ada Lovelace")


def test_what_carries_what_holds_now_stays(law: Law) -> None:
    with pytest.raises(Conflict, match=r"`role\.granted\.v1` carries what holds now"):
        ask(law, kept("access", kind="role.granted.v1"))
    fact = ask(law, old(), kept("access", kind="role.granted.v1"))
    assert fact.count == 1
    assert list(fact.kept.values()) == [1]


def test_an_erasure_is_bounded_and_says_why(law: Law) -> None:
    with pytest.raises(Conflict, match=f"expected at most {MOST_EVENTS}"):
        ask(law, *(old(index=index) for index in range(MOST_EVENTS + 1)))
    with pytest.raises(Malformed, match="needs a legal basis"):
        law.do("dan", commands.RequestErasure(
            selector="event", reference="", person="", found=[old()], reason="x", legal_basis=" ", only_free=False, lifetime_s=1
        ))  # fmt: skip


def test_a_table_is_recorded_and_never_makes_a_promise_shorter(law: Law) -> None:
    longer = default_retention().replace("inference: P90D", "inference: P1Y")
    law.do("olga", commands.ApplyRetention(source=longer, reason="we learn from a year"))
    in_force = law.state.get(rows.RetentionInForce, "current")
    assert in_force is not None
    assert in_force.source == longer
    with pytest.raises(Conflict, match="already in force"):
        law.do("olga", commands.ApplyRetention(source=longer + "\n# the same\n", reason="again"))
    shorter = {
        "`inference`: it was P1Y": default_retention(),
        "the floor was P6M by": longer.replace("period: P6M", "period: P5M"),
        "the floor was P10Y": longer.replace("jurisdictions: [EU]", "jurisdictions: [CH]"),
        "`training` of high-risk systems: the floor was P10Y": longer.replace("classes: [training, deployment]", "classes: [deployment]"),
    }
    for says, source in shorter.items():
        with pytest.raises(Conflict, match=says) as caught:
            law.do("olga", commands.ApplyRetention(source=source, reason="cheaper"))
        assert caught.value.code == "shortening_not_approved"


def test_an_expiry_is_recorded_only_as_it_was_judged(law: Law) -> None:
    def expiry(kind: str = "prediction.made.v1", **changes: Any) -> commands.RecordExpiry:
        fields: dict[str, Any] = {"events": to_places({"main/inference": [3, 4]}), "retention": TABLE.digest, "holds": []}
        return commands.RecordExpiry(kinds={kind: 2}, **fields | changes)

    fact = law.do("olga", expiry())[0].data
    assert (fact.count, fact.retention) == (2, TABLE.digest)  # type: ignore[attr-defined]
    with pytest.raises(Conflict, match="does not expire"):
        law.do("olga", expiry("role.granted.v1"))
    with pytest.raises(Malformed, match="at least one event"):
        law.do("olga", expiry(events={}))
    hold = law.do("ada", commands.PlaceHold(reason="claim", legal_basis="law"))[0].data
    with pytest.raises(Conflict, match="have changed since"):
        law.do("olga", expiry())
    assert law.do("olga", expiry(holds=[hold.hold]))  # type: ignore[attr-defined]
    law.do("olga", commands.ApplyRetention(source=default_retention().replace("P90D", "P1Y"), reason="longer"))
    with pytest.raises(Conflict, match="have changed since"):
        law.do("olga", expiry(holds=[hold.hold]))  # type: ignore[attr-defined]
