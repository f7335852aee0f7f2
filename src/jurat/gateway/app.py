"""The gateway as plain ASGI: routes, bodies in, bodies and problems out. Decides nothing; `flow` does.

    GET  /v2                            what this server is
    GET  /v2/health/live                the process answers
    GET  /v2/health/ready               and what may be served is known (503 when the picture is stale)
    GET  /v2/models/{endpoint}          what the model takes and gives
    GET  /v2/models/{endpoint}/ready    the endpoint serves the caller, and its model server says ready
    POST /v2/models/{endpoint}/infer    one prediction

HTTP itself (framing, smuggling, header limits) is uvicorn's and llhttp's; nothing here parses it again.
Errors are RFC 9457 problems, with the protocol's own `error` member beside them.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from jurat.app.admit import Presented
from jurat.app.connections import hold
from jurat.app.present import GATEWAY
from jurat.app.problems import opaque_problem, to_problem
from jurat.core.errors import Exhausted, JuratError, Malformed, NotFound, Unauthenticated, Unavailable
from jurat.core.ids import new_id
from jurat.core.jsonio import dump_json
from jurat.gateway import arms, flow
from jurat.gateway.flow import Asked, Door

MAX_BODY_BYTES: Final = 1024 * 1024
BODY_TIMEOUT_S: Final = 10.0
RETRY_AFTER_S: Final = 1  # what is away for a moment is asked again after this
_MODEL: Final = re.compile(r"/v2/models/([A-Za-z0-9][A-Za-z0-9._-]{0,99})(/infer|/ready)?\Z")
_JSON: Final = b"application/json"
_PROBLEM: Final = b"application/problem+json"
_log: Final = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Gateway:
    """The ASGI application."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the gateway speaks HTTP, not {scope['type']}")
        try:
            body, extra = await self._route(scope, receive)
        except JuratError as error:
            await _send_problem(send, to_problem(error), _retry_after(error))
        except Exception as error:
            error_id = new_id("run", self._door.clock)
            _log.error("fault %s: %s", error_id, type(error).__name__, exc_info=_without_values(error))
            await _send_problem(send, opaque_problem(error_id), [])
        else:
            await _send(send, 200, _JSON, dump_json(body), extra)

    async def _route(self, scope: Scope, receive: Receive) -> tuple[dict[str, Any], list[tuple[bytes, bytes]]]:
        method, path = scope["method"], scope["path"]
        match = _MODEL.match(path)
        if match and match[2] == "/infer":
            _expect(method, "POST")
            return await self._infer(scope, receive, match[1])
        if match:
            _expect(method, "GET")
            return await self._model(scope, match[1], ready_only=match[2] is not None), []
        if path == "/v2/health/live":
            _expect(method, "GET")
            return {"live": True}, []
        if path == "/v2/health/ready":
            _expect(method, "GET")
            self._door.snapshot.picture()
            return {"live": True, "ready": True}, []
        if path == "/v2":
            _expect(method, "GET")
            return {"name": "jurat", "version": "2", "extensions": []}, []
        raise NotFound("there is nothing at this path", hint="the gateway answers at `/v2/models/{endpoint}/infer`")

    async def _infer(self, scope: Scope, receive: Receive, endpoint: str) -> tuple[dict[str, Any], list[tuple[bytes, bytes]]]:
        headers = _headers(scope)
        _refuse_codings(headers)
        token = await _presented(self._door, scope, headers)
        segment = arms.read_segment(headers.get(b"jurat-segment"))
        body = await _read_body(receive, headers)
        answer = await flow.predict(self._door, token, endpoint, body, subject=headers.get(b"jurat-subject"), segment=segment)
        extra = [
            (b"jurat-prediction-id", answer.prediction.encode()),
            (b"jurat-guardrails", flow.format_guardrails(answer.guardrails).encode()),
        ]
        return answer.body, extra

    async def _model(self, scope: Scope, endpoint: str, *, ready_only: bool) -> dict[str, Any]:
        token = await _presented(self._door, scope, _headers(scope))
        admitted = await flow.admit(self._door, token, endpoint)
        if ready_only:
            await flow.ask_ready(self._door, admitted)
            return {"name": endpoint, "ready": True}
        return await flow.describe(self._door, admitted)


