"""A stand-in for an MLflow server, for where the real one (620 MB) is not: says what 3.17 was seen to say to a few calls.

`JURAT_TEST_MLFLOW=/path/to/mlflow` runs the same tests before the real server.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class StandIn:
    """The server, what it holds, and every request that reached it."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, Any]] = {}
        self.blobs: dict[str, bytes] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.fails = False
        self.held: threading.Event | None = None  # until it is set, no alias is moved
        self.forgiving = False  # whether names are found whatever their case, as by MySQL
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                stand_in.answer(self)

            do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = handle_one  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        raw = _body(handler)
        self.seen.append((handler.command, handler.path, {k.lower(): v for k, v in handler.headers.items()}))
        parts = urlsplit(handler.path)
        status, body, media = 404, b"<!doctype html>", "text/html"
        if self.fails:
            handler.close_connection = True
            return
        if parts.path.startswith("/api/2.0/mlflow-artifacts/artifacts/"):
            if handler.command == "PUT":
                self.blobs[parts.path] = raw
                status, body = 200, b"{}"
            elif parts.path in self.blobs:
                status, body, media = 200, self.blobs[parts.path], "application/octet-stream"
        elif parts.path == "/graphql":
            status, body, media = 200, b'{"data": {"ok": true}}', "application/json"
        elif "/mlflow/" in parts.path:
            if self.held is not None and handler.command == "POST" and parts.path.endswith("/registered-models/alias"):
                self.held.wait(20)
            given = json.loads(raw) if raw else {k: v[0] for k, v in parse_qs(parts.query).items()}
            status, found = self.call(handler.command, parts.path.partition("/mlflow/")[2], given)
            body, media = json.dumps(found).encode(), "application/json"
        handler.send_response(status)
        for name, value in (("Content-Type", media), ("Content-Length", str(len(body))), ("X-Of-Upstream", "yes")):
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def call(self, method: str, verb: str, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        none = 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "not found"}
        if (method, verb) == ("GET", "runs/get"):
            run = self.runs.get(given.get("run_id", ""))
            return (200, {"run": run}) if run else none
        name = given.get("name", "")
        model = self.models.get(name)
        if model is None and self.forgiving:
            name = next((known for known in self.models if known.casefold() == name.casefold()), name)
            model = self.models.get(name)
        if (method, verb) == ("POST", "registered-models/create"):
            self.models[given["name"]] = {"versions": {}, "aliases": {}}
            return 200, {"registered_model": {"name": given["name"]}}
        if model is None:
            return none
        version = model["versions"].get(str(given.get("version", "")))
        match method, verb:
            case "POST", "model-versions/create":
                number = str(len(model["versions"]) + 1)
                version = {
                    "name": given["name"], "version": number, "source": given["source"], "current_stage": "None",
                    "creation_timestamp": 1_795_000_000_000 + len(self.seen), "status": "READY",
                }  # fmt: skip
                model["versions"][number] = version
                return 200, {"model_version": version}
            case "GET", "registered-models/get":
                aliases = [{"alias": a, "version": v} for a, v in model["aliases"].items()]
                return 200, {"registered_model": {"name": name, "aliases": aliases, "latest_versions": [*model["versions"].values()]}}
            case "GET", "registered-models/alias":
                return 200, {"model_version": model["versions"][model["aliases"][given["alias"]]]}
            case "DELETE", "registered-models/alias":
                model["aliases"].pop(given["alias"], None)
                return 200, {}
            case "DELETE", "registered-models/delete":
                del self.models[given["name"]]
                return 200, {}
            case "POST", "registered-models/rename":
                renamed = self.models[given["new_name"]] = self.models.pop(given["name"])
                for each in renamed["versions"].values():
                    each["name"] = given["new_name"]
                return 200, {"registered_model": {"name": given["new_name"]}}
        if version is None:
            return none
        match method, verb:
            case "GET", "model-versions/get":
                return 200, {"model_version": version}
            case "POST", "registered-models/alias":
                model["aliases"][given["alias"]] = str(given["version"])
                return 200, {}
            case "POST", "model-versions/transition-stage":
                version["current_stage"] = given["stage"]
                return 200, {"model_version": version}
            case "DELETE", "model-versions/delete":
                del model["versions"][str(given["version"])]
                return 200, {}
        return none


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    raw = b""
    while size := int(handler.rfile.readline(), 16):
        raw += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return raw
