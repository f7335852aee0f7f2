"""The clock of comparison: once a day, at `compare_at`, the database is held against the ledger, while the workspace is served."""

from __future__ import annotations

import threading
from typing import Final

from jurat.app.clockwork import COMPARING, Clockwork
from jurat.app.comparing import compare_by_itself, next_at_ns
from jurat.core.settings import load_settings
from jurat.core.workspace import Workspace
from jurat.worker.rounds import keep_clock

_MISSED_NS: Final = 25 * 3_600 * 10**9  # a night that was slept through: it is done soon after the start


def keep_compared(workspace: Workspace, stopping: threading.Event) -> None:
    """Compare when it is time, until told to stop.

    Raises:
        Tampered: the ledger itself is not whole; it is for a person to look.
    """
    at = load_settings(workspace).compare_at
    if at == "off":
        keep_clock(workspace, stopping, COMPARING, None)
        return

    def due_ns(last: Clockwork | None, now_ns: int) -> int:
        if last is not None and last.ran_ns and now_ns - last.ran_ns > _MISSED_NS:
            return now_ns
        return next_at_ns(at, now_ns)

    keep_clock(workspace, stopping, COMPARING, compare_by_itself, every_s=86_400.0, due_ns=due_ns)
