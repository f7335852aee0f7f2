"""Expiry in the archive: rows whose time is over go; whole files where all are due, files written anew without them otherwise.

The tombstone is on record, and named in `gone.json`, before this is called; so at no moment is a row missing without a reason.
Doing it again changes nothing. What is due is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from jurat.core.digests import digest_file
from jurat.core.files import sync_directory
from jurat.domain.facts_keeping import Places
from jurat.domain.places import indexes_of
from jurat.ledger.archive import Follower
from jurat.ledger.erase import Rewritten
from jurat.ledger.manifest import Part
from jurat.ledger.parts import damaged_part, missing_part, read_part, write_part


def drop_rows(follower: Follower, events: Places) -> Rewritten:
    """Take these rows out of the archive, durable once this returns; the space of files that held them is free.

    Raises:
        Tampered: a part is not what the manifest says. Nothing was swapped.
        Unavailable: the disk refused. Nothing was swapped.
    """
    wanted = {log: np.fromiter(indexes_of(stretches), np.uint64) for log, stretches in events.items()}
    old: list[Part] = []
    new: list[Part] = []
    for part in follower.manifest.parts:
        mine = wanted.get(part.log)
        if mine is None or not ((mine >= part.first) & (mine <= part.last)).any():
            continue
        left = sum(
            int((~np.isin(table["idx"].to_numpy(), mine)).sum()) for table in read_part(follower.directory / part.path, columns=["idx"])
        )
        if left == part.rows:
            continue
        old.append(part)
        if left:
            new.append(_rewrite(follower.directory, part, mine, left, revision=follower.manifest.number + 1))
    removed = follower.swap(old, new) if old else []
    return Rewritten([part.path for part in new], removed)


def _rewrite(events_dir: Path, part: Part, gone: np.ndarray, rows: int, *, revision: int) -> Part:
    path = events_dir / part.path
    try:
        found = digest_file(path)
    except OSError:
        raise missing_part(path) from None
    if found != part.sha256:
        raise damaged_part(path, f"its digest is `{found}`, expected {part.sha256}")
    folder = part.path.rpartition("/")[0]
    draft = events_dir / folder / f"part-{part.first}-{part.last}-r{revision}.parquet"
    done = write_part(draft, _without(path, gone), rows=rows)
    same = all(before == after for before, after in zip(_rows(_without(path, gone)), _rows(read_part(draft)), strict=True))
    if done.rows != rows or not same:
        draft.unlink()
        raise damaged_part(draft, "written anew it did not hold the rows that stay")
    name = f"{folder}/part-{done.first}-{done.last}-r{revision}.parquet"
    draft.rename(events_dir / name)
    sync_directory(draft.parent)
    return Part(name, part.log, part.kind, part.date, done.first, done.last, done.rows, done.size_bytes, done.sha256)


def _without(path: Path, gone: np.ndarray) -> Iterator[pa.Table]:
    for table in read_part(path):
        kept = table.filter(pa.array(~np.isin(table["idx"].to_numpy(), gone)))
        if kept.num_rows:
            yield kept


def _rows(tables: Iterator[pa.Table]) -> Iterator[dict[str, object]]:
    """Yield row by row: two files of the same rows may cut them into other batches."""
    for table in tables:
        yield from table.to_pylist()
