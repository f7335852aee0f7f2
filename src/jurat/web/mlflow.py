"""MLflow's registry REST API: an unmodified client registers, tags, searches and moves aliases, and meets the same gates.

Plain ASGI beside the table of `table`: other bodies, other answers, other errors, all MLflow's own. Every change walks. Paths, fields,
limits and error codes: MLflow 3.17's protobuf descriptors, and its server watched from outside.
"""

from __future__ import annotations

import logging
import secrets
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jurat.app.intake import parse_json
from jurat.app.mlflow_door import presented_token, to_mlflow
from jurat.app.registry import RegistryDesk
from jurat.app.wiring import App
from jurat.core.errors import (
    JuratError,
    Malformed,
)
from jurat.core.jsonio import dump_json
from jurat.web.mlflow_calls import CALLS, Call, Parameters
from jurat.web.requests import MAX_BODY_BYTES
from jurat.web.shapes import SECURITY_HEADERS

PREFIXES: Final = ("/api/2.0/mlflow/", "/ajax-api/2.0/mlflow/")
_log: Final = logging.getLogger("jurat.web")
_ROOTS: Final = ("registered-models/", "model-versions/")
_MAX_QUERY_BYTES: Final = 256 * 1024
_HEADERS: Final = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    *((name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()),
]


class MlflowDoor:
    """The ASGI app: its own paths are answered here, all others by `inner`."""

    def __init__(self, app: App, inner: ASGIApp) -> None:
        self._app, self._inner, self._desk = app, inner, RegistryDesk(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        verb = next((path.removeprefix(p) for p in PREFIXES if path.startswith(p)), "") if scope["type"] == "http" else ""
        call = CALLS.get((scope.get("method", ""), verb)) if verb.startswith(_ROOTS) else None
        if call is None:
            await self._inner(scope, receive, send)
            return
        try:
            status, answer = 200, await self._answer(call, scope, receive)
        except _Gone:
            return
        except JuratError as error:
            status, answer = to_mlflow(error)
        except Exception as error:
            error_id = f"err_{secrets.token_hex(6)}"
            _log.error("error %s at %s", error_id, path[:200], exc_info=error)
            status, answer = 500, {"error_code": "INTERNAL_ERROR", "message": f"something went wrong here; its id is `{error_id}`"}
        raw = dump_json(answer)
        headers = [*_HEADERS, (b"content-length", b"%d" % len(raw))]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if status == 413:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": raw})

    async def _answer(self, call: Call, scope: Scope, receive: Receive) -> Any:
        token = presented_token(scope["headers"])
        given = read_query(scope["query_string"], call) if scope["method"] == "GET" else await _read_body(scope, receive)
        return await call.answer(self._app, self._desk, token, Parameters(given))


def read_query(raw: bytes, call: Call) -> dict[str, Any]:
    """Return the parameters of a GET; a list is a key that is repeated.

    Raises:
        Malformed: too long, not UTF-8, or a parameter twice that is no list.
    """
    if len(raw) > _MAX_QUERY_BYTES:
        raise Malformed(f"the query has {len(raw)} bytes, expected at most {_MAX_QUERY_BYTES}")
    found: dict[str, Any] = {}
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=1_000)
    except ValueError as error:
        raise Malformed("the query cannot be read: it is not UTF-8, or has too many parameters") from error
    for key, value in pairs:
        if key in call.lists:
            found.setdefault(key, []).append(value)
        elif key in found:
            raise Malformed(f"parameter `{key[:60]}` is given twice", hint="only one of them can be meant")
        else:
            found[key] = value
    return found


async def _read_body(scope: Scope, receive: Receive) -> dict[str, Any]:
    media = next((v for n, v in scope["headers"] if n == b"content-type"), b"application/json").split(b";")[0].strip().lower()
    raw = bytearray()
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        raw += message.get("body", b"")
        if len(raw) > MAX_BODY_BYTES:
            raise Malformed(f"the body is larger than {MAX_BODY_BYTES} bytes", code="body_too_large")
        if not message.get("more_body"):
            break
    if not raw:
        return {}
    if media != b"application/json":
        raise Malformed(f"content type `{media.decode('latin-1')[:60]}` is not read here, expected `application/json`")
    found = parse_json(bytes(raw), what="the body")
    if isinstance(found, str):  # old clients encode their JSON twice
        found = parse_json(found.encode("utf-8", "surrogatepass"), what="the body")
    if not isinstance(found, dict):
        raise Malformed("the body is not a JSON object")
    return found


class _Gone(Exception):
    """The client has left; nobody is there to be answered."""
