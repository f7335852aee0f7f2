"""The gateway's process: `python -m jurat.gateway <workspace> --parent-fd N --ready-fd M`.

One worker, one event loop. Told to stop, it takes nothing new, gives what is under way two seconds, and goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import signal
import socket
import sys
import time
from typing import Final

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from jurat.app.authorize import authorize
from jurat.app.connections import Connections, held_protocol
from jurat.app.present import GATEWAY as GATEWAY_DOOR
from jurat.app.present import addresses_of, prove
from jurat.app.process import Born, listen_on, parse_birth, watch_parent
from jurat.app.serving import Routing, ServingSnapshot, StoreSource
from jurat.app.timekeeper import clock_of
from jurat.app.turned_away import TurnedAway
from jurat.app.wiring import App, attach_app
from jurat.core.errors import JuratError
from jurat.core.last_words import format_last_words, say
from jurat.core.statements import PERIOD_S
from jurat.domain.kinds import GATEWAY
from jurat.gateway import records
from jurat.gateway.app import Gateway
from jurat.gateway.flow import Asked, Door
from jurat.gateway.records import Recorder
from jurat.gateway.upstream import UpstreamPool
from jurat.guard.limits import RateLimit
from jurat.ledger.async_client import AsyncLedgerClient

_GRACE_S: Final = 2
_LEDGER_TIMEOUT_S: Final = 1.0  # after it, what waits is given up; callers were told long before
_SWITCH_INTERVAL_S: Final = 0.0005  # threads (state, tokens) must not hold the loop for the usual 5 ms


def main(argv: list[str] | None = None) -> int:
    """Serve until told to stop; return the exit code."""
    born = parse_birth(argv)
    # uvicorn handles the signal while it serves, and raises it again at its end; here it has done its work by then.
    signal.signal(signal.SIGTERM, lambda *_: None)
    watch_parent(born.parent_fd)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    try:
        with attach_app(born.workspace, application="gateway") as app, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(born, app))
    except JuratError as error:
        say(format_last_words(error))
        return error.exit_code
    return 0


async def _serve(born: Born, app: App) -> None:
    listener = listen_on(app.settings.bind, app.settings.gateway_port, setting="gateway_port")
    listener.setblocking(False)
    ledger = await AsyncLedgerClient.connect(born.workspace.run, GATEWAY.code, timeout_s=_LEDGER_TIMEOUT_S, period_s=PERIOD_S)
    snapshot = ServingSnapshot(StoreSource(app.store), functools.partial(authorize, app), app.clock)
    models = UpstreamPool()
    turned_away = TurnedAway(app, GATEWAY_DOOR)
    door = Door(
        snapshot=snapshot,
        limit=RateLimit(time.monotonic),
        models=models,
        recorder=Recorder(ledger, app.settings.tenant),
        clock=app.clock,
        now_s=time.monotonic,
        prove=functools.partial(_prove, app),
        turned_away=turned_away.note,
    )
    connections = Connections(app, GATEWAY_DOOR)
    config = uvicorn.Config(
        Gateway(door),
        http=held_protocol(HttpToolsProtocol, connections),
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="error",
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    with contextlib.ExitStack() as stack:
        snapshot.on_routing = functools.partial(_note_routing, asyncio.get_running_loop(), door)
        snapshot.start()
        stack.callback(snapshot.stop)
        connections.start()
        stack.callback(connections.stop)
        stack.callback(models.close)
        try:
            await _Server(config, born, listener.getsockname()[1]).serve(sockets=[listener])
        finally:
            await ledger.close()
            await asyncio.to_thread(turned_away.close)


def _note_routing(loop: asyncio.AbstractEventLoop, door: Door, routing: Routing) -> None:
    """Put on record that this gateway serves otherwise now, and how long after the act; called in the thread that looks."""
    with contextlib.suppress(JuratError, RuntimeError):  # a record that explains: serving never waits for it, nor fails by it
        event = records.in_effect(clock_of(door.snapshot.picture().state), routing, door.clock)
        asyncio.run_coroutine_threadsafe(door.recorder.try_write(event), loop)


def _prove(app: App, asked: Asked, proof: str, token: str) -> str:
    urls = addresses_of(asked.path, public_url=app.settings.gateway_url, scheme=asked.scheme, server=asked.server)
    return prove(app, proof=proof, method=asked.method, urls=urls, access_token=token)


class _Server(uvicorn.Server):
    """Uvicorn, which tells our parent when it listens."""

    def __init__(self, config: uvicorn.Config, born: Born, port: int) -> None:
        super().__init__(config)
        self._born, self._port = born, port

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what lives as long as the process is not looked at again and again
        self._born.say_ready(self._port)


if __name__ == "__main__":
    sys.exit(main())
