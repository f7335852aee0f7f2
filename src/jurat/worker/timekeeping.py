"""The clock of access: ends that are written down, reminders, reviews that fall due. Every few seconds, while the workspace is served.

Nothing holds any longer when this does not run: expiry, windows and due dates count when they are read.
"""

from __future__ import annotations

import threading
from typing import Final

from jurat.app.timekeeper import tick
from jurat.app.wiring import attach_app
from jurat.core.errors import JuratError, Tampered
from jurat.core.last_words import say
from jurat.core.workspace import Workspace

_EVERY_S: Final = 5.0
_AGAIN_AFTER_S: Final = 60.0  # a workspace without a clock of its own, a policy that says no: neither changes by asking


def keep_time(workspace: Workspace, stopping: threading.Event) -> None:
    """Tick until told to stop.

    Raises:
        Tampered: something that should be there is not; it is for a person to look.
    """
    pause_s, told = _EVERY_S, ""
    while not stopping.wait(pause_s):
        try:
            with attach_app(workspace, application="clock") as app:
                while not stopping.is_set():
                    tick(app)
                    pause_s, told = _EVERY_S, ""
                    stopping.wait(pause_s)
        except Tampered:
            raise
        except JuratError as error:
            pause_s = _AGAIN_AFTER_S
            if error.detail != told:
                say(f"{error.family}: {error.detail}; trying again")
            told = error.detail
