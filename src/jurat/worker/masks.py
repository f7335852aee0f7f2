"""The clock of masks: what an approved erasure hides is hidden within seconds, also if whoever approved was killed before."""

from __future__ import annotations

import threading
from typing import Final

from jurat.app.masks import mask_approved
from jurat.app.wiring import attach_app
from jurat.core.errors import JuratError, Tampered
from jurat.core.last_words import say
from jurat.core.workspace import Workspace

_EVERY_S: Final = 2.0


def keep_masked(workspace: Workspace, stopping: threading.Event) -> None:
    """Look every two seconds, until told to stop.

    Raises:
        Tampered: the list of masks cannot be read.
    """
    while not stopping.is_set():
        try:
            with attach_app(workspace, application="masks") as app:
                while not stopping.is_set():
                    mask_approved(app.store, workspace.ledger, app.settings.tenant)
                    stopping.wait(_EVERY_S)
        except Tampered:
            raise
        except JuratError as error:
            say(f"{error.family}: {error.detail}; trying again")
            stopping.wait(_EVERY_S)
