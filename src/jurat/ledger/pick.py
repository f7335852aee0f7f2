"""Single events, by their places or by a text in them: for whoever must judge or erase them, masked ones too.

Each was checked against its commitment. Knows the archive and the tail through `query`; why somebody picks is not its business.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow.compute as pc

from jurat.core.errors import Exhausted
from jurat.domain.facts_keeping import Places
from jurat.domain.places import indexes_of
from jurat.ledger.query import Events, Snapshot
from jurat.ledger.sql import Reader
from jurat.ledger.stored import STORED_COLUMNS, StoredEvent, events_of_table

_MOST: Final = 20_000  # events
_TIMEOUT_S: Final = 120.0


def pick_places(ledger_root: Path, tenant: str, places: Places) -> list[StoredEvent]:
    """Return the events of a set that still have content, by log and index."""
    chosen = [f"(log = '{log}' AND idx IN ({', '.join(map(str, indexes_of(stretches)))}))" for log, stretches in places.items()]
    return _pick(ledger_root, tenant, " OR ".join(chosen), []) if chosen else []


def pick_by_text(ledger_root: Path, tenant: str, text: str) -> list[StoredEvent]:
    """Return the events that say this text: as a whole string, or anywhere if they are not JSON or the text is an id of ours."""
    escaped = json.dumps(text)[1:-1]
    found = _pick(ledger_root, tenant, "contains(TRY(decode(raw)), ?) OR contains(TRY(decode(raw)), ?)", [text, escaped])
    return [event for event in found if is_said(text, event.raw)]


def is_said(text: str, raw: bytes) -> bool:
    """Whether an event's bytes speak of what `text` names, and not only of something that contains it."""
    if text[:4] in ("prn_", "prd_", "evt_") and text.encode() in raw:
        return True
    try:
        return _holds(msgspec.json.decode(raw), text)
    except (ValueError, RecursionError):
        return text.encode() in raw


def _holds(value: Any, text: str) -> bool:
    if isinstance(value, dict):
        return any(key == text or _holds(item, text) for key, item in value.items())
    if isinstance(value, list):
        return any(_holds(item, text) for item in value)
    return bool(value == text)


def _pick(ledger_root: Path, tenant: str, condition: str, parameters: Sequence[str]) -> list[StoredEvent]:
    events = Events(ledger_root, tenant, with_masked=True)
    query = f"SELECT log, {', '.join(STORED_COLUMNS)} FROM events WHERE raw IS NOT NULL AND ({condition}) ORDER BY log, idx"

    def read(snapshot: Snapshot) -> list[StoredEvent]:
        with Reader(events.source(snapshot)) as reader:
            table = reader.select(query, parameters, timeout_s=_TIMEOUT_S, max_rows=_MOST)
        if table.num_rows > _MOST:
            raise Exhausted(f"more than {_MOST} events are meant", hint="choose fewer at a time", retry_after_s=1)
        return [
            event
            for log in table["log"].unique().to_pylist()
            for event in events_of_table(log, table.filter(pc.equal(table["log"], log)))
        ]  # fmt: skip

    return events.with_snapshot(read)
