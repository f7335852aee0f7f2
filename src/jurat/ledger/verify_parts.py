"""The archive against the logs: every part that the manifest lists, every row, every column.

The columns that people search by are derived again from the bytes and compared: an archive that answers something else
than it can prove is a forgery, even if the bytes are untouched. A part whose SHA-256 is wrong is read all the same, as
far as it can be, to say which events are affected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from jurat.core.digests import digest_file
from jurat.core.errors import JuratError
from jurat.domain.facts_keeping import Stretch
from jurat.ledger.arrays import ENTRY_FIELDS
from jurat.ledger.faults import Faults, runs_of
from jurat.ledger.layout import events_directory
from jurat.ledger.manifest import Manifest, Part, read_manifest
from jurat.ledger.rows import SCHEMA, binary_values, date_of, kind_name
from jurat.ledger.shred import Columns, shred_with_kinds
from jurat.ledger.verify_crew import Work, check_in_children
from jurat.ledger.verify_events import EventCheck, Indexes, Rows, Tick, event_id
from jurat.ledger.verify_sizes import PART_SLACK

_BATCH: Final = 8192  # rows
_WORTH_A_PROCESS: Final = 50_000  # rows; fewer are checked sooner than an interpreter starts
_CLEAR: Final = ("kind_code", "producer", "epoch", "seq", "received_ns")


def check_parts(ledger_root: Path, tenant: str, checks: Mapping[str, EventCheck], faults: Faults, tick: Tick, jobs: int = 1) -> int:
    """Check every row of a tenant's archive; return the number of the manifest that was followed. `checks` by log name."""
    directory = events_directory(ledger_root, tenant)
    manifest = _manifest(directory, tenant, faults)
    known: list[tuple[Part, str]] = []
    for part in manifest.parts:
        file = f"{tenant}/events/{part.path}"
        if part.log in checks:
            known.append((part, file))
        else:
            faults.add(part.log, "manifest_altered", "a part of a log that is not in the given keys", file=file)
    if jobs == 1 or len(known) < 2 or sum(part.rows for part, _ in known) < _WORTH_A_PROCESS:
        for part, file in known:
            check_part(directory / part.path, part, file, checks[part.log], faults, tick)
    else:
        work = [
            Work(
                str(directory / part.path),
                part,
                file,
                checks[part.log].size,
                str(checks[part.log].files.directory),
                _marked(checks[part.log].may_be_gone, part),
                _marked(checks[part.log].must_be_gone, part),
                checks[part.log].files.minimum,
            )
            for part, file in known
        ]
        for (part, file), seen in zip(known, check_in_children(work, min(jobs, len(work)), tick), strict=True):
            checks[part.log].merge(seen.indexes, seen.suspects, seen.checked, file)
            for fault in seen.faults:
                faults.take(fault)
    return manifest.number


def check_part(path: Path, part: Part, file: str, check: EventCheck, faults: Faults, tick: Tick) -> None:
    """Check one archive file, of which nothing is believed."""
    _PartCheck(path, part, file, check, faults).run(tick)


def _marked(marks: npt.NDArray[np.bool_], part: Part) -> list[Stretch]:
    first = max(0, part.first)
    return [Stretch(first=a, last=b) for a, b in runs_of((np.flatnonzero(marks[first : part.last + 1]) + first).tolist())]


def _manifest(directory: Path, tenant: str, faults: Faults) -> Manifest:
    try:
        return read_manifest(directory)
    except (JuratError, OSError) as error:
        faults.add(f"{tenant}/events", "manifest_altered", getattr(error, "detail", str(error)), file=f"{tenant}/events")
        return Manifest(parts=tuple(_files_there(directory, tenant)))


def _files_there(directory: Path, tenant: str) -> Iterator[Part]:
    """Yield the files that are there, when no manifest can be believed: to say what is still readable."""
    for path in sorted(directory.glob("class=*/kind=*/date=*/part-*.parquet")):
        name, kind, date = (folder.partition("=")[2] for folder in path.relative_to(directory).parts[:3])
        yield Part(path.relative_to(directory).as_posix(), f"{tenant}/{name}", kind, date, 0, 0, 0, 0, "")


