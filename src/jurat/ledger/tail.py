"""The events that the journal holds and the archive does not yet, log by log, still encoded.

One reader: it remembers its place in the journal, so that each look costs only what is new. Whatever it cannot account
for, it names: an index that neither the archive nor the journal holds is `Tampered`, never a shorter answer.
Knows the journal and the sizes that were published; Parquet is the archive's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from jurat.core.errors import JuratError, Tampered
from jurat.ledger.journal import Position, scan, segment_file, segment_numbers
from jurat.ledger.layout import LogName, checkpoint_file, class_logs, hash_origin, journal_directory
from jurat.ledger.record import HEADER_SIZE, Record
from jurat.ledger.rows import Span
from jurat.merkle.checkpoint import Checkpoint, parse_checkpoint
from jurat.merkle.entry import ENTRY_SIZE
from jurat.merkle.note import read_unverified_text

MOST_BYTES: Final = 1024 * 1024 * 1024  # that a tail holds; more is waiting only if no follower has run for long
_PATIENCE: Final = 20  # rounds in which the journal's front may vanish under us


class Tail:
    """What the journal holds beyond the archive, for one tenant. Not safe for use by two threads at once."""

    def __init__(self, ledger_root: Path, tenant: str, *, most_bytes: int = MOST_BYTES) -> None:
        self.is_whole = True
        self._most_bytes = most_bytes
        self._journal = journal_directory(ledger_root)
        self._root = ledger_root
        self._logs = class_logs(tenant)
        self._position: Position | None = None
        self._spans: dict[str, list[Span]] = {str(log): [] for log in self._logs}
        self.ends: dict[str, int] = {str(log): 0 for log in self._logs}
        self.sealed: dict[str, int] = {str(log): 0 for log in self._logs}

    def refresh(self, high_water: Mapping[str, int]) -> None:
        """Take in what is new, and let go what the archive holds (every index below `high_water` of its log).

        Afterwards `ends` has the next index of each log and `sealed` its published size, and the spans between
        `high_water` and `ends` are whole. Only if more is waiting than it may hold it stops short of the journal's end:
        then `is_whole` is False, and `sealed` says no more than `ends`. The next refresh goes on from there.

        Raises:
            Tampered: an index is neither below `high_water` nor in the journal, or the journal is damaged.
        """
        self.forget(high_water)
        checkpoints = {log: published_checkpoint(self._root, log) for log in self._logs}  # before the journal: it covers them
        self._read_journal({hash_origin(found.origin)[:8]: str(log) for log, found in checkpoints.items()})
        for log, found in checkpoints.items():
            self.sealed[str(log)] = found.size if self.is_whole else min(found.size, self.ends[str(log)])
            if self.ends[str(log)] < self.sealed[str(log)]:
                raise _gap(str(log), self.ends[str(log)], self.sealed[str(log)])

    def forget(self, high_water: Mapping[str, int]) -> None:
        """Let go every event below `high_water` of its log."""
        for log, spans in self._spans.items():
            mark = high_water.get(log, 0)
            self._spans[log] = [span for span in spans if span.end > mark]
            self.ends[log] = max(self.ends[log], mark)

    def spans(self, log: str, start: int = 0, stop: int | None = None) -> list[Span]:
        """Return the events of a log with start ≤ index < stop, ascending."""
        stop = self.ends[log] if stop is None else stop
        return [span.cut(start, stop) for span in self._spans[log] if start < span.end and span.first < stop]

    def _read_journal(self, names: Mapping[bytes, str]) -> None:
        if self._position is not None and self._is_quiet(self._position):
            self.is_whole = True
            return
        room = self._most_bytes - sum(len(span.payload) for spans in self._spans.values() for span in spans)
        self.is_whole = True
        for _ in range(_PATIENCE):
            try:
                for placed in scan(self._journal, self._position):
                    if room <= 0:
                        self.is_whole = False
                        return
                    room -= self._take(placed.record, names)
                    self._position = placed.end
                    if self._is_quiet(placed.end):
                        return
                return
            except Tampered:
                if not self._was_removed():
                    raise
                self._position = None  # the segment we stood in was removed, as it may be: begin again at the oldest
        raise Tampered("the journal's segments keep vanishing", hint="ask who removes files in it", code="journal_damaged")

    def _is_quiet(self, here: Position) -> bool:
        """Tell whether the journal plainly ends here; `scan` would search a whole segment of zeros to be sure.

        A record lost at this very place would look the same, but not for longer than until the next sealing.
        """
        if segment_file(self._journal, here.segment + 1).exists():
            return False
        try:
            descriptor = os.open(segment_file(self._journal, here.segment), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not any(os.pread(descriptor, HEADER_SIZE, here.offset))
        finally:
            os.close(descriptor)

    def _was_removed(self) -> bool:
        numbers = segment_numbers(self._journal)
        return self._position is not None and bool(numbers) and numbers[0] > self._position.segment

    def _take(self, record: Record, names: Mapping[bytes, str]) -> int:
        """Keep what is new in a record; return how many bytes that is."""
        log = names.get(record.header.origin_hash)
        if log is None or record.end_index <= self.ends[log]:
            return 0  # another tenant's, the anchor's, or known already
        if record.header.first_index > self.ends[log]:
            raise _gap(log, self.ends[log], record.header.first_index)
        span = _span(record).cut(self.ends[log], record.end_index)
        self._spans[log].append(span)
        self.ends[log] = record.end_index
        return len(span.payload)


def published_checkpoint(ledger_root: Path, log: LogName) -> Checkpoint:
    """Return what the log's public checkpoint says; its signatures are not looked at.

    Raises:
        Tampered: it is missing (a log is born with one), or cannot be read.
    """
    try:
        return parse_checkpoint(read_unverified_text(checkpoint_file(ledger_root, log).read_bytes()))
    except (OSError, JuratError) as error:
        raise Tampered(
            f"the public checkpoint of log `{log}` cannot be read: {_reason(error)}",
            hint="restart the ledger, which publishes the note that its lock store keeps; then run `jurat verify`",
            code="checkpoint_bad",
            log=str(log),
        ) from error


def _reason(error: OSError | JuratError) -> str:
    return error.detail if isinstance(error, JuratError) else (error.strerror or str(error)).lower()


def _span(record: Record) -> Span:
    count, body = record.header.count, record.body
    sizes_at, payload_at = count * ENTRY_SIZE, count * (ENTRY_SIZE + 4)
    return Span(record.header.first_index, count, body[:sizes_at], body[sizes_at:payload_at], body[payload_at:])


def _gap(log: str, start: int, stop: int) -> Tampered:
    return Tampered(
        f"events {start} to {stop - 1} of log `{log}` are neither in the archive nor in the journal",
        hint="run `jurat verify`; if a part of the ledger was restored or removed, put the whole of it back",
        code="entries_missing",
        log=log,
        first=start,
        last=stop - 1,
    )
