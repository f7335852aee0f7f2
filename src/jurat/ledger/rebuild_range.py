"""The hashes of a stretch of a log, made again from what the archive's rows say and nothing else, beside those that were sealed.

`verify` asks whether each row fits the entry at its place; this asks the other way round: would the rows alone give the log
again? Each row becomes an entry (its commitment from salt and bytes, where they are left), each entry a leaf hash, and every
index of the stretch must be hit once. Reads the archive's own bounded steps; never raises for what it finds there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jurat.core.errors import JuratError
from jurat.domain.facts_keeping import Places
from jurat.ledger.arrays import ENTRY_FIELDS
from jurat.ledger.completeness import Finding, RangeReport, Span
from jurat.ledger.faults import runs_of
from jurat.ledger.layout import LogName, events_directory, hash_origin
from jurat.ledger.manifest import Manifest, Part, read_manifest
from jurat.ledger.parts import read_part
from jurat.ledger.rows import binary_values
from jurat.ledger.verify_events import commit_all
from jurat.ledger.verify_log import LogFiles
from jurat.ledger.verify_tombstones import gather_tombstones
from jurat.merkle.entry import ENTRY_SIZE
from jurat.merkle.many import split_digests
from jurat.merkle.tree import HASH_SIZE, Frontier, hash_joined_leaves

_CLEAR: Final = ("kind_code", "producer", "epoch", "seq", "received_ns")
_COLUMNS: Final = ["idx", *_CLEAR, "commitment", "salt", "raw"]
_CHUNK: Final = 65_536  # entries
_WINDOW: Final = 8_192  # hashes read at once
_PATIENCE: Final = 3  # times that the archive may move on while it is read
_MOST_LISTED: Final = 100  # findings of one log and kind


def rebuild_ranges(
    ledger_root: Path, logs: Sequence[LogName], origins: Mapping[LogName, str], span: Span
) -> tuple[list[RangeReport], list[Finding]]:
    """Rebuild what each log received within a span of time; return what was rebuilt, and what could not be.

    May run beside the archive's follower: if that swapped files meanwhile, it is done again.

    Args:
        origins: of each log; that of the `configuration` log says where tombstones are.
    """
    reports: list[RangeReport] = []
    findings: list[Finding] = []
    for tenant in sorted({log.tenant for log in logs}):
        mine = [log for log in logs if log.tenant == tenant]
        for left in range(_PATIENCE, -1, -1):
            found: list[Finding] = []
            try:
                manifest = read_manifest(events_directory(ledger_root, tenant))
            except (JuratError, OSError) as error:
                findings.append(_finding("rows_unreadable", tenant, f"the list of files cannot be read: {getattr(error, 'detail', error)}"))
                break
            made = _rebuild_tenant(ledger_root, tenant, mine, origins, span, manifest, found)
            if not found or not left or not _has_moved(ledger_root, tenant, manifest):
                reports, findings = reports + made, findings + found
                break
    return reports, findings


def _rebuild_tenant(
    ledger_root: Path, tenant: str, logs: Sequence[LogName], origins: Mapping[LogName, str], span: Span, manifest: Manifest,
    findings: list[Finding],
) -> list[RangeReport]:  # fmt: skip
    expired, directory = _expired(ledger_root, tenant, origins), events_directory(ledger_root, tenant)
    made = []
    for log in logs:
        files = LogFiles(log.directory(ledger_root), log.entry_size)
        first, end = _stretch(files, span)
        rebuild = _Rebuild(files, RangeReport(log=str(log), first=first, end=end), manifest.high_water.get(str(log), 0), findings)
        for part in manifest.parts_of([str(log)]):
            if part.first < end and part.last >= first:
                rebuild.take(directory, part)
        rebuild.finish([(each.first, each.last) for each in expired.get(str(log), ())])
        made.append(rebuild.report)
    return made


def _has_moved(ledger_root: Path, tenant: str, manifest: Manifest) -> bool:
    try:
        return read_manifest(events_directory(ledger_root, tenant)).number != manifest.number
    except (JuratError, OSError):
        return False


class _Rebuild:
    def __init__(self, files: LogFiles, report: RangeReport, high_water: int, findings: list[Finding]) -> None:
        self.files, self.report, self.high_water, self.findings = files, report, high_water, findings
        self.seen = np.zeros(report.end - report.first, np.uint16)
        self.differing: list[int] = []

    def take(self, events_dir: Path, part: Part) -> None:
        """Rebuild what one file holds of the stretch."""
        try:
            for table in read_part(events_dir / part.path, columns=_COLUMNS, start=self.report.first):
                for batch in table.combine_chunks().to_batches():
                    self._rows(batch)
        except (JuratError, OSError, ValueError, pa.ArrowException) as error:
            self._find("rows_unreadable", f"{part.path}: {getattr(error, 'detail', error)}")

    def finish(self, expired: Sequence[tuple[int, int]]) -> None:
        """Say what is missing and cannot be explained, and the root if nothing is."""
        report, first = self.report, self.report.first
        archived = max(0, min(report.end, self.high_water) - first)
        report.waiting = len(self.seen) - archived
        gone = np.flatnonzero(self.seen[:archived] == 0) + first
        may_be_gone = np.zeros(len(gone), np.bool_)
        for begin, last in expired:
            may_be_gone |= (gone >= begin) & (gone <= last)
        report.expired = int(may_be_gone.sum())
        for what, indexes, why in (
            ("rows_missing", gone[~may_be_gone], "the archive has no row, and no tombstone says that it went"),
            ("rows_doubled", np.flatnonzero(self.seen > 1) + first, "the archive has more than one row"),
            ("rows_differ", np.array(self.differing, np.int64), "the row does not give the leaf that was sealed"),
        ):
            for number, (begin, last) in enumerate(runs_of(indexes.tolist())):
                if number == _MOST_LISTED:
                    self._find(what, "and more of this kind")
                    break
                self._find(what, f"#{begin}" + (f"–{last}" if last > begin else "") + f": {why}")
        report.rebuilt = int((self.seen == 1).sum()) - len(set(self.differing))
        if len(self.seen) and report.rebuilt == len(self.seen):
            frontier = Frontier()
            for begin in range(first, report.end, _CHUNK):
                frontier.extend_joined(self.files.read("L0", begin, min(report.end, begin + _CHUNK)))
            report.root = frontier.root().hex()

    def _rows(self, batch: pa.RecordBatch) -> None:
        batch = batch.filter(pa.array(batch["idx"].to_numpy() < self.report.end))
        if not batch.num_rows:
            return
        indexes: npt.NDArray[np.int64] = batch["idx"].to_numpy().astype(np.int64)
        rows = np.zeros(len(indexes), ENTRY_FIELDS)
        rows["version"] = 1
        for name in _CLEAR:
            rows[name] = batch[name].to_numpy()
        salts, raws = binary_values(batch["salt"]), binary_values(batch["raw"])
        stored = binary_values(batch["commitment"])
        is_empty = [salt is None and raw is None for salt, raw in zip(salts, raws, strict=True)]
        commitments = [old if gone else new for old, new, gone in zip(stored, commit_all(salts, raws), is_empty, strict=True)]
        rows["commitment"] = np.frombuffer(b"".join(each or bytes(32) for each in commitments), "V32")
        self.report.erased += sum(is_empty)
        leaves = split_digests(hash_joined_leaves(rows.tobytes(), ENTRY_SIZE))
        np.add.at(self.seen, indexes - self.report.first, 1)
        for at, (index, sealed) in enumerate(zip(indexes.tolist(), self._sealed(indexes), strict=True)):
            if sealed != leaves[at]:
                self.differing.append(index)

    def _sealed(self, indexes: npt.NDArray[np.int64]) -> Iterator[bytes]:
        """Yield the stored leaf hash at each of these ascending indexes, read in windows."""
        begin = end = 0
        window = b""
        for index in indexes.tolist():
            if not begin <= index < end:
                begin, end = index, min(index + _WINDOW, self.report.end)
                window = self.files.read("L0", begin, end)
            yield window[(index - begin) * HASH_SIZE : (index - begin + 1) * HASH_SIZE]

    def _find(self, what: str, detail: str) -> None:
        self.findings.append(_finding(what, self.report.log, detail))


def _finding(what: str, log: str, detail: str) -> Finding:
    return Finding(what=what, log=log, producer=0, epoch=0, detail=detail)


def _stretch(files: LogFiles, span: Span) -> tuple[int, int]:
    """Return the indexes [first, end) of what was received within a span; times never go back inside a log."""
    size = files.count("entries")

    def place(wanted_ns: int) -> int:
        low, high = 0, size
        while low < high:
            middle = (low + high) // 2
            entry = files.entries(middle, middle + 1)
            if not entry or int.from_bytes(entry[0][19:27]) < wanted_ns:
                low = middle + 1
            else:
                high = middle
        return low

    first = 0 if span.from_ns is None else place(span.from_ns)
    return first, max(first, size if span.to_ns is None else place(span.to_ns))


def _expired(ledger_root: Path, tenant: str, origins: Mapping[LogName, str]) -> Places:
    log = LogName(tenant, "configuration")
    files = LogFiles(log.directory(ledger_root), log.entry_size)
    if log not in origins:
        return {}
    found = gather_tombstones(ledger_root, tenant, files, hash_origin(origins[log])[:8], files.count("entries"))
    return found.expired
