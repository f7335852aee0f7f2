"""The follower: it moves sealed events from the journal into Parquet, and keeps the manifest that says how far.

    journal ── sealed? ──> part files (tmp, sync, rename) ──> manifest (whole or not) == ARCHIVED ──> the journal may shrink

Only what is below a log's *published* size is taken: that was synced, and can no longer become another event. A log
is flushed as a whole, so that its high-water mark is one number: below it every event is in exactly one part. A crash
before the manifest leaves parts that nobody lists; the next start deletes them and writes them again.
One follower per tenant, held by a lock. Knows time and files; the bytes are `tail`'s, the columns `rows`'.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec
import pyarrow as pa

from jurat.core.clock import Clock, SystemClock
from jurat.core.errors import Conflict, Unavailable
from jurat.core.files import sync_directory
from jurat.ledger.compact import choose_runs, merge_parts
from jurat.ledger.crash_points import reach
from jurat.ledger.layout import LogName, class_logs, events_directory
from jurat.ledger.manifest import Manifest, Part, Retired, read_manifest, write_manifest
from jurat.ledger.parts import write_part
from jurat.ledger.rows import date_of, split_by_kind_and_day, table_of
from jurat.ledger.tail import Tail
from jurat.merkle.entry import ENTRY_SIZE, unpack_entry

FLUSH_ROWS: Final = 100_000  # of one log
FLUSH_AGE_S: Final = 60.0  # of a log's oldest event that waits
GRACE_S: Final = 120.0  # a replaced file stays until the longest query over it must be over
_MERGED_BYTES: Final = 512 * 1024 * 1024  # in one call: some ten seconds
_TABLE_ROWS: Final = 100_000  # of one log in memory at once as columns: a part has as many, until it is merged
_STEP_ROWS: Final = 400_000  # of one log in one manifest, and
_TAIL_BYTES: Final = 256 * 1024 * 1024  # that are read ahead: they bound memory when there is much to catch up


class Follower:
    """Keeps one tenant's archive. Use it as a context, or `close` it; its lock goes with the process.

    Raises:
        Conflict: another follower keeps this archive.
        Tampered: the manifest is damaged, or events are neither in the archive nor in the journal.
    """

    def __init__(
        self,
        ledger_root: Path,
        tenant: str,
        *,
        clock: Clock | None = None,
        flush_rows: int = FLUSH_ROWS,
        flush_age_s: float = FLUSH_AGE_S,
        grace_s: float = GRACE_S,
    ) -> None:
        self._events = events_directory(ledger_root, tenant)
        self._logs = class_logs(tenant)
        self._clock = clock or SystemClock()
        self._flush_rows, self._flush_age_s, self._grace_s = flush_rows, flush_age_s, grace_s
        self._lock = _lock(self._events, tenant)
        try:
            self._manifest = read_manifest(self._events)
            self._tail = Tail(ledger_root, tenant, most_bytes=_TAIL_BYTES)
            self._tail.refresh(self._manifest.high_water)  # before anything is deleted: the journal has what the archive lacks
            self._remove_unlisted()
        except BaseException:
            self.close()
            raise

    def step(self, *, flush: bool = False) -> int:
        """Archive what is due; return how many rows were written. Doing it again does nothing more.

        A log is due when 100,000 of its sealed events wait, or one of them has waited 60 s, or with `flush`.

        Raises:
            Unavailable: the disk refused; nothing is listed that is not there, and the next step tries again.
            Tampered: see `Tail.refresh`.
        """
        written = 0
        while True:
            self._tail.refresh(self._manifest.high_water)
            more = self._archive_due(flush=flush or not self._tail.is_whole)
            written += more
            if self._tail.is_whole or not more:
                return written

    def compact(self, *, everything: bool = False) -> int:
        """Merge small parts of one log, kind and day; return how many files went away.

        Parts of days gone by are merged as soon as there are two, today's when enough of them have gathered.
        Replaced files are deleted at a later call, after the longest query.

        Raises:
            Tampered: a part is not what the manifest says, or the merged rows are not the same rows. Nothing was swapped.
        """
        today = date_of(self._clock.now_ns())
        parts, merged, gone = list(self._manifest.parts), [], []
        parts.sort(key=_place)
        spent_bytes = 0
        for (_, _, date), group in groupby(parts, key=lambda part: (part.log, part.kind, part.date)):
            for run in choose_runs(list(group), eager=everything or date < today):
                if spent_bytes > _MERGED_BYTES and not everything:
                    break  # the next call goes on: whoever wants the archive must not wait for all of it
                spent_bytes += sum(part.size_bytes for part in run)
                merged.append(merge_parts(self._events, run, revision=self._manifest.number + 1))
                gone += run
        now_ns = self._clock.now_ns()
        expired = [old for old in self._manifest.retired if now_ns - old.retired_ns >= self._grace_s * 1e9]
        if gone or expired:
            kept = sorted([*(part for part in parts if part not in gone), *merged], key=_place)
            retired = [old for old in self._manifest.retired if old not in expired]
            retired += [Retired(part.path, now_ns) for part in gone]
            self._commit(parts=tuple(kept), retired=tuple(retired))
            for old in expired:
                (self._events / old.path).unlink(missing_ok=True)
        return len(gone) - len(merged)

    def close(self) -> None:
        """Let another follower take over."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def swap(self, old: Sequence[Part], new: Sequence[Part]) -> list[str]:
        """List `new` parts in the place of `old` ones, and delete at once what is not listed any more; return which files went.

        Without the grace that a merge leaves to running queries: what those files hold must be gone. Such a query asks again.
        """
        listed = {part.path for part in self._manifest.parts}
        assert all(part.path in listed for part in old)
        gone = {part.path for part in old} | {each.path for each in self._manifest.retired}
        if gone:
            kept = sorted([*(part for part in self._manifest.parts if part.path not in gone), *new], key=_place)
            self._commit(parts=tuple(kept), retired=())
        reach("erase_after_manifest")
        removed = sorted(path for path in gone if (self._events / path).exists())
        for path in removed:
            (self._events / path).unlink()
        for folder in {(self._events / path).parent for path in removed}:
            sync_directory(folder)
        return removed

    @property
    def directory(self) -> Path:
        """Where the archive lies."""
        return self._events

    @property
    def manifest(self) -> Manifest:
        """The manifest that holds."""
        return self._manifest

    def _archive_due(self, *, flush: bool) -> int:
        written = 0
        while due := [log for log in self._logs if self._is_due(str(log), flush=flush)]:
            high_water, parts = dict(self._manifest.high_water), list(self._manifest.parts)
            for log in due:
                start = high_water.get(str(log), 0)
                high_water[str(log)] = min(self._tail.sealed[str(log)], start + _STEP_ROWS)
                parts += self._write_parts(log, start, high_water[str(log)])
                written += high_water[str(log)] - start
            self._commit(high_water=high_water, parts=tuple(parts))
            self._tail.forget(high_water)
        return written

    def _is_due(self, log: str, *, flush: bool) -> bool:
        start = self._manifest.high_water.get(log, 0)
        waiting = self._tail.sealed[log] - start
        if waiting <= 0:
            return False
        if flush or waiting >= self._flush_rows:
            return True
        oldest = unpack_entry(self._tail.spans(log, start, start + 1)[0].entries[:ENTRY_SIZE])
        return self._clock.now_ns() - oldest.received_ns >= self._flush_age_s * 1e9

    def _write_parts(self, log: LogName, start: int, stop: int) -> list[Part]:
        """Write the events [start, stop). While a hundred thousand are encoded and synced, the next become columns."""
        begin = min(start + _TABLE_ROWS, stop)
        table, parts = table_of(self._tail.spans(str(log), start, begin)), []
        with ThreadPoolExecutor(1) as writer:
            for first in range(begin, stop, _TABLE_ROWS):
                written = writer.submit(self._write_table, log, table)
                table = table_of(self._tail.spans(str(log), first, min(first + _TABLE_ROWS, stop)))
                parts += written.result()
        return parts + self._write_table(log, table)

    def _write_table(self, log: LogName, table: pa.Table) -> list[Part]:
        parts = []
        for kind, date, rows in split_by_kind_and_day(table):
            first, last = rows["idx"][0].as_py(), rows["idx"][-1].as_py()
            path = f"class={log.name}/kind={kind}/date={date}/part-{first}-{last}.parquet"
            done = write_part(self._events / path, [rows], rows=rows.num_rows)
            parts.append(Part(path, str(log), kind, date, done.first, done.last, done.rows, done.size_bytes, done.sha256))
        return parts

    def _commit(self, **changes: object) -> None:
        self._manifest = write_manifest(self._events, msgspec.structs.replace(self._manifest, number=self._manifest.number + 1, **changes))

    def _remove_unlisted(self) -> None:
        listed = {part.path for part in self._manifest.parts} | {old.path for old in self._manifest.retired}
        for path in self._events.rglob("*"):
            if path.suffix in {".parquet", ".tmp"} and str(path.relative_to(self._events)) not in listed:
                path.unlink()


def _place(part: Part) -> tuple[str, str, str, int]:
    return part.log, part.kind, part.date, part.first


def _lock(events: Path, tenant: str) -> int:
    """Return a descriptor that holds the archive's lock until it is closed."""
    try:
        events.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(events / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(
            f"the archive `{events}` cannot be opened: {(error.strerror or str(error)).lower()}",
            hint="is the volume of the ledger mounted, and may this user write to it?",
            code="storage_failed",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise Conflict(
            f"another process keeps the archive of tenant `{tenant}`", hint="there may be one `jurat serve` only", code="archive_locked"
        ) from None
    return descriptor
