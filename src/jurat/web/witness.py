"""A witness's door, plain ASGI: `POST /add-checkpoint` for logs, `GET /<hex SHA256(origin)>/checkpoint` for monitors.

Bounded in every direction: size of a body, time to send it, requests at once. Needs no workspace, only the witness's
own directory. Source: C2SP tlog-witness v1.0.0.
"""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import uvicorn

from jurat.app.witnessing import open_witness
from jurat.core.errors import JuratError, Unavailable
from jurat.ledger.witness import MAX_REQUEST_SIZE, TEXT_TYPE
from jurat.ledger.witness_desk import Answer, Witness

_BODY_TIMEOUT_S: Final = 10.0
_GRACE_S: Final = 2
_CHECKPOINT: Final = re.compile(r"/([0-9a-f]{64})/checkpoint\Z")

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _Gone(Exception):
    """The client has left; nobody is there to be answered."""


def make_witness_asgi(witness: Witness, *, body_timeout_s: float = _BODY_TIMEOUT_S) -> Callable[[Message, Receive, Send], Awaitable[None]]:
    """Return the ASGI app of a witness."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        try:
            answer = await respond(scope["method"], scope["path"], receive)
        except _Gone:
            return
        headers = [(b"content-type", answer.content_type.encode()), (b"content-length", b"%d" % len(answer.body))]
        headers += [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
        if answer.status in (408, 413):
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    async def respond(method: str, path: str, receive: Receive) -> Answer:
        found = _CHECKPOINT.match(path)
        if path != "/add-checkpoint" and not found:
            return Answer(404, b"there is nothing here\n")
        if method not in (("POST",) if not found else ("GET", "HEAD")):
            return Answer(405, b"another method is meant\n")
        try:
            if found:
                note = await asyncio.to_thread(witness.last_note, found[1])
                return Answer(404, b"never cosigned\n") if note is None else Answer(200, note.encode(), TEXT_TYPE)
            body = await asyncio.wait_for(_read_body(receive), body_timeout_s)
            if body is None:
                return Answer(413, b"the body is too large\n")
            return await asyncio.to_thread(witness.answer, body)
        except TimeoutError:
            return Answer(408, b"the body took too long\n")
        except JuratError as error:  # the disk; nothing was cosigned
            return Answer(error.http_status, f"{error.detail}\n".encode("utf-8", "replace"))

    return app


def serve_witness(directory: Path, host: str, port: int, *, store: str = "", on_ready: Callable[[int], None]) -> None:
    """Serve a witness until SIGTERM or SIGINT. `port` 0 takes a free one; `on_ready` is told which.

    `store`: where it remembers, if not in its directory.

    Raises:
        NotFound, Malformed: there is no witness in the directory, or it is corrupt.
        Unavailable: the port is taken.
    """
    witness = open_witness(directory, store)
    try:
        door = socket.create_server((host, port), backlog=128)
    except OSError as error:
        witness.close()
        raise Unavailable(
            f"`{host}:{port}` cannot be listened on: {(error.strerror or str(error)).lower()}",
            hint="stop what uses that port, or choose another with `--port`",
            code="port_in_use",
        ) from error
    config = uvicorn.Config(
        make_witness_asgi(witness), http="httptools", loop="uvloop", lifespan="off", log_level="warning", access_log=False,
        server_header=False, proxy_headers=False, timeout_graceful_shutdown=_GRACE_S, timeout_keep_alive=75, limit_concurrency=256,
    )  # fmt: skip
    # uvicorn raises the signal that ended it again, once it has stopped: by then the work is done
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with door:
            _Server(config, lambda: on_ready(door.getsockname()[1])).run(sockets=[door])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        witness.close()


class _Server(uvicorn.Server):
    """Says that it is ready once it accepts connections."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()


async def _read_body(receive: Receive) -> bytes | None:
    """Return the whole body; None if it is too large."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        body += message.get("body", b"")
        if len(body) > MAX_REQUEST_SIZE:
            return None
        if not message.get("more_body"):
            return bytes(body)
