"""The thread that empties the spool: oldest first, one batch under way, the same batch again until its receipt comes.

What the ledger will never take is put aside and a note goes in its place, so that one bad event holds nothing up and no
number is missing. A number that means something else in the ledger (a spool restored from a copy) makes it go on in a fresh
epoch. Every `period_s` each open stream says how far it has come.
"""

from __future__ import annotations

import random
import threading
import time
from typing import Final

from jurat.client.door import Door
from jurat.client.spool import Spool, Waiting
from jurat.core.errors import Conflict, Exhausted, JuratError, Malformed
from jurat.core.statements import CLOSED, HEARTBEAT

BATCH_EVENTS: Final = 500
BATCH_BYTES: Final = 1024 * 1024
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 5.0


class Sender:
    """Sends what is in a spool. `trouble` is why nothing goes through now, or None."""

    def __init__(self, spool: Spool, door: Door, period_s: float) -> None:
        self._spool, self._door, self._period_s = spool, door, period_s
        self._stopping = threading.Event()
        self._knows_position = False
        self._is_ending = False
        self._stated_s = time.monotonic()
        self.trouble: JuratError | None = None
        self._thread = threading.Thread(target=self._run, name="jurat-sender", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stop sending; what is in the spool stays there."""
        self._stopping.set()
        with self._spool.changed:
            self._spool.changed.notify_all()
        self._thread.join(timeout_s)

    @property
    def is_stopped(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            try:
                self._step()
                self.trouble, pause_s = None, _FIRST_PAUSE_S
            except Exhausted as error:
                self.trouble = error
                self._stopping.wait(error.retry_after_s)
            except JuratError as error:
                self.trouble = error
                self._stopping.wait(pause_s * (0.5 + random.random()))  # noqa: S311 - so that many clients do not come back at once
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        self._door.close()

    def _step(self) -> None:
        """Send one batch, or wait until there is one."""
        self._state()
        waiting = self._spool.oldest(BATCH_EVENTS, BATCH_BYTES)
        if waiting is None:
            with self._spool.changed:
                if not self._spool.waiting and not self._stopping.is_set():
                    self._spool.changed.wait(min(0.5, self._period_s / 4))
            return
        if not self._knows_position:
            self._find_position()
            return
        try:
            self._send(waiting)
        except Malformed as error:
            line = error.fields.get("line")
            if not isinstance(line, int) or not 0 < line <= len(waiting.raws):
                raise
            self._spool.replace_refused(waiting.retention, waiting.first_seq + line - 1, error.code, error.detail)
        except Conflict as error:
            self._resolve(waiting, error)

    def _send(self, waiting: Waiting) -> None:
        recorded = self._door.record(waiting.retention, self._spool.epoch, waiting.first_seq, waiting.raws)
        self._spool.settle(waiting, recorded.commitments)

    def _find_position(self) -> None:
        """Make sure that the ledger has nothing from this epoch that this spool does not know it sent."""
        streams, epoch = self._spool.streams(), self._spool.epoch
        is_fit = epoch > 0 and not any(stream.is_closed for stream in streams)
        for stream in streams if is_fit else ():
            is_fit = is_fit and self._door.last_seq(stream.retention, epoch) <= stream.last_seq
        if not is_fit:
            self._spool.begin_epoch(self._door.fresh_epoch())
        self._knows_position = True

    def _resolve(self, waiting: Waiting, error: Conflict) -> None:
        seq = error.fields.get("seq")
        if error.code == "sequence_reused" and isinstance(seq, int) and waiting.first_seq < seq < waiting.first_seq + len(waiting.raws):
            self._send(waiting._replace(raws=waiting.raws[: seq - waiting.first_seq]))  # those before it are there, and the same
        elif error.code in ("sequence_reused", "epoch_closed", "sequence_gap"):
            self._spool.begin_epoch(self._door.fresh_epoch())
        else:
            raise error

    def _state(self) -> None:
        if not self._is_ending and time.monotonic() - self._stated_s >= self._period_s:
            self._stated_s = time.monotonic()
            for stream in self._spool.streams():
                if stream.last_seq and not stream.is_closed and self._spool.epoch:
                    self._spool.state(stream.retention, HEARTBEAT)

    def state_closed(self) -> None:
        """Put each stream's last word into the spool, when everything else has its receipt."""
        with self._spool.changed:
            self._is_ending = True
            for stream in self._spool.streams():
                if stream.last_seq and not stream.is_closed and self._spool.epoch:
                    self._spool.state(stream.retention, CLOSED)
