"""The record pushed to an object store: reading all of it, which is an act, and on record before anything leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from jurat.app.records import record_reading
from jurat.app.wiring import App
from jurat.ledger.claim import claimed_archive
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import log_keys_file
from jurat.ledger.mirror import Pushed, push_mirror
from jurat.ledger.objects import ObjectStore

_PUSH: Final = "push"


def push_archive(app: App, token: str, url: str, *, say: Callable[[str], None] = lambda _: None) -> Pushed:
    """Bring the mirror at an address up to date, as of when this began.

    Raises:
        Denied: recorded.
        Malformed, Conflict, Tampered, Unavailable: as `push_mirror`.
    """
    store = ObjectStore(url)
    record_reading(app, token, _PUSH, store.url)
    app.settle()
    with claimed_archive(app.workspace.ledger, app.settings.tenant, clock=app.clock) as follower:
        follower.step(flush=True)  # what is not in the archive yet would be in no mirror
    keys = load_log_keys(log_keys_file(app.workspace.keys))
    return push_mirror(app.workspace.ledger, app.settings.tenant, keys, store, say=say)


def mirrors_on_record(app: App) -> list[str]:
    """Return where the record was ever pushed to: each such place may hold what has been erased since, until the next push."""
    answer = app.events.select(
        "SELECT DISTINCT json_extract_string(event, '$.data.subject') AS url FROM events "
        "WHERE kind = 'records.read.v1' AND json_extract_string(event, '$.data.question') = ? ORDER BY url",
        [_PUSH],
        kinds=["records.read.v1"],
    )
    return [url for (url,) in answer.rows if url]
