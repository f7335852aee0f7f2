"""The clock of retention: what is due by the table in force is taken away once a day, while the workspace is served.

Acts as the workspace's own process `clock`, by the same walk as everybody, so a policy can stop it and every run is on record.
`run/retention.json` says when it ran and how it went; a run that failed is tried again within the hour. Off: `retention_run = "off"`.
"""

from __future__ import annotations

import threading
from typing import Final

from jurat.app.clockwork import RETENTION, Clockwork
from jurat.app.keeping import run_expiry
from jurat.app.timekeeper import clock_of
from jurat.app.wiring import App
from jurat.core.clock import format_at
from jurat.core.settings import load_settings
from jurat.core.workspace import Workspace
from jurat.worker.rounds import keep_clock, run_clock

_FIRST_AFTER_S: Final = 600.0  # a workspace that is served for a moment runs nothing


def keep_retention(workspace: Workspace, stopping: threading.Event) -> None:
    """Run when it is time, until told to stop.

    Raises:
        Tampered: something that should be there is not; it is for a person to look.
    """
    period_s = load_settings(workspace).retention_run_s

    def due_ns(last: Clockwork | None, now_ns: int) -> int:
        assert period_s is not None
        soon_ns = now_ns + round(min(_FIRST_AFTER_S, period_s) * 1e9)
        ran_ns = last.ran_ns if last else 0
        return max(soon_ns, ran_ns + round(period_s * 1e9)) if ran_ns else soon_ns

    keep_clock(workspace, stopping, RETENTION, _run if period_s else None, every_s=period_s or 0.0, due_ns=due_ns)


def run_once(workspace: Workspace, period_s: float) -> Clockwork:
    """Take away what is due now; return how that went."""
    return run_clock(workspace, RETENTION, _run, every_s=period_s)


def _run(app: App) -> str:
    with app.store.reading() as state:
        caller = clock_of(state)
    done = run_expiry(app, caller)
    waiting = [each.free_at_ns for each in done.pruned if each.free_at_ns]
    more = f"; space of pruned entries waits until {format_at(min(waiting))}" if waiting else ""
    return f"{done.count} events expired, {done.freed_bytes} bytes freed{more}"
