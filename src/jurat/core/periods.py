"""Periods of the calendar, as laws write them: `P6M`, `P7Y`, `P90D`. Months are months, not thirty days.

The day of the event does not count; a period of months or years ends with the same date, or with the last day of the
month where there is none; it has ended when that day has ended, in UTC.
Source: ISO 8601 durations; Regulation (EEC, Euratom) No 1182/71, Art. 3(1) and 3(2)(c).
"""

from __future__ import annotations

import calendar
import re
from datetime import date, timedelta
from typing import Final, NamedTuple

from jurat.core.clock import from_ns
from jurat.core.errors import Malformed

_FORM: Final = re.compile(r"P(?=\d)(?:(\d{1,3})Y)?(?:(\d{1,4})M)?(?:(\d{1,4})W)?(?:(\d{1,5})D)?\Z", re.ASCII)


class Period(NamedTuple):
    """Whole months, then whole days. Two periods have no order of their own: it depends on where they start."""

    months: int
    days: int


def parse_period(text: str) -> Period:
    """Return the period that an ISO 8601 duration says.

    Raises:
        Malformed: not one, one with a time of day, or an empty one.

    Example:
        >>> parse_period("P1Y6M")
        Period(months=18, days=0)
    """
    match = _FORM.match(text)
    years, months, weeks, days = (int(part or 0) for part in match.groups()) if match else (0, 0, 0, 0)
    period = Period(12 * years + months, 7 * weeks + days)
    if period == (0, 0):
        raise Malformed(f"`{text[:40]}` is not a period", hint="write it like `P7Y`, `P6M`, `P90D`: years, months, weeks, days; not zero")
    return period


def format_period(period: Period) -> str:
    """Return the period as ISO 8601. The inverse of `parse_period`, in its shortest form."""
    years, months = divmod(period.months, 12)
    parts = [(years, "Y"), (months, "M"), (period.days, "D")]
    return "P" + "".join(f"{count}{unit}" for count, unit in parts if count)


def last_day(start: date, period: Period) -> date:
    """Return the last day of a period that something on `start` sets going.

    Example:
        >>> last_day(date(2026, 8, 31), Period(6, 0))
        datetime.date(2027, 2, 28)
    """
    year, month = divmod(start.year * 12 + start.month - 1 + period.months, 12)
    if year > date.max.year:
        return date.max
    same = start.replace(year=year, month=month + 1, day=min(start.day, calendar.monthrange(year, month + 1)[1]))
    try:
        return same + timedelta(days=period.days)
    except OverflowError:
        return date.max


def day_of(at_ns: int) -> date:
    """Return the UTC day of a moment (Unix ns)."""
    return from_ns(at_ns).date()


def has_ended(day: date, now_ns: int) -> bool:
    """Whether that day, in UTC, is over."""
    return day_of(now_ns) > day
