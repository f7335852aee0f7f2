"""A stream as its producer knows it: numbers given out, receipts come, and the hash over them; and what it says of itself.

For producers of ours that number by themselves. Pure but for the clock.
"""

from __future__ import annotations

from jurat.core.clock import Clock, format_at
from jurat.core.statements import NO_HASH, PERIOD_S, Stated, Statement, cut_commitments, extend_hash, format_statement


class OwnStream:
    """One producer's epoch in one log."""

    def __init__(self, epoch: int, clock: Clock, previous: OwnStream | None = None) -> None:
        self.epoch = epoch
        self.receipted = 0  # the last number that has a receipt
        self._running = NO_HASH
        self._clock = clock
        self._previous = (previous.epoch, previous.receipted) if previous else (0, 0)

    def settle(self, events: int, commitments: bytes) -> None:
        """Count events that have their receipt."""
        self.receipted += events
        self._running = extend_hash(self._running, cut_commitments(commitments))

    def statement(self, kind: str, last_seq: int) -> bytes:
        """Return a statement that will stand right after `last_seq`."""
        said = Stated(
            epoch=self.epoch, last_seq=last_seq, hashed_seq=self.receipted, running_hash=self._running.hex(), period_s=PERIOD_S,
            previous_epoch=self._previous[0], previous_last_seq=self._previous[1],
        )  # fmt: skip
        return format_statement(Statement(kind=kind, at=format_at(self._clock.now_ns()), data=said))
