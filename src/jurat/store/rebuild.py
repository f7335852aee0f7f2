"""State folded again from the ledger: to compare with what the database says, or to put in its place.

Both hold the head row, so no act happens meanwhile, and both need the owner's role. Events that the relay has not moved
yet are read from the outbox. The order of the events is that in which the ledger received them, over all logs.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import msgspec
import psycopg
from psycopg import sql

from jurat.core.jsonio import dump_json
from jurat.domain.events import Event, decode_event
from jurat.domain.evolve import CHANGES, evolve
from jurat.domain.facts import KIND_OF
from jurat.domain.rows import ROWS
from jurat.domain.state import MemoryState
from jurat.store.schema import truncate_and_guard
from jurat.store.store import Store

STATE_KINDS: Final = frozenset(KIND_OF[fact] for fact in CHANGES)  # the other kinds change no row: no need to read them


class Difference(NamedTuple):
    """A row that is not what the events say."""

    table: str
    key: str
    what: str  # altered, missing, unexpected
    as_of: str  # the event that the row should come from; for an unexpected one, the event that it claims
    fields: dict[str, tuple[Any, Any]]  # field → (expected, found); empty unless altered


def compare(store: Store, events: Iterable[Event]) -> list[Difference]:
    """Return every row that differs from what the events say, ordered by table and key; empty when all is well.

    Args:
        store: opened with the owner's role.
        events: all events of the kinds `STATE_KINDS` in the ledger, in the order in which it received them.
    Raises:
        Tampered: an event speaks of something that no earlier event made: the ledger itself is not whole.
    """
    with _held(store) as connection:
        expected = _fold(connection, events)
        differences: list[Difference] = []
        for table in ROWS:
            found = connection.execute(sql.SQL("SELECT key, row::text, as_of FROM {}").format(sql.Identifier("view", table))).fetchall()
            differences += _differences(table, expected.tables[table], {key: (text, as_of) for key, text, as_of in found})
        return differences


def rebuild(store: Store, events: Iterable[Event]) -> int:
    """Put what the events say in the place of `view.*`, all in one transaction. Returns how many rows there are now.

    Args and Raises: as for `compare`.
    """
    with _held(store) as connection:
        state = _fold(connection, events)
        truncate_and_guard(connection, guarded=False)
        for table, rows in state.tables.items():
            name = sql.Identifier("view", table)
            with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY {} (key, row, as_of) FROM STDIN").format(name)) as copy:
                for key, row in rows.items():
                    copy.write_row((key, dump_json(row).decode(), row.as_of))
        truncate_and_guard(connection, guarded=True)
        forget = dict.fromkeys(ROWS, -time.time_ns())  # a change that nobody has seen: whoever kept rows reads them again
        connection.execute("UPDATE outbox.head SET changed = %s::jsonb", [dump_json(forget).decode()])
        return sum(map(len, state.tables.values()))


@contextmanager
def _held(store: Store) -> Iterator[psycopg.Connection[Any]]:
    with store.connection() as connection, connection.transaction():
        connection.execute("SELECT FROM outbox.head FOR UPDATE")
        yield connection


def _fold(connection: psycopg.Connection, events: Iterable[Event]) -> MemoryState:
    """Return the state after the ledger's events and those that still wait in the outbox, each counted once."""
    waiting = connection.execute("SELECT event_id, raw FROM outbox.event ORDER BY position").fetchall()
    late = {event_id for event_id, _ in waiting}  # may have reached the ledger since: then they come twice
    state = MemoryState()
    for event in events:
        if event.id not in late:
            state.apply(evolve(state, event))
    for _, raw in waiting:
        event = decode_event(raw)
        state.apply(evolve(state, event))
    return state


def _differences(table: str, expected: dict[str, Any], found: dict[str, tuple[str, str]]) -> list[Difference]:
    differences = []
    for key in sorted(expected.keys() | found.keys()):
        if key not in found:
            differences.append(Difference(table, key, "missing", expected[key].as_of, {}))
        elif key not in expected:
            differences.append(Difference(table, key, "unexpected", found[key][1], {}))
        else:
            should = msgspec.json.decode(dump_json(expected[key]))
            fields = _altered_fields(should, found[key][0])
            if found[key][1] != should["as_of"]:
                fields["as_of"] = (should["as_of"], found[key][1])
            if fields:
                differences.append(Difference(table, key, "altered", should["as_of"], fields))
    return differences


def _altered_fields(expected: dict[str, Any], text: str) -> dict[str, tuple[Any, Any]]:
    """Return the top-level fields that differ. JSON is compared, not types: a row that no longer decodes must be named, too."""
    found = msgspec.json.decode(text)
    if not isinstance(found, dict):
        return {"": (expected, found)}
    return {
        field: (expected.get(field), found.get(field))
        for field in sorted(expected.keys() | found.keys())
        if field not in expected or field not in found or expected[field] != found[field]
    }
