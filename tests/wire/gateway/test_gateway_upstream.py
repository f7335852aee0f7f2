"""Our client against servers that answer well, badly, late, too much or not at all. Real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop

from jurat.core.errors import Malformed, Unavailable
from jurat.domain.upstreams import Upstream, parse_upstream
from jurat.gateway import upstream
from jurat.gateway.upstream import MAX_ANSWER_BYTES, Reply, UpstreamPool

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class Server:
    """A server that does what `behaviour` says for each connection, and counts."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.connections = 0
        self.requests: list[bytes] = []
        self.tasks: list[asyncio.Task[Any]] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._behaviour(reader, writer, number)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()
            writer.transport.abort()

    async def read_request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(next(line.split(b":")[1] for line in head.split(b"\r\n") if line.startswith(b"content-length")))
        raw = head + await reader.readexactly(length)
        self.requests.append(raw)
        return raw


@contextlib.asynccontextmanager
async def serving(behaviour: Behaviour) -> AsyncIterator[tuple[Server, Upstream, UpstreamPool]]:
    server = Server(behaviour)
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    pool = UpstreamPool()
    try:
        yield server, Upstream("127.0.0.1", listening.sockets[0].getsockname()[1], ""), pool
    finally:
        pool.close()
        if server.tasks:
            _, waiting = await asyncio.wait(server.tasks, timeout=0.2)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*server.tasks, return_exceptions=True)
        await asyncio.sleep(0.01)
        listening.close()
        await listening.wait_closed()


def run(story: Awaitable[Any]) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(20):
            return await story

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the loop that the gateway runs on
        return runner.run(limited())


async def ask(pool: UpstreamPool, server: Upstream, timeout_s: float = 5.0, body: bytes = b"{}") -> Reply:
    return await pool.request(server, "POST", "/v2/models/m/infer", body, timeout_s)


def answering(*chunks: bytes, pause_s: float = 0.0, once: bool = False) -> Behaviour:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n{}")
            for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(pause_s)
            if once:
                return

    return behave


def test_the_request_is_exactly_this() -> None:
    async def story() -> None:
        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
            await server.read_request(reader)
            writer.write(OK)
            await reader.read()

        async with serving(behave) as (server, where, pool):
            assert await ask(pool, where, body=b'{"inputs":[]}') == Reply(200, b"{}")
            head, _, sent = server.requests[0].partition(b"\r\n\r\n")
            assert sent == b'{"inputs":[]}'
            assert sorted(head.split(b"\r\n")) == [
                b"POST /v2/models/m/infer HTTP/1.1",
                b"accept: application/json",
                b"content-length: 13",
                b"content-type: application/json",
                b"host: 127.0.0.1:%d" % where.port,
            ]

    run(story())


def test_a_connection_is_kept_and_used_again() -> None:
    async def story() -> None:
        async with serving(answering(OK)) as (server, where, pool):
            for _ in range(5):
                await ask(pool, where)
            assert server.connections == 1
            await asyncio.gather(*(ask(pool, where) for _ in range(5)))
            assert server.connections <= 5

    run(story())


@pytest.mark.parametrize(
    "answer",
    [
        OK.replace(b"200 OK\r\n", b"200 OK\r\nconnection: close\r\n"),
        OK.replace(b"HTTP/1.1", b"HTTP/1.0"),
        OK + OK,
        OK + b"HTTP/1.1 200 O",
    ],
    ids=["close", "http_1_0", "two_answers", "one_and_a_bit"],
)
def test_a_connection_is_not_used_again_when_it_must_not_be(answer: bytes) -> None:
    async def story() -> None:
        async with serving(answering(answer)) as (server, where, pool):
            assert (await ask(pool, where)).body == b"{}"
            await asyncio.sleep(0.02)
            assert (await ask(pool, where)).body == b"{}"
            assert server.connections == 2

    run(story())


def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    async def story() -> None:
        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
            while True:
                await server.read_request(reader)
                writer.write(OK)
                await asyncio.sleep(0.01)
                writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"for you"')
                await writer.drain()
                said.set()

        said = asyncio.Event()
        async with serving(behave) as (server, where, pool):
            assert (await ask(pool, where)).body == b"{}"
            await said.wait()
            await asyncio.sleep(0.05)
            assert (await ask(pool, where)).body == b"{}"
            assert server.connections == 2

    run(story())


@pytest.mark.parametrize(
    "chunks",
    [
        [OK[:5], OK[5:30], OK[30:]],
        [bytes([byte]) for byte in OK],
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"],
        [b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n" + OK],
    ],
    ids=["pieces", "bytes", "chunked", "interim"],
)
def test_an_answer_may_come_in_any_shape(chunks: list[bytes]) -> None:
    async def story() -> None:
        async with serving(answering(*chunks)) as (_, where, pool):
            assert await ask(pool, where) == Reply(200, b"{}")
            assert await ask(pool, where) == Reply(200, b"{}")

    run(story())


BIG = b"x" * (MAX_ANSWER_BYTES + 1)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}", "half-way"),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", "half-way"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}", "coding"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(BIG) + BIG, "more than"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"%x\r\n%s\r\n" % (len(BIG), BIG), "more than"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 40_000 + b"\r\ncontent-length: 2\r\n\r\n{}", "head"),
        (b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", "protocol"),
        (b"", "without an answer"),
    ],
    ids=[
        "not_http", "half_a_body", "no_length", "length_and_chunked", "two_lengths", "gzip", "big", "big_chunked", "big_head", "upgrade",
        "nothing",
    ],
)  # fmt: skip
def test_a_bad_answer_is_a_failed_upstream_and_never_an_answer(answer: bytes, why: str) -> None:
    async def story() -> None:
        async with serving(answering(answer, once=True)) as (server, where, pool):
            with pytest.raises(Unavailable) as failed:
                await ask(pool, where)
            assert failed.value.code == "upstream_failed"
            assert why in failed.value.detail
            assert server.connections == 1

    run(story())


