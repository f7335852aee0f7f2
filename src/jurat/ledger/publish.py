"""Sealing: once a second, make what was acknowledged into a checkpoint that everybody may see.

    sync the arrays → read the new entries back from the journal, re-hash, compare → sign → compare-and-swap == COMMIT
    → anchor the class logs' checkpoints → seal the anchor log the same way → public checkpoints

A signed root over a wrong leaf can never be repaired, so nothing is signed that was not computed twice: as it was
appended, and again from the bytes on disk. Whatever goes wrong here ends the process; the next start sorts it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from jurat.core.clock import Clock
from jurat.core.errors import Tampered
from jurat.core.files import sync_directory, write_whole
from jurat.ledger.arrays import LogArrays
from jurat.ledger.crash_points import reach
from jurat.ledger.engine import Snapshot
from jurat.ledger.journal import Position, scan, segment_file
from jurat.ledger.keys import LogSigners
from jurat.ledger.layout import ANCHOR, LogName, checkpoint_file, hash_origin, journal_directory
from jurat.ledger.lockstore import Locked, LockStore, Swap
from jurat.ledger.pruned import read_pruned
from jurat.merkle.checkpoint import Checkpoint, format_checkpoint
from jurat.merkle.entry import AnchorEntry, pack_anchor_entry
from jurat.merkle.note import sign_note

SegmentEnds = dict[int, dict[LogName, int]]
"""For each journal segment, how far each log comes in it: the index after its last entry there."""


class ForwardClock:
    """The clock of signatures: it may stand still, but never goes back, not even over a restart.

    So the newest checkpoint always has the newest time, whatever is done to the machine's clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_ns = 0

    def now_ns(self) -> int:
        self._last_ns = max(self._last_ns, self._clock.now_ns())
        return self._last_ns

    def start_at(self, locked: Iterable[Locked]) -> None:
        """Do not go behind what was sealed already."""
        self._last_ns = max(self._last_ns, *(each.sealed_ns for each in locked))


class Anchored(NamedTuple):
    """What the anchor log says last of a log."""

    size: int
    minimum: int


class SealedState(NamedTuple):
    """What recovery found: where sealing goes on."""

    read_to: Position  # everything before it in the journal is sealed
    ends: SegmentEnds
    anchored: dict[LogName, Anchored]
    public: dict[LogName, str]  # public checkpoints as they lie there; may be behind the lock store


