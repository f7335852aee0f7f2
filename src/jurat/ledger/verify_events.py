"""Events against the entries that stand for them: whatever is left of an event must hash to its entry's commitment.

One `EventCheck` per log takes batches from the archive and from the journal. It says at once what an event contradicts
in itself; what contradicts the entry it keeps as a suspect, for only the tree can tell which of the two was altered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from jurat.domain.facts_keeping import Stretch
from jurat.domain.kinds import BY_CODE, OBSERVED_CODES
from jurat.ledger.arrays import ENTRY_FIELDS
from jurat.ledger.faults import Faults
from jurat.ledger.pruned import entry_floor
from jurat.ledger.verify_log import CHUNK, LogFiles
from jurat.merkle.entry import COMMIT_DOMAIN, SALT_SIZE, commit_event
from jurat.merkle.many import hash_pieces, split_digests

Indexes = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.void]
_MAX_SUSPECTS: Final = 1_000_000


class _Names(msgspec.Struct, gc=False):
    """The two names in an event's bytes that the log or a reader knows it by."""

    id: str | None = None
    kind: str | None = None


_decode_names = msgspec.json.Decoder(_Names).decode


class Suspect(NamedTuple):
    """An event that does not fit the stored entry at its index. `entry` is the one that it would fit."""

    entry: bytes
    event_id: str | None
    file: str


class EventCheck:
    """What is known of the events of one log, up to `size`."""

    def __init__(self, log: str, files: LogFiles, size: int, faults: Faults) -> None:
        self.log, self.files, self.size, self.faults = log, files, size, faults
        self.archived = np.zeros(size, np.uint16)  # how often each index lies in the archive
        self.journaled = np.zeros(size, np.bool_)
        self.may_be_gone, self.must_be_gone, self.expired = (np.zeros(size, np.bool_) for _ in range(3))
        self.said_pruned: int | None = None  # the minimum index, by the tombstones' word; None where nobody can hear it
        self.suspects: dict[int, list[Suspect]] = {}
        self.unknown: list[tuple[int, str]] = []  # rows of the archive at or beyond `size`: (index, file)
        self.checked = 0

    def expect_gone(self, may: Sequence[Stretch] = (), must: Sequence[Stretch] = (), expired: Sequence[Stretch] = ()) -> None:
        """Take the ledger's own word for what may be gone, what must be, and whose rows may be."""
        for marks, stretches in ((self.may_be_gone, [*may, *must]), (self.must_be_gone, must), (self.expired, expired)):
            for stretch in stretches:
                marks[max(0, stretch.first) : stretch.last + 1] = True

    def is_covered(self, indexes: Indexes) -> npt.NDArray[np.bool_]:
        """Return which of these may be without content; shape (n,)."""
        sealed = indexes < self.size
        covered = np.zeros(len(indexes), np.bool_)
        covered[sealed] = self.may_be_gone[indexes[sealed].astype(np.int64)]
        return covered

    def count_archived(self, indexes: Indexes, file: str) -> None:
        """Count rows of the archive, each index as often as it occurs."""
        known = np.flatnonzero(indexes < self.size)
        np.add.at(self.archived, indexes[known].astype(np.int64), 1)
        self.unknown += [(int(indexes[at]), file) for at in np.flatnonzero(indexes >= self.size)[:1000]]

    def check(
        self, indexes: Indexes, rows: Rows, salts: Sequence[bytes | None], raws: Sequence[bytes | None], file: str,
        ids: Sequence[str | None] = (), kinds: Sequence[str | None] | None = None,
    ) -> None:  # fmt: skip
        """Take a batch of events. What does not fit becomes a fault or a suspect; nothing is raised.

        Args:
            indexes: shape (n,), their places in the log.
            rows: shape (n,), their entries as this file has them.
            salts, raws: n each; None where the content is gone.
            ids: n, or none: the events' ids as this file has them, for bytes that do not tell any more.
            kinds: n, if they were read already: the kinds that the bytes name.
        """
        self.checked += len(indexes)
        pruned = indexes < entry_floor(self.files.minimum)
        detail = "its entry is pruned, and the event is still there"
        self.faults.add_runs(self.log, "row_unknown", detail, indexes[pruned].tolist(), file=file)
        candidates = rows.copy()
        candidates["commitment"] = np.frombuffer(_commit(salts, raws), "V32")
        if (covered := self.is_covered(indexes)).any():
            full = np.array([salt is not None or raw is not None for salt, raw in zip(salts, raws, strict=True)])
            candidates["commitment"][covered & ~full] = rows["commitment"][covered & ~full]  # the entry is all that is left of it
            for at in np.flatnonzero(covered & full).tolist():
                if self.must_be_gone[int(indexes[at])]:
                    detail = "its content is there, and an erasure on record says that it is not"
                    self.faults.add(self.log, "erasure_undone", detail, index=int(indexes[at]), file=file)
        stored, there = self.stored_entries(indexes)
        sealed = indexes < self.size
        fits = there & _equal(candidates, stored)

        def each(places: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int, str | None]]:
            for at in np.flatnonzero(places).tolist():
                yield at, int(indexes[at]), event_id(raws[at]) or (ids[at] if ids else None)

        for at, index, name in each(sealed & ~fits & ~pruned):
            self._suspect(index, Suspect(candidates[at].tobytes(), name, file))
        for _, index, name in each(fits & ~_equal(rows, stored)):
            detail = "the commitment beside the event is not its own"
            self.faults.add(self.log, "columns_altered", detail, index=index, event_id=name, file=file)
        for _, index, name in each(~sealed & ~_equal(rows, candidates)):  # its own record is all there is yet
            detail = "the event's bytes or salt are not those of its entry, which is not sealed yet"
            self.faults.add(self.log, "event_altered", detail, index=index, event_id=name, file=file)
        self._check_kinds(indexes, rows, raws, kinds or [names_in(raw).kind for raw in raws], file)

    def merge(self, indexes: Indexes, suspects: Sequence[tuple[int, Suspect]], checked: int, file: str) -> None:
        """Take over what a check of one file of the archive has seen elsewhere."""
        self.count_archived(indexes, file)
        for index, suspect in suspects:
            self._suspect(index, suspect)
        self.checked += checked

    def check_entries(self, first: int, entries: Sequence[bytes], file: str) -> None:
        """Take entries without events: the anchor log's, from the journal."""
        stored = self.files.entries(first, min(first + len(entries), self.size))
        for at, entry in enumerate(entries[: max(0, self.size - first)]):
            if at >= len(stored) or stored[at] != entry:
                self._suspect(first + at, Suspect(entry, None, file))

    def stored_entries(self, indexes: Indexes) -> tuple[Rows, npt.NDArray[np.bool_]]:
        """Return the stored entries at these indexes, and which of them are there at all."""
        found = np.zeros(len(indexes), ENTRY_FIELDS)
        there = np.zeros(len(indexes), np.bool_)
        groups = indexes // np.uint64(CHUNK)
        for group in np.unique(groups[indexes < self.size]):
            places = np.flatnonzero((groups == group) & (indexes < self.size))
            first = int(indexes[places].min())
            raw = np.frombuffer(self.files.read("entries", first, int(indexes[places].max()) + 1), np.uint8).reshape(-1, self.files.stride)
            offsets = (indexes[places] - np.uint64(first)).astype(np.int64)
            places, offsets = places[offsets < len(raw)], offsets[offsets < len(raw)]
            found[places] = np.ascontiguousarray(raw[offsets, 2:]).view(ENTRY_FIELDS)[:, 0]
            there[places] = True
        return found, there

    def _suspect(self, index: int, suspect: Suspect) -> None:
        if index in self.suspects or len(self.suspects) < _MAX_SUSPECTS:
            self.suspects.setdefault(index, []).append(suspect)

    def _check_kinds(
        self, indexes: Indexes, rows: Rows, raws: Sequence[bytes | None], kinds: Sequence[str | None], file: str
    ) -> None:  # fmt: skip
        codes = rows["kind_code"]
        for code in np.unique(codes).tolist():
            if code in OBSERVED_CODES:
                continue
            expected = BY_CODE[code].name if code in BY_CODE else None
            for at in np.flatnonzero(codes == code).tolist():
                named = kinds[at]
                if named is not None and named != expected:
                    detail = f"the event says kind `{named[:80]}`, its entry says code `{code}`"
                    self.faults.add(self.log, "kind_wrong", detail, index=int(indexes[at]), event_id=names_in(raws[at]).id, file=file)


