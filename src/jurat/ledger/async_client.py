"""The asyncio client of the sequencer: for the gateway, where many requests each wait for one durable record.

It numbers by itself. Each log has a lane with a connection and an epoch of its own, and one append in flight; what comes
meanwhile makes the next, so batches are as large as the load is. After a lost connection the same append is sent
again, which is harmless. A client that `states` says in each log when its stream begins, that it is alive, and when it
ends. What has no receipt within `timeout_s` is given up, and may or may not be recorded; the lane
then goes on in a fresh epoch, so that a late arrival can never be taken for something else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from pathlib import Path
from typing import Final, NamedTuple, Self, TypeVar

from jurat.core.clock import SystemClock
from jurat.core.errors import JuratError, Malformed, Unavailable
from jurat.domain.kinds import BY_CODE, CLOSED, HEARTBEAT, OPENED, Kind
from jurat.ledger import wire
from jurat.ledger.endpoint import socket_address, widen
from jurat.ledger.layout import LogName
from jurat.ledger.stream import OwnStream

_BATCH_ITEMS: Final = 1_000
_BATCH_BYTES: Final = 4 * 1024 * 1024
_MAX_WAITING: Final = 20_000  # events of one log; beyond it the caller is told to come back later
_RETRY_S: Final = 0.05
_READ_SIZE: Final = 65_536

R = TypeVar("R", bound=wire.Reply)


class Recorded(NamedTuple):
    """An event's place in its log, and when it was received (Unix ns)."""

    log: LogName
    entry_index: int
    received_ns: int


class AsyncLedgerClient:
    """Puts single events into logs; each `put` returns when its event is durable. For one event loop."""

    def __init__(self, where: Path, producer: int, timeout_s: float, max_event_bytes: int, period_s: float | None) -> None:
        self._where = where
        self._producer = producer
        self._timeout_s = timeout_s
        self._max_event_bytes = max_event_bytes
        self._period_s = period_s
        self._lanes: dict[LogName, _Lane] = {}
        self._is_open = True

    @classmethod
    async def connect(cls, where: Path, producer: int, *, timeout_s: float = 5.0, period_s: float | None = None) -> Self:
        """Return a client, once a sequencer has answered. `where`: the workspace's run directory, or the socket.

        `period_s`: state every stream, with a heartbeat so often; None: state nothing.

        Raises:
            Unavailable: there is none.
        """
        connection = _Connection(where)
        try:
            async with asyncio.timeout(timeout_s):
                welcome = await connection.open(producer, None)
        except (OSError, TimeoutError) as error:
            raise Unavailable(
                f"the ledger's sequencer at `{where}` does not answer", hint="is `jurat serve` running?", code="ledger_unavailable"
            ) from error
        finally:
            connection.close()
        return cls(where, producer, timeout_s, welcome.max_event_bytes, period_s)

    async def put(self, log: LogName, kind_code: int, raw: bytes) -> Recorded:
        """Return the event's place, once it is durable. Events of one log keep the order of the calls.

        Raises:
            Unavailable: no receipt in time, or too many wait already; then the event may or may not be recorded.
            Malformed: the event is empty or too large, or its kind belongs to another log.
        """
        # Checked here too: a refused event would take those down that travel with it.
        if not 0 < len(raw) <= self._max_event_bytes:
            code = "event_too_large" if raw else "event_empty"
            raise Malformed(f"an event of `{len(raw)}` bytes, expected 1 to {self._max_event_bytes}", code=code)
        if kind_code not in BY_CODE or not BY_CODE[kind_code].belongs_in(log.name):
            raise Malformed(f"kind code `{kind_code}` does not belong in log `{log}`", code="kind_unknown")
        if not self._is_open:
            raise _unknown("the client was closed")
        if log not in self._lanes:
            self._lanes[log] = _Lane(log, self._where, self._producer, self._timeout_s, self._period_s)
        return await self._lanes[log].put(kind_code, raw)

    async def close(self) -> None:
        """Stop. Whoever still waits is told that the outcome is unknown."""
        self._is_open = False
        for lane in self._lanes.values():
            await lane.close()


class _Item(NamedTuple):
    kind_code: int
    raw: bytes | None  # None: a statement, written when it is sent
    answer: asyncio.Future[Recorded]

    def fail(self, error: JuratError) -> None:
        if not self.answer.done():  # its caller may have gone
            self.answer.set_exception(error)