async def _read_body(receive: Receive, headers: dict[bytes, bytes]) -> bytes:
    """Return the request's body, whole and bounded in size and time."""
    declared = headers.get(b"content-length", b"0")
    if not declared.isdigit() or int(declared) > MAX_BODY_BYTES:
        raise _too_large()
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Malformed("the request ended before its body was whole", code="body_incomplete")
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > MAX_BODY_BYTES:
                    raise _too_large()
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError:
        raise Malformed(f"the request's body did not arrive within {BODY_TIMEOUT_S:g} s", code="body_too_slow") from None


def _too_large() -> Malformed:
    return Malformed(f"the request's body is larger than {MAX_BODY_BYTES} bytes", hint="send one case a request", code="body_too_large")


def _headers(scope: Scope) -> dict[bytes, bytes]:
    """Return the headers that matter; one that comes twice and must not is refused."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in found and name in (
            b"authorization",
            b"dpop",
            b"jurat-subject",
            b"jurat-segment",
            b"content-type",
            b"content-encoding",
            b"content-length",
        ):
            raise Malformed(f"header `{name.decode('ascii', 'replace')}` comes twice")
        found[name] = value
    return found


def _refuse_codings(headers: dict[bytes, bytes]) -> None:
    media = headers.get(b"content-type", _JSON).split(b";")[0].strip().lower()
    if media != _JSON:
        raise Malformed(f"content type `{media.decode('latin-1')[:60]}` is not read here, expected `application/json`")
    for name in (b"content-encoding", b"inference-header-content-length"):
        if headers.get(name, b"identity").strip().lower() != b"identity":
            raise Malformed(
                f"header `{name.decode()}` is not supported: send plain JSON", hint="binary tensors and compression are not read"
            )


async def _presented(door: Door, scope: Scope, headers: dict[bytes, bytes]) -> Presented:
    """Return the token that was sent; one that is bound to a key comes with a proof of it (RFC 9449)."""
    scheme, _, raw = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() not in (b"bearer", b"dpop") or not raw.strip() or not raw.strip().isascii():
        raise Unauthenticated("no access token was given", hint="send `Authorization: Bearer jrt_…`")
    token = raw.strip().decode("ascii")
    hold(scope, token)
    if scheme.lower() == b"bearer":
        return Presented(token, door=GATEWAY)
    proof = headers.get(b"dpop", b"")
    if not proof or not proof.isascii() or door.prove is None:
        raise Unauthenticated("scheme `DPoP` comes with a proof in the header `DPoP`, got none", hint="see RFC 9449", code="token_proof")
    asked = Asked(scope["method"], scope["path"], scope.get("scheme", "http"), scope.get("server"))
    return Presented(token, door=GATEWAY, jkt=await asyncio.to_thread(door.prove, asked, proof.decode("ascii"), token))


def _expect(method: str, allowed: str) -> None:
    if method != allowed:
        raise Malformed(f"method `{method[:20]}` is not for this path, expected `{allowed}`", code="method_not_allowed")


def _retry_after(error: JuratError) -> list[tuple[bytes, bytes]]:
    if isinstance(error, Exhausted):
        return [(b"retry-after", str(max(1, round(error.retry_after_s + 0.5))).encode())]
    return [(b"retry-after", str(RETRY_AFTER_S).encode())] if isinstance(error, Unavailable) else []


async def _send_problem(send: Send, problem: dict[str, Any], extra: list[tuple[bytes, bytes]]) -> None:
    if problem["status"] == 401:
        extra = [*extra, (b"www-authenticate", b'DPoP error="use_dpop_nonce"' if problem.get("dpop_nonce") else b"Bearer, DPoP")]
    if nonce := problem.get("dpop_nonce"):
        extra = [*extra, (b"dpop-nonce", str(nonce).encode())]
    prediction = problem.get("prediction")
    if isinstance(prediction, str):
        extra = [*extra, (b"jurat-prediction-id", prediction.encode())]
    # An unread body may follow: whoever was refused before it was read must not go on sending it for ever.
    extra = [*extra, (b"connection", b"close")] if problem.get("code") in ("body_too_large", "body_too_slow") else extra
    await _send(send, problem["status"], _PROBLEM, dump_json({**problem, "error": problem["detail"]}), extra)


async def _send(send: Send, status: int, media: bytes, body: bytes, extra: list[tuple[bytes, bytes]]) -> None:
    headers = [(b"content-type", media), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store"), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _without_values(error: BaseException) -> tuple[type[BaseException], BaseException, Any]:
    """Return exception info for the log whose message is gone: it may quote somebody's data."""
    return RuntimeError, RuntimeError(type(error).__name__), error.__traceback__
