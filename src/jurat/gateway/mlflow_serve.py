"""The guard as a process: one listener, one event loop, until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from typing import Final

import uvicorn
import uvloop

from jurat.app.wiring import App
from jurat.core.errors import Unavailable
from jurat.gateway.mlflow_guard import Guard
from jurat.gateway.mlflow_upstream import Upstream

_GRACE_S: Final = 3


def serve_guard(
    app: App, upstream_url: str, name: str, host: str, port: int, *, authorization: str = "", on_ready: Callable[[int], None]
) -> None:
    """Guard a server until SIGTERM or SIGINT. `port` 0 takes a free one; `on_ready` is told which.

    Raises:
        Malformed: that is no URL of a server.
        Unavailable: the port is taken.
    """
    upstream = Upstream(upstream_url, authorization)
    try:
        door = socket.create_server((host, port), backlog=256)
    except OSError as error:
        raise Unavailable(
            f"`{host}:{port}` cannot be listened on: {(error.strerror or str(error)).lower()}",
            hint="stop what uses that port, or choose another with `--port`",
            code="port_in_use",
        ) from error
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with door, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(app, upstream, name, door, on_ready))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _serve(app: App, upstream: Upstream, name: str, door: socket.socket, on_ready: Callable[[int], None]) -> None:
    async with upstream:
        config = uvicorn.Config(
            Guard(app, upstream, name), http="httptools", ws="none", lifespan="off", access_log=False, log_level="error",
            server_header=False, date_header=False, proxy_headers=False, timeout_graceful_shutdown=_GRACE_S, limit_concurrency=256,
        )  # fmt: skip
        await _Server(config, lambda: on_ready(door.getsockname()[1])).serve(sockets=[door])


class _Server(uvicorn.Server):
    """Says that it is ready once it accepts connections."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()
