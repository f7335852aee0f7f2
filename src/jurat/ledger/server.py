"""The sequencer's door: one thread that reads requests, writes them as one group, answers, and reads again.

While a sync runs, requests collect in the sockets' buffers; when it returns, all that came make the next group. So
batches are as large as the load is, there is no timer, and a full socket is the back-pressure. Sealing has a thread of
its own (`Sealer`); when it needs anchor entries written, it asks this one.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from jurat.core.clock import Clock
from jurat.core.errors import Conflict, JuratError, Malformed, NotFound, Unavailable
from jurat.domain.kinds import CATALOGUE, PRODUCERS
from jurat.ledger import wire
from jurat.ledger.endpoint import check_peer
from jurat.ledger.engine import Engine, Snapshot
from jurat.ledger.keys import LogSigners
from jurat.ledger.layout import ANCHOR, LogName, parse_log_name
from jurat.ledger.producers import find_sequence
from jurat.ledger.publish import Publisher
from jurat.ledger.receipt import describe_batch, sign_receipt
from jurat.ledger.sequencer import Fresh, Gap, ProducerKey, Submission, Verdict
from jurat.merkle.entry import unpack_entry

_READ_SIZE: Final = 1024 * 1024
_GROUP_ITEMS: Final = 2_000  # caches suffer above some 4,000
_GROUP_BYTES: Final = 16 * 1024 * 1024
_MAX_CONNECTIONS: Final = 256
_MAX_UNREAD: Final = 4 * 1024 * 1024  # bytes of replies that a client does not fetch


class Connection:
    """One producer's connection."""

    def __init__(self, peer: socket.socket) -> None:
        self.socket = peer
        self.frames = wire.FrameReader()
        self.outgoing = bytearray()
        self.producer = 0
        self.epoch = 0  # 0: has not said hello
        self.is_open = True


class Waiting(NamedTuple):
    """A request that is not answered yet."""

    connection: Connection
    number: int
    request: wire.Request


