"""The sequencer's door: one thread that reads requests, has them answered as one group, and reads again.

While a sync runs, requests collect in the sockets' buffers; when it returns, all that came make the next group. So
batches are as large as the load is, there is no timer, and a full socket is the back-pressure. Sealing has a thread of
its own; when it needs anchor entries written, it asks this one. Knows sockets; what requests mean is `desk`'s.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from jurat.core.errors import JuratError, Malformed
from jurat.ledger import wire
from jurat.ledger.desk import AnchorWish, Caller, Desk, Waiting
from jurat.ledger.endpoint import check_peer

_READ_SIZE: Final = 1024 * 1024
_MAX_CONNECTIONS: Final = 256
_MAX_UNREAD: Final = 4 * 1024 * 1024  # bytes of replies that a client does not fetch


class Connection:
    """One socket, with what is half read and half written."""

    def __init__(self, peer: socket.socket) -> None:
        self.socket = peer
        self.frames = wire.FrameReader()
        self.outgoing = bytearray()
        self.is_open = True


class Server:
    """Owns the listener and the connections; runs in the process's main thread."""

    def __init__(self, listener: socket.socket, desk: Desk) -> None:
        self._desk = desk
        self._listener = listener
        self._connections: set[Connection] = set()
        self._requests: deque[Waiting] = deque()
        self._sealed_group = 0
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._drain_wakes)

    def run(self, is_done: threading.Event) -> None:
        """Serve until `is_done`. Returns with everything that was acknowledged in the journal and the arrays."""
        while not is_done.is_set():
            for ready, _ in self._selector.select():
                ready.data()
            while self._requests or self._desk.wishes:
                self._desk.answer_some(self._requests)
            self._desk.answer_flushes(self._sealed_group)

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

    # ── from other threads and signal handlers ──────────────────────────────────────────────────────────────────

    @property
    def wake_descriptor(self) -> int:
        """A byte written here makes the loop look around."""
        return self._wake_write

    def wake(self) -> None:
        """Make the loop look around."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def append_anchors(self, entries: Sequence[bytes]) -> None:
        """Return once the loop has written these anchor entries."""
        wish = AnchorWish(entries)
        self._desk.wishes.append(wish)
        self.wake()
        wish.done.wait()

    def report_sealed(self, group: int) -> None:
        """Tell the loop that everything up to this journal group is sealed and public."""
        self._sealed_group = group
        self.wake()

    # ── connections ─────────────────────────────────────────────────────────────────────────────────────────────

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:  # gone again
            return
        try:
            check_peer(peer)
        except JuratError:
            peer.close()
            return
        if len(self._connections) >= _MAX_CONNECTIONS:
            peer.close()
            return
        peer.setblocking(False)
        connection = Connection(peer)
        caller = Caller(lambda number, reply: self._reply(connection, number, reply))
        self._connections.add(connection)
        self._selector.register(peer, selectors.EVENT_READ, lambda: self._serve(connection, caller))

    def _serve(self, connection: Connection, caller: Caller) -> None:
        """Write what is left to write, read what has come."""
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
                self._requests.append(Waiting(caller, *wire.parse_request(frame)))
        except Malformed as error:
            self._reply(connection, 0, wire.refuse(error))
            self._drop(connection)

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
        key = self._selector.get_key(connection.socket)
        if key.events != events:
            self._selector.modify(connection.socket, events, key.data)

    def _drop(self, connection: Connection) -> None:
        if connection.is_open:
            connection.is_open = False
            self._connections.discard(connection)
            self._selector.unregister(connection.socket)
            connection.socket.close()

    def _drain_wakes(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 65536)
