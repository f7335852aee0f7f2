"""The clock of rollouts: measures and judges each step every few seconds, and takes back what fails. While the workspace is served."""

from __future__ import annotations

import threading
from functools import partial
from typing import Final

from jurat.app.rollouts import watch_rollouts
from jurat.core.workspace import Workspace
from jurat.worker.rounds import keep_rounds

_EVERY_S: Final = 2.0
_AGAIN_AFTER_S: Final = 30.0  # a policy that says no, a ledger that is away


def keep_rollouts(workspace: Workspace, stopping: threading.Event) -> None:
    """Judge until told to stop.

    Raises:
        Tampered: something that should be there is not; it is for a person to look.
    """
    keep_rounds(
        workspace, stopping, lambda app: partial(watch_rollouts, app),
        application="rollouts", every_s=_EVERY_S, again_after_s=_AGAIN_AFTER_S,
    )  # fmt: skip
