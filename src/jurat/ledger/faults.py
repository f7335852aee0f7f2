"""What a verification found: faults with a place, gathered, merged, and counted. Knows no file format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

WHAT: Final = {
    "checkpoint_bad": "the signed checkpoint is missing, unreadable, or not signed by every key of the log",
    "forked": "two different trees of one log were signed",
    "rolled_back": "the ledger is older than a checkpoint that somebody holds",
    "entries_missing": "the log ends before its signed size",
    "entries_unjudged": "entries that no checkpoint reaches, because later ones are missing",
    "entry_altered": "an entry is not the one that was sealed",
    "entries_swapped": "entries were sealed in another order",
    "tree_altered": "a stored tree hash is not that of the sealed entries",
    "anchor_inconsistent": "the anchor log names another tree of this log",
    "minimum_false": "the log is said to be pruned where nothing on record says that its entries have expired",
    "key_unannounced": "keys are given for this log that the ledger never announced",
    "sequence_gap": "a producer's own numbers have a gap or go back",
    "time_went_back": "an entry was received before the entry ahead of it",
    "event_altered": "an event's bytes are not those that were sealed",
    "columns_altered": "a searchable column says something else than the event's bytes",
    "kind_wrong": "an event's bytes name another kind than its entry",
    "parquet_altered": "an archive file is missing, unreadable, or not as its manifest lists it",
    "manifest_altered": "the archive's list of files cannot be believed",
    "row_missing": "a sealed event is neither in the archive nor in the journal",
    "row_duplicated": "an event is in the archive more than once",
    "row_unknown": "an event is there that no checkpoint covers, or whose entry is pruned",
    "journal_altered": "the journal is damaged",
    "erasure_undone": "an event's content is there, though the ledger says that it was erased",
    "not_witnessed": "no quorum of witnesses has cosigned this, so it may have been shown to you alone",
    "not_a_file": "something lies in the ledger that is no file",
    "too_large": "a file is larger than any of its kind can be",
    "receipt_bad": "a kept receipt is none, or not of these logs",
    "receipt_broken": "the log did not seal what its receipt promised",
    "lock_unreadable": "the store of last signed checkpoints cannot be read",
}
_KEPT: Final = 100  # faults per log and code; the rest is counted


class Fault(msgspec.Struct, kw_only=True):
    """One thing that is wrong, and where. `index` to `last_index` inclusive; one index if `last_index` is None."""

    log: str
    what: str  # a key of `WHAT`
    detail: str
    index: int | None = None
    last_index: int | None = None
    event_id: str | None = None
    file: str = ""  # relative to the ledger's directory


class LogReport(msgspec.Struct, kw_only=True):
    """What was looked at in one log."""

    log: str
    size: int  # entries on disk
    sealed: int  # entries that the newest checkpoint covers
    checked_entries: int = 0
    checked_payloads: int = 0
    pruned: int = 0  # the minimum index: entries below it are gone for good, by the ledger's own word
    unjudged: list[str] = []  # what was asked of it and nothing is left to tell by: it was pruned
    witnessed: int | None = None  # entries of the anchor log that a quorum vouches for, if a policy was given


class Report(msgspec.Struct, kw_only=True):
    """A whole verification. Nothing is wrong if, and only if, `faults` is empty and `logs` is not."""

    logs: list[LogReport]
    faults: list[Fault]

    @property
    def is_clean(self) -> bool:
        return bool(self.logs) and not self.faults


class Faults:
    """Gathers faults; after `_KEPT` of one code in one log it only counts."""

    def __init__(self) -> None:
        self._found: list[Fault] = []
        self._counts: dict[tuple[str, str], int] = {}

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._found)

    def add(
        self, log: str, what: str, detail: str, *, index: int | None = None, last_index: int | None = None, event_id: str | None = None,
        file: str = "",
    ) -> None:  # fmt: skip
        """Note one fault."""
        assert what in WHAT, what
        seen = self._counts[log, what] = self._counts.get((log, what), 0) + 1
        if seen <= _KEPT:
            last = None if last_index == index else last_index
            self._found.append(Fault(log=log, what=what, detail=detail, index=index, last_index=last, event_id=event_id, file=file))

    def take(self, fault: Fault) -> None:
        """Note a fault that was found elsewhere."""
        where = {"index": fault.index, "last_index": fault.last_index, "event_id": fault.event_id, "file": fault.file}
        self.add(fault.log, fault.what, fault.detail, **where)  # type: ignore[arg-type]

    def add_runs(self, log: str, what: str, detail: str, indexes: Iterable[int], *, file: str = "") -> None:
        """Note one fault per run of consecutive indexes."""
        for first, last in runs_of(indexes):
            self.add(log, what, detail, index=first, last_index=last, file=file)

    def all(self) -> list[Fault]:
        """Return what was found, and a line for each code of which more was found than is kept."""
        rest = [
            Fault(log=log, what=what, detail=f"and {count - _KEPT} more of this kind")
            for (log, what), count in self._counts.items()
            if count > _KEPT
        ]
        return self._found + rest


def runs_of(indexes: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of each run of consecutive numbers, ascending."""
    run: list[int] = []
    for index in sorted(set(indexes)):
        if run and index == run[1] + 1:
            run[1] = index
        else:
            if run:
                yield run[0], run[1]
            run = [index, index]
    if run:
        yield run[0], run[1]
