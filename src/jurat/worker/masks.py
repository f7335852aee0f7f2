"""The clock of masks: what an approved erasure hides is hidden within seconds, also if whoever approved was killed before."""

from __future__ import annotations

import threading
from functools import partial
from typing import Final

from jurat.app.masks import mask_approved
from jurat.core.workspace import Workspace
from jurat.worker.rounds import keep_rounds

_EVERY_S: Final = 2.0


def keep_masked(workspace: Workspace, stopping: threading.Event) -> None:
    """Look every two seconds and first at once, until told to stop.

    Raises:
        Tampered: the list of masks cannot be read.
    """
    keep_rounds(
        workspace, stopping, lambda app: partial(mask_approved, app.store, workspace.ledger, app.settings.tenant),
        application="masks", every_s=_EVERY_S, again_after_s=_EVERY_S, first_after_s=0,
    )  # fmt: skip
