"""An event as the ledger keeps it, and the checks it passes before anybody sees it.

Knows rows, spans and the law that binds bytes to their commitment; where they come from is `query`'s.
"""

from __future__ import annotations

import heapq
import os
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa

from jurat.core.errors import Tampered
from jurat.ledger.layout import parse_log_name
from jurat.ledger.manifest import Part
from jurat.ledger.parts import read_part
from jurat.ledger.rows import Span, kind_code, kind_name
from jurat.merkle.entry import ENTRY_SIZE, Entry, commit_event, pack_entry, unpack_entry

STORED_COLUMNS: Final = ["idx", "kind_code", "producer", "epoch", "seq", "received_ns", "commitment", "salt", "raw", "erased_by"]
_STRIDE: Final = 2 + ENTRY_SIZE  # of the flat array `entries`: u16 size, entry


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """One event: its place, its entry, and what the entry commits to."""

    log: str
    index: int
    kind: str
    producer: int
    epoch: int
    seq: int
    received_ns: int
    commitment: bytes
    salt: bytes
    raw: bytes
    erased_by: int | None = None  # where the tombstone is, in the `configuration` log; salt and bytes are empty then

    @property
    def entry(self) -> Entry:
        """What stands for the event in its log."""
        return Entry(kind_code(self.kind), self.producer, self.epoch, self.seq, self.received_ns, self.commitment)


def events_of_span(log: str, span: Span) -> Iterator[StoredEvent]:
    """Yield the events of a span.

    Raises:
        Tampered: one is not what its entry commits to.
    """
    salts, raws = span.split()
    for number, (salt, raw) in enumerate(zip(salts, raws, strict=True)):
        entry = unpack_entry(span.entries[number * ENTRY_SIZE : (number + 1) * ENTRY_SIZE])
        yield _checked(log, span.first + number, entry, salt, raw)


def events_of_table(log: str, table: pa.Table) -> Iterator[StoredEvent]:
    """Yield the events of rows that have at least `STORED_COLUMNS`.

    Raises:
        Tampered: one is not what its entry commits to.
    """
    columns = (table[name].to_pylist() for name in STORED_COLUMNS)
    for index, *entry, salt, raw, erased_by in zip(*columns, strict=True):
        yield _checked(log, index, Entry(*entry), salt, raw, erased_by)


def events_of_parts(log: str, events_dir: Path, parts: Sequence[Part], start: int) -> Iterator[StoredEvent]:
    """Yield the events with index ≥ `start` of some parts of one log, ascending, opening each part when its turn comes.

    Raises:
        Tampered: a part is missing or damaged, an event is there twice, or is not what its entry commits to.
    """
    waiting = deque(sorted((part for part in parts if part.last >= start), key=lambda part: part.first))
    heads: list[tuple[int, str, StoredEvent, Iterator[StoredEvent]]] = []  # a path is unique: events are never compared
    last = start - 1
    while waiting or heads:
        while waiting and (not heads or waiting[0].first <= heads[0][0]):
            part = waiting.popleft()
            _push(heads, part.path, _events_from(log, events_dir / part.path, start))
        if not heads:
            break
        index, path, event, rest = heapq.heappop(heads)
        _push(heads, path, rest)
        if index <= last:
            raise _altered(log, index, "is in the archive twice")
        yield event
        last = index


def check_against_entries(ledger_root: Path, event: StoredEvent) -> None:
    """Pass if the log's flat array of entries has this very entry at its index, or does not reach that far yet.

    Raises:
        Tampered: it has another one.
    """
    path = parse_log_name(event.log).directory(ledger_root) / "entries"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        found = os.pread(descriptor, ENTRY_SIZE, event.index * _STRIDE + 2)
    finally:
        os.close(descriptor)
    if len(found) == ENTRY_SIZE and found != pack_entry(event.entry):
        raise _altered(event.log, event.index, "is not the one in the log's entries")


def _events_from(log: str, path: Path, start: int) -> Iterator[StoredEvent]:
    for table in read_part(path, columns=STORED_COLUMNS, start=start):
        yield from events_of_table(log, table)


def _push(heads: list[tuple[int, str, StoredEvent, Iterator[StoredEvent]]], path: str, rest: Iterator[StoredEvent]) -> None:
    if (event := next(rest, None)) is not None:
        heapq.heappush(heads, (event.index, path, event, rest))


def _checked(log: str, index: int, entry: Entry, salt: bytes | None, raw: bytes | None, erased_by: int | None = None) -> StoredEvent:
    if salt is None or raw is None:
        if salt is not None or raw is not None or erased_by is None:
            raise _altered(log, index, "has lost its bytes, and no erasure is recorded")
        salt = raw = b""
    elif commit_event(salt, raw) != entry.commitment:
        raise _altered(log, index, "is not the one that was recorded: its bytes do not fit its commitment")
    name = kind_name(entry.kind_code)
    return StoredEvent(
        log, index, name, entry.producer, entry.epoch, entry.seq, entry.received_ns, entry.commitment, salt, raw, erased_by
    )  # fmt: skip


def _altered(log: str, index: int, how: str) -> Tampered:
    return Tampered(
        f"event {index} of log `{log}` {how}",
        hint="run `jurat verify` to see what else was touched, and ask who had access to the ledger's volume",
        code="event_altered",
        log=log,
        index=index,
    )
