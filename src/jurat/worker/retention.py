"""The clock of retention: what is due by the table in force is taken away once a day, while the workspace is served.

Acts as the workspace's own process `clock`, by the same walk as everybody, so a policy can stop it and every run is on record.
`run/retention.json` says when it ran and how it went; a run that failed is tried again within the hour. Off: `retention_run = "off"`.
"""

from __future__ import annotations

import threading
from typing import Final

from jurat.app.clockwork import Clockwork, read_clockwork, write_clockwork
from jurat.app.keeping import run_expiry
from jurat.app.timekeeper import clock_of
from jurat.app.wiring import App, attach_app
from jurat.core.clock import SystemClock, format_at
from jurat.core.errors import JuratError, Tampered
from jurat.core.settings import load_settings
from jurat.core.workspace import Workspace

_FIRST_AFTER_S: Final = 600.0  # a workspace that is served for a moment runs nothing
_AGAIN_AFTER_S: Final = 3_600.0
_LOOK_EVERY_S: Final = 5.0


def keep_retention(workspace: Workspace, stopping: threading.Event) -> None:
    """Run when it is time, until told to stop.

    Raises:
        Tampered: something that should be there is not; it is for a person to look.
    """
    period_s = load_settings(workspace).retention_run_s
    if period_s is None:
        write_clockwork(workspace, Clockwork(every_s=0))
        return
    clock = SystemClock()
    kept = read_clockwork(workspace)
    last_ns = kept.ran_ns if kept else 0
    next_ns = max(clock.now_ns() + round(min(_FIRST_AFTER_S, period_s) * 1e9), last_ns + round(period_s * 1e9) if last_ns else 0)
    state = Clockwork(every_s=period_s, ran_ns=last_ns, next_ns=next_ns, said=kept.said if kept else "")
    write_clockwork(workspace, state)
    while not stopping.wait(_LOOK_EVERY_S):
        if clock.now_ns() >= state.next_ns:
            state = run_once(workspace, period_s)
            write_clockwork(workspace, state)


def run_once(workspace: Workspace, period_s: float) -> Clockwork:
    """Take away what is due now; return how that went."""
    try:
        with attach_app(workspace, application="retention") as app:
            said, pause_s, is_well = _run(app), period_s, True
    except Tampered:
        raise
    except JuratError as error:  # also a database that is away for a moment: the relay waits for it, and so does this
        said, pause_s, is_well = f"{error.family}: {error.detail}", min(period_s, _AGAIN_AFTER_S), False
    now_ns = SystemClock().now_ns()
    return Clockwork(every_s=period_s, ran_ns=now_ns, next_ns=now_ns + round(pause_s * 1e9), said=said, is_well=is_well)


def _run(app: App) -> str:
    with app.store.reading() as state:
        caller = clock_of(state)
    done = run_expiry(app, caller)
    waiting = [each.free_at_ns for each in done.pruned if each.free_at_ns]
    more = f"; space of pruned entries waits until {format_at(min(waiting))}" if waiting else ""
    return f"{done.count} events expired, {done.freed_bytes} bytes freed{more}"
