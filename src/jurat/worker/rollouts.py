"""The clock of rollouts: measures and judges each step every few seconds, and takes back what fails. While the workspace is served."""

from __future__ import annotations

import threading
from typing import Final

from jurat.app.rollouts import watch_rollouts
from jurat.app.wiring import attach_app
from jurat.core.errors import JuratError, Tampered
from jurat.core.last_words import say
from jurat.core.workspace import Workspace

_EVERY_S: Final = 2.0
_AGAIN_AFTER_S: Final = 30.0  # a policy that says no, a ledger that is away


def keep_rollouts(workspace: Workspace, stopping: threading.Event) -> None:
    """Judge until told to stop.

    Raises:
        Tampered: something that should be there is not; it is for a person to look.
    """
    pause_s, told = _EVERY_S, ""
    while not stopping.wait(pause_s):
        try:
            with attach_app(workspace, application="rollouts") as app:
                while not stopping.is_set():
                    watch_rollouts(app)
                    pause_s, told = _EVERY_S, ""
                    stopping.wait(pause_s)
        except Tampered:
            raise
        except JuratError as error:
            pause_s = _AGAIN_AFTER_S
            if error.detail != told:
                say(f"{error.family}: {error.detail}; trying again")
            told = error.detail
