"""Is every producer's stream whole? Numbers that are missing, ends that were cut, producers that fell silent.

Three sources, compared: the numbers in the entries (in the clear, so erasing disturbs nothing), what producers state of
their own streams, and the outbox's own count (given in by whoever may read the database). What was never sent cannot be
found; what was numbered can. Below the minimum index a stream is `pruned`, never `complete`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np

from jurat.core.errors import Malformed
from jurat.core.statements import CLOSED, NO_HASH, OPENED, PERIOD_S, Stated, extend_hash, parse_statement
from jurat.ledger.arrays import ENTRY_FIELDS
from jurat.ledger.layout import LogName
from jurat.ledger.stored import StoredEvent
from jurat.ledger.verify_log import LogFiles

FAULTS: Final = frozenset({
    "numbers_missing", "numbers_disordered", "tail_cut", "hash_wrong", "statement_wrong", "outbox_ahead", "outbox_behind",
    "rows_missing", "rows_doubled", "rows_differ", "rows_unreadable",
})  # fmt: skip
_CHUNK: Final = 65_536  # entries
_SILENT_PERIODS: Final = 2
_MOST_GAPS: Final = 100  # of one stream that are listed


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something about one stream that a person should know. Those in `FAULTS` mean that the ledger is not complete."""

    what: str
    log: str
    producer: int
    epoch: int
    detail: str


class StreamReport(msgspec.Struct, kw_only=True):
    """One (log, producer, epoch) within the span of time that was asked for."""

    log: str
    producer: int
    epoch: int
    first_seq: int
    last_seq: int
    count: int
    missing: int
    last_received_ns: int
    is_stated: bool = False
    is_closed: bool = False
    is_counted: bool = False  # the outbox's own count was compared, so its end cannot be cut unseen
    hashed_seq: int = 0  # so far its own hash was computed again, and is right


class RangeReport(msgspec.Struct, kw_only=True):
    """One stretch [first, end) of one log, whose hashes were made again from the archive's rows (`rebuild_range`)."""

    log: str
    first: int
    end: int
    rebuilt: int = 0  # leaf hashes made from rows, and equal to those that were sealed
    erased: int = 0  # of the rows: those whose content is gone; their commitment is the stored one
    expired: int = 0  # rows that are gone by a tombstone
    waiting: int = 0  # not in the archive yet
    root: str = ""  # RFC 6962 root over the stretch as a tree of its own; only if all of it was rebuilt


