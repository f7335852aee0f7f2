from __future__ import annotations

import asyncio
import logging
from typing import Any, NamedTuple

import msgspec
import pytest
from tests.unit.gateway.gateway_world import STRANGER, TOKEN, World, body

from jurat.core.errors import Unavailable
from jurat.gateway import app as gateway_app
from jurat.gateway.app import MAX_BODY_BYTES, Gateway


class Heard(NamedTuple):
    status: int
    headers: dict[str, str]
    body: dict[str, Any]


def call(
    world: World,
    path: str,
    method: str = "GET",
    *,
    chunks: list[bytes] | None = None,
    token: str | None = TOKEN,
    headers: list[tuple[bytes, bytes]] | None = None,
    stops: bool = False,
) -> Heard:
    sent: list[dict[str, Any]] = []
    waiting = list(chunks or [b""])

    async def receive() -> dict[str, Any]:
        if not waiting:
            if stops:
                return {"type": "http.disconnect"}
            await asyncio.sleep(3600)
        chunk = waiting.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(waiting) or stops}

    async def send(message: Any) -> None:
        sent.append(message)

    all_headers = [] if token is None else [(b"authorization", b"Bearer " + token.encode())]
    all_headers += headers or []
    scope = {"type": "http", "method": method, "path": path, "headers": all_headers}
    asyncio.run(Gateway(world.door)(scope, receive, send))
    start, last = sent
    raw = last["body"]
    named = {name.decode(): value.decode() for name, value in start["headers"]}
    assert int(named["content-length"]) == len(raw)
    return Heard(start["status"], named, msgspec.json.decode(raw))


INFER = "/v2/models/credit/infer"


def test_an_answer_names_its_prediction_and_its_guardrails_in_headers_too(world: World) -> None:
    heard = call(world, INFER, "POST", chunks=[body()[:10], body()[10:]])
    assert heard.status == 200
    assert heard.headers["jurat-prediction-id"] == heard.body["parameters"]["prediction"]
    assert heard.headers["jurat-guardrails"] == heard.body["parameters"]["guardrails"]
    assert heard.headers["cache-control"] == "no-store"
    assert heard.body["outputs"][0] == {"name": "approved", "shape": [1], "datatype": "BOOL", "data": [True]}


@pytest.mark.parametrize(("path", "expected"), [("/v2", "jurat"), ("/v2/health/live", None), ("/v2/health/ready", None)])
def test_health_needs_no_token(world: World, path: str, expected: str | None) -> None:
    heard = call(world, path, token=None)
    assert heard.status == 200
    assert heard.body.get("name") == expected


def test_is_live_but_not_ready_when_the_picture_is_stale(world: World) -> None:
    world.elapsed[0] += 3
    assert call(world, "/v2/health/live", token=None).status == 200
    heard = call(world, "/v2/health/ready", token=None)
    assert (heard.status, heard.body["code"], heard.headers["retry-after"]) == (503, "snapshot_stale", "1")


def test_models_describe_themselves_to_those_who_may_ask_them(world: World) -> None:
    world.model.reply = {"platform": "sklearn", "inputs": [{"name": "age", "datatype": "INT64", "shape": [-1]}], "outputs": []}
    assert call(world, "/v2/models/credit").body["inputs"][0]["name"] == "age"
    assert call(world, "/v2/models/credit/ready").body == {"name": "credit", "ready": True}
    assert call(world, "/v2/models/credit", token=None).status == 401
    assert call(world, "/v2/models/credit/ready", token=STRANGER).status == 403


def test_a_problem_speaks_both_languages(world: World) -> None:
    heard = call(world, INFER, "POST", chunks=[body()], token=STRANGER)
    assert heard.status == 403
    assert heard.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "hint", "code", "event"} <= heard.body.keys()
    assert heard.body["error"] == heard.body["detail"]
    assert heard.body["event"] == world.ledger.only("act.denied.v1").id