class _PartCheck:
    """One archive file. `faulty` once anything was wrong with the file as a whole."""

    def __init__(self, path: Path, part: Part, file: str, check: EventCheck, faults: Faults) -> None:
        self.path, self.part, self.file, self.check, self.faults = path, part, file, check, faults
        self.faulty = False

    def run(self, tick: Tick) -> None:
        if not self.path.is_file() and self.path.exists():
            self._altered("it is not a file")  # a pipe would keep us waiting
            return
        try:
            size = self.path.stat().st_size
            if self.part.sha256 and size > self.part.size_bytes + PART_SLACK:
                self._altered(f"it has {size} bytes, its manifest says {self.part.size_bytes}; it was not read")
                return
            digest = digest_file(self.path)
        except OSError as error:
            self._altered(f"it cannot be read: {(error.strerror or str(error)).lower()}")
            return
        if self.part.sha256 and digest != self.part.sha256:
            self._altered(f"its digest is `{digest}`, expected `{self.part.sha256}`")
        rows, first, last = 0, None, None
        for batch in self._read():
            indexes: Indexes = batch["idx"].to_numpy()
            rows += len(indexes)
            first, last = int(indexes[0]) if first is None else first, int(indexes[-1])
            self._check_rows(batch, indexes)
            tick(len(indexes))
        if self.part.sha256 and not self.faulty and (rows, first, last) != (self.part.rows, self.part.first, self.part.last):
            self._altered(f"it holds `{rows}` rows from {first} to {last}, its manifest says `{self.part.rows}`")

    def _read(self) -> Iterator[pa.RecordBatch]:
        # The bytes may be anybody's: whatever the decoder makes of them is a fault of the file, never of this program.
        try:
            file = pq.ParquetFile(self.path)
            groups, schema = file.num_row_groups, file.schema_arrow
        except Exception as error:
            self._altered(f"it is no archive file: {_short(error)}")
            return
        with file:
            if (schema.names, schema.types) != (SCHEMA.names, SCHEMA.types):
                self._altered("it has other columns than an archive file")
                return
            for group in range(groups):
                try:
                    for batch in file.iter_batches(batch_size=_BATCH, row_groups=[group], use_threads=False):
                        batch.validate(full=True)
                        if any(column.null_count and not field.nullable for column, field in zip(batch.columns, SCHEMA, strict=True)):
                            raise ValueError("a column that is never empty has no value")
                        if batch.num_rows:
                            yield batch
                except Exception as error:
                    self._altered(f"row group {group} cannot be read: {_short(error)}")
                    self._name_unreadable(file, group)

    def _name_unreadable(self, file: pq.ParquetFile, group: int) -> None:
        """Note which events of a row group cannot be read any more, as far as their indexes and ids still can."""
        try:
            table = file.read_row_group(group, columns=["idx", "event_id"], use_threads=False)
            table.validate(full=True)
            indexes, ids = table["idx"].to_numpy(), table["event_id"].to_pylist()
        except Exception:
            return
        seen = [at for at, index in enumerate(indexes) if index < self.check.size and self.check.archived[int(index)] == 0]
        self.check.count_archived(indexes[seen], self.file)
        for at in seen:
            self._event("event_altered", "its bytes in the archive cannot be read", int(indexes[at]), ids[at])

    def _check_rows(self, batch: pa.RecordBatch, indexes: Indexes) -> None:
        rows: Rows = np.zeros(len(indexes), ENTRY_FIELDS)
        rows["version"] = 1
        for name in _CLEAR:
            rows[name] = batch[name].to_numpy()
        rows["commitment"] = np.frombuffer(b"".join(binary_values(batch["commitment"])), "V32")  # type: ignore[arg-type]
        salts, raws = binary_values(batch["salt"]), binary_values(batch["raw"])
        ids = batch["event_id"]
        columns, kinds = shred_with_kinds([raw or b"" for raw in raws])
        self.check.count_archived(indexes, self.file)
        self.check.check(indexes, rows, salts, raws, self.file, ids.to_pylist() if None in raws else (), kinds)
        covered = self.check.is_covered(indexes)
        for at in [at for at, raw in enumerate(raws) if raw is None or salts[at] is None]:
            if covered[at] and raws[at] is salts[at] is None:
                continue  # erased; what is left was compared with its entry
            self._event("event_altered", "its content is gone, and no erasure covers it", int(indexes[at]), None)
        for name, derived in zip(Columns._fields, columns, strict=True):
            stored, expected = batch[name], pa.array(derived, batch[name].type)
            if not stored.equals(expected):
                for at, (one, other) in enumerate(zip(stored.to_pylist(), expected.to_pylist(), strict=True)):
                    if one != other:
                        detail = f"column `{name}` is not what the event's bytes say"
                        self._event("columns_altered", detail, int(indexes[at]), event_id(raws[at]))
        found = {kind_name(code) for code in np.unique(rows["kind_code"]).tolist()}
        days = {date_of(int(rows["received_ns"].min())), date_of(int(rows["received_ns"].max()))}
        if found != {self.part.kind} or days != {self.part.date}:
            self._altered("it holds events of another kind or day than its path says")

    def _altered(self, detail: str) -> None:
        self.faulty = True
        first, last = (self.part.first, self.part.last) if self.part.sha256 else (None, None)
        self.faults.add(self.part.log, "parquet_altered", detail, index=first, last_index=last, file=self.file)

    def _event(self, what: str, detail: str, index: int, name: str | None) -> None:
        self.faults.add(self.part.log, what, detail, index=index, event_id=name, file=self.file)


def _short(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:160].lower()
