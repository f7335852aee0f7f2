"""`Client`: put an event, and it is on your disk; it arrives in the ledger once and in order, whatever dies meanwhile.

    with Client("https://jurat.example.org", token, spool=Path("/var/lib/scorer/spool")) as ledger:
        ledger.put("inference", {"type": "score", "applicant": 7, "score": 0.81})
        ledger.put("deployment", {"type": "switch", "to": "v2"}, fail_closed=True, timeout_s=2)   # no receipt, no act

A call never blocks longer than its `timeout_s` says (and one sync of your own disk).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from jurat.client.door import Door
from jurat.client.sender import Sender
from jurat.client.spool import Spool
from jurat.core.clock import Clock, SystemClock
from jurat.core.errors import Malformed, Unavailable
from jurat.core.jsonio import dump_json
from jurat.core.outside import check_events
from jurat.core.statements import PERIOD_S

_MAX_EVENT_BYTES: Final = 1_048_576
_HTTP_TIMEOUT_S: Final = 10.0


class Put(NamedTuple):
    """An event that is durable in the spool, or further. `seq` may be another one if the spool has to begin a fresh epoch."""

    retention: str
    seq: int
    is_recorded: bool  # the ledger's receipt came while we waited


class Refused(NamedTuple):
    """An event that the ledger will never take."""

    retention: str
    seq: int
    code: str
    detail: str
    raw: bytes


class Client:
    """One producer with one spool. Thread-safe.

    Args:
        url: of the ledger's API.
        token: of the registered producer, or a function that gives the newest one.
        spool: a file of this process's own; what is in it from an earlier life is sent first.
        max_waiting, max_waiting_bytes: how much may wait without a receipt; beyond it `put` is `Exhausted`.
    """

    def __init__(
        self,
        url: str,
        token: str | Callable[[], str],
        *,
        spool: Path,
        max_waiting: int = 100_000,
        max_waiting_bytes: int = 256 * 1024 * 1024,
        period_s: float = PERIOD_S,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        door = Door(url, token if callable(token) else lambda: token, _HTTP_TIMEOUT_S)
        self._spool = Spool(spool, self._clock, max_events=max_waiting, max_bytes=max_waiting_bytes, period_s=period_s)
        self._sender = Sender(self._spool, door, period_s)
        self._sender.start()
        self._is_open = True

    def put(self, retention: str, event: dict[str, Any] | bytes, *, fail_closed: bool = False, timeout_s: float = 0.0) -> Put:
        """Return once the event is durable: in the spool, or with `fail_closed` in the ledger.

        Args:
            retention: the class whose log it belongs to, such as `inference`.
            event: a JSON object; bytes are recorded as they are, and hold no line break.
            timeout_s: how long to wait for room, and for the receipt.
        Raises:
            Malformed: it is no event, or holds what may not be recorded (see `core.outside`); nothing was put.
            Exhausted: no room in time; nothing was put.
            Unavailable: with `fail_closed`, no receipt in time: do not act. The event is spooled, and will arrive later.
        """
        return self.put_many(retention, [event], fail_closed=fail_closed, timeout_s=timeout_s)

    def put_many(
        self, retention: str, events: Sequence[dict[str, Any] | bytes], *, fail_closed: bool = False, timeout_s: float = 0.0
    ) -> Put:
        """Put several at once, all or none: one sync for all of them. Returns the last one's place."""
        until_s = time.monotonic() + timeout_s
        self._check_open()
        if not events:
            raise Malformed("no event was given")
        raws = [event if isinstance(event, bytes) else dump_json(event) for event in events]
        if any(b"\n" in raw for raw in raws):
            raise Malformed("the bytes of an event hold a line break", hint="write the JSON on one line")
        check_events(raws, self._clock.now_ns(), max_bytes=_MAX_EVENT_BYTES, may_state=False)
        epoch = self._spool.epoch
        seq = self._spool.put(retention, raws, timeout_s=timeout_s)
        if not fail_closed:
            return Put(retention, seq, is_recorded=False)
        if not self._await(lambda: self._is_recorded(retention, seq, epoch), until_s):
            raise self._no_receipt("do not act: there is no receipt; the event is spooled, and will arrive later")
        return Put(retention, seq, is_recorded=True)

    def flush(self, timeout_s: float) -> None:
        """Return once everything that was put has its receipt.

        Raises:
            Unavailable: not in time; nothing is lost.
        """
        if not self._await(lambda: not self._spool.waiting, time.monotonic() + timeout_s):
            raise self._no_receipt("what waits is in the spool, and is sent when the ledger is back")

    def close(self, timeout_s: float = 5.0) -> None:
        """Send what waits, say that the stream ends, and stop. What could not be sent stays in the spool for the next start.

        Raises:
            Unavailable: something is left in the spool.
        """
        if not self._is_open:
            return
        self._is_open = False
        until_s = time.monotonic() + timeout_s
        is_empty = self._await(lambda: not self._spool.waiting, until_s)
        if is_empty:
            self._sender.state_closed()
            is_empty = self._await(lambda: not self._spool.waiting, until_s)
            if is_empty:
                self._spool.close_streams()
        self._sender.stop(max(0.0, until_s - time.monotonic()) + 0.5)
        if self._sender.is_stopped:  # else it waits for the network, and goes when that gives up or the process ends
            self._spool.close()
        if not is_empty:
            raise self._no_receipt("it stays in the spool, and is sent at the next start")

    @property
    def waiting(self) -> int:
        """How many events have no receipt yet (our own statements among them)."""
        return self._spool.waiting

    @property
    def trouble(self) -> str | None:
        """Why nothing goes through now, or None."""
        error = self._sender.trouble
        return None if error is None else f"{error.code}: {error.detail}"

    def refused(self) -> list[Refused]:
        """Return the events that the ledger refused for good; a note of the refusal is in the ledger in their place."""
        return [Refused(*row) for row in self._spool.refused()]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _is_recorded(self, retention: str, seq: int, epoch: int) -> bool:
        stream = next(each for each in self._spool.streams() if each.retention == retention)
        if epoch and self._spool.epoch != epoch:
            return not self._spool.waiting  # numbered anew meanwhile: when nothing waits any more, it is there
        return stream.receipted >= seq and not any(refused[:2] == (retention, seq) for refused in self._spool.refused())

    def _await(self, is_done: Callable[[], bool], until_s: float) -> bool:
        with self._spool.changed:
            return self._spool.changed.wait_for(is_done, max(0.0, until_s - time.monotonic()))

    def _check_open(self) -> None:
        if not self._is_open:
            raise Unavailable("the client was closed", code="client_closed")

    def _no_receipt(self, hint: str) -> Unavailable:
        why = f": {self.trouble}" if self.trouble else ""
        return Unavailable(f"the ledger gave no receipt in time{why}", hint=hint, code="no_receipt", waiting=self._spool.waiting)
