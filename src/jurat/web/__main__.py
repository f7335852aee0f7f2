"""The API's process: `python -m jurat.web <workspace> --parent-fd N --ready-fd M`. Stops within 3 s, or when its parent is gone."""

from __future__ import annotations

import gc
import signal
import socket
import sys

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from jurat.app.connections import Connections, held_protocol
from jurat.app.present import API
from jurat.app.process import Born, listen_on, parse_birth, watch_parent
from jurat.app.wiring import attach_app
from jurat.core.errors import JuratError
from jurat.core.last_words import format_last_words, say
from jurat.web.asgi import make_asgi
from jurat.web.decision_door import DecisionDoor

_GRACE_S = 2


def main() -> int:
    """Serve the API until told to stop."""
    born = parse_birth()
    # uvicorn handles the signal while it serves, and raises it again at its end; here it has done its work by then.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with (
            attach_app(born.workspace, application="web") as app,
            listen_on(app.settings.bind, app.settings.api_port, setting="api_port") as door,
        ):
            connections = Connections(app, API)
            decisions = DecisionDoor(app)
            config = uvicorn.Config(
                make_asgi(app, decisions=decisions), http=held_protocol(HttpToolsProtocol, connections), loop="uvloop", lifespan="off",
                log_level="warning", access_log=False,
                server_header=False, proxy_headers=False, timeout_graceful_shutdown=_GRACE_S, timeout_keep_alive=15, limit_concurrency=512,
            )  # fmt: skip
            watch_parent(born.parent_fd)
            connections.start()
            try:
                _Server(config, born, door.getsockname()[1], decisions).run(sockets=[door])
            finally:
                connections.stop()
    except JuratError as error:
        say(format_last_words(error))
        return error.exit_code
    return 0


class _Server(uvicorn.Server):
    """Says that it is ready once it accepts connections."""

    def __init__(self, config: uvicorn.Config, born: Born, port: int, decisions: DecisionDoor) -> None:
        super().__init__(config)
        self._born, self._port, self._decisions = born, port, decisions

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        await self._decisions.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.freeze()  # what lives as long as the process is not looked at again and again
        self._born.say_ready(self._port)


if __name__ == "__main__":
    sys.exit(main())
