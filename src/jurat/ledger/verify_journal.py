"""The journal against the logs: every record that is still there, also behind damage.

`journal.scan` says whether the journal as a whole is sound. Where it stops, whatever sound headers lie behind are
looked at too, and bodies with a wrong CRC as well: the commitments then tell event by event which are the sealed ones.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from jurat.core.errors import JuratError
from jurat.ledger.arrays import ENTRY_FIELDS
from jurat.ledger.faults import Faults
from jurat.ledger.journal import Position, scan, segment_file, segment_numbers
from jurat.ledger.layout import journal_directory
from jurat.ledger.record import HEADER_SIZE, MAGIC, Header, Record, unpack_header, unpack_record
from jurat.ledger.verify_events import EventCheck, Tick
from jurat.merkle.entry import ANCHOR_ENTRY_SIZE, ENTRY_SIZE, SALT_SIZE

JOURNAL = "journal"


def check_journal(ledger_root: Path, checks: Mapping[bytes, EventCheck], faults: Faults, tick: Tick) -> None:
    """Check every record of the journal. `checks` by the first 8 bytes of the origin's hash."""
    directory = journal_directory(ledger_root)
    end: Position | None = None
    try:
        for placed in scan(directory):
            end = placed.end
            file = _name(directory, placed.start.segment, placed.start.offset)
            check = checks.get(placed.record.header.origin_hash)
            if check is None:
                faults.add(JOURNAL, "journal_altered", "a record of a log that is not in the given keys", file=file)
            else:
                _take(check, placed.record.header, placed.record.body, file)
            tick(placed.record.header.count)
    except JuratError as error:
        faults.add(JOURNAL, "journal_altered", error.detail, file=_name(directory, end.segment, end.offset) if end else "journal")
    except OSError as error:
        faults.add(JOURNAL, "journal_altered", f"it cannot be read: {(error.strerror or str(error)).lower()}", file="journal")
    for segment, offset, header, body, is_sound in _salvage(directory, end):
        check = checks.get(header.origin_hash)
        if check is None or header.first_index >= check.size:
            continue  # an unsealed record behind the end is a group that is being written, or a torn one
        file = _name(directory, segment, offset)
        if not is_sound:
            faults.add(
                check.log, "journal_altered", "a record's body is not what its header says", index=header.first_index,
                last_index=header.first_index + header.count - 1, file=file,
            )  # fmt: skip
        _take(check, header, body, file)


def _take(check: EventCheck, header: Header, body: bytes, file: str) -> None:
    """Hand the events of a body, sound or not, to the check of their log."""
    entry_size = check.files.stride - 2
    entries = body[: header.count * entry_size]
    if len(entries) != header.count * entry_size:
        return
    if entry_size == ANCHOR_ENTRY_SIZE:
        check.check_entries(header.first_index, [entries[at : at + entry_size] for at in range(0, len(entries), entry_size)], file)
        return
    at = header.count * (ENTRY_SIZE + 4)
    if len(body) < at:
        return
    salts, raws = [], []
    for size in struct.unpack_from(f">{header.count}I", body, header.count * ENTRY_SIZE):
        salts.append(body[at : at + SALT_SIZE])
        raws.append(body[at + SALT_SIZE : at + SALT_SIZE + size])
        at += SALT_SIZE + size
    first, end = header.first_index, min(header.first_index + header.count, check.size)
    if first < end:
        check.journaled[first:end] = True
    check.check(np.arange(first, first + header.count, dtype=np.uint64), np.frombuffer(entries, ENTRY_FIELDS), salts, raws, file)


def _salvage(directory: Path, end: Position | None) -> Iterator[tuple[int, int, Header, bytes, bool]]:
    """Yield (segment, offset, header, body, whether the body is sound) of each sound header at or behind `end`."""
    for number in segment_numbers(directory):
        if end is not None and number < end.segment:
            continue
        at = end.offset if end is not None and number == end.segment else 0
        try:
            raw = segment_file(directory, number).read_bytes()
        except OSError:
            continue
        while (at := raw.find(MAGIC, at)) >= 0:
            head = raw[at : at + HEADER_SIZE]
            header = unpack_header(head)
            if header is None:
                at += 1
                continue
            body = raw[at + HEADER_SIZE : at + HEADER_SIZE + header.body_size]
            record: Record | None = unpack_record(head, body)
            yield number, at, header, body, record is not None
            at += HEADER_SIZE if record is None else HEADER_SIZE + header.body_size


def _name(directory: Path, segment: int, offset: int) -> str:
    return f"journal/{segment_file(directory, segment).name}:{offset}"