def commit_all(salts: Sequence[bytes | None], raws: Sequence[bytes | None]) -> list[bytes]:
    """Return the commitment to each event; 32 zero bytes, which nothing hashes to, where the content is gone or no content."""
    return split_digests(_commit(salts, raws))


def _commit(salts: Sequence[bytes | None], raws: Sequence[bytes | None]) -> bytes:
    if None not in salts and None not in raws and {*map(len, salts)} == {SALT_SIZE}:  # type: ignore[arg-type]
        ends = np.cumsum(np.fromiter(map(len, raws), np.uint64, len(raws)))  # type: ignore[arg-type]
        return hash_pieces(COMMIT_DOMAIN, b"".join(raws), ends.tobytes(), rows=b"".join(salts), width=SALT_SIZE)  # type: ignore[arg-type]
    return b"".join(
        bytes(32) if salt is None or raw is None or len(salt) != SALT_SIZE else commit_event(salt, raw)
        for salt, raw in zip(salts, raws, strict=True)
    )


def names_in(raw: bytes | None) -> _Names:
    """Return what an event's bytes call it; empty names for bytes that say nothing readable."""
    try:
        return _Names() if raw is None else _decode_names(raw)
    except (ValueError, RecursionError):
        return _Names()


def event_id(raw: bytes | None) -> str | None:
    """Return the id in an event's bytes, if one can be read."""
    return names_in(raw).id


def _equal(left: Rows, right: Rows) -> npt.NDArray[np.bool_]:
    """Compare entries byte by byte; shape (n,)."""
    width = ENTRY_FIELDS.itemsize
    result: npt.NDArray[np.bool_] = (
        np.frombuffer(left.tobytes(), np.uint8).reshape(-1, width) == np.frombuffer(right.tobytes(), np.uint8).reshape(-1, width)
    ).all(axis=1)
    return result


Tick = Callable[[int], None]
