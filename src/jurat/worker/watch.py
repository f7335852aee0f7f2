"""The clock of producers: a stream that falls silent is on record within seconds of two missed periods."""

from __future__ import annotations

import threading
from typing import Final

from jurat.app.watch import Watch
from jurat.app.wiring import attach_app
from jurat.core.errors import JuratError, Tampered
from jurat.core.last_words import say
from jurat.core.workspace import Workspace

_EVERY_S: Final = 5.0
_AGAIN_AFTER_S: Final = 30.0


def keep_watch(workspace: Workspace, stopping: threading.Event) -> None:
    """Look every five seconds, until told to stop.

    Raises:
        Tampered: something that should be there is not; it is for a person to look.
    """
    pause_s = _EVERY_S
    while not stopping.wait(pause_s):
        try:
            with attach_app(workspace, application="watch") as app:
                watch = Watch(app)
                while not stopping.is_set():
                    for each in watch.step():
                        say(f"producer {each.producer} is silent in `{each.log}`: nothing since {each.last_received_at}")
                    pause_s = _EVERY_S
                    stopping.wait(pause_s)
        except Tampered:
            raise
        except JuratError as error:
            say(f"{error.family}: {error.detail}; trying again")
            pause_s = _AGAIN_AFTER_S
