"""Load over HTTP/1.1: many connections in one loop, each sending its next request when it has its answer, or at its time.

Not a benchmark itself. Reads just enough of an answer to know that it is whole and what its status was: the client must not be what
is measured.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

Ask = Callable[[int], bytes]  # the whole request, by its number


class Load(NamedTuple):
    """What a load got: answers a second by the clock, how long each took, how many had what was counted."""

    done: int
    rate: float
    took_ms: list[float]
    counted: int = 0

    @property
    def p99_ms(self) -> float:
        return statistics.quantiles(self.took_ms, n=100)[98]


def request(method: str, path: str, token: str, body: bytes = b"") -> bytes:
    """Return one request as it is sent. `token`: empty for none."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n" + (f"Authorization: Bearer {token}\r\n" if token else "")
    if method != "GET":
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def put_load(
    port: int, ask: Ask, requests: int, *, connections: int, per_s: float = 0.0, expect: bytes = b"", count: bytes = b"\0"
) -> Load:
    """Send that many requests and return how it went.

    Args:
        per_s: requests a second, spread evenly; 0: each connection sends its next one as soon as it has its answer.
        expect: what every answer has in its body.
        count: answers with this in their body are counted.
    Raises:
        RuntimeError: an answer was none, or not 200.
    """
    return asyncio.run(_put_load(port, ask, requests, connections, per_s, expect, count))


async def _put_load(port: int, ask: Ask, requests: int, connections: int, per_s: float, expect: bytes, count: bytes) -> Load:
    took_ms: list[float] = []
    counted = 0

    async def one(first: int) -> None:
        nonlocal counted
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(first, requests, connections):
            due_s = began_s + number / per_s if per_s else time.perf_counter()
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            writer.write(ask(number))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = next((line for line in head.split(b"\r\n") if line.startswith(b"content-length:")), None)
            if length is None:
                raise RuntimeError(f"an answer without a length: {head[:200]!r}")
            answer = await reader.readexactly(int(length.partition(b":")[2]))
            if not head.startswith(b"http/1.1 200") or expect not in answer:
                raise RuntimeError(f"the server answered {head[:40]!r} {answer[:200]!r}")
            counted += count in answer
            took_ms.append((time.perf_counter() - due_s) * 1000)  # from when it was due: a server that falls behind is seen to
        writer.close()
        await writer.wait_closed()

    began_s = time.perf_counter()
    await asyncio.gather(*(one(first) for first in range(min(connections, requests))))
    return Load(requests, requests / (time.perf_counter() - began_s), took_ms, counted)
