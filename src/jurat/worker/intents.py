"""The clock of intents: one that got no outcome, since who wrote it was killed, is on record and told within half a minute."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from jurat.app.intents import watch_intents
from jurat.app.wiring import App
from jurat.core.last_words import say
from jurat.core.workspace import Workspace
from jurat.worker.rounds import keep_rounds

_EVERY_S: Final = 10.0
_AGAIN_AFTER_S: Final = 30.0


def keep_intents(workspace: Workspace, stopping: threading.Event) -> None:
    """Look every ten seconds, until told to stop.

    Raises:
        Tampered: something that should be there is not; it is for a person to look.
    """
    keep_rounds(workspace, stopping, _watch, application="intents", every_s=_EVERY_S, again_after_s=_AGAIN_AFTER_S)


def _watch(app: App) -> Callable[[], None]:
    def look() -> None:
        for each in watch_intents(app):
            say(f"{each.count} of `{each.about}` got no outcome, the last at {each.last_at}")

    return look
