"""Our own pooled HTTP/1.1 client, for one thing only: a small JSON body to a model server, a small JSON body back.

Takes from a client's request nothing but the body that was written for the model: no header of the caller's, above all
no credential, ever reaches an upstream, and no header of an upstream's reaches a caller. Follows no redirect. Every
wait has an end, every body a bound.

A prediction is a read: when a kept connection turns out to be dead before the first byte of an answer, the request is
sent once more, on a fresh connection. Nothing else is ever sent twice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Final, NamedTuple, cast

import httptools

from jurat.core.errors import Unavailable
from jurat.domain.upstreams import Upstream

MAX_ANSWER_BYTES: Final = 512 * 1024
MAX_HEAD_BYTES: Final = 32 * 1024
CONNECT_TIMEOUT_S: Final = 2.0
IDLE_S: Final = 4.0  # uvicorn closes after 5 s; taking one that is about to close costs a retry
MAX_CONNECTIONS: Final = 128  # to one upstream


class Reply(NamedTuple):
    status: int
    body: bytes


class UpstreamPool:
    """Kept connections to model servers. One event loop; close it at the end."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, int], deque[tuple[_Connection, float]]] = {}
        self._seats: dict[tuple[str, int], asyncio.Semaphore] = {}

    async def request(self, upstream: Upstream, method: str, path: str, body: bytes, timeout_s: float) -> Reply:
        """Return the server's answer, whole.

        Raises:
            Unavailable: `upstream_timeout`, `upstream_unreachable`, or `upstream_failed` (closed half-way, not HTTP,
                too large, a body in a coding that we do not read).
        """
        address = (upstream.host, upstream.port)
        seats = self._seats.setdefault(address, asyncio.Semaphore(MAX_CONNECTIONS))
        head = (
            f"{method} {upstream.prefix}{path} HTTP/1.1\r\nhost: {_host_header(upstream)}\r\naccept: application/json\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        try:
            async with asyncio.timeout(timeout_s), seats:
                return await self._exchange(address, head.encode("ascii") + body)
        except TimeoutError:
            raise Unavailable(
                f"the model server did not answer within {timeout_s:g} s", hint="try again; its operator sees why", code="upstream_timeout"
            ) from None

    async def _exchange(self, address: tuple[str, int], request: bytes) -> Reply:
        connection = self._take_idle(address)
        if connection is not None:
            with contextlib.suppress(_DiedUnasked):
                return await self._ask(connection, address, request)
        fresh = await _connect(address)
        try:
            return await self._ask(fresh, address, request)
        except _DiedUnasked:
            raise _failed("closed the connection without an answer") from None

    async def _ask(self, connection: _Connection, address: tuple[str, int], request: bytes) -> Reply:
        try:
            reply = await connection.ask(request)
        except BaseException:  # also when we are cancelled: half an exchange must never be reused
            connection.abort()
            raise
        if connection.reusable:
            now_s = asyncio.get_running_loop().time()
            self._idle.setdefault(address, deque()).append((connection, now_s))
        else:
            connection.abort()
        return reply

    def _take_idle(self, address: tuple[str, int]) -> _Connection | None:
        idle = self._idle.get(address)
        oldest_s = asyncio.get_running_loop().time() - IDLE_S
        while idle:
            connection, since_s = idle.pop()
            if connection.reusable and since_s >= oldest_s:
                return connection
            connection.abort()
        return None

    def close(self) -> None:
        """Close every idle connection."""
        for idle in self._idle.values():
            for connection, _ in idle:
                connection.abort()
        self._idle.clear()


class _DiedUnasked(Exception):
    """The connection ended before the first byte of an answer."""


class _Connection(asyncio.Protocol):
    """One connection, one exchange at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Reply] | None = None
        self._open = False
        self._start()

    def _start(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._head_bytes = 0
        self._any_byte = False
        self._complete = False
        self._keep = False

    @property
    def reusable(self) -> bool:
        return self._open and self._keep

    async def ask(self, request: bytes) -> Reply:
        """Send a request; return the answer to it."""
        self._start()
        if self._transport is None or not self._open:
            raise _DiedUnasked
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def abort(self) -> None:
        self._open = False
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._open = cast("asyncio.Transport", transport), True  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.abort()  # bytes that nobody asked for: whose answer they are cannot be known
            return
        self._any_byte = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("wanted to change the protocol")
        except httptools.HttpParserError:
            self._fail("sent something that is not HTTP")
        else:
            if not self._complete and self._head_bytes == 0 and len(data) > MAX_HEAD_BYTES:
                self._fail("sent a head without an end")

    def connection_lost(self, exc: Exception | None) -> None:
        self._open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(_failed("closed the connection half-way") if self._any_byte else _DiedUnasked())

    # --- httptools callbacks

    def on_message_begin(self) -> None:
        if self._complete:
            self._keep = False  # a second answer to one question
            self._open = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > MAX_HEAD_BYTES:
            self._fail(f"sent a head of more than {MAX_HEAD_BYTES} bytes")
        if name.lower() == b"content-encoding" and value.strip().lower() != b"identity":
            self._fail("sent a coding that nobody asked for")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > MAX_ANSWER_BYTES:
            self._fail(f"sent more than {MAX_ANSWER_BYTES} bytes")
        elif not self._complete:
            self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 or self._complete:  # interim answers (RFC 9110 §15.2) are read past
            return
        self._complete = True
        self._keep = self._parser.should_keep_alive()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Reply(status, b"".join(self._body)))

    def _fail(self, what: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(_failed(what))
        self.abort()


async def _connect(address: tuple[str, int]) -> _Connection:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, connection = await asyncio.get_running_loop().create_connection(_Connection, *address)
    except (OSError, TimeoutError) as error:
        raise Unavailable(
            "the model server cannot be reached",
            hint="its operator sees why; `jurat status` shows which servers the endpoints need",
            code="upstream_unreachable",
        ) from error
    return connection


def _failed(what: str) -> Unavailable:
    return Unavailable(f"the model server {what}", hint="try again; its operator sees why", code="upstream_failed")


def _host_header(upstream: Upstream) -> str:
    host = f"[{upstream.host}]" if ":" in upstream.host else upstream.host
    return f"{host}:{upstream.port}"