class _Lane:
    """One log's queue, and the task that empties it."""

    def __init__(self, log: LogName, where: Path, producer: int, timeout_s: float, period_s: float | None) -> None:
        self._log = log
        self._producer = producer
        self._timeout_s = timeout_s
        self._connection = _Connection(where)
        self._waiting: deque[_Item] = deque()
        self._has_work = asyncio.Event()
        self._stream: OwnStream | None = None  # None: the sequencer gives a fresh epoch, in which numbers begin again
        self._last_stream: OwnStream | None = None
        self._period_s = period_s
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._drain())
        self._pulse = loop.create_task(self._beat(period_s)) if period_s is not None else None

    def put(self, kind_code: int, raw: bytes) -> asyncio.Future[Recorded]:
        if len(self._waiting) >= _MAX_WAITING:
            raise Unavailable(f"`{_MAX_WAITING}` events wait for log `{self._log}` already", hint="send less, or later", code="ledger_busy")
        item = _Item(kind_code, raw, asyncio.get_running_loop().create_future())
        self._waiting.append(item)
        self._has_work.set()
        return item.answer

    async def close(self) -> None:
        if self._pulse is not None:
            self._pulse.cancel()
            with contextlib.suppress(JuratError, asyncio.TimeoutError):
                if self._stream is not None:
                    await asyncio.wait_for(self._put_statement(CLOSED), min(1.0, self._timeout_s))
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        for item in self._waiting:
            item.fail(_unknown("the client was closed"))
        self._connection.close()

    async def _drain(self) -> None:
        while True:
            await self._has_work.wait()
            while items := self._take():
                try:
                    first_index, received_ns = await self._deliver(items)
                except JuratError as error:
                    self._give_up(items, error)
                except asyncio.CancelledError:
                    self._give_up(items, _unknown("the client was closed"))
                    raise
                else:
                    for index, item in enumerate(items, first_index):
                        if not item.answer.done():
                            item.answer.set_result(Recorded(self._log, index, received_ns))
            self._has_work.clear()

    async def _beat(self, period_s: float) -> None:
        while True:
            await asyncio.sleep(period_s)
            if self._stream is not None and not any(item.raw is None for item in self._waiting):
                with contextlib.suppress(JuratError):  # whoever writes meanwhile is told
                    await self._put_statement(HEARTBEAT)

    def _put_statement(self, kind: Kind) -> asyncio.Future[Recorded]:
        item = _Item(kind.code, None, asyncio.get_running_loop().create_future())
        self._waiting.append(item)
        self._has_work.set()
        return item.answer

    def _take(self) -> list[_Item]:
        items: list[_Item] = []
        size = 0
        while self._waiting and len(items) < _BATCH_ITEMS and size < _BATCH_BYTES:
            items.append(self._waiting.popleft())
            size += len(items[-1].raw or b"")
            if items[-1].kind_code == CLOSED.code:
                break
        return items

    async def _deliver(self, items: list[_Item]) -> tuple[int, int]:
        """Return (first index, received ns) of these events, sending them until there is a receipt or the time is over."""
        append: wire.Append | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    try:
                        if not self._connection.is_open:
                            welcome = await self._connection.open(self._producer, self._stream.epoch if self._stream else None)
                            self._stream = self._stream or OwnStream(welcome.epoch, SystemClock(), self._last_stream)
                        assert self._stream is not None
                        append = append or self._make_append(self._stream, items)  # the same, however often it is sent
                        appended = await self._connection.ask(append, wire.Appended)
                        self._stream.settle(len(append.raws), appended.commitments)
                        return appended.first_index + len(append.raws) - len(items), appended.received_ns
                    except OSError:
                        self._connection.close()
                        await asyncio.sleep(_RETRY_S)
        except TimeoutError:
            raise _unknown(f"no receipt within {self._timeout_s:g} s") from None

    def _make_append(self, stream: OwnStream, items: list[_Item]) -> wire.Append:
        kinds, first_seq = [item.kind_code for item in items], stream.receipted + 1
        states = self._period_s is not None
        opening = [stream.statement(OPENED.name, 0)] if states and first_seq == 1 else []
        raws = opening + [
            stream.statement(BY_CODE[item.kind_code].name, seq - 1) if item.raw is None else item.raw
            for seq, item in enumerate(items, start=first_seq + len(opening))
        ]
        return wire.Append(str(self._log), first_seq, [OPENED.code] * len(opening) + kinds, raws, False, states)

    def _give_up(self, items: list[_Item], error: JuratError) -> None:
        # INVARIANT: a sequence number whose outcome is unknown is never used for another event.
        self._connection.close()
        self._last_stream, self._stream = self._stream or self._last_stream, None
        for item in items:
            item.fail(error)


class _Connection:
    """One connection, one question at a time."""

    def __init__(self, where: Path) -> None:
        self._where = where
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._frames = wire.FrameReader()
        self._number = 0

    @property
    def is_open(self) -> bool:
        return self._streams is not None

    async def open(self, producer: int, epoch: int | None) -> wire.Welcome:
        """Connect and say hello."""
        self._frames = wire.FrameReader()
        self._streams = await asyncio.open_unix_connection(str(socket_address(self._where)))
        widen(self._streams[1].get_extra_info("socket"))
        return await self.ask(wire.Hello(wire.VERSION, producer, epoch), wire.Welcome)

    async def ask(self, request: wire.Request, expected: type[R]) -> R:
        """Return the answer.

        Raises:
            OSError: the connection was lost.
            JuratError: the sequencer refused.
        """
        assert self._streams is not None
        reader, writer = self._streams
        self._number += 1
        writer.write(wire.format_message(self._number, request))
        await writer.drain()
        frames: list[bytes] = []
        while not frames:
            raw = await reader.read(_READ_SIZE)
            if not raw:
                raise ConnectionResetError("the sequencer closed the connection")
            frames = self._frames.feed(raw)
        number, reply = wire.parse_reply(frames[0])
        if isinstance(reply, wire.Refused):
            raise wire.error_of(reply)
        if number != self._number or not isinstance(reply, expected):
            raise Malformed(f"the ledger answered `{type(reply).__name__}` to `{type(request).__name__}`")
        return reply

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _unknown(why: str) -> Unavailable:
    return Unavailable(
        f"the ledger gave no receipt: {why}",
        hint="the event may or may not be recorded; what must be recorded must not happen now",
        code="ledger_unavailable",
    )
