"""One round after another, while the workspace is served: what the clocks have in common. Knows nothing of what they do."""

from __future__ import annotations

import threading
from collections.abc import Callable

from jurat.app.wiring import App, attach_app
from jurat.core.errors import JuratError, Tampered
from jurat.core.last_words import say
from jurat.core.workspace import Workspace


def keep_rounds(
    workspace: Workspace,
    stopping: threading.Event,
    begin: Callable[[App], Callable[[], object]],
    *,
    application: str,
    every_s: float,
    again_after_s: float,
    first_after_s: float | None = None,
) -> None:
    """Do what `begin` returns every `every_s` seconds until told to stop, over a database or a ledger that is away.

    Args:
        begin: called with each new attachment to the workspace; it returns one round's work.
        again_after_s: how long an error is waited out, which is said once for as long as it stays the same.
        first_after_s: when the first round is; after `every_s` if not said.

    Raises:
        Tampered: something that should be there is not; it is for a person to look.
    """
    pause_s, told = every_s if first_after_s is None else first_after_s, ""
    while not stopping.wait(pause_s):
        try:
            with attach_app(workspace, application=application) as app:
                go_round = begin(app)
                while not stopping.is_set():
                    go_round()
                    pause_s, told = every_s, ""
                    stopping.wait(pause_s)
        except Tampered:
            raise
        except JuratError as error:
            pause_s = again_after_s
            if error.detail != told:
                say(f"{error.family}: {error.detail}; trying again")
            told = error.detail
