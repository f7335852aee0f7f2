"""Retention at work: the table in force, what is due by it, and the run that takes it away. Asked for by a person, or by the clock.

Only observations expire (predictions, reads, refusals): events that carry what holds now stay as long as state is folded from
them. Judged row by row where a floor or a hold may meet some rows and not others; whole files at once where none can.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from jurat.app.erase import await_segments, kept_of
from jurat.app.look import See, SeeRetention, check
from jurat.app.pruning import LogPruning, act_for, prune_logs
from jurat.app.wiring import App
from jurat.core.periods import has_ended, last_day
from jurat.domain import rows
from jurat.domain.commands_keeping import RecordExpiry
from jurat.domain.decide_keeping import STATE_KINDS
from jurat.domain.events import Actor
from jurat.domain.facts_keeping import Places
from jurat.domain.places import count, to_places
from jurat.domain.retention import hold_on, is_due, table_in_force, tables_in_force, tiers_of
from jurat.domain.state import State
from jurat.ledger.claim import claimed_archive
from jurat.ledger.expire import drop_rows
from jurat.ledger.gone import Expired, change_gone
from jurat.ledger.layout import events_directory
from jurat.ledger.manifest import Part
from jurat.ledger.parts import read_part
from jurat.ledger.stored import STORED_COLUMNS, events_of_table
from jurat.policy.retentionfile import RetentionTable, default_retention

_MOST_STRETCHES: Final = 10_000  # in one tombstone: it must fit into an event


class InForce(NamedTuple):
    """The table in force; `as_of` is empty while none was ever applied and the shipped one holds."""

    table: RetentionTable
    source: str
    as_of: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is due. `held` and `kept`: rows that would be due by the organisation's own period, but for a hold or a floor."""

    due: dict[str, Places]  # by kind
    held: int
    kept: int
    retention: str
    holds: list[str]

    @property
    def count(self) -> int:
        """How many events are due."""
        return sum(map(count, self.due.values()))


class MayRun(See, frozen=True, kw_only=True):
    """Taking anything away is asked for before anything is looked at."""

    permission = "retention:run"


class Expiry(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did. `freed_bytes`: of disk, in the archive and in the logs."""

    count: int
    tombstones: list[str]
    written: list[str]
    removed: list[str]
    freed_bytes: int
    pruned: list[LogPruning]  # every log that is pruned, also by an earlier run


def retention_in_force(app: App, token: str) -> InForce:
    """Return the table in force.

    Raises:
        Denied: the caller may not see it. Recorded.
    """
    check(app, token, SeeRetention(place="workspace"))
    with app.store.reading() as state:
        row = state.get(rows.RetentionInForce, "current")
        return InForce(table_in_force(state), row.source if row else default_retention(), row.as_of if row else "")


def plan_expiry(app: App, token: str) -> Plan:
    """Return what is due now. Nothing goes; events that wait for the archive are archived first."""
    check(app, token, SeeRetention(place="workspace"))
    return _look(app)


def _look(app: App) -> Plan:
    app.settle()
    with claimed_archive(app.workspace.ledger, app.settings.tenant, clock=app.clock) as follower:
        follower.step(flush=True)
        with app.store.reading() as state:
            return _plan(app, state, follower.manifest.parts)


def run_expiry(app: App, caller: str | Actor, *, say: Callable[[str], None] = lambda _: None) -> Expiry:
    """Take away what is due: tombstones first, then rows, then the prefixes of logs, then the space. A run that is killed is run again.

    Args:
        caller: a person's token, or the workspace's own clock.

    Raises:
        Denied: recorded.
        Conflict: the table or a hold changed in between; run it again.
    """
    if isinstance(caller, str):
        check(app, caller, MayRun(place="workspace"))
    plan, before = _look(app), _archive_bytes(app)
    tombstones: list[str] = []
    expired: list[Expired] = []
    if plan.due:
        with app.ledger() as ledger:
            segment = ledger.rotate()
        for kind, places in _in_pieces(plan.due):
            command = RecordExpiry(events=places, kinds={kind: count(places)}, retention=plan.retention, holds=plan.holds)
            done = act_for(app, caller, command)
            app.settle()
            stored = app.events.find(done.events[0].id)
            assert stored is not None
            tombstones.append(done.events[0].id)
            expired.append(Expired(stored.index, places))
        gone = change_gone(_events_dir(app), lambda old: msgspec.structs.replace(old, expired=[*old.expired, *expired]))
        say(f"taking {plan.count} rows away")
    else:
        gone, segment = change_gone(_events_dir(app), lambda old: old), 0
    with claimed_archive(app.workspace.ledger, app.settings.tenant, clock=app.clock) as follower:
        follower.step(flush=True)
        done_to = [drop_rows(follower, each.events) for each in gone.expired]  # an earlier run's too, if it was killed
        await_segments(app, segment)
        after = _archive_bytes(app)
    pruned = prune_logs(app, caller, grace_s=app.settings.prune_grace_s, say=say)
    return Expiry(
        count=plan.count, tombstones=tombstones, written=[path for each in done_to for path in each.written],
        removed=[path for each in done_to for path in each.removed],
        freed_bytes=max(0, before - after) + sum(each.freed_bytes for each in pruned), pruned=pruned,
    )  # fmt: skip


def _archive_bytes(app: App) -> int:
    """Return how much disk the archive's files take."""
    sizes = []
    for path in _events_dir(app).rglob("*.parquet"):
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_blocks * 512)
    return sum(sizes)


def _plan(app: App, state: State, parts: tuple[Part, ...]) -> Plan:
    now_ns, tables, tiers, holds = app.clock.now_ns(), tables_in_force(state), tiers_of(state), state.find(rows.Hold)
    due: dict[str, dict[str, list[int]]] = {}
    held = kept = 0
    for part in parts:
        if part.kind in STATE_KINDS or not _may_be_due(part, tables.current, now_ns):
            continue
        for group in read_part(_events_dir(app) / part.path, columns=STORED_COLUMNS):
            for event in events_of_table(part.log, group):
                judged = kept_of(state, event)
                if hold_on(judged, holds):
                    held += 1
                elif not is_due(judged, tables, tiers, now_ns):
                    kept += 1
                else:
                    due.setdefault(part.kind, {}).setdefault(part.log, []).append(event.index)
    return Plan(
        due={kind: to_places(found) for kind, found in sorted(due.items())}, held=held, kept=kept, retention=tables.current.digest,
        holds=sorted(hold.hold for hold in holds),
    )  # fmt: skip


def _may_be_due(part: Part, table: RetentionTable, now_ns: int) -> bool:
    """Whether the organisation's own shortest period for this day's rows is over; floors and holds are asked row by row."""
    retention, day = part.log.rpartition("/")[2], date.fromisoformat(part.date)
    periods = [table.classes[retention], *(rule.period for rule in table.rules if rule.retention == retention)]
    return any(has_ended(last_day(day, period), now_ns) for period in periods)


def _in_pieces(due: dict[str, Places]) -> Iterator[tuple[str, Places]]:
    for kind, places in due.items():
        for log, stretches in places.items():
            for at in range(0, len(stretches), _MOST_STRETCHES):
                yield kind, {log: stretches[at : at + _MOST_STRETCHES]}


def _events_dir(app: App) -> Path:
    return events_directory(app.workspace.ledger, app.settings.tenant)
