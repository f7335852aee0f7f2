"""`POST /api/v1/lineage`: where OpenLineage's own clients send their events, unmodified. Each is an act, and walks.

Beside the table, since such an event carries facets of anybody's making: what we do not keep is not read, and not refused.
"""

from __future__ import annotations

import zlib
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path

from jurat.app.look import known
from jurat.app.openlineage import MOST_BYTES, read_event
from jurat.app.walk import act
from jurat.app.wiring import App
from jurat.core.errors import Malformed
from jurat.web.requests import presented
from jurat.web.shapes import TooLarge, WrongType

PATH: Final = "/api/v1/lineage"


def lineage_routes(app: App) -> list[Path]:
    """Return the one route."""

    async def receive(request: Request) -> Response:
        token = await presented(app, request)
        raw = await _body(request)
        command = read_event(raw)
        if command is None:
            await run_in_threadpool(known, app, token)
            return Response(status_code=202)  # understood, and nothing rests on anything by it
        done = await run_in_threadpool(act, app, token, command)
        return Response(status_code=201, headers={"jurat-event-id": done.events[0].id, "cache-control": "no-store"})

    return [Path(PATH, receive, methods=["POST"])]


async def _body(request: Request) -> bytes:
    if request.headers.get("content-type", "application/json").partition(";")[0].strip().lower() != "application/json":
        raise WrongType
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MOST_BYTES:
            raise TooLarge
    packing = request.headers.get("content-encoding", "identity").strip().lower()
    if packing == "identity":
        return bytes(raw)
    if packing != "gzip":
        raise Malformed(f"content encoding `{packing[:40]}` is not read here", hint="send it as it is, or with gzip")
    inflate = zlib.decompressobj(wbits=31)
    try:
        found = inflate.decompress(bytes(raw), MOST_BYTES + 1)
    except zlib.error as error:
        raise Malformed("the body is not gzip, though it says so") from error
    if len(found) > MOST_BYTES:
        raise TooLarge
    if not inflate.eof or inflate.unused_data:
        raise Malformed("the body is cut off, or goes on after its end")
    return found
