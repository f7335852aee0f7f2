"""Reading what happened: one answer from two sources, without a gap and without a double.

    archive (Parquet parts of the manifest)   every index below the log's high-water mark
    tail    (the journal, still encoded)      every index from there on

The manifest is read once, then the journal from its high-water mark: whatever the follower swaps meanwhile, the two
still join. Every event that leaves here was checked against its commitment, and a looked-up one against the log's
entries too; an answer that cannot be whole is an error. Who may ask is not decided here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import chain, groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import pyarrow as pa

from jurat.core.clock import from_ns
from jurat.core.errors import Exhausted, JuratError, Malformed, NotFound, Tampered, Unavailable
from jurat.core.ids import made_at_ns
from jurat.domain.events import decode_event
from jurat.domain.facts_keeping import ErasureApproved, EventsExpired, Places
from jurat.domain.kinds import OBSERVED_CODES, RetentionClass, kind_named
from jurat.domain.places import covers, indexes_of
from jurat.ledger.gone import NOTHING, Gone, read_gone
from jurat.ledger.layout import LogName, class_logs, events_directory, parse_log_name
from jurat.ledger.manifest import Manifest, read_manifest
from jurat.ledger.rows import Span, kind_code, table_of
from jurat.ledger.shred import shred
from jurat.ledger.sql import Reader, Source, join_tails, with_partition
from jurat.ledger.sql_child import Parameter, Request, run_in_child
from jurat.ledger.stored import STORED_COLUMNS, StoredEvent, check_against_entries, events_of_parts, events_of_span, events_of_table
from jurat.ledger.tail import Tail

T = TypeVar("T")
_LOOKUP_TIMEOUT_S = 60.0
_LOOKUP_ROWS = 10_000
_CLOCKS_APART = timedelta(days=1)


class Snapshot(NamedTuple):
    """What there was at one moment. `as_of`: per log, the next index; `gone`: what is not shown, and what is not there."""

    manifest: Manifest
    tail: Mapping[str, Sequence[Span]]
    as_of: Mapping[str, int]
    gone: Gone = NOTHING


class Answer(NamedTuple):
    """Rows of a query. `as_of`: per log, the next index at that moment; `is_cut`: there were more rows than shown."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    as_of: dict[str, int]
    is_cut: bool


