"""The clock of producers: a stream that falls silent is on record within seconds of two missed periods."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from jurat.app.watch import Watch
from jurat.app.wiring import App
from jurat.core.last_words import say
from jurat.core.workspace import Workspace
from jurat.worker.rounds import keep_rounds

_EVERY_S: Final = 5.0
_AGAIN_AFTER_S: Final = 30.0


def keep_watch(workspace: Workspace, stopping: threading.Event) -> None:
    """Look every five seconds, until told to stop.

    Raises:
        Tampered: something that should be there is not; it is for a person to look.
    """
    keep_rounds(workspace, stopping, _watch, application="watch", every_s=_EVERY_S, again_after_s=_AGAIN_AFTER_S)


def _watch(app: App) -> Callable[[], None]:
    watch = Watch(app)

    def look() -> None:
        for each in watch.step():
            say(f"producer {each.producer} is silent in `{each.log}`: nothing since {each.last_received_at}")

    return look
