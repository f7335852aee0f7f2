"""Merging small parts into larger ones, without changing a row and without laundering a damaged one.

The parts of one log, kind and day cover ascending, disjoint ranges of indexes; so a merge is a concatenation, streamed
one row group at a time. Before it counts, the merged file is read back: same indexes, same commitments.
Which parts are worth it: a run in which the largest has at most half of the rows. Then every rewrite at least
doubles the part a row lies in, so a row is rewritten some twenty times at most, and few parts are ever left.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from jurat.core.digests import digest_file
from jurat.core.errors import Tampered
from jurat.ledger.manifest import Part
from jurat.ledger.parts import damaged_part, missing_part, read_part, write_part

FULL_BYTES: Final = 128 * 1024 * 1024  # a part is merged until it has as much, or
FULL_ROWS: Final = 2_000_000  # so many
_GATHER: Final = 8  # parts of the current day before a merge is worth its while


def choose_runs(parts: Sequence[Part], *, eager: bool) -> list[list[Part]]:
    """Return the runs of neighbours to merge, each into one part.

    Args:
        parts: of one log, kind and day, ascending.
        eager: merge any two; else only where eight have gathered and the largest has at most half of the rows.
    """
    runs: list[list[Part]] = []
    for stretch in _stretches(parts):
        if eager:
            runs += [stretch] if len(stretch) > 1 else []
            continue
        for start in range(len(stretch) - _GATHER + 1):
            run = stretch[start:]
            if 2 * max(part.rows for part in run) <= sum(part.rows for part in run):
                runs.append(run)
                break
    return runs


def _stretches(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Yield neighbours that make one full part together, and the rest; a part that is full already stays as it is."""
    stretch: list[Part] = []
    rows = size_bytes = 0
    for part in parts:
        is_full = part.rows >= FULL_ROWS or part.size_bytes >= FULL_BYTES
        if not is_full:
            stretch.append(part)
            rows, size_bytes = rows + part.rows, size_bytes + part.size_bytes
        if stretch and (is_full or rows >= FULL_ROWS or size_bytes >= FULL_BYTES):
            yield stretch
            stretch, rows, size_bytes = [], 0, 0
    if stretch:
        yield stretch


def merge_parts(events_dir: Path, run: Sequence[Part], *, revision: int) -> Part:
    """Write one part with the rows of `run`, durable and read back once this returns; the old ones stay.

    Args:
        revision: part of the new file's name, so that no name ever stands for two contents.

    Raises:
        Tampered: an old part is not the one in the manifest, or the new one does not hold the same rows.
        Unavailable: the disk refused.
    """
    for part in run:
        _check_unaltered(events_dir, part)
    first, last, rows = run[0].first, run[-1].last, sum(part.rows for part in run)
    path = f"{run[0].path.rpartition('/')[0]}/part-{first}-{last}-r{revision}.parquet"
    before, after = _RowDigest(), _RowDigest()
    done = write_part(events_dir / path, before.watch(table for part in run for table in read_part(events_dir / part.path)), rows=rows)
    for _ in after.watch(read_part(events_dir / path, columns=["idx", "commitment"])):
        pass
    if (before.digest(), done.rows, done.first, done.last) != (after.digest(), rows, first, last):
        (events_dir / path).unlink()
        raise damaged_part(events_dir / path, "after the merge it did not hold the rows that went into it")
    return Part(path, run[0].log, run[0].kind, run[0].date, first, last, rows, done.size_bytes, done.sha256)


def _check_unaltered(events_dir: Path, part: Part) -> None:
    try:
        found = digest_file(events_dir / part.path)
    except OSError:
        raise missing_part(events_dir / part.path) from None
    if found != part.sha256:
        raise damaged_part(events_dir / part.path, f"its digest is `{found}`, expected {part.sha256}")


class _RowDigest:
    """SHA-256 over (index, commitment) of the rows that pass, which must ascend."""

    def __init__(self) -> None:
        self._indexes, self._commitments = hashlib.sha256(), hashlib.sha256()
        self._last = -1

    def watch(self, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
        for table in tables:
            index = table["idx"].to_numpy()
            if len(index) and not (index[0] > self._last and (index[1:] > index[:-1]).all()):
                raise Tampered("the rows of the archive do not ascend by index", hint="run `jurat verify`", code="parquet_altered")
            self._last = int(index[-1]) if len(index) else self._last
            self._indexes.update(index.astype(">u8").tobytes())
            self._commitments.update(b"".join(table["commitment"].to_pylist()))
            yield table

    def digest(self) -> bytes:
        return self._indexes.digest() + self._commitments.digest()
