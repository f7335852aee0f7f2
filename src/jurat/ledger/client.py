"""The blocking client of the sequencer: for the relay, the control plane and tests. Asyncio's is `async_client`.

One client is one producer with one epoch. It does not number by itself: `append` says the sequence number of its first
event, and sending the same again is harmless. After an `Unavailable` the outcome of that call is unknown until exactly
the same is sent again (the connection is made anew by itself); to go on with other events, connect in a fresh epoch.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from jurat.core.errors import JuratError, Malformed, Unavailable
from jurat.ledger import wire
from jurat.ledger.async_client import AsyncLedgerClient, Recorded
from jurat.ledger.endpoint import socket_address, widen
from jurat.ledger.layout import LogName
from jurat.ledger.wire import Appended, LogStatus, SignedRoot

__all__ = ["Appended", "AsyncLedgerClient", "LedgerClient", "LogStatus", "Recorded"]

R = TypeVar("R", bound=wire.Reply)


class LedgerClient:
    """A connection to the sequencer. Not for several threads at once."""

    def __init__(self, where: Path, producer: int, epoch: int | None, timeout_s: float) -> None:
        self._where = where
        self._producer = producer
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._frames = wire.FrameReader()
        self._number = 0
        self.epoch = epoch or 0

    @classmethod
    def connect(cls, where: Path, producer: int, *, epoch: int | None = None, timeout_s: float = 5.0) -> Self:
        """Return a client that has been greeted. `where`: the workspace's run directory, or the socket itself.

        `epoch` None: the sequencer gives a fresh one, in which the producer's sequence begins with 1.

        Raises:
            Unavailable: no sequencer there, or no answer within `timeout_s`.
        """
        client = cls(where, producer, epoch, timeout_s)
        client._connect()
        return client

    def append(
        self,
        log: LogName,
        first_seq: int,
        items: Sequence[tuple[int, bytes]],
        *,
        want_receipt: bool = False,
        want_commitments: bool = False,
    ) -> Appended:
        """Return once these events, (kind code, raw bytes), are durable, in this order. Idempotent by `first_seq`.

        Raises:
            Conflict: code `sequence_gap`, field `expected`: earlier ones are missing.
            Malformed: nothing to append, an event too large, a kind of another log, an unknown producer.
            Unavailable: no receipt in time, or no room; send the same again.
        """
        kinds, raws = [kind for kind, _ in items], [raw for _, raw in items]
        check_size(raws)
        return self._ask(wire.Append(str(log), first_seq, kinds, raws, want_receipt, want_commitments), Appended)

    def last_seq(self, log: LogName) -> int:
        """Return the sequence number of this producer's (and epoch's) last event in a log; 0 if there is none."""
        return self._ask(wire.LastSeq(str(log)), wire.Sequence).last

    def receipt_for(self, log: LogName, index: int) -> str:
        """Return a receipt, a signed note, for the one event at `index`.

        Raises:
            NotFound: there is none.
        """
        return self._ask(wire.ReceiptFor(str(log), index), wire.Receipted).receipt

    def signed_root(self, log: LogName) -> SignedRoot:
        """Return the log's last committed root, signed for COSE receipts."""
        return self._ask(wire.SealedRoot(str(log)), wire.SignedRoot)

    def status(self) -> list[LogStatus]:
        """Return where each log stands."""
        return self._ask(wire.Status(), wire.Statuses).logs

    def rotate(self, erased: Sequence[tuple[str, int, int]] = ()) -> int:
        """Let the next group begin a new journal segment, and return its number; let go the salts of `erased` (log, first, last)."""
        return self._ask(wire.Rotate(list(erased)), wire.Rotated).segment

    def flush(self) -> None:
        """Return once everything that was acknowledged before is sealed and published."""
        self._ask(wire.Flush(), wire.Flushed)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _connect(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._frames = wire.FrameReader()
        try:
            self._socket.settimeout(self._timeout_s)
            widen(self._socket)
            self._socket.connect(str(socket_address(self._where)))
        except OSError as error:
            self.close()
            raise _no_sequencer(self._where, error) from error
        try:
            self.epoch = self._exchange(wire.Hello(wire.VERSION, self._producer, self.epoch or None), wire.Welcome).epoch
        except JuratError:
            self.close()
            raise

    def _ask(self, request: wire.Request, expected: type[R]) -> R:
        if self._socket is None:
            self._connect()
        return self._exchange(request, expected)

    def _exchange(self, request: wire.Request, expected: type[R]) -> R:
        connection = self._socket
        assert connection is not None
        self._number += 1
        try:
            connection.sendall(wire.format_message(self._number, request))
            number, reply = self._receive(connection)
        except OSError as error:
            self.close()  # a late reply must not be taken for the next one's
            raise _no_sequencer(self._where, error) from error
        except JuratError:
            self.close()
            raise
        if isinstance(reply, wire.Refused):
            raise wire.error_of(reply)
        if number != self._number or not isinstance(reply, expected):
            self.close()
            raise Malformed(f"the ledger answered `{type(reply).__name__}` to `{type(request).__name__}`")
        return reply

    def _receive(self, connection: socket.socket) -> tuple[int, wire.Reply]:
        while True:
            raw = connection.recv(262_144)
            if not raw:
                raise ConnectionResetError("the sequencer closed the connection")
            if frames := self._frames.feed(raw):  # one request, so one reply
                return wire.parse_reply(frames[0])


def check_size(raws: Sequence[bytes]) -> None:
    """Pass if these events fit into one request.

    Raises:
        Malformed: too many, or too large together; the sequencer checks each one's size.
    """
    size = sum(map(len, raws))
    if not 0 < len(raws) <= wire.MAX_ITEMS or size > wire.MAX_ITEMS_BYTES:
        raise Malformed(
            f"an append of `{len(raws)}` events and `{size}` bytes, expected 1 to {wire.MAX_ITEMS} events and {wire.MAX_ITEMS_BYTES} bytes",
            code="event_too_large" if raws else "nothing_to_append",
        )


def _no_sequencer(where: Path, error: OSError) -> Unavailable:
    reason = "no answer in time" if isinstance(error, TimeoutError) else (error.strerror or str(error)).lower()
    return Unavailable(
        f"the ledger's sequencer at `{where}` does not answer: {reason}",
        hint="is `jurat serve` running? what got no receipt may or may not be recorded; sending it again is safe",
        code="ledger_unavailable",
    )