class Events:
    """One tenant's events. May be used from several threads; keeps the tail, so keep one object rather than many."""

    def __init__(self, ledger_root: Path, tenant: str, *, with_masked: bool = False) -> None:
        # `with_masked`: show what nobody may be shown, to whoever erases it.
        self._root = ledger_root
        self._tenant = tenant
        self._events = events_directory(ledger_root, tenant)
        self._tail = Tail(ledger_root, tenant)
        self._with_masked = with_masked
        self._opened: tuple[tuple[int, Gone], Reader] | None = None  # the archive of one manifest
        self._tombstones: dict[int, Places] = {}  # by their index in the `configuration` log
        self._lock = threading.Lock()  # owns the tail and the opened archive

    def as_of(self) -> dict[str, int]:
        """Return, per log, the next index: every answer given from now on covers at least what is below it."""
        return dict(self.snapshot().as_of)

    def find(self, event_id: str) -> StoredEvent | None:
        """Return the event of that id, the first one if a producer used the id twice; None if there is none.

        Our ids tell when they were made, so the days around come first: the search does not grow with the archive.
        """
        days = _days_around(event_id)
        found = (days and self._lookup("event_id", event_id, days)) or self._lookup("event_id", event_id)
        return found[0] if found else None

    def find_prediction(self, prediction_id: str) -> list[StoredEvent]:
        """Return all our events about a prediction (asked, made, overridden, failed), in the order they were received."""
        return [event for event in self._lookup("prediction", prediction_id) if kind_code(event.kind) not in OBSERVED_CODES]

    def at(self, log: LogName | str, index: int) -> StoredEvent:
        """Return the event at an index of a log.

        Raises:
            NotFound: the log is not that long; or, with code `gone`, the event was erased or has expired.
            Malformed: there is no such log.
            Tampered: the event is gone without a tombstone, or is not the one that was recorded.
        """
        name = self._log(log)
        event = next(self.scan(classes=[name.name], after={str(name): index}, limit=1), None)
        if event is not None and event.index == index:
            check_against_entries(self._root, event)
            return event
        if index < self.as_of()[str(name)]:
            raise NotFound(
                f"event {index} of log `{name}` was erased, or has expired",
                hint=f"its entry can still be proved: `jurat prove {name}#{index} -o FILE`",
                code="gone",
            )
        raise NotFound(
            f"log `{name}` has no index `{index}`, it ends before {self.as_of()[str(name)]}", hint="see the logs' sizes with `jurat status`"
        )

    def scan(
        self,
        classes: Collection[str] | None = None,
        kinds: Collection[str] | None = None,
        after: Mapping[str, int] | None = None,
        limit: int | None = None,
    ) -> Iterator[StoredEvent]:
        """Yield events log by log, ascending by index within each; what is recorded meanwhile is not included.

        Args:
            classes: retention classes; all six if None. Empty is refused.
            kinds: names of kinds; all if None, and only then is every index seen to be there. Empty is refused.
            after: per log (`main/inference`), the first index wanted: the `as_of` of an earlier answer fits.
            limit: of events in all.

        Raises:
            Malformed: no such class, kind or log.
            Tampered: an event is missing, twice there, or not the one that was recorded.
        """
        logs = self._chosen_logs(classes)
        wanted = None if kinds is None else _chosen_kinds(kinds)
        starts = {str(self._log(log)): index for log, index in (after or {}).items()}
        snapshot = self.snapshot()
        left = limit
        for log in logs:
            for event in self._scan_log(snapshot, str(log), wanted, starts.get(str(log), 0)):
                if left is not None and left <= 0:
                    return
                yield event
                left = None if left is None else left - 1

    def select(
        self, query: str, parameters: Sequence[Any] = (), *, timeout_s: float = 30.0, max_rows: int = 100_000, kinds: Collection[str] = ()
    ) -> Answer:  # fmt: skip
        """Return the rows of a SELECT of our own over the relation `events`, run in this process.

        For text that we wrote, with the user's values as parameters only. A user's own text goes to `sql`.

        Args:
            kinds: if the query asks for these alone: the archive's files of others are not even looked at.
        """
        return self.with_snapshot(lambda snapshot: self._select(snapshot, query, parameters, timeout_s, max_rows, kinds))

    def sql(
        self,
        query: str,
        parameters: Sequence[Parameter] = (),
        *,
        timeout_s: float = 30.0,
        max_rows: int = 10_000,
        memory_mb: int = 512,
    ) -> Answer:
        """Return the rows of a user's own SELECT over the relation `events`, run in a process of its own.

        It can read nothing else, write nothing, and is stopped when its time or memory is used up. Whoever may call
        this may read everything in the tenant's logs: ask the policy first.

        Raises:
            Malformed: not one SELECT, or a wrong one.
            Denied: it reaches for a file, an extension, a setting.
            Exhausted: it took too long, or too much memory.
            Tampered: see `snapshot`; or a part of the archive is missing or damaged.
        """
        request = Request(str(self._root.absolute()), self._tenant, query, list(parameters), timeout_s, max_rows, memory_mb)
        table, as_of = run_in_child(request)
        return answer_of(table, as_of, max_rows)

    def snapshot(self) -> Snapshot:
        """Return what there is now.

        Raises:
            Tampered: an event is neither in the archive nor in the journal, or one of the two is damaged.
            Unavailable: more than a gigabyte waits to be archived.
        """
        with self._lock:
            while True:
                manifest, gone = read_manifest(self._events), read_gone(self._events)
                try:
                    self._tail.refresh(manifest.high_water)
                except Tampered:
                    if read_manifest(self._events).number != manifest.number:
                        continue  # the archive moved on and the journal was shortened between our two looks
                    raise
                if not self._tail.is_whole:
                    raise Unavailable(
                        "the archive is too far behind the journal to answer",
                        hint="is the worker running? see `jurat status`; it catches up by itself",
                        code="archive_behind",
                    )
                marks = manifest.high_water
                tail = {log: self._tail.spans(log, marks.get(log, 0)) for log in self._tail.ends}
                if read_gone(self._events) == gone:  # else something went between our two looks
                    gone = msgspec.structs.replace(gone, masked={}) if self._with_masked else gone
                    return Snapshot(manifest, tail, dict(self._tail.ends), gone)

    def source(self, snapshot: Snapshot) -> Source:
        """Return a snapshot in the form that `sql.Reader` takes."""
        tables = [with_partition(table_of(spans), log.rpartition("/")[2]) for log, spans in snapshot.tail.items() if spans]
        parts = {self._events / part.path: part.sha256 for part in snapshot.manifest.parts}
        masked: dict[str, list[int]] = {}
        for places in snapshot.gone.masked.values():
            for log, stretches in places.items():
                masked.setdefault(log, []).extend(indexes_of(stretches))
        return Source(self._tenant, parts, join_tails(tables), snapshot.as_of, masked)

    def _select(
        self, snapshot: Snapshot, query: str, parameters: Sequence[Any], timeout_s: float, max_rows: int, kinds: Collection[str]
    ) -> Answer:  # fmt: skip
        source = self.source(snapshot)
        if kinds:
            source = source._replace(
                parts={self._events / part.path: part.sha256 for part in snapshot.manifest.parts if part.kind in kinds}
            )
        table = self._archive(snapshot).select(query, parameters, timeout_s=timeout_s, max_rows=max_rows, source=source)
        return answer_of(table, snapshot.as_of, max_rows)

    def _lookup(self, column: str, value: str, days: Sequence[date] = ()) -> list[StoredEvent]:
        return self.with_snapshot(lambda snapshot: self._lookup_in(snapshot, column, value, days))

    def _lookup_in(self, snapshot: Snapshot, column: str, value: str, days: Sequence[date]) -> list[StoredEvent]:
        found: list[StoredEvent] = []
        if snapshot.manifest.parts:
            query = f"SELECT log, {', '.join(STORED_COLUMNS)} FROM events WHERE {column} = ?"
            archive = self._archive(snapshot)
            source = archive.source
            if days:
                near = [part for part in snapshot.manifest.parts if days[0] <= date.fromisoformat(part.date) <= days[1]]
                source = source._replace(parts={self._events / part.path: part.sha256 for part in near})
            table = archive.select(query, [value], timeout_s=_LOOKUP_TIMEOUT_S, max_rows=_LOOKUP_ROWS, source=source)
            if table.num_rows > _LOOKUP_ROWS:
                raise Exhausted(
                    f"more than {_LOOKUP_ROWS} events have the {column} `{value[:60]}`",
                    hint="ask with a SELECT over the relation `events`, which can be narrowed",
                    code="lookup_too_large",
                    retry_after_s=_LOOKUP_TIMEOUT_S,
                )
            logs, at = table["log"].to_pylist(), 0
            for log, run in groupby(logs):
                count = len(list(run))
                found += events_of_table(log, table.slice(at, count))
                at += count
        needle = value.encode()  # ids are plain ASCII in our JSON: a search of the bytes spares decoding most of them
        for log, spans in snapshot.tail.items():
            for span in spans:
                if needle in span.payload:
                    found += [event for event in events_of_span(log, span) if getattr(shred(event.raw), column) == value]
        found = [event for event in found if event.erased_by is None and not snapshot.gone.is_masked(event.log, event.index)]
        for event in found:
            check_against_entries(self._root, event)
        return sorted(found, key=lambda event: (event.received_ns, event.log, event.index))

    def _archive(self, snapshot: Snapshot) -> Reader:
        """Return what reads the snapshot's archive and no tail; opening it is dear, so the last one is kept."""
        with self._lock:
            opened = snapshot.manifest.number, snapshot.gone
            if self._opened is None or self._opened[0] != opened:
                no_tail: Mapping[str, Sequence[Span]] = {}
                self._opened = opened, Reader(self.source(snapshot._replace(tail=no_tail)))
            return self._opened[1]

    def with_snapshot(self, read: Callable[[Snapshot], T]) -> T:
        """Read from a snapshot; once more from a newer one if the archive replaced its files and deleted them meanwhile."""
        while True:
            snapshot = self.snapshot()
            try:
                return read(snapshot)
            except Tampered as error:
                if error.code != "part_missing" or read_manifest(self._events).number == snapshot.manifest.number:
                    raise

    def _scan_log(self, snapshot: Snapshot, log: str, kinds: Collection[str] | None, start: int) -> Iterator[StoredEvent]:
        expected = start
        for event in chain(self._scan_archive(snapshot, log, kinds, start), self._scan_tail(snapshot, log, kinds, start)):
            if kinds is None:
                self._check_expired(snapshot, log, expected, event.index)
            expected = event.index + 1
            if event.erased_by is not None:
                self._check_tombstone(event.erased_by, log, event.index)
            elif not snapshot.gone.is_masked(log, event.index):
                yield event
        if kinds is None:
            self._check_expired(snapshot, log, expected, snapshot.as_of[log])

    def _check_expired(self, snapshot: Snapshot, log: str, start: int, stop: int) -> None:
        """Pass if each event with start ≤ index < stop has expired, by an event that says so."""
        for index in range(start, stop):
            tombstone = snapshot.gone.tombstone_of(log, index)
            if tombstone is None:
                raise _missing(log, index, stop)
            self._check_tombstone(tombstone, log, index)

    def _check_tombstone(self, tombstone: int, log: str, index: int) -> None:
        """Pass if the ledger itself says that this event may be gone."""
        if tombstone not in self._tombstones:
            self._tombstones[tombstone] = {}  # so that a tombstone cannot vouch for itself
            try:
                said = decode_event(self.at(LogName(self._tenant, RetentionClass.CONFIGURATION), tombstone).raw).data
                if isinstance(said, ErasureApproved | EventsExpired):
                    self._tombstones[tombstone] = said.events
            except JuratError:
                pass  # nothing that can be read there covers anything
        if not covers(self._tombstones[tombstone], log, index):
            raise Tampered(
                f"event {index} of log `{log}` has lost its bytes, and no erasure or expiry on record covers it",
                hint="run `jurat verify` to see what else was touched, and ask who had access to the ledger's volume",
                code="row_missing",
                log=log,
                index=index,
            )

    def _scan_archive(self, snapshot: Snapshot, log: str, kinds: Collection[str] | None, start: int) -> Iterator[StoredEvent]:
        mark, manifest = snapshot.manifest.high_water.get(log, 0), snapshot.manifest
        while start < mark:
            try:
                for event in events_of_parts(log, self._events, manifest.parts_of([log], kinds), start):
                    if event.index >= mark:
                        return  # a newer manifest reaches farther than this answer does
                    yield event
                    start = event.index + 1
                return
            except Tampered as error:
                newer = read_manifest(self._events)
                if error.code != "part_missing" or newer.number == manifest.number:
                    raise
                manifest = newer

    def _scan_tail(self, snapshot: Snapshot, log: str, kinds: Collection[str] | None, start: int) -> Iterator[StoredEvent]:
        for span in snapshot.tail[log]:
            if span.end > start:
                for event in events_of_span(log, span.cut(start, span.end)):
                    if kinds is None or event.kind in kinds:
                        yield event

    def _log(self, log: LogName | str) -> LogName:
        name = parse_log_name(log) if isinstance(log, str) else log
        if name not in class_logs(self._tenant):
            raise Malformed(f"log `{name}` has no events of tenant `{self._tenant}`", hint=f"write `{self._tenant}/<class>`")
        return name

    def _chosen_logs(self, classes: Collection[str] | None) -> list[LogName]:
        if classes is None:
            return class_logs(self._tenant)
        if unknown := sorted(set(classes) - set(RetentionClass)):
            raise Malformed(f"`{unknown[0][:80]}` is not a retention class", hint=f"there are {', '.join(RetentionClass)}")
        if not classes:
            raise Malformed("no retention class was asked for", hint="leave `classes` out to read all of them")
        return [log for log in class_logs(self._tenant) if log.name in classes]


