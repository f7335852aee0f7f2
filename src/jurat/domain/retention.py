"""How long an event is kept: the longest of what the organisation chose and every legal floor that meets it; or a hold.

Pure calendar and comparison. Who may shorten, and that it is recorded before it counts, is the law's (`decide_keeping`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Final, NamedTuple

import msgspec

from jurat.core.clock import parse_at, to_ns
from jurat.core.periods import day_of, format_period, has_ended, last_day
from jurat.domain import rows
from jurat.domain.kinds import RetentionClass
from jurat.domain.state import State
from jurat.domain.values import RiskTier
from jurat.policy.retentionfile import RetentionTable, default_retention, is_shorter, parse_retention

CLASSES: Final = tuple(str(each) for each in RetentionClass)
TIERS: Final = tuple(str(each) for each in RiskTier)
_CONFIGURATION: Final = str(RetentionClass.CONFIGURATION)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An event as this law sees it: where it lies, when it came, of which system it is, of whom it speaks."""

    log: str
    index: int
    kind: str
    received_ns: int
    system: str | None = None
    names: tuple[str, ...] = ()  # ids of ours (prn_…, prd_…) in its bytes

    @property
    def retention(self) -> str:
        return self.log.rpartition("/")[2]


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """How long, and by whose word. `until` None: without end, because a floor's start is not known."""

    until: date | None
    why: str
    is_legal: bool


class Tables(NamedTuple):
    """The table in force, and those before it that promised more: a shortening is for events to come only."""

    current: RetentionTable
    earlier: tuple[tuple[RetentionTable, int], ...] = ()  # each with the time (Unix ns) until which events were received under it

    def binding(self, received_ns: int) -> list[RetentionTable]:
        """Return every table that an event received then is kept by: the longest of them counts."""
        return [self.current, *(table for table, until_ns in self.earlier if received_ns <= until_ns)]


def read_table(source: str) -> RetentionTable:
    """Return the table in a retention file; raises `Malformed` as `parse_retention` does."""
    return parse_retention(source, classes=CLASSES, tiers=TIERS)


def table_in_force(state: State) -> RetentionTable:
    """Return the table that is in force; the shipped one where none was ever applied."""
    row = state.get(rows.RetentionInForce, "current")
    return read_table(row.source if row else default_retention())


def tables_in_force(state: State) -> Tables:
    """Return the table in force, with the earlier ones that still bind."""
    row = state.get(rows.RetentionInForce, "current")
    earlier = tuple((read_table(each.source), to_ns(parse_at(each.until))) for each in row.earlier) if row else ()
    return Tables(table_in_force(state), earlier)


def tiers_of(state: State) -> dict[str, str]:
    """Return each system's risk tier."""
    return {system.system: str(system.highest_tier or system.risk_tier) for system in state.find(rows.System)}


def terms_of(event: Kept, tables: RetentionTable | Tables, tiers: Mapping[str, str], today: date) -> list[Term]:
    """Return every term that an event has: by each table, the organisation's own, then each legal floor's that meets it."""
    if isinstance(tables, Tables):
        return [term for table in tables.binding(event.received_ns) for term in terms_of(event, table, tiers, today)]
    table = tables
    start, tier = day_of(event.received_ns), tiers.get(event.system or "")
    if event.retention == _CONFIGURATION:
        return _terms_of_configuration(start, table, tiers, today)
    own = table.period_of(event.retention, tier)
    terms = [Term(until=last_day(start, own), why=f"{format_period(own)} for `{event.retention}`", is_legal=False)]
    for floor in table.floors_of(event.retention, tier):
        if floor.applies_from <= today:
            began = start if floor.starts == "received" else table.placed_on_market.get(event.system or "")
            until = None if began is None else last_day(began, floor.period)
            terms.append(Term(until=until, why=f"{format_period(floor.period)} by {floor.source}", is_legal=True))
    return terms


def keep_until(event: Kept, table: RetentionTable | Tables, tiers: Mapping[str, str], today: date) -> date | None:
    """Return the last day on which an event is kept; None for one that has no end yet."""
    ends = [term.until for term in terms_of(event, table, tiers, today)]
    known = [end for end in ends if end is not None]
    return max(known) if len(known) == len(ends) else None


def is_due(event: Kept, table: RetentionTable | Tables, tiers: Mapping[str, str], now_ns: int) -> bool:
    """Whether an event's time is over: its last day has ended."""
    until = keep_until(event, table, tiers, day_of(now_ns))
    return until is not None and has_ended(until, now_ns)


def legal_bar(event: Kept, table: RetentionTable | Tables, tiers: Mapping[str, str], now_ns: int) -> Term | None:
    """Return the legal floor under which an event may not be erased yet; None if there is none."""
    for term in terms_of(event, table, tiers, day_of(now_ns)):
        if term.is_legal and (term.until is None or not has_ended(term.until, now_ns)):
            return term
    return None


def hold_on(event: Kept, holds: Iterable[rows.Hold]) -> rows.Hold | None:
    """Return a hold that meets an event; None if none does."""
    return next((hold for hold in holds if _meets(hold, event)), None)


def shortened(old: RetentionTable, new: RetentionTable) -> str:
    """Return what the new table promises for a shorter time than the old one, in words; empty if nothing.

    The organisation's periods are compared with each other, and the floors with floors: a longer period of one's own does not
    replace a law's, which also says what may not be erased yet.
    """
    for retention in CLASSES:
        for tier in (None, *TIERS):
            of = f" of {tier}-risk systems" if tier else ""
            before, after = old.period_of(retention, tier), new.period_of(retention, tier)
            if is_shorter(after, before):
                return f"`{retention}`{of}: it was {format_period(before)}"
            for floor in old.floors_of(retention, tier):
                others = [f for f in new.floors_of(retention, tier) if f.starts == floor.starts and f.applies_from <= floor.applies_from]
                if all(is_shorter(other.period, floor.period) for other in others):
                    return f"`{retention}`{of}: the floor was {format_period(floor.period)} by {floor.source}"
    moved = [s for s, day in old.placed_on_market.items() if new.placed_on_market.get(s, date.max) < day]
    return f"system `{moved[0]}`: its day on the market was moved back" if moved else ""


def _terms_of_configuration(start: date, table: RetentionTable, tiers: Mapping[str, str], today: date) -> list[Term]:
    """Configuration explains all the others, so it has the longest term that an event of this day can have in any class."""
    terms = [
        Term(until=last_day(start, period), why=f"{format_period(period)} for `{retention}`", is_legal=False)
        for retention, period in [*table.classes.items(), *((rule.retention, rule.period) for rule in table.rules)]
    ]
    for floor in table.floors:
        meets = floor.tier == "any" or floor.tier in tiers.values()
        if meets and floor.jurisdiction in table.jurisdictions and floor.applies_from <= today:
            until = last_day(start, floor.period) if floor.starts == "received" else None
            terms.append(Term(until=until, why=f"{format_period(floor.period)} by {floor.source}", is_legal=True))
    return terms


def _meets(hold: rows.Hold, event: Kept) -> bool:
    if hold.systems and event.system not in hold.systems:
        return False
    if hold.subject and hold.subject not in event.names:
        return False
    if hold.received_from and event.received_ns < to_ns(parse_at(hold.received_from)):
        return False
    return not hold.received_until or event.received_ns <= to_ns(parse_at(hold.received_until))