class Completeness(msgspec.Struct, frozen=True, kw_only=True):
    """The gap report. `pruned`: per log, entries that are gone by a retention that was announced."""

    streams: list[StreamReport]
    findings: list[Finding]
    pruned: dict[str, int]
    ranges: list[RangeReport] = []  # if hashes were rebuilt, too

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing that can be known to be."""
        return not any(finding.what in FAULTS for finding in self.findings)

    def with_outbox(self, reached: Mapping[LogName, int], outbox: Outbox) -> Completeness:
        """Return the report with the outbox's count compared: what it gave away must be in the ledger, and nothing else.

        Args:
            reached: per log, the number of the outbox's last event there, whatever the span of the report is.
        """
        mine = outbox.producer, outbox.epoch
        findings = [each for each in self.findings if each.what != "not_stated" or (each.producer, each.epoch) != mine]
        streams = [msgspec.structs.replace(s, is_counted=True) if (s.producer, s.epoch) == mine else s for s in self.streams]
        for log, last in reached.items():
            low, high = outbox.before.get(log.name, 1) - 1, outbox.after.get(log.name, 1) - 1
            if not low <= last <= high:
                what = "outbox_ahead" if last < low else "outbox_behind"
                detail = f"the outbox has numbered {low if last < low else high} events, the ledger has {last}"
                findings.append(Finding(what=what, log=str(log), producer=outbox.producer, epoch=outbox.epoch, detail=detail))
        return msgspec.structs.replace(self, streams=streams, findings=findings)


class Outbox(NamedTuple):
    """What PostgreSQL has numbered: per class the next number, before and after the ledger was looked at."""

    producer: int
    epoch: int
    before: Mapping[str, int]
    after: Mapping[str, int]


class Span(NamedTuple):
    """A span of time by receipt: Unix ns, from inclusive, to exclusive; None: no bound."""

    from_ns: int | None = None
    to_ns: int | None = None


class _Seen:
    """What the entries say of one stream."""

    def __init__(self, report: StreamReport) -> None:
        self.report = report
        self.gaps: list[tuple[int, int]] = []
        self.said: list[tuple[int, str, Stated]] = []  # (own seq, kind, what)
        self.wanted: dict[int, str] = {}  # hashed_seq → running hash that was stated
        self.running, self.hashed = NO_HASH, 0


Key = tuple[int, int]  # producer, epoch


def survey(
    ledger_root: Path, logs: Sequence[LogName], statements: Iterable[StoredEvent], now_ns: int, *, span: Span = Span(),  # noqa: B008
) -> Completeness:  # fmt: skip
    """Return the gap report of these logs.

    Args:
        statements: the events of the three kinds, of all these logs.
    Raises:
        Malformed: the span ends before it begins.
    """
    if span.from_ns is not None and span.to_ns is not None and span.from_ns >= span.to_ns:
        raise Malformed("the span ends before it begins", hint="`--from` is the earlier one")
    said_in: dict[str, list[StoredEvent]] = {}
    for event in statements:
        said_in.setdefault(event.log, []).append(event)
    streams: list[StreamReport] = []
    findings: list[Finding] = []
    pruned: dict[str, int] = {}
    for log in logs:
        files = LogFiles(log.directory(ledger_root), log.entry_size)
        seen, gone = _read(log, files, span)
        if gone:
            pruned[str(log)] = gone
        _hear(seen, said_in.get(str(log), []), findings)
        if span.from_ns is None and not gone:
            _hash(files, seen)
        for key in sorted(seen):
            _judge(seen[key], seen, now_ns if span.to_ns is None else min(now_ns, span.to_ns), span, bool(gone), findings)
            streams.append(seen[key].report)
    return Completeness(streams=streams, findings=findings, pruned=pruned)


def _read(log: LogName, files: LogFiles, span: Span) -> tuple[dict[Key, _Seen], int]:
    """Return what the entries of a log say of each stream in the span, and how many entries are gone."""
    seen: dict[Key, _Seen] = {}
    gone = 0
    for rows in _chunks(files):
        gone += int(np.count_nonzero(rows["version"] == 0))
        rows = rows[rows["version"] != 0]
        received = rows["received_ns"].astype(np.uint64)
        wanted = np.ones(len(rows), np.bool_)
        if span.from_ns is not None:
            wanted &= received >= np.uint64(span.from_ns)
        if span.to_ns is not None:
            wanted &= received < np.uint64(span.to_ns)
        rows = rows[wanted]
        key = rows["producer"].astype(np.uint64) << np.uint64(32) | rows["epoch"].astype(np.uint64)
        for each in np.unique(key):
            own = rows[key == each]
            seqs = own["seq"].astype(np.int64)
            place = int(each) >> 32, int(each) & 0xFFFF_FFFF
            if place not in seen:
                first = int(seqs[0])
                begins = first - 1 if span.from_ns is not None or gone else 0
                report = StreamReport(
                    log=str(log),
                    producer=place[0],
                    epoch=place[1],
                    first_seq=first,
                    last_seq=begins,
                    count=0,
                    missing=0,
                    last_received_ns=0,
                )
                seen[place] = _Seen(report)
            found = seen[place]
            before = np.concatenate(([found.report.last_seq], seqs[:-1]))
            for at in np.flatnonzero(seqs != before + 1).tolist():
                found.gaps.append((int(before[at]) + 1, int(seqs[at]) - 1))
            found.report.last_seq = int(seqs[-1])
            found.report.count += len(own)
            found.report.last_received_ns = int(own["received_ns"][-1])
    return seen, gone


def _chunks(files: LogFiles) -> Iterable[np.ndarray[tuple[int], np.dtype[np.void]]]:
    size = files.count("entries")
    for first in range(0, size, _CHUNK):
        raw = np.frombuffer(files.read("entries", first, min(size, first + _CHUNK)), np.uint8)
        rows = raw[: len(raw) - len(raw) % files.stride].reshape(-1, files.stride)
        yield np.ascontiguousarray(rows[:, 2:]).view(ENTRY_FIELDS)[:, 0]


def _hear(seen: dict[Key, _Seen], events: Sequence[StoredEvent], findings: list[Finding]) -> None:
    """Sort what was stated to the streams that it speaks of."""
    for event in events:
        spoken = seen.get((event.producer, event.epoch))
        if spoken is None:
            continue  # outside the span
        try:
            statement = parse_statement(event.raw)
        except Malformed as error:
            findings.append(_finding("statement_wrong", spoken.report, f"its statement at seq {event.seq} cannot be read: {error.detail}"))
            continue
        said = statement.data
        if said.epoch != event.epoch or said.last_seq != event.seq - 1 or statement.kind != event.kind:
            findings.append(_finding("statement_wrong", spoken.report, f"its statement at seq {event.seq} speaks of something else"))
            continue
        spoken.said.append((event.seq, statement.kind, said))
        spoken.wanted[said.hashed_seq] = said.running_hash


def _hash(files: LogFiles, seen: dict[Key, _Seen]) -> None:
    """Compute the running hash of each stream that stated one, as far as its last statement goes."""
    stated = {key: stream for key, stream in seen.items() if any(stream.wanted)}
    if not stated:
        return
    for rows in _chunks(files):
        key = rows["producer"].astype(np.uint64) << np.uint64(32) | rows["epoch"].astype(np.uint64)
        for place, stream in stated.items():
            own = rows[key == np.uint64(place[0] << 32 | place[1])]
            last = max(stream.wanted)
            for seq, commitment in zip(own["seq"].tolist(), own["commitment"].tolist(), strict=True):
                if seq > last:
                    break
                stream.running = extend_hash(stream.running, [bytes(commitment)])
                stream.hashed = seq
                if stream.wanted.get(seq, stream.running.hex()) != stream.running.hex():
                    stream.hashed = -seq  # wrong from here on
                    break
            if stream.hashed < 0:
                stream.wanted = {}
        stated = {place: stream for place, stream in stated.items() if stream.wanted}


def _judge(stream: _Seen, others: dict[Key, _Seen], now_ns: int, span: Span, is_pruned: bool, findings: list[Finding]) -> None:
    report = stream.report
    forward = [(first, last) for first, last in stream.gaps if last >= first]
    report.missing = sum(last - first + 1 for first, last in forward)
    for first, last in forward[:_MOST_GAPS]:
        findings.append(_finding("numbers_missing", report, f"numbers {first} to {last} are not there"))
    if len(forward) > _MOST_GAPS:
        findings.append(_finding("numbers_missing", report, f"and {len(forward) - _MOST_GAPS} more gaps"))
    if len(forward) < len(stream.gaps):
        findings.append(_finding("numbers_disordered", report, "numbers stand twice, or not in their order"))
    if stream.hashed < 0:
        findings.append(_finding("hash_wrong", report, f"up to seq {-stream.hashed} its events are not those that it sent"))
    report.hashed_seq = max(0, stream.hashed)
    report.is_stated = bool(stream.said)
    report.is_closed = any(kind == CLOSED for _, kind, _ in stream.said)
    for _, kind, said in stream.said:
        earlier = others.get((report.producer, said.previous_epoch)) if kind == OPENED and said.previous_epoch else None
        if kind != OPENED or not said.previous_epoch or span.from_ns is not None or is_pruned:
            continue
        reached = earlier.report.last_seq if earlier else 0
        if reached < said.previous_last_seq:
            detail = f"its next epoch says that it came to {said.previous_last_seq}, and the ledger has {reached}"
            place = earlier.report if earlier else msgspec.structs.replace(report, epoch=said.previous_epoch)
            findings.append(_finding("tail_cut", place, detail))
    if report.is_closed:
        return
    is_last = not any(key[0] == report.producer and key[1] > report.epoch and other.said for key, other in others.items())
    if not report.is_stated:
        findings.append(_finding("not_stated", report, "its producer says nothing of it, so a cut end would not show"))
    elif not is_last:
        findings.append(_finding("not_closed", report, "it ended without a word; a later epoch goes on"))
    else:
        period_s = stream.said[-1][2].period_s or PERIOD_S
        silent_s = (now_ns - report.last_received_ns) / 1e9
        if silent_s > _SILENT_PERIODS * period_s:
            findings.append(_finding("silent", report, f"nothing for {silent_s:.0f} s, and it promised a word each {period_s:g} s"))


def _finding(what: str, report: StreamReport, detail: str) -> Finding:
    return Finding(what=what, log=report.log, producer=report.producer, epoch=report.epoch, detail=detail)
