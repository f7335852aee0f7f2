"""The routes for events from outside: bodies that are not one JSON object, so they stand beside the table of `table`.

`POST /api/v1/ingest/{class}`   NDJSON or CloudEvents, gzip or zstd; the answer is the receipt
`GET  /api/v1/ingest`           who the caller is as a producer, and what was refused of it
`POST /api/v1/ingest/epochs`    a fresh epoch, for clients that number their events
`GET  /api/v1/ingest/{class}`   how far one of the caller's epochs has come: `?epoch=`
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jurat.app.ingest import Answer, Batch, Ingest
from jurat.app.outside import read_events
from jurat.app.wiring import App
from jurat.core.errors import Exhausted, JuratError, Malformed
from jurat.core.outside import MAX_BATCH_BYTES, MAX_EVENTS
from jurat.ledger.inflate import inflate
from jurat.web.requests import presented
from jurat.web.shapes import problem, success

_MOST_AT_ONCE: Final = 16  # bodies in memory
_MAX_BODY_BYTES: Final = MAX_BATCH_BYTES + 2 * MAX_EVENTS + 2  # the events, and what stands between them
# What HTTP has a number for that our families have not.
_STATUS: Final = {
    "idempotency_key_reused": 422, "body_too_large": 413, "event_too_large": 413, "content_type_unknown": 415, "encoding_unknown": 415,
}  # fmt: skip


def ingest_routes(app: App) -> list[Route]:
    """Return the routes."""
    ingest, room = Ingest(app), threading.BoundedSemaphore(_MOST_AT_ONCE)

    async def record(request: Request) -> Response:
        token = await presented(app, request)
        if not room.acquire(blocking=False):
            raise Exhausted(f"`{_MOST_AT_ONCE}` batches are under way", retry_after_s=1, hint="send it again in a second")
        try:
            body = await _read(request)
            answer = await run_in_threadpool(_record, ingest, token, request, body)
        finally:
            room.release()
        return success(answer)

    async def who(request: Request) -> Response:
        return success(await run_in_threadpool(ingest.who, await presented(app, request)))

    async def fresh_epoch(request: Request) -> Response:
        return success({"epoch": await run_in_threadpool(ingest.fresh_epoch, await presented(app, request))})

    async def position(request: Request) -> Response:
        epoch = _number(request.query_params.get("epoch"), "the query's `epoch`")
        if epoch is None:
            raise Malformed("the query has no `epoch`")
        last = await run_in_threadpool(ingest.last_seq, await presented(app, request), str(request.path_params["class"]), epoch)
        return success({"epoch": epoch, "last_seq": last})

    return [
        Route("/api/v1/ingest", _shown(who), methods=["GET"]),
        Route("/api/v1/ingest/epochs", _shown(fresh_epoch), methods=["POST"]),
        Route("/api/v1/ingest/{class}", _by_method(record, position), methods=["POST", "GET"]),
    ]


Handler = Callable[[Request], Any]


def _by_method(post: Handler, get: Handler) -> Handler:
    async def dispatch(request: Request) -> Response:
        return await _shown(post if request.method == "POST" else get)(request)  # type: ignore[no-any-return]

    return dispatch


def _shown(handle: Handler) -> Handler:
    """Give an error the number that HTTP has for it, where ours is coarser."""

    async def answer(request: Request) -> Response:
        try:
            return await handle(request)  # type: ignore[no-any-return]
        except JuratError as error:
            if error.code not in _STATUS:
                raise
            return problem(error, instance=request.url.path[:200], status=_STATUS[error.code])

    return answer


def _record(ingest: Ingest, token: str, request: Request, body: bytes) -> Answer:
    """Unpack, cut, record. In a thread."""
    retention = str(request.path_params["class"])
    headers = request.headers
    try:
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            body = inflate(body, encoding, _MAX_BODY_BYTES)
        raws = read_events(headers.get("content-type", ""), headers.items(), body)
        batch = Batch(
            retention=retention,
            raws=raws,
            epoch=_number(headers.get("jurat-epoch"), "`Jurat-Epoch`"),
            first_seq=_number(headers.get("jurat-seq"), "`Jurat-Seq`"),
            key=headers.get("idempotency-key"),
            want_commitments=headers.get("jurat-commitments") == "1",
        )
    except JuratError as error:
        ingest.refuse_unread(token, retention, body, error)
    return ingest.record(token, batch)


async def _read(request: Request) -> bytes:
    length = request.headers.get("content-length", "0")
    raw = bytearray()
    if not (length.isdigit() and int(length) > _MAX_BODY_BYTES):
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > _MAX_BODY_BYTES:
                break
        else:
            return bytes(raw)
    raise Malformed(f"the body has more than {_MAX_BODY_BYTES} bytes", hint="send smaller batches", code="body_too_large")


def _number(text: str | None, what: str) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Malformed(f"{what} is `{text[:40]}`, expected a number")
    return int(text)