class Publisher:
    """The one sealer. `append_anchors` makes anchor entries durable and returns the state after them."""

    def __init__(
        self,
        ledger_root: Path,
        signers: dict[LogName, LogSigners],
        lock: LockStore,
        arrays: dict[LogName, LogArrays],
        state: SealedState,
        clock: ForwardClock,
        append_anchors: Callable[[Sequence[bytes]], Snapshot],
    ) -> None:
        self._root = ledger_root
        self._signers = signers
        self._lock = lock
        self._arrays = arrays
        self._clock = clock
        self._append_anchors = append_anchors
        self._read_to = state.read_to
        self._ends = state.ends
        self._anchored = state.anchored
        self._public = state.public
        self._unsealed = {log: bytearray() for log in arrays}  # entries read back, end to end, from the sealed size on
        self._by_hash = {hash_origin(signer.public.origin)[:8]: log for log, signer in signers.items()}

    def sealed(self, log: LogName) -> Locked:
        """Return the last committed checkpoint of a log."""
        return self._lock.logs[self._signers[log].public.origin]

    def publish(self, snapshot: Snapshot) -> int:
        """Seal everything in `snapshot`, and publish; return the journal group up to which all is sealed and public.

        Raises:
            Tampered: the bytes on disk are not those that were acknowledged. Fatal.
            Conflict: another sequencer took over. Fatal.
            Unavailable, OSError: the disk failed. Fatal.
        """
        class_logs = [log for log in self._arrays if log != ANCHOR]
        self._seal(class_logs, snapshot)
        standing = {log: self._standing(log) for log in class_logs}
        behind = [log for log in class_logs if standing[log] != self._anchored.get(log, Anchored(0, 0))]
        if behind:
            after = self._append_anchors([self._anchor_entry(log, standing[log]) for log in behind])
            self._anchored.update({log: standing[log] for log in behind})
            self._seal([ANCHOR], after)
        else:
            self._seal([ANCHOR], snapshot)  # anchored before a crash, not sealed yet
        for log in self._arrays:
            note = self.sealed(log).note
            if self._public.get(log) != note:
                write_whole(checkpoint_file(self._root, log), note.encode())
                self._public[log] = note
        return snapshot.position.group

    def remove_segments(self, high_water: dict[str, int]) -> list[int]:
        """Remove the journal segments of which everything is sealed, and in the archive too; return their numbers.

        `high_water`: per log, the next index that the archive does not have; the anchor log is not archived.
        """
        covered = {log: self.sealed(log).size for log in self._arrays}
        for log in covered:
            if log != ANCHOR:
                covered[log] = min(covered[log], high_water.get(str(log), 0))
        directory, removed = journal_directory(self._root), removable_segments(self._ends, self._read_to, covered)
        for number in removed:
            segment_file(directory, number).unlink()
            del self._ends[number]
        if removed:
            sync_directory(directory)
        return removed

    def _seal(self, logs: Iterable[LogName], snapshot: Snapshot) -> None:
        grown = [log for log in logs if snapshot.logs[log][0] > self.sealed(log).size]
        if not grown:
            return
        self._read_back(snapshot.position)
        sealed_ns = self._clock.now_ns()
        swaps = [self._sign(log, *snapshot.logs[log], sealed_ns) for log in grown]
        reach("after_sign_before_cas")
        self._lock.commit(swaps, snapshot.position.group)
        for log, swap in zip(grown, swaps, strict=True):
            del self._unsealed[log][: (swap.new.size - swap.old_size) * log.entry_size]
        reach("after_cas_before_public")

    def _sign(self, log: LogName, size: int, expected_root: bytes, sealed_ns: int) -> Swap:
        old, arrays, signers = self.sealed(log), self._arrays[log], self._signers[log]
        arrays.sync()
        wanted = (size - old.size) * log.entry_size
        entries = bytes(self._unsealed[log][:wanted])
        root = arrays.check_read_back(old.size, entries) if len(entries) == wanted else None
        if root != expected_root:
            raise Tampered(
                f"log `{log}` at size `{size}`: the bytes on disk do not give the root that was computed as they were written",
                hint="nothing was signed; check memory and disk of this machine, then start again: the journal decides",
                code="tree_altered",
            )
        note = sign_note(format_checkpoint(Checkpoint(signers.public.origin, size, root)), signers.checkpoint_at(size))
        return Swap(old.size, old.root, Locked(signers.public.origin, size, root, note, sealed_ns))

    def _read_back(self, end: Position) -> None:
        """Read the journal up to `end`, and keep the entries that are not sealed yet."""
        if self._read_to.group >= end.group:
            return
        for placed in scan(journal_directory(self._root), self._read_to):
            log = self._by_hash[placed.record.header.origin_hash]
            have = self.sealed(log).size + len(self._unsealed[log]) // log.entry_size
            self._unsealed[log] += placed.record.raw_entries()[max(0, have - placed.record.header.first_index) * log.entry_size :]
            self._ends.setdefault(placed.start.segment, {})[log] = placed.record.end_index
            self._read_to = placed.end
            if placed.end.group == end.group and placed.end.following == 0:
                return
        raise Tampered("the journal on disk ends before what was synced to it", code="journal_damaged")

    def _standing(self, log: LogName) -> Anchored:
        """Return what the anchor log should say of a log; a pruning that was decided meanwhile counts from here on."""
        pruned = self._arrays[log].pruned = read_pruned(log.directory(self._root))
        return Anchored(self.sealed(log).size, pruned.minimum)

    def _anchor_entry(self, log: LogName, standing: Anchored) -> bytes:
        sealed = self.sealed(log)
        entry = AnchorEntry(hash_origin(sealed.origin), standing.size, standing.minimum, sealed.sealed_ns, sealed.root)
        return pack_anchor_entry(entry)


def removable_segments(ends: SegmentEnds, read_to: Position, covered: dict[LogName, int]) -> list[int]:
    """Return the numbers of the segments, oldest first, that hold nothing beyond what is `covered`.

    The segment of the last record always stays: the next one is linked to it, and a journal without any record
    could not be told from one that was emptied.
    """
    removable = []
    for number in sorted(ends):
        if number >= read_to.segment or any(end > covered[log] for log, end in ends[number].items()):
            break
        removable.append(number)
    return removable
