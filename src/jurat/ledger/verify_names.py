"""The names of events at places that are at fault, so that a report says `evt_…` and not only a number.

Asked last and trusted least: the ids come from whatever the archive or the journal now hold at that place.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from jurat.core.errors import JuratError
from jurat.ledger.faults import Fault
from jurat.ledger.journal import scan
from jurat.ledger.keys import LogKeys
from jurat.ledger.layout import events_directory, hash_origin, journal_directory
from jurat.ledger.manifest import read_manifest
from jurat.ledger.verify_events import event_id

_NAMED = {"entry_altered", "entries_swapped", "event_altered", "columns_altered", "sequence_gap", "row_missing", "row_duplicated"}


def name_events(ledger_root: Path, keys: Sequence[LogKeys], faults: Sequence[Fault]) -> None:
    """Fill in the event of each fault that has one place and no name yet, as far as one can be found."""
    unnamed = [fault for fault in faults if fault.what in _NAMED and fault.event_id is None and fault.last_index is None]
    wanted: dict[str, dict[int, str | None]] = {}
    for fault in unnamed:
        if fault.index is not None and "/" in fault.log:
            wanted.setdefault(fault.log, {})[fault.index] = None
    if not wanted:
        return
    for tenant in {log.partition("/")[0] for log in wanted}:
        _look_in_archive(events_directory(ledger_root, tenant), wanted)
    by_hash = {hash_origin(each.origin)[:8]: wanted[each.log] for each in keys if each.log in wanted}
    _look_in_journal(ledger_root, by_hash)
    for fault in unnamed:
        if fault.index is not None:
            fault.event_id = wanted.get(fault.log, {}).get(fault.index)


def _look_in_archive(directory: Path, wanted: dict[str, dict[int, str | None]]) -> None:
    try:
        parts = read_manifest(directory).parts
    except (JuratError, OSError):
        return
    for part in parts:
        names = wanted.get(part.log, {})
        here = [index for index in names if part.first <= index <= part.last]
        if not here:
            continue
        try:
            table = pq.read_table(directory / part.path, columns=["idx", "event_id"], filters=[("idx", "in", here)], partitioning=None)
            names.update(zip(table["idx"].to_pylist(), table["event_id"].to_pylist(), strict=True))
        except Exception:  # noqa: S112 - the decoder may say anything of hostile bytes; a report without this name is still true
            continue


def _look_in_journal(ledger_root: Path, by_hash: dict[bytes, dict[int, str | None]]) -> None:
    try:
        for placed in scan(journal_directory(ledger_root)):
            names = by_hash.get(placed.record.header.origin_hash, {})
            if not any(placed.record.header.first_index <= index < placed.record.end_index for index in names):
                continue
            for index, (_, raw) in enumerate(placed.record.payloads(), start=placed.record.header.first_index):
                if index in names and names[index] is None:
                    names[index] = event_id(raw)
    except (JuratError, OSError):
        return