def test_an_endless_head_is_cut_off() -> None:
    async def story() -> None:
        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n")
            while not writer.is_closing():
                writer.write(b"a: b\r\n" * 100)
                await writer.drain()

        async with serving(behave) as (_, where, pool):
            with pytest.raises(Unavailable, match="head"):
                await ask(pool, where)

    run(story())


def test_an_endless_header_line_is_cut_off() -> None:
    async def story() -> None:
        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\na: ")
            while not writer.is_closing():
                writer.write(b"b" * 1000)
                await writer.drain()

        async with serving(behave) as (_, where, pool):
            with pytest.raises(Unavailable, match="head"):
                await ask(pool, where)

    run(story())


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    async def story() -> None:
        answer = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
        async with serving(answering(answer)) as (server, where, pool):
            assert await ask(pool, where) == Reply(302, b"")
            assert server.connections == 1

    run(story())


@pytest.mark.parametrize("when", ["before_answer", "within_answer"])
def test_a_slow_server_is_not_waited_for_and_its_connection_is_not_reused(when: str) -> None:
    async def story() -> None:
        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
            await server.read_request(reader)
            if number == 0:
                writer.write(b"" if when == "before_answer" else OK[:20])
                await asyncio.sleep(0.3)
                writer.write(OK if when == "before_answer" else OK[20:])
            else:
                writer.write(OK)
            await reader.read()

        async with serving(behave) as (server, where, pool):
            started_s = asyncio.get_running_loop().time()
            with pytest.raises(Unavailable) as late:
                await ask(pool, where, timeout_s=0.1)
            assert late.value.code == "upstream_timeout"
            assert asyncio.get_running_loop().time() - started_s < 0.25
            assert await ask(pool, where) == Reply(200, b"{}")
            assert server.connections == 2

    run(story())


def test_nobody_listening_is_said_at_once() -> None:
    async def story() -> None:
        listening = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        listening.close()
        with pytest.raises(Unavailable) as gone:
            await ask(UpstreamPool(), Upstream("127.0.0.1", port, ""))
        assert gone.value.code == "upstream_unreachable"

    run(story())


def test_a_kept_connection_that_died_costs_nothing_but_a_second_try() -> None:
    async def story() -> None:
        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
            await server.read_request(reader)
            writer.write(OK)
            if number == 0:
                await server.read_request(reader)  # reads the second request, then dies without a byte
                return
            await reader.read()

        async with serving(behave) as (server, where, pool):
            assert await ask(pool, where) == Reply(200, b"{}")
            assert await ask(pool, where) == Reply(200, b"{}")
            assert (server.connections, len(server.requests)) == (2, 3)

    run(story())


def test_after_the_first_byte_of_an_answer_nothing_is_sent_twice() -> None:
    async def story() -> None:
        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
            await server.read_request(reader)
            writer.write(OK)
            await server.read_request(reader)
            writer.write(b"H")

        async with serving(behave) as (server, where, pool):
            await ask(pool, where)
            with pytest.raises(Unavailable):
                await ask(pool, where)
            assert len(server.requests) == 2

    run(story())


def test_an_idle_connection_is_not_trusted_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "IDLE_S", 0.05)

    async def story() -> None:
        async with serving(answering(OK)) as (server, where, pool):
            await ask(pool, where)
            await asyncio.sleep(0.1)
            await ask(pool, where)
            assert server.connections == 2

    run(story())


def test_a_caller_who_goes_away_leaves_no_half_used_connection() -> None:
    async def story() -> None:
        async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
            raw = await server.read_request(reader)
            await asyncio.sleep(0.2 if number == 0 else 0)
            writer.write(OK.replace(b"{}", b"%02d" % len(server.requests)))
            assert raw
            await reader.read()

        async with serving(behave) as (server, where, pool):
            asking = asyncio.create_task(ask(pool, where))
            await asyncio.sleep(0.05)
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking
            assert (await ask(pool, where)).body == b"02"
            assert server.connections == 2

    run(story())


def test_connections_to_one_server_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "MAX_CONNECTIONS", 4)

    async def story() -> None:
        async with serving(answering(OK, pause_s=0.01)) as (server, where, pool):
            replies = await asyncio.gather(*(ask(pool, where) for _ in range(40)))
            assert replies == [Reply(200, b"{}")] * 40
            assert server.connections <= 4

    run(story())


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:9000", Upstream("127.0.0.1", 9000, "")),
        ("http://models.internal/base/", Upstream("models.internal", 80, "/base")),
        ("http://[::1]:81", Upstream("::1", 81, "")),
    ],
)
def test_base_urls_are_read(url: str, expected: Upstream) -> None:
    assert parse_upstream(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "", "127.0.0.1:9", "https://x", "ftp://x", "http://", "http://u:p@x", "http://x?q=1", "http://x#f", "http://x:99999", "http://x:y",
        "http://x/a b", "http://x/\r\nhost: y", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(Malformed):
        parse_upstream(url)