class Server:
    """Owns the listener, the connections and the engine's writing side; runs in the process's main thread."""

    def __init__(
        self,
        listener: socket.socket,
        engine: Engine,
        signers: dict[LogName, LogSigners],
        clock: Clock,
        max_event_bytes: int,
        merge_delay_ms: int,
    ) -> None:
        self._engine = engine
        self._signers = signers
        self._clock = clock
        self._max_event_bytes = max_event_bytes
        self._merge_delay_ms = merge_delay_ms
        self._kinds = {log: frozenset(kind.code for kind in CATALOGUE if kind.retention == log.name) for log in signers if log != ANCHOR}
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._connections: set[Connection] = set()
        self._requests: deque[Waiting] = deque()
        self._flushes: deque[tuple[int, Waiting]] = deque()
        self._anchors: deque[_AnchorWish] = deque()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._drain_wakes)
        self._sealed_group = 0
        self._last_epoch: dict[int, int] = {}
        for key in engine.sequencer.lasts:
            self._last_epoch[key.producer] = max(self._last_epoch.get(key.producer, 0), key.epoch)
        self.publisher: Publisher  # plugged in by `daemon`, which makes the two know each other
        self.wish_to_seal = threading.Event()
        self.refuse_appends: Unavailable | None = None  # set by the sealing thread while the disk is nearly full

    # ── the loop ────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, is_done: threading.Event) -> None:
        """Serve until `is_done`. Returns with everything that was acknowledged in the journal and the arrays."""
        while not is_done.is_set():
            for ready, _ in self._selector.select():
                ready.data()
            while self._requests or self._anchors:
                self._answer_some()
            self._answer_flushes()

    def wake(self) -> None:
        """Make the loop look around. From any thread or signal handler."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    @property
    def wake_descriptor(self) -> int:
        return self._wake_write

    def watch(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Call `callback` in the loop, once, when the descriptor can be read or has come to its end."""

        def once() -> None:
            self._selector.unregister(descriptor)
            callback()

        self._selector.register(descriptor, selectors.EVENT_READ, once)

    def close(self) -> None:
        """Close every socket."""
        for connection in list(self._connections):
            self._drop(connection)
        self._listener.close()
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    # ── for the sealing thread ──────────────────────────────────────────────────────────────────────────────────

    def append_anchors(self, entries: Sequence[bytes]) -> Snapshot:
        """Have the loop write anchor entries; return the state after them."""
        wish = _AnchorWish(entries)
        self._anchors.append(wish)
        self.wake()
        wish.done.wait()
        return self._engine.snapshot()

    def report_sealed(self, group: int) -> None:
        """Tell the loop that everything up to this journal group is sealed and public."""
        self._sealed_group = group
        self.wake()

    # ── connections ─────────────────────────────────────────────────────────────────────────────────────────────

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return
        try:
            check_peer(peer)
            if len(self._connections) >= _MAX_CONNECTIONS:
                raise Unavailable("too many connections")
        except JuratError:
            peer.close()
            return
        peer.setblocking(False)
        connection = Connection(peer)
        self._connections.add(connection)
        self._selector.register(peer, selectors.EVENT_READ, lambda: self._serve(connection))

    def _serve(self, connection: Connection) -> None:
        """Read what has come, write what is left to write."""
        if connection.outgoing:
            self._send(connection)
        try:
            raw = connection.socket.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            raw = b""
        if not raw:
            self._drop(connection)
            return
        try:
            for frame in connection.frames.feed(raw):
                self._requests.append(Waiting(connection, *wire.parse_request(frame)))
        except Malformed as error:
            self._reply(connection, 0, wire.refuse(error))
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        if connection.is_open:
            connection.is_open = False
            self._connections.discard(connection)
            self._selector.unregister(connection.socket)
            connection.socket.close()

    def _reply(self, connection: Connection, number: int, reply: wire.Reply) -> None:
        if connection.is_open:
            connection.outgoing += wire.format_message(number, reply)
            self._send(connection)

    def _send(self, connection: Connection) -> None:
        try:
            sent = connection.socket.send(connection.outgoing)
            del connection.outgoing[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(connection)
            return
        if len(connection.outgoing) > _MAX_UNREAD:
            self._drop(connection)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.outgoing else 0)
        if self._selector.get_key(connection.socket).events != events:
            self._selector.modify(connection.socket, events, lambda: self._serve(connection))

    def _drain_wakes(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 65536)

    # ── requests ────────────────────────────────────────────────────────────────────────────────────────────────

    def _answer_some(self) -> None:
        """Answer the requests up to the first that is no append, or a group of appends and anchor entries."""
        appends: list[tuple[Waiting, wire.Append, Submission]] = []
        items = size = 0
        while self._requests and items < _GROUP_ITEMS and size < _GROUP_BYTES:
            waiting = self._requests[0]
            if not isinstance(waiting.request, wire.Append):
                if appends:
                    break
                self._requests.popleft()
                self._answer_question(waiting)
                return
            self._requests.popleft()
            try:
                submission = self._check_append(waiting.connection, waiting.request)
            except JuratError as error:
                self._reply(waiting.connection, waiting.number, wire.refuse(error))
                continue
            appends.append((waiting, waiting.request, submission))
            items += len(submission.raws)
            size += sum(map(len, submission.raws))
        self._write_group(appends)

    def _write_group(self, appends: list[tuple[Waiting, wire.Append, Submission]]) -> None:
        wishes = list(self._anchors)
        self._anchors.clear()
        anchors = [entry for wish in wishes for entry in wish.entries]
        if not appends and not anchors:
            return
        try:
            verdicts = self._engine.write([submission for _, _, submission in appends], self._clock.now_ns(), anchors)
        except Unavailable as error:
            if wishes:
                raise  # sealing cannot go on without them
            for waiting, _, _ in appends:
                self._reply(waiting.connection, waiting.number, wire.refuse(error))
            return
        late = []
        for (waiting, request, submission), verdict in zip(appends, verdicts, strict=False):  # the last one may be anchors
            if isinstance(verdict, Fresh) and not verdict.duplicates:
                self._reply(waiting.connection, waiting.number, self._describe_fresh(request, verdict))
            else:
                late.append((waiting, request, submission, verdict))
        self._engine.settle(verdicts)
        for wish in wishes:
            wish.done.set()
        for waiting, request, submission, verdict in late:  # where they first lay is answered from the arrays
            self._reply(waiting.connection, waiting.number, self._describe_late(request, submission, verdict))

    def _check_append(self, connection: Connection, request: wire.Append) -> Submission:
        if self.refuse_appends is not None:
            raise self.refuse_appends
        if not connection.epoch:
            raise Malformed("the first request must be `hello`")
        log = parse_log_name(request.log)
        if log not in self._kinds:
            raise NotFound(f"there is no log `{request.log[:80]}` here", hint=f"logs: {', '.join(map(str, self._kinds))}")
        count = len(request.raws)
        if not 0 < count <= wire.MAX_ITEMS or len(request.kinds) != count or not 0 < request.first_seq < 2**63:
            raise Malformed(f"an append of `{count}` events with `{len(request.kinds)}` kinds from seq `{request.first_seq}`")
        if not self._kinds[log].issuperset(request.kinds):
            wrong = next(kind for kind in request.kinds if kind not in self._kinds[log])
            raise Malformed(f"kind code `{wrong}` does not belong in log `{log}`", hint="see jurat.domain.kinds", code="kind_unknown")
        largest = max(map(len, request.raws))
        if largest > self._max_event_bytes or not all(request.raws):
            raise Malformed(
                f"an event of `{largest}` bytes, expected 1 to {self._max_event_bytes}",
                hint="keep large things as artefacts and name their digest; the limit is `max_event_bytes`",
                code="event_too_large" if largest > self._max_event_bytes else "event_empty",
            )
        return Submission(ProducerKey(log, connection.producer, connection.epoch), request.first_seq, request.kinds, request.raws)

    def _describe_fresh(self, request: wire.Append, fresh: Fresh) -> wire.Appended:
        batch, receipt = fresh.batch, None
        if request.want_receipt:
            receipt = self._sign_receipt(fresh.key.log, batch.first_index, fresh.entries)
        return wire.Appended(batch.first_index, batch.count, fresh.received_ns, receipt, False)

    def _describe_late(self, request: wire.Append, submission: Submission, verdict: Verdict) -> wire.Reply:
        if isinstance(verdict, Gap):
            detail = (
                f"producer `{submission.key.producer}` sent seq `{submission.first_seq}` to `{request.log}`, expected `{verdict.expected}`"
            )
            return wire.refuse(Conflict(detail, hint="send the missing ones first", code="sequence_gap", expected=verdict.expected))
        key, count = submission.key, len(submission.raws)
        arrays = self._engine.arrays[key.log]
        first = find_sequence(arrays, arrays.size, key.producer, key.epoch, submission.first_seq)
        last_seq = submission.first_seq + count - 1
        last = verdict.last.at if isinstance(verdict, Fresh) else find_sequence(arrays, arrays.size, key.producer, key.epoch, last_seq)
        entries = arrays.entries(first, last + 1) if last - first == count - 1 else arrays.entries(first, first + 1)
        receipt = self._sign_receipt(key.log, first, entries) if request.want_receipt and len(entries) == count else None
        return wire.Appended(first, count, unpack_entry(entries[0]).received_ns, receipt, True)

    def _sign_receipt(self, log: LogName, first_index: int, entries: Sequence[bytes]) -> str:
        signers = self._signers[log]
        return sign_receipt(describe_batch(signers.public.origin, first_index, entries, self._merge_delay_ms), signers.receipt)

    def _answer_question(self, waiting: Waiting) -> None:
        connection, number, request = waiting
        try:
            if isinstance(request, wire.Flush):
                self._flushes.append((self._engine.journal.end.group, waiting))
                self.wish_to_seal.set()
                return
            self._reply(connection, number, self._answer(connection, request))
        except JuratError as error:
            self._reply(connection, number, wire.refuse(error))

    def _answer(self, connection: Connection, request: wire.Request) -> wire.Reply:
        if isinstance(request, wire.Hello):
            return self._welcome(connection, request)
        if isinstance(request, wire.LastSeq):
            last = self._engine.sequencer.lasts.get(ProducerKey(parse_log_name(request.log), connection.producer, connection.epoch))
            return wire.Sequence(last.seq if last else 0)
        if isinstance(request, wire.ReceiptFor):
            log = parse_log_name(request.log)
            if log not in self._kinds or not 0 <= request.index < self._engine.arrays[log].size:
                raise NotFound(f"log `{request.log}` has no entry `{request.index}`")
            return wire.Receipted(
                self._sign_receipt(log, request.index, self._engine.arrays[log].entries(request.index, request.index + 1))
            )
        statuses = []
        for log, arrays in self._engine.arrays.items():
            sealed = self.publisher.sealed(log)
            statuses.append(wire.LogStatus(str(log), arrays.size, sealed.size, sealed.sealed_ns))
        return wire.Statuses(statuses)

    def _welcome(self, connection: Connection, hello: wire.Hello) -> wire.Welcome:
        if hello.version != wire.VERSION:
            raise Malformed(f"protocol version `{hello.version}`, expected {wire.VERSION}", hint="both sides must be of one jurat")
        if hello.producer not in PRODUCERS:
            raise Malformed(f"producer `{hello.producer}` is not in the catalogue", hint="see jurat.domain.kinds")
        if hello.epoch is not None and not 0 < hello.epoch < 2**32:
            raise Malformed(f"epoch `{hello.epoch}`, expected 1 to 2^32 - 1")
        # Seconds since 1970: an epoch that was handed out before a crash and never used is not handed out again.
        fresh = max(self._last_epoch.get(hello.producer, 0) + 1, self._clock.now_ns() // 1_000_000_000)
        connection.producer, connection.epoch = hello.producer, hello.epoch or fresh
        self._last_epoch[hello.producer] = max(self._last_epoch.get(hello.producer, 0), connection.epoch)
        return wire.Welcome(connection.epoch, self._max_event_bytes)

    def _answer_flushes(self) -> None:
        while self._flushes and self._flushes[0][0] <= self._sealed_group:
            _, waiting = self._flushes.popleft()
            self._reply(waiting.connection, waiting.number, wire.Flushed())


class _AnchorWish:
    """Anchor entries that the sealing thread wants written."""

    def __init__(self, entries: Sequence[bytes]) -> None:
        self.entries = entries
        self.done = threading.Event()
