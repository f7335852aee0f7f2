"""The public logs as C2SP tlog-tiles: what anybody may read without a token, since hashes of salted events say nothing.

Tiles never change and may be cached for ever; a checkpoint is fresh for a second.
"""

from __future__ import annotations

from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jurat.app.wiring import App
from jurat.core.errors import NotFound
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import ANCHOR, LogName, class_logs, log_keys_file
from jurat.ledger.minimum import MINIMUM_FILE, prove_minimum
from jurat.ledger.tiles import read_public

_FOR_EVER: Final = "public, max-age=31536000, immutable"
_BRIEFLY: Final = "public, max-age=1"


def log_routes(app: App) -> list[Route]:
    """Return the routes of the tenant's logs and of the anchor log."""
    logs = {("", "anchor"): ANCHOR, **{(log.tenant, log.name): log for log in class_logs(app.settings.tenant)}}

    async def serve(request: Request) -> Response:
        place = request.path_params
        log = logs.get((place.get("tenant", ""), place.get("log", "anchor")))
        if log is None:
            raise NotFound("there is no such log", hint=f"logs: {', '.join(map(str, logs.values()))}")
        path = f"tile/{place['tile']}" if "tile" in place else request.url.path.rpartition("/")[2]
        return await run_in_threadpool(_answer, app, log, path)

    return [
        Route(f"/log/{where}/{what}", serve, methods=["GET"])
        for where in ("anchor", "{tenant}/{log}")
        for what in ("checkpoint", MINIMUM_FILE, "tile/{tile:path}")
    ]


def _answer(app: App, log: LogName, path: str) -> Response:
    if path == MINIMUM_FILE:
        proof = None if log == ANCHOR else prove_minimum(app.workspace.ledger, log, load_log_keys(log_keys_file(app.workspace.keys)))
        if proof is None:
            raise NotFound(f"log `{log}` is not pruned")
        raw = proof
    else:
        raw = read_public(app.workspace.ledger, log, path)
    is_tile = path.startswith("tile/")
    headers = {"cache-control": _FOR_EVER if is_tile else _BRIEFLY, "access-control-allow-origin": "*"}
    return Response(raw, headers=headers, media_type="application/octet-stream" if is_tile else "text/plain; charset=utf-8")
