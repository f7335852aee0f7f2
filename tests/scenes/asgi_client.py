"""The smallest ASGI client: one request, one whole answer. It proves shapes, not streaming."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple
from urllib.parse import unquote


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def call(
    app: Any, method: str, path: str, *, token: str = "", body: Any = None, raw: bytes | None = None, headers: dict[str, str] | None = None
) -> Reply:
    """Return the answer to one request. `body` is sent as JSON, `raw` as it is."""
    sent = {"host": "testserver", **(headers or {})}
    if token:
        sent["authorization"] = f"Bearer {token}"
    if body is not None:
        raw = json.dumps(body).encode()
        sent.setdefault("content-type", "application/json")
    where, _, query = path.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": unquote(where),
        "raw_path": where.encode(), "query_string": query.encode(), "root_path": "", "scheme": "http", "server": ("testserver", 80),
        "client": ("127.0.0.1", 1), "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
    }  # fmt: skip
    waiting = [{"type": "http.request", "body": raw or b"", "more_body": False}]
    told: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    asyncio.run(app(scope, receive, send))
    found = {name.decode(): value.decode() for name, value in told[0]["headers"]}
    return Reply(told[0]["status"], found, b"".join(message.get("body", b"") for message in told[1:]))
