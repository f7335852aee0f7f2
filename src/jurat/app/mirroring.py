"""The record pushed to an object store: reading all of it, which is an act, and on record before anything leaves."""

from __future__ import annotations

from collections.abc import Callable

from jurat.app.records import record_reading
from jurat.app.wiring import App
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import log_keys_file
from jurat.ledger.mirror import Pushed, push_mirror
from jurat.ledger.objects import ObjectStore


def push_archive(app: App, token: str, url: str, *, say: Callable[[str], None] = lambda _: None) -> Pushed:
    """Bring the mirror at an address up to date, as of when this began.

    Raises:
        Denied: recorded.
        Malformed, Conflict, Tampered, Unavailable: as `push_mirror`.
    """
    store = ObjectStore(url)
    record_reading(app, token, "push", store.url)
    app.settle()
    keys = load_log_keys(log_keys_file(app.workspace.keys))
    return push_mirror(app.workspace.ledger, app.settings.tenant, keys, store, say=say)
