"""The clock of access: ends that are written down, reminders, reviews that fall due. Every few seconds, while the workspace is served.

Nothing holds any longer when this does not run: expiry, windows and due dates count when they are read.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Final

from jurat.app.timekeeper import tick
from jurat.core.workspace import Workspace
from jurat.worker.rounds import keep_rounds

_EVERY_S: Final = 5.0
_AGAIN_AFTER_S: Final = 60.0  # a workspace without a clock of its own, a policy that says no: neither changes by asking


def keep_time(workspace: Workspace, stopping: threading.Event) -> None:
    """Tick until told to stop.

    Raises:
        Tampered: something that should be there is not; it is for a person to look.
    """
    keep_rounds(
        workspace, stopping, lambda app: partial(tick, app),
        application="clock", every_s=_EVERY_S, again_after_s=_AGAIN_AFTER_S,
    )  # fmt: skip
