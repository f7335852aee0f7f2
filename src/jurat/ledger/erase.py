"""Erasure in the archive: content, salts and derived columns become NULL; the entry's columns stay, and say by whose word.

    parts that hold them, written anew beside the old (tmp, sync, rename) → read back → manifest == DONE → old files deleted

Before the manifest nothing has happened, and the next start deletes what nobody lists; after it, old files are deleted, by
this run or by the next. Doing it again changes nothing. Knows files and rows; what may be erased is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jurat.core.digests import digest_file
from jurat.core.errors import Tampered
from jurat.domain.facts_keeping import Places
from jurat.domain.places import indexes_of
from jurat.ledger.archive import Follower
from jurat.ledger.crash_points import reach
from jurat.ledger.manifest import Part
from jurat.ledger.parts import damaged_part, missing_part, read_part, write_part
from jurat.ledger.rows import SCHEMA

KEPT_COLUMNS: Final = frozenset({"idx", "kind_code", "producer", "epoch", "seq", "received_ns", "commitment"})
ERASURE_COLUMNS: Final = frozenset({"erased_at", "erased_reason", "erased_by"})


class Word(NamedTuple):
    """By whose word rows are erased: the tombstone's index in the `configuration` log, when, and why."""

    tombstone: int
    at: datetime
    reason: str


class Rewritten(NamedTuple):
    """What an erasure did to files, by their paths relative to the archive's folder."""

    written: list[str]
    removed: list[str]


def erase_rows(follower: Follower, events: Places, word: Word, *, note: Callable[[Rewritten], None] = lambda _: None) -> Rewritten:
    """Make the rows of these events empty, durable once this returns; the files that held them are deleted.

    Files that were replaced earlier and waited for the last query go too: they may hold the same rows.

    Args:
        note: told which files will be there instead of which, before any of them counts or goes.
    Raises:
        Tampered: an event is not in the archive, or a part is not what the manifest says. Nothing was swapped.
        Unavailable: the disk refused. Nothing was swapped.
    """
    wanted = {log: np.fromiter(indexes_of(stretches), np.uint64) for log, stretches in events.items()}
    old: list[Part] = []
    new: list[Part] = []
    missing = {log: set(indexes.tolist()) for log, indexes in wanted.items()}
    for part in follower.manifest.parts:
        mine = wanted.get(part.log)
        if mine is None or not ((mine >= part.first) & (mine <= part.last)).any():
            continue
        there = _rows_to_erase(follower.directory, part, mine)
        missing[part.log] -= there.seen
        if there.full:
            old.append(part)
            new.append(_rewrite(follower.directory, part, mine, word, revision=follower.manifest.number + 1))
            reach("erase_after_part")
    for log, indexes in missing.items():
        if indexes:
            raise Tampered(f"event {min(indexes)} of log `{log}` is not in the archive", hint="run `jurat verify`", code="row_missing")
    note(Rewritten([part.path for part in new], [*(part.path for part in old), *(each.path for each in follower.manifest.retired)]))
    reach("erase_before_manifest")
    removed = follower.swap(old, new)
    return Rewritten([part.path for part in new], removed)


class _There(NamedTuple):
    seen: set[int]
    full: bool  # one of them still has content


def _rows_to_erase(events_dir: Path, part: Part, wanted: np.ndarray) -> _There:
    seen: set[int] = set()
    full = False
    for table in read_part(events_dir / part.path, columns=["idx", "salt", "erased_by"]):
        chosen = np.isin(table["idx"].to_numpy(), wanted)
        if chosen.any():
            rows = table.filter(pa.array(chosen))
            seen.update(rows["idx"].to_pylist())
            full = full or rows["erased_by"].null_count > 0 or rows["salt"].null_count < rows.num_rows
    return _There(seen, full)


def _rewrite(events_dir: Path, part: Part, wanted: np.ndarray, word: Word, *, revision: int) -> Part:
    path = events_dir / part.path
    try:
        found = digest_file(path)
    except OSError:
        raise missing_part(path) from None
    if found != part.sha256:
        raise damaged_part(path, f"its digest is `{found}`, expected {part.sha256}")
    name = f"{part.path.rpartition('/')[0]}/part-{part.first}-{part.last}-r{revision}.parquet"
    emptied = (_empty(table, np.isin(table["idx"].to_numpy(), wanted), word) for table in read_part(path))
    done = write_part(events_dir / name, emptied, rows=part.rows)
    _compare(path, events_dir / name, wanted)
    return Part(name, part.log, part.kind, part.date, done.first, done.last, done.rows, done.size_bytes, done.sha256)


def _empty(table: pa.Table, chosen: np.ndarray, word: Word) -> pa.Table:
    """Return the rows with the chosen ones emptied. Rows that were erased before keep their first word."""
    if not chosen.any():
        return table
    fresh = pa.array(chosen & table["erased_by"].is_null().to_numpy())
    says = {"erased_at": word.at, "erased_reason": word.reason, "erased_by": word.tombstone}
    columns = []
    for field in SCHEMA:
        column = table[field.name].combine_chunks()
        if field.name in ERASURE_COLUMNS:
            column = pc.if_else(fresh, pa.scalar(says[field.name], field.type), column)
        elif field.name not in KEPT_COLUMNS:
            column = pc.if_else(fresh, pa.scalar(None, field.type), column)
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _compare(old: Path, new: Path, wanted: np.ndarray) -> None:
    """Pass if the new file, read back, is the old one but for the content of the wanted rows, which is gone."""
    for before, after in zip(_groups(old), _groups(new), strict=True):
        chosen = np.isin(before["idx"].to_numpy(), wanted)
        same = all(before[name].equals(after[name]) for name in KEPT_COLUMNS)
        untouched = before.filter(pa.array(~chosen)).equals(after.filter(pa.array(~chosen)))
        gone = after.filter(pa.array(chosen))
        emptied = all(gone[name].null_count == gone.num_rows for name in set(SCHEMA.names) - KEPT_COLUMNS - ERASURE_COLUMNS)
        if not (same and untouched and emptied):
            new.unlink()
            raise damaged_part(new, "written anew it did not hold what it should")


def _groups(path: Path) -> Iterator[pa.Table]:
    for table in read_part(path):
        yield table.combine_chunks()
