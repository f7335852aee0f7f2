"""The certification cases of OpenID AuthZEN 1.0, over real HTTP, against the fixture's own policy set."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvicorn
from tests.scenes.authzen_fixture import fixture_app

CASES = json.loads((Path(__file__).parent / "authzen" / "certification_cases.json").read_text())
BY_ID = {case["id"]: case for case in CASES}


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: Any


def served(*, caller_properties: bool) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as door:
        app = fixture_app(caller_properties=caller_properties)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", http="httptools"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            yield door.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(10)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    yield from served(caller_properties=True)


@pytest.fixture(scope="module")
def strict_port() -> Iterator[int]:
    yield from served(caller_properties=False)


def send(port: int, case: dict[str, Any]) -> Reply:
    raw = case["raw_body"] if "raw_body" in case else None if case["request"] is None else json.dumps(case["request"])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(case["method"], case["path"], raw, {"Content-Type": "application/json", **case.get("headers", {})})
        reply = connection.getresponse()
        text = reply.read()
        found = {name.lower(): value for name, value in reply.getheaders()}
        return Reply(reply.status, found, json.loads(text) if text else None)
    finally:
        connection.close()


def test_there_are_57_cases() -> None:
    assert len(CASES) == len(BY_ID) == 57


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_case(port: int, case: dict[str, Any]) -> None:
    if case["id"] == "c-4-5-2":
        first = send(port, BY_ID["c-4-5-1"]).body
        case = {**case, "request": {**case["request"], "page": {"token": first["page"]["next_token"]}}}
    for _ in range(case.get("repeat", 1)):
        reply, expect = send(port, case), case["expect"]
        assert reply.status == expect["status"], reply.body
        for name, value in expect.get("headers", {}).items():
            assert reply.headers[name.lower()] == value
        if "decision" in expect:
            assert reply.body["decision"] is expect["decision"]
        if "evaluations" in expect:
            answers = [item["decision"] for item in reply.body["evaluations"]]
            assert len(answers) == len(expect["evaluations"])
            assert all(wanted is None or got is wanted for got, wanted in zip(answers, expect["evaluations"], strict=True))
        for wanted in expect.get("results_include", []):
            assert wanted in reply.body["results"]
        if "results_exact" in expect:
            assert reply.body["results"] == expect["results_exact"]
        if "same_results_as" in expect:
            assert reply.body["results"] == send(port, BY_ID[expect["same_results_as"]]).body["results"]
        if expect.get("results_is_array"):
            assert isinstance(reply.body["results"], list)
            assert isinstance(reply.body["page"]["next_token"], str)
        if "members" in expect:
            assert reply.headers["content-type"] == "application/json"
            assert all(isinstance(value, str) and value.startswith("https://") for value in reply.body.values())
            assert {"policy_decision_point", "access_evaluation_endpoint"} <= reply.body.keys()
            assert reply.body.keys() <= expect["members"].keys()


def ask(alice: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    request = {"subject": {"type": "user", **alice}, "action": {"name": "write"}, "resource": {"type": "record", **record}}
    return {"method": "POST", "path": "/access/v1/evaluation", "request": request}


def test_without_the_switch_what_a_caller_says_counts_for_nothing(port: int, strict_port: int) -> None:
    claims_admin = ask({"id": "alice", "properties": {"role": "admin"}}, {"id": "record-2"})
    claims_archived = ask({"id": "alice"}, {"id": "record-1", "properties": {"status": "archived"}})
    assert [send(port, each).body["decision"] for each in (claims_admin, claims_archived)] == [True, False]
    assert [send(strict_port, each).body["decision"] for each in (claims_admin, claims_archived)] == [False, True]


def many(semantic: str, *records: str) -> dict[str, Any]:
    request = {
        "subject": {"type": "user", "id": "alice"}, "action": {"name": "write"}, "options": {"evaluations_semantic": semantic},
        "evaluations": [{"resource": {"type": "record", "id": record}} for record in records],
    }  # fmt: skip
    return {"method": "POST", "path": "/access/v1/evaluations", "request": request}


@pytest.mark.parametrize(
    ("semantic", "records", "answers"),
    [
        ("execute_all", ["record-1", "record-2", "record-1"], [True, False, True]),
        ("deny_on_first_deny", ["record-1", "record-2", "record-1"], [True, False]),
        ("permit_on_first_permit", ["record-2", "record-1", "record-2"], [False, True]),
    ],
)
def test_three_ways_to_stop(port: int, semantic: str, records: list[str], answers: list[bool]) -> None:
    assert [item["decision"] for item in send(port, many(semantic, *records)).body["evaluations"]] == answers


def test_another_way_to_stop_is_refused(port: int) -> None:
    assert send(port, many("stop_when_tired", "record-1")).status == 400


def test_pages_are_disjoint_whole_and_bound_to_their_question(port: int) -> None:
    question = BY_ID["c-4-2-1"]["request"]
    found, token = [], ""
    for _ in range(10):
        page = {"limit": 1} | ({"token": token} if token else {})
        body = send(port, {**BY_ID["c-4-2-1"], "request": {**question, "page": page}}).body
        found += [each["id"] for each in body["results"]]
        token = body["page"]["next_token"]
        if not token:
            break
        other = {**question, "action": {"name": "write"}, "page": {"token": token}}
        assert send(port, {**BY_ID["c-4-2-1"], "request": other}).status == 400
    assert found == ["alice", "bob"]
    for bad in ("x", "=", "W10=", 7):
        assert send(port, {**BY_ID["c-4-2-1"], "request": {**question, "page": {"token": bad}}}).status == 400
