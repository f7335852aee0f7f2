"""One Parquet part on disk: written whole or not at all, read in bounded memory.

zstd level 1 (3 is slower *and* larger here), row groups of 100,000, bloom filters on what people look needles up by.
Knows files and Arrow tables; which parts count is `manifest`'s, when they are written is `archive`'s.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jurat.core.errors import Tampered, Unavailable
from jurat.core.files import sync_directory
from jurat.ledger.rows import SCHEMA

ROW_GROUP: Final = 100_000
_BLOOM: Final = ("event_id", "principal", "resource", "prediction")
_DICTIONARY: Final = ["kind_code", "producer", "epoch", "principal", "resource", "effect", "version", "outcome"]
_DELTA: Final = dict.fromkeys(("idx", "seq", "received_ns", "occurred_at"), "DELTA_BINARY_PACKED")
_NO_STATISTICS: Final = {"commitment", "salt", "raw"}  # their smallest and largest value in a footer would help nobody


class WrittenFile(NamedTuple):
    """What is true of a part on disk."""

    first: int
    last: int
    rows: int
    size_bytes: int
    sha256: str


def write_part(path: Path, tables: Iterable[pa.Table], *, rows: int) -> WrittenFile:
    """Put the rows of `tables` into one Parquet file at `path`; durable once this returns.

    Holds one row group in memory. Written to a neighbour, synced, renamed, and the directory synced.

    Args:
        tables: at least one row in all; ascending by `idx` over all of them.
        rows: how many there will be, to size the bloom filters.

    Raises:
        Unavailable: the disk refused; nothing lies at `path`.
    """
    neighbour = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        _make_directory(path.parent)
        try:
            first, last, written = _write_rows(neighbour, tables, rows)
            with neighbour.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(file.fileno())
                size_bytes = os.fstat(file.fileno()).st_size
            neighbour.rename(path)
        finally:
            neighbour.unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise Unavailable(
            f"the archive could not write `{path.name}`: {(error.strerror or str(error)).lower()}",
            hint="free some space or repair the volume; until then the events are safe in the journal",
            code="storage_failed",
        ) from error
    return WrittenFile(first, last, written, size_bytes, f"sha256:{digest}")


def read_part(path: Path, *, columns: list[str] | None = None, start: int = 0) -> Iterator[pa.Table]:
    """Yield the rows with index ≥ `start` in their order, a few thousand at a time.

    Raises:
        Tampered: the file is missing, or is not a part of ours.
    """
    try:
        with pq.ParquetFile(path) as file:
            groups = [number for number in range(file.num_row_groups) if _reaches(file, number, start)]
            for batch in file.iter_batches(batch_size=8_192, row_groups=groups, columns=columns, use_threads=False):
                table = pa.Table.from_batches([batch])
                yield table if start == 0 else table.slice(int(np.searchsorted(table["idx"].to_numpy(), np.uint64(start))))
    except FileNotFoundError:
        raise missing_part(path) from None
    except (OSError, KeyError, pa.ArrowException) as error:
        raise damaged_part(path, str(error)) from error


def missing_part(path: Path) -> Tampered:
    return Tampered(
        f"part `{path.name}` of the archive is missing, but the manifest lists it",
        hint="run `jurat verify` to see what is gone; restore the file from a backup, and ask who had access to the volume",
        code="part_missing",
        file=str(path),
    )


def damaged_part(path: Path, why: str) -> Tampered:
    return Tampered(
        f"part `{path.name}` of the archive is damaged: {why[:200].lower()}",
        hint="run `jurat verify` to see which events; restore the file from a backup, and ask who had access to the volume",
        code="parquet_altered",
        file=str(path),
    )


def _write_rows(path: Path, tables: Iterable[pa.Table], rows: int) -> tuple[int, int, int]:
    first, last, written = -1, -1, 0
    with pq.ParquetWriter(
        path,
        SCHEMA,
        compression="zstd",
        compression_level=1,
        use_dictionary=_DICTIONARY,
        column_encoding=_DELTA,
        write_statistics=[name for name in SCHEMA.names if name not in _NO_STATISTICS],
        bloom_filter_options={name: {"ndv": min(rows, ROW_GROUP), "fpp": 0.01} for name in _BLOOM},
        store_schema=False,
    ) as writer:
        for table in _in_row_groups(tables):
            first = table["idx"][0].as_py() if first < 0 else first
            last = table["idx"][-1].as_py()
            written += table.num_rows
            writer.write_table(table, row_group_size=ROW_GROUP)
    assert written, "a part without rows"
    return first, last, written


def _reaches(file: pq.ParquetFile, group: int, start: int) -> bool:
    """Tell whether a row group may have indexes from `start` on, by its statistics."""
    statistics = file.metadata.row_group(group).column(0).statistics
    return statistics is None or not statistics.has_min_max or statistics.max >= start


def _in_row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the same rows in tables of one row group each, the last one shorter."""
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += table.num_rows
        while count >= ROW_GROUP:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, ROW_GROUP)
            waiting, count = [joined.slice(ROW_GROUP)], count - ROW_GROUP
    if count:
        yield pa.concat_tables(waiting)


def _make_directory(directory: Path) -> None:
    """Make a directory and its parents, their names durable."""
    if directory.is_dir():
        return
    _make_directory(directory.parent)
    directory.mkdir(exist_ok=True)
    sync_directory(directory.parent)
