"""The API keeps what `/openapi.json` promises, whatever is sent: documented statuses, types and shapes, and never a 500."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.responses import Response
from starlette.routing import Route as Path
from starlette.routing import Router
from tests.contract.web.conftest import Live
from tests.scenes.asgi_client import Reply, call

from jurat.core.jsonio import dump_json
from jurat.web.asgi import make_asgi
from jurat.web.openapi import make_document
from jurat.web.table import ROUTES

PHASES = [Phase.explicit, Phase.generate]
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


class Door:
    """The API, with its document there before its workspace is: tests are named when they are collected."""

    inner: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await Router()(scope, receive, send)
        elif self.inner is None:
            answer = Response(dump_json(make_document(ROUTES)), media_type="application/json")
            await answer(scope, receive, send)
        else:
            await self.inner(scope, receive, send)


@schemathesis.serializer("application/x-ndjson")
def lines(_context: Any, value: Any) -> bytes:
    """What is sent as NDJSON: whatever was generated, as it is."""
    return value if isinstance(value, bytes) else msgspec.json.encode(value) if not isinstance(value, str) else value.encode()


DOOR = Door()
schema = schemathesis.openapi.from_asgi("/openapi.json", DOOR)


@pytest.fixture(scope="module")
def door(live: Live) -> Live:
    DOOR.inner = make_asgi(live.app)
    return live


@schema.parametrize()
@settings(max_examples=8, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
def test_whatever_is_sent_the_answer_is_as_documented(case: schemathesis.Case, door: Live) -> None:
    role = "auditor" if case.method == "GET" else "operator"
    case.call_and_validate(checks=CHECKS, headers={"authorization": f"Bearer {door.tokens[role]}"})


def test_every_door_beside_the_table_is_in_the_document(live: Live) -> None:
    inner: Any = make_asgi(live.app)
    while not isinstance(inner, Router):
        inner = inner._inner
    doors = ("/oauth/", "/login/", "/logout", "/auth/", "/access/v1/", "/.well-known/")
    routes = [route for route in inner.routes if isinstance(route, Path)]
    here = {(route.path, m) for route in routes if route.path.startswith(doors) for m in route.methods or () if m != "HEAD"}
    scim = {route.path for route in routes if route.path.startswith("/scim/v2/")} - {"/scim/v2/{rest:path}"}
    paths = make_document(ROUTES)["paths"]
    assert len(here) > 20
    assert here == {(path, method.upper()) for path, item in paths.items() if path.startswith(doors) for method in item}
    assert scim == {path for path in paths if path.startswith("/scim/v2/")}


def done(reply: Reply) -> Any:
    assert reply.status == 200, reply.body
    return reply.json()


def test_the_events_of_an_act_are_read_proved_and_verified(live: Live) -> None:
    from jurat.ledger.keys import load_log_keys
    from jurat.ledger.layout import log_keys_file
    from jurat.ledger.prove import verify_evidence

    app = make_asgi(live.app)
    acted = done(call(app, "POST", "/api/v1/principals", token=live.tokens["operator"], body={"type": "person", "name": "Ada Lovelace"}))
    event = acted["data"]["events"][0]["id"]
    live.app.settle()
    page = done(call(app, "GET", "/api/v1/events?kind=principal.registered.v1&limit=1", token=live.tokens["auditor"]))
    assert page["data"]["events"][0]["event_id"] == event
    assert page["next"]
    older = done(call(app, "GET", f"/api/v1/events?kind=principal.registered.v1&after={page['next']}", token=live.tokens["auditor"]))
    assert event not in [e["event_id"] for e in older["data"]["events"]]
    assert len(older["data"]["events"]) >= 2
    proof = call(app, "GET", f"/api/v1/events/{event}/proof", token=live.tokens["auditor"])
    assert proof.status == 200, proof.body
    keys = load_log_keys(log_keys_file(live.app.workspace.keys))
    report = verify_evidence(msgspec.json.encode(proof.json()["data"]), keys)
    assert report.event_id == event


def test_reading_the_ledger_is_itself_on_record(live: Live) -> None:
    app = make_asgi(live.app)
    call(app, "GET", "/api/v1/events?limit=1", token=live.tokens["auditor"])
    live.app.settle()
    found = done(call(app, "GET", "/api/v1/events?kind=records.read.v1&limit=1", token=live.tokens["auditor"]))["data"]["events"][0]
    assert found["event"]["data"]["question"] == "events"
    refused = call(app, "GET", "/api/v1/events", token=live.tokens["business_analyst"])
    assert refused.status == 403
    live.app.settle()
    denied = done(call(app, "GET", "/api/v1/events?kind=act.denied.v1&limit=1", token=live.tokens["auditor"]))["data"]["events"][0]
    assert denied["event_id"] == refused.json()["event"]


def test_the_public_logs_verify_without_a_token(live: Live) -> None:
    """A stranger rebuilds the root from tiles alone."""
    from jurat.ledger.keys import load_log_keys
    from jurat.ledger.layout import log_keys_file
    from jurat.merkle.checkpoint import parse_checkpoint
    from jurat.merkle.note import open_note, verifiers_of
    from jurat.merkle.tile import format_tile_path
    from jurat.merkle.tree import hash_leaf, root_of

    app = make_asgi(live.app)
    live.app.settle()
    note = call(app, "GET", "/log/main/configuration/checkpoint")
    assert note.headers["content-type"] == "text/plain; charset=utf-8"
    keys = next(k for k in load_log_keys(log_keys_file(live.app.workspace.keys)) if k.log == "main/configuration")
    checkpoint = parse_checkpoint(open_note(note.body, verifiers_of(keys.vkeys)).text)
    leaves: list[bytes] = []
    for number in range((checkpoint.size + 255) // 256):
        width = min(256, checkpoint.size - number * 256)
        tile = call(app, "GET", f"/log/main/configuration/{format_tile_path(0, number, width)}")
        assert tile.headers["cache-control"].startswith("public, max-age=31536000")
        leaves += [tile.body[i : i + 32] for i in range(0, len(tile.body), 32)]
    assert root_of(leaves) == checkpoint.root
    bundle = call(app, "GET", f"/log/main/configuration/{format_tile_path(None, 0, min(256, checkpoint.size))}").body
    assert int.from_bytes(bundle[:2]) == 59
    assert hash_leaf(bundle[2:61]) == leaves[0]
