"""The write path without its doors: submissions in, durable and in the tree when done. One thread writes, one seals.

    write    prepare → journal → fdatasync       == ACKNOWLEDGE, on return
    settle   entries and nodes into the arrays, unsynced
    publish  the sealing thread (publish): sync, read back, sign, commit, anchor, publish

Knows no socket and no process; `server` puts it behind one, benches and tests call it directly.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from jurat.ledger.arrays import LogArrays
from jurat.ledger.crash_points import reach
from jurat.ledger.journal import JournalWriter, Position
from jurat.ledger.layout import ANCHOR, LogName
from jurat.ledger.salts import RecentSalts
from jurat.ledger.sequencer import Fresh, Sequencer, Submission, Verdict


class Snapshot(NamedTuple):
    """A moment at which arrays and journal agree: how far the journal went, and each log's size and root then."""

    position: Position
    logs: dict[LogName, tuple[int, bytes]]


class Engine:
    """Holds the journal, the arrays and the sequencer. Everything but `snapshot` belongs to the writing thread."""

    def __init__(
        self, journal: JournalWriter, arrays: dict[LogName, LogArrays], sequencer: Sequencer, salts: dict[LogName, RecentSalts]
    ) -> None:
        self.journal = journal
        self.arrays = arrays
        self.sequencer = sequencer
        self.salts = salts
        self._settled = threading.Lock()  # owns: the arrays' sizes and `_position`, so that a snapshot sees whole groups
        self._position = journal.end

    def write(self, submissions: Sequence[Submission], now_ns: int, anchors: Sequence[bytes] = ()) -> list[Verdict]:
        """Return a verdict on each submission; what is `Fresh` in them is durable.

        Raises:
            Unavailable: no room; nothing was written.
            OSError: outcome unknown; the process must end.
        """
        verdicts = self.sequencer.prepare(submissions, now_ns)
        if anchors:
            verdicts.append(self.sequencer.anchor(ANCHOR, list(anchors)))
        fresh = [verdict for verdict in verdicts if isinstance(verdict, Fresh)]
        if fresh:
            self.journal.append([verdict.batch for verdict in fresh])
            self.sequencer.confirm(fresh)
            reach("after_sync_before_ack")
        return verdicts

    def settle(self, verdicts: Sequence[Verdict]) -> None:
        """Put what `write` made durable into the arrays. To be called after each `write`, before the next."""
        reach("after_ack_before_arrays")
        with self._settled:
            for verdict in verdicts:
                if isinstance(verdict, Fresh):
                    log = verdict.key.log
                    self.salts[log].add(self.arrays[log].size, verdict.salts)
                    self.arrays[log].append(verdict.batch.entries, verdict.leaf_hashes)
            self._position = self.journal.end

    def snapshot(self) -> Snapshot:
        """Return the state after the last settled group. From any thread."""
        with self._settled:
            return Snapshot(self._position, {log: (arrays.size, arrays.current_root()) for log, arrays in self.arrays.items()})

    def append_anchors(self, entries: Sequence[bytes], now_ns: int) -> Snapshot:
        """Write anchor entries; return the state after them. For callers that have one thread only."""
        self.settle(self.write((), now_ns, entries))
        return self.snapshot()

    def close(self) -> None:
        self.journal.close()
        for arrays in self.arrays.values():
            arrays.close()
