"""What holds now against what the ledger says, by the clock: a row that somebody edited past Jurat is on record, and people are told.

Acts wait while it compares (decision 0025), so it is done once a day, when the setting `compare_at` says.
"""

from __future__ import annotations

from typing import Final

from jurat.app.refold import differences
from jurat.app.timekeeper import clock_of
from jurat.app.wiring import App
from jurat.domain.context import Context
from jurat.domain.decide_alarms import alarm
from jurat.domain.facts_watch import ViewDiffers

ABOUT: Final = "view"
_MOST_ROWS: Final = 100
_DAY_S: Final = 86_400


def compare_by_itself(app: App) -> str:
    """Compare, record and tell what differs, and return how it went in a sentence.

    Raises:
        Tampered: the ledger itself is not whole.
        Unavailable: the workspace has no clock that could record it, or the ledger is away.
    """
    found = differences(app)
    if not found:
        return "the database says what the ledger says"
    fact = ViewDiffers(
        count=len(found),
        rows=[f"{each.what} {each.table}/{each.key}" for each in found[:_MOST_ROWS]],
        fields={f"{each.table}/{each.key}": sorted(each.fields) for each in found[:_MOST_ROWS] if each.fields},
    )
    rows = "1 row of the database is" if len(found) == 1 else f"{len(found)} rows of the database are"
    said = f"{rows} not what the ledger says, the first: {fact.rows[0]}"
    with app.store.transaction() as tx:
        context = Context(clock_of(tx.state), app.clock.now_ns(), None, "workspace")
        event = context.event(fact)
        told = alarm(
            tx.state, context, event, about=ABOUT, subject="view",
            text=f"{said}; look with `jurat rebuild --compare`, repair with `jurat rebuild --apply`",
        )  # fmt: skip
        tx.record([event, *told])
    return said


def next_at_ns(time_of_day: str, after_ns: int) -> int:
    """Return the next moment after `after_ns`, in Unix ns, at which it is that time of day (`HH:MM`) in UTC."""
    hour, minute = time_of_day.split(":")
    second = int(hour) * 3600 + int(minute) * 60
    today_s = after_ns // 10**9 // _DAY_S * _DAY_S
    return next(at_ns for day in (0, 1) if (at_ns := (today_s + second + day * _DAY_S) * 10**9) > after_ns)