def answer_of(table: pa.Table, as_of: Mapping[str, int], max_rows: int) -> Answer:
    """Return up to `max_rows` rows of a result that holds one more if there are more."""
    shown = table.slice(0, max_rows)
    columns = [column.to_pylist() for column in shown.columns]
    rows = list(zip(*columns, strict=True)) if columns else []
    return Answer(table.column_names, rows, dict(as_of), table.num_rows > max_rows)


def _days_around(event_id: str) -> Sequence[date]:
    """Return the first and the last day on which an event of this id was received, if no clock was far off."""
    try:
        made = from_ns(made_at_ns(event_id)).date()
        return made - _CLOCKS_APART, made + _CLOCKS_APART
    except (Malformed, ValueError, OverflowError):
        return ()


def _chosen_kinds(kinds: Collection[str]) -> frozenset[str]:
    if not kinds:
        raise Malformed("no kind of event was asked for", hint="leave `kinds` out to read all of them")
    return frozenset(kind_named(kind).name for kind in kinds)


def _missing(log: str, start: int, stop: int) -> Tampered:
    return Tampered(
        f"events {start} to {stop - 1} of log `{log}` are not in the archive",
        hint="run `jurat verify` to see what else was touched, and ask who had access to the ledger's volume",
        code="row_missing",
        log=log,
        first=start,
        last=stop - 1,
    )