@pytest.mark.parametrize(
    "header", [None, b"Basic abc", b"Bearer", b"bearer jrt_x", b"Bearer \xff", b"Bearer jrt_" + b"q" * 43, TOKEN.encode()]
)
def test_without_a_good_token_there_is_401_and_nothing_is_asked(world: World, header: bytes | None) -> None:
    headers = [] if header is None else [(b"authorization", header)]
    heard = call(world, INFER, "POST", chunks=[body()], token=None, headers=headers)
    assert (heard.status, heard.headers["www-authenticate"]) == (401, "Bearer, DPoP")
    assert world.model.asked == []


def test_two_identities_are_none(world: World) -> None:
    heard = call(world, INFER, "POST", chunks=[body()], headers=[(b"authorization", b"Bearer " + STRANGER.encode())])
    assert heard.status == 400


def test_too_many_questions_say_how_long_to_wait(world: World) -> None:
    world.endpoint(requests_per_minute=1)
    call(world, INFER, "POST", chunks=[body()])
    heard = call(world, INFER, "POST", chunks=[body()])
    assert heard.status == 429
    assert 60 <= int(heard.headers["retry-after"]) <= 61


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "GET", 404),
        ("/v2/models/nothing/infer", "POST", 404),
        ("/v2/models/../infer", "POST", 404),
        ("/v2/models/credit/infer/", "POST", 404),
        ("/v2/models/credit\n/infer", "POST", 404),
        ("/v2/models/credit/infer", "GET", 400),
        ("/v2/models/credit", "POST", 400),
        ("/v2/health/live", "POST", 400),
    ],
)
def test_other_paths_and_methods_are_refused(world: World, path: str, method: str, status: int) -> None:
    assert call(world, path, method, chunks=[body()]).status == status


@pytest.mark.parametrize(
    "header",
    [
        (b"content-type", b"application/xml"),
        (b"content-encoding", b"gzip"),
        (b"inference-header-content-length", b"120"),
        (b"content-length", b"1e3"),
    ],
)
def test_codings_that_are_not_read_are_refused(world: World, header: tuple[bytes, bytes]) -> None:
    assert call(world, INFER, "POST", chunks=[body()], headers=[header]).status == 400
    assert world.model.asked == []


def test_a_body_too_large_is_refused_by_its_word_or_by_its_weight(world: World) -> None:
    declared = call(world, INFER, "POST", headers=[(b"content-length", str(MAX_BODY_BYTES + 1).encode())])
    weighed = call(world, INFER, "POST", chunks=[b" " * 600_000, b" " * 600_000, b"{}"])
    for heard in (declared, weighed):
        assert (heard.status, heard.body["code"], heard.headers["connection"]) == (400, "body_too_large", "close")


def test_a_body_that_never_comes_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_app, "BODY_TIMEOUT_S", 0.05)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": INFER, "headers": [(b"authorization", b"Bearer " + TOKEN.encode())]}
    asyncio.run(Gateway(world.door)(scope, receive, send))
    assert sent[0]["status"] == 400
    assert msgspec.json.decode(sent[1]["body"])["code"] == "body_too_slow"


def test_half_a_body_asks_nothing(world: World) -> None:
    assert call(world, INFER, "POST", chunks=[body()], stops=True).body["code"] == "body_incomplete"
    assert world.ledger.kinds == []


def test_a_failed_prediction_is_named_to_its_caller(world: World) -> None:
    world.model.reply = Unavailable("too slow", code="upstream_timeout")
    heard = call(world, INFER, "POST", chunks=[body()])
    assert (heard.status, heard.body["code"]) == (503, "upstream_timeout")
    failed = world.ledger.only("prediction.failed.v1").data.prediction
    assert heard.headers["jurat-prediction-id"] == heard.body["prediction"] == failed


def test_a_fault_of_ours_is_opaque_outside_and_has_no_data_in_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.model.reply = ZeroDivisionError("a car for Anna")
    with caplog.at_level(logging.ERROR):
        heard = call(world, INFER, "POST", chunks=[body()])
    assert (heard.status, heard.body["code"]) == (500, "internal_error")
    assert "run_" in heard.body["detail"]
    assert "ZeroDivisionError" in caplog.text
    assert "Anna" not in caplog.text + str(heard.body)
