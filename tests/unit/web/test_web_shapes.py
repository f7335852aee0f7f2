"""One success shape, one problem shape, on every route; whatever a request gets wrong is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.scenes.asgi_client import Reply, call
from tests.scenes.governed import World, make_world

from jurat.core import errors
from jurat.web.asgi import make_asgi
from jurat.web.requests import MAX_BODY_BYTES
from jurat.web.table import ROUTES, Route


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("web") / "w", "data_scientist", "business_analyst")


@pytest.fixture(scope="module")
def app(world: World):
    return make_asgi(world.app)


def filled(route: Route) -> str:
    return re.sub(r"{\w+}", "some@1.0.0", route.path)


def check_problem(reply: Reply, status: int, path: str) -> dict:
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    found = reply.json()
    assert {"type", "title", "status", "code", "detail", "hint", "instance"} <= found.keys()
    assert found["status"] == status
    assert found["type"].startswith("urn:jurat:problem:")
    assert found["instance"] == path
    assert found["detail"][0].islower() or found["detail"][0] == "`"
    assert not found["detail"].endswith(".")
    for name in ("x-content-type-options", "content-security-policy", "referrer-policy"):
        assert name in reply.headers
    assert "server" not in reply.headers
    return found


every_route = pytest.mark.parametrize("route", ROUTES, ids=lambda r: r.name)


@every_route
def test_without_a_token_every_route_says_401(app, route: Route) -> None:
    path = filled(route)
    reply = call(app, route.method, path, body={} if route.method == "POST" else None)
    check_problem(reply, 401, path)
    assert reply.headers["www-authenticate"] == "Bearer, DPoP"


@every_route
def test_a_token_that_nobody_issued_says_401(app, route: Route) -> None:
    path = filled(route)
    reply = call(app, route.method, path, token="jrt_" + "A" * 43, body=route.example if route.method == "POST" else None)
    check_problem(reply, 401, path)


@every_route
def test_an_unknown_field_or_parameter_is_refused_by_name(app, world: World, route: Route) -> None:
    path = filled(route)
    if route.method == "POST":
        reply = call(app, "POST", path, token=world.tokens["operator"], body={**route.example, "wrongly_named": 1})
    else:
        reply = call(app, "GET", f"{path}?wrongly_named=1", token=world.tokens["operator"])
    assert "wrongly_named" in check_problem(reply, 400, path)["detail"]


@every_route
def test_another_method_says_405_and_which_ones_there_are(app, route: Route) -> None:
    path = filled(route)
    reply = call(app, "PUT", path, body={})
    assert check_problem(reply, 405, path)["code"] == "method_not_allowed"
    allowed = {r.method for r in ROUTES if r.path == route.path}
    assert allowed <= set(reply.headers["allow"].split(", "))


def test_only_a_bearer_token_is_a_token(app, world: World) -> None:
    path, token = "/api/v1/principals", world.tokens["operator"]
    for header in (f"Basic {token}", token, f"Token {token}", "Bearer", "Bearer ", f"Bearer {token} x"):
        check_problem(call(app, "GET", path, headers={"authorization": header}), 401, path)
    assert call(app, "GET", path, headers={"authorization": f"bearer {token}"}).status == 200  # schemes have no case (RFC 9110 §11.1)


def test_a_parameter_is_known_and_given_once(app, world: World) -> None:
    path, token = "/api/v1/principals", world.tokens["operator"]
    unknown = check_problem(call(app, "GET", f"{path}?limt=1", token=token), 400, path)
    assert unknown["detail"] == "unknown query parameter `limt`"
    assert unknown["hint"] == "known here: after, limit"
    assert "twice" in check_problem(call(app, "GET", f"{path}?limit=1&limit=2", token=token), 400, path)["detail"]
    for value in ("0", "-1", "1001", "many", "1.5", ""):
        check_problem(call(app, "GET", f"{path}?limit={value}", token=token), 400, path)


def test_what_is_not_there_says_404(app) -> None:
    for path in ("/", "/api", "/api/v1/nothing", "/api/v1/models/", "/healthz/"):
        check_problem(call(app, "GET", path), 404, path)


def test_a_body_is_bounded_typed_and_strict(app, world: World) -> None:
    path, token = "/api/v1/principals", world.tokens["operator"]
    json_type = {"content-type": "application/json"}
    big = b'{"name":"' + b"a" * MAX_BODY_BYTES + b'"}'
    assert check_problem(call(app, "POST", path, token=token, raw=big, headers=json_type), 413, path)["code"] == "body_too_large"
    declared = {**json_type, "content-length": str(MAX_BODY_BYTES + 1)}
    check_problem(call(app, "POST", path, token=token, raw=b"{}", headers=declared), 413, path)
    check_problem(call(app, "POST", path, token=token, raw=b"{}", headers={"content-type": "text/plain"}), 415, path)
    for raw in (
        b"{",
        b"[1]",
        b'"x"',
        b"\xff",
        b'{"name":NaN}',
        b'{"type":"person","name":"a","name":"b"}',
        b"[" * 5_000,
        b'{"type":"person","name":"\\ud800"}',
    ):
        check_problem(call(app, "POST", path, token=token, raw=raw, headers=json_type), 400, path)


def test_an_unknown_field_deep_inside_is_refused_too(app, world: World) -> None:
    route = next(r for r in ROUTES if r.name == "post_data")
    body = {**route.example, "sheet": {**route.example["sheet"], "colour": "red"}}
    detail = check_problem(call(app, "POST", route.path, token=world.tokens["operator"], body=body), 400, route.path)["detail"]
    assert "`colour`" in detail
    assert "$.sheet" in detail


def test_success_has_one_shape(app, world: World) -> None:
    reply = call(app, "GET", "/api/v1/principals?limit=1", token=world.tokens["operator"])
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["cache-control"] == "no-store"
    found = reply.json()
    assert found.keys() == {"data", "next"}
    assert found["next"] == found["data"][0]["principal"]
    rest = call(app, "GET", f"/api/v1/principals?after={found['next']}", token=world.tokens["operator"]).json()
    assert rest["next"] == ""
    assert {row["principal"] for row in found["data"] + rest["data"]} == set(world.ids.values())


def test_an_act_walks_and_answers_with_its_events(app, world: World) -> None:
    body = {"type": "person", "name": "Ada Lovelace", "email": "ada@example.org"}
    reply = call(app, "POST", "/api/v1/principals", token=world.tokens["operator"], body=body)
    assert reply.status == 200
    acted = reply.json()["data"]
    assert acted["events"][0]["id"] == world.store.events[-1].id
    assert acted["events"][0]["kind"] == "principal.registered.v1"
    assert acted["reply"]["principal"].startswith("prn_")
    assert b"Ada" not in reply.body
    assert world.store.vault.persons[acted["reply"]["principal"]].name == "Ada Lovelace"


def test_a_refused_act_and_a_refused_look_are_recorded_and_say_where(app, world: World) -> None:
    for method, path, body in (
        ("POST", "/api/v1/principals", {"type": "person", "name": "Bo"}),
        ("GET", "/api/v1/principals", None),
        ("POST", "/api/v1/data/loans@v1/read", {"purpose": "curiosity"}),
    ):
        found = check_problem(call(app, method, path, token=world.tokens["business_analyst"], body=body), 403, path)
        last = world.store.events[-1]
        assert found["event"] == last.id
        assert last.kind.name == "act.denied.v1"
        assert last.actor.principal == world.ids["business_analyst"]


def test_what_one_may_not_see_is_not_there(app, world: World) -> None:
    path = f"/api/v1/requests/req_{'0' * 26}"
    check_problem(call(app, "GET", path, token=world.tokens["operator"]), 404, path)


def test_a_fault_of_ours_is_opaque_and_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def break_down(*_: object) -> None:
        raise RuntimeError("the secret is 4711")

    route = Route("GET", "/api/v1/broken", "", "", dict, look=break_down)
    reply = call(make_asgi(world.app, [route]), "GET", route.path, token=world.tokens["operator"])
    assert reply.status == 500
    found = reply.json()
    assert b"4711" not in reply.body
    error_id = re.search(r"err_[0-9a-f]{12}", found["detail"])
    assert error_id
    assert error_id[0] in caplog.text
    assert "4711" in caplog.text


@pytest.mark.parametrize("family", errors.JuratError.__subclasses__())
def test_every_family_keeps_its_status(world: World, family: type[errors.JuratError]) -> None:
    def refuse(*_: object) -> None:
        raise family("no", **({"retry_after_s": 7.4} if family is errors.Exhausted else {}))

    route = Route("GET", "/api/v1/refusing", "", "", dict, look=refuse)
    reply = call(make_asgi(world.app, [route]), "GET", route.path, token=world.tokens["operator"])
    assert reply.status == family.http_status
    assert reply.json()["type"] == f"urn:jurat:problem:{family.family}"
    assert reply.headers.get("retry-after") == ("7" if family is errors.Exhausted else None)


def test_head_is_answered_like_get(app, world: World) -> None:
    assert call(app, "HEAD", "/api/v1/principals", token=world.tokens["operator"]).status == 200


def test_public_logs_need_no_token_and_unknown_ones_are_not_there(app) -> None:
    check_problem(call(app, "GET", "/log/main/secrets/checkpoint"), 404, "/log/main/secrets/checkpoint")
    check_problem(call(app, "GET", "/log/main/access/checkpoint"), 503, "/log/main/access/checkpoint")


def test_health_says_no_when_no_policy_is_in_force(world: World) -> None:
    app = make_asgi(world.app)
    assert call(app, "GET", "/healthz").status == 200
    tables = world.store.state.tables["policy_sets"]
    kept = dict(tables)
    tables.clear()
    try:
        check_problem(call(app, "GET", "/healthz"), 503, "/healthz")
    finally:
        tables.update(kept)


def test_nothing_leaves_the_workspace_directory(app) -> None:
    for path in (
        "/log/main/..%2f..%2fkeys/checkpoint",
        "/log/main/access/tile/..%2f..%2f..%2f..%2fkeys%2fsigning.key",
        "/log/anchor/tile/0/../x",
    ):
        assert call(app, "GET", path).status in (400, 404, 503)


def test_workspace_is_not_touched(world: World) -> None:
    assert not (Path(world.app.workspace.root) / "ledger").exists()
