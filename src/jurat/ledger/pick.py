"""Single events, by their places or by a text in them: for whoever must judge or erase them, masked ones too.

Each was checked against its commitment. Knows the archive and the tail through `query`; why somebody picks is not its business.
"""

from __future__ import annotations

import unicodedata
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
_QUESTION: Final = "records.read.v1"  # what somebody asked: the name lies within a longer text, and stays there else
_SHORT: Final = {'"': '"', "\\": r"\\", "/": "/", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}  # RFC 8259 §7


def pick_places(ledger_root: Path, tenant: str, places: Places) -> list[StoredEvent]:
    """Return the events of a set that still have content, by log and index."""
    chosen = [f"(log = '{log}' AND idx IN ({', '.join(map(str, indexes_of(stretches)))}))" for log, stretches in places.items()]
    return _pick(ledger_root, tenant, " OR ".join(chosen), []) if chosen else []


def pick_by_text(ledger_root: Path, tenant: str, text: str) -> list[StoredEvent]:
    """Return the events that say this text, however it is spelt in JSON.

    As a whole string; anywhere if they are not JSON, if the text is an id of ours, or in what somebody asked the ledger.
    """
    spelt = "|".join(map(_spellings, _forms(text)))  # the exact look comes after: this only leaves out most of the others
    condition = "contains(TRY(decode(raw)), ?) OR (contains(TRY(decode(raw)), chr(92)) OR ?) AND regexp_matches(TRY(decode(raw)), ?)"
    found = _pick(ledger_root, tenant, condition, [text, not text.isascii(), spelt])
    return [event for event in found if is_said(text, event.raw)]


def is_said(text: str, raw: bytes) -> bool:
    """Whether an event's bytes speak of what `text` names, and not only of something that contains it."""
    if text[:4] in ("prn_", "prd_", "evt_") and text.encode() in raw:
        return True
    try:
        event = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return text.encode() in raw
    is_question = isinstance(event, dict) and event.get("kind") == _QUESTION
    return _holds(event, unicodedata.normalize("NFC", text), anywhere=is_question)


def _holds(value: Any, text: str, *, anywhere: bool) -> bool:
    if isinstance(value, dict):
        return any(_holds(each, text, anywhere=anywhere) for pair in value.items() for each in pair)
    if isinstance(value, list):
        return any(_holds(item, text, anywhere=anywhere) for item in value)
    if not isinstance(value, str):
        return False
    value = unicodedata.normalize("NFC", value)
    return text in value if anywhere else value == text


def _forms(text: str) -> list[str]:
    """Return the text as it may have been composed: Unicode has two ways to write `ë`."""
    return sorted({text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)})


def _spellings(text: str) -> str:
    """Return a pattern (RE2) of every way in which a JSON string can spell this text."""
    pattern = []
    for char in text:
        units = char.encode("utf-16-be", "surrogatepass")
        escaped = "".join(rf"\\u(?i:{units[at : at + 2].hex()})" for at in range(0, len(units), 2))
        short = rf"|\\{_SHORT[char]}" if char in _SHORT else ""
        pattern.append(rf"(?:\x{{{ord(char):x}}}|{escaped}{short})")
    return "".join(pattern)


def _pick(ledger_root: Path, tenant: str, condition: str, parameters: Sequence[str | bool]) -> list[StoredEvent]:
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
