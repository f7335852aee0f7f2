"""The gateway's process between real neighbours: PostgreSQL, the sequencer, a model server, and clients that behave badly."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from tests.wire.gateway.gateway_site import Gateway, Heard, Site, infer, site

from jurat.domain import facts
from jurat.domain.events import decode_event
from jurat.gateway.app import MAX_BODY_BYTES


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("gateway") / "site") as found:
        yield found


@pytest.fixture(scope="module")
def running() -> Iterator[list[Gateway]]:
    """The gateway of the tests so far; most leave it as it was."""
    found: list[Gateway] = []
    yield found
    for each in found:
        if each.process.poll() is None:
            assert each.stop() == (0, "")


@pytest.fixture
def gateway(home: Site, running: list[Gateway]) -> Gateway:
    home.model.delay_s, home.model.confidence = 0.0, 0.9
    if not running or running[-1].process.poll() is not None:
        running.append(Gateway(home.workspace))
    return running[-1]


def ask(home: Site, gateway: Gateway) -> Heard:
    with contextlib.closing(gateway.connection()) as connection:
        return infer(connection, home.token)


def head_of(home: Site, headers: bytes) -> bytes:
    return b"POST /v2/models/credit/infer HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " + home.token.encode() + b"\r\n" + headers + b"\r\n"


def made(home: Site) -> dict[str, facts.PredictionMade]:
    found = [event.data for event in home.events("inference")]
    return {data.prediction: data for data in found if isinstance(data, facts.PredictionMade)}


def eventually(check: object, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not check():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_every_answer_that_left_lies_in_the_ledger_where_it_says(home: Site, gateway: Gateway) -> None:
    answers: list[Heard] = []

    def client() -> None:
        with contextlib.closing(gateway.connection()) as connection:
            answers.extend(infer(connection, home.token, age=20 + n) for n in range(25))

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 100
    assert {heard.status for heard in answers} == {200}
    events = home.events("inference")
    for heard in answers:
        parameters = heard.body["parameters"]
        log, _, index = parameters["record"].partition("#")
        event = decode_event(home.app.events.at("main/inference", int(index)).raw)
        assert log == "inference"
        assert isinstance(event.data, facts.PredictionMade)
        assert event.data.prediction == parameters["prediction"]
        (intent,) = [e for e in events if e.id == event.because[0]]
        assert events.index(intent) < int(index)
        assert intent.decision is not None
        assert intent.decision.policies


def test_below_the_floor_no_output_leaves(home: Site, gateway: Gateway) -> None:
    home.model.confidence = 0.5
    heard = ask(home, gateway)
    assert (heard.status, heard.body["outputs"], heard.body["parameters"]["outcome"]) == (200, [], "abstained")
    assert made(home)[heard.body["parameters"]["prediction"]].output is True


def test_a_revoked_token_is_dead_within_half_a_second(home: Site, gateway: Gateway) -> None:
    assert ask(home, gateway).status == 200
    home.record(facts.TokenRevoked(token=home.token_id, principal="prn_client", reason="lost"))
    time.sleep(0.5)
    try:
        assert ask(home, gateway).status == 401
    finally:
        home.issue_token()
    assert ask(home, gateway).status == 200


def test_a_revoked_role_is_denied_and_recorded(home: Site, gateway: Gateway) -> None:
    home.record(facts.RoleRevoked(grant="grt_client", principal="prn_client", role="prediction_client", reason="left"))
    time.sleep(0.5)
    try:
        heard = ask(home, gateway)
    finally:
        home.record(
            facts.RoleGranted(
                grant="grt_client", principal="prn_client", role="prediction_client", scope="*", reason="back", expires_at=None
            )
        )
    assert heard.status == 403
    assert "prediction_client" in heard.body["hint"]
    assert [event for event in home.events("access") if event.id == heard.body["event"]]


def test_the_stage_gate_closes_when_the_version_leaves_its_stage(home: Site, gateway: Gateway) -> None:
    home.set_endpoint(stage="production")
    time.sleep(0.3)
    try:
        heard = ask(home, gateway)
    finally:
        home.set_endpoint()
    assert (heard.status, heard.body["code"]) == (409, "stage_gate")
    eventually(lambda: ask(home, gateway).status == 200)


def test_a_client_that_hangs_up_is_on_record_all_the_same(home: Site, gateway: Gateway) -> None:
    home.model.delay_s = 0.3
    before = home.model.asked
    known = set(made(home))
    body = b'{"inputs":[{"name":"age","shape":[1],"datatype":"INT64","data":[41]}]}'
    with socket.create_connection(("127.0.0.1", gateway.port)) as client:
        head = (
            f"POST /v2/models/credit/infer HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {home.token}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        client.sendall(head.encode() + body)
        eventually(lambda: home.model.asked > before)
    eventually(lambda: len(set(made(home)) - known) == 1)


def test_a_body_too_large_ends_the_connection(home: Site, gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port)) as client:
        client.settimeout(5)
        head = (
            f"POST /v2/models/credit/infer HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {home.token}\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        client.sendall(head.encode())
        sent = 0
        heard = b""
        with contextlib.suppress(ConnectionError):
            while sent < 20 * MAX_BODY_BYTES:
                client.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
                sent += 65536
        with contextlib.suppress(ConnectionError):
            heard = client.recv(65536)
        assert sent < 10 * MAX_BODY_BYTES
        assert heard == b"" or heard.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "head",
    [
        b"content-length: 2\r\ntransfer-encoding: chunked\r\n",
        b"content-length: 2\r\ncontent-length: 3\r\n",
        b"content-length: +2\r\n",
        b"transfer-encoding: xchunked\r\n",
        b"content-length : 2\r\n",
        b"x: a\r\n folded\r\ncontent-length: 2\r\n",
    ],
    ids=["length_and_chunked", "two_lengths", "signed_length", "unknown_coding", "space_before_colon", "folded"],
)
def test_requests_that_two_parsers_could_read_differently_reach_no_model(home: Site, gateway: Gateway, head: bytes) -> None:
    """Framing is uvicorn's and llhttp's; this pins that what they do is enough for us."""
    before = home.model.asked
    with socket.create_connection(("127.0.0.1", gateway.port)) as client:
        client.settimeout(5)
        client.sendall(head_of(home, head) + b"{}")
        client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            heard = client.recv(65536)
            assert heard == b"" or heard.startswith(b"HTTP/1.1 400 ")
    assert home.model.asked == before


def test_without_a_sequencer_nothing_is_answered_and_afterwards_all_is_well(home: Site, gateway: Gateway) -> None:
    assert ask(home, gateway).status == 200
    sequencer = home.tree.pids["sequencer"]
    os.kill(sequencer, signal.SIGSTOP)
    try:
        started_s = time.monotonic()
        heard = ask(home, gateway)
        waited_s = time.monotonic() - started_s
    finally:
        os.kill(sequencer, signal.SIGCONT)
    assert (heard.status, heard.body["code"]) == (503, "record_unavailable")
    assert 0.2 < waited_s < 1.5
    eventually(lambda: ask(home, gateway).status == 200)


def test_told_to_stop_it_finishes_what_is_under_way(home: Site, gateway: Gateway) -> None:
    home.model.delay_s = 0.5
    before = home.model.asked
    answers: list[Heard] = []
    thread = threading.Thread(target=lambda: answers.append(ask(home, gateway)))
    thread.start()
    eventually(lambda: home.model.asked > before)
    started_s = time.monotonic()
    assert gateway.stop() == (0, "")
    assert time.monotonic() - started_s < 3
    thread.join()
    assert answers[0].status == 200
    assert answers[0].body["parameters"]["prediction"] in made(home)


def test_it_does_not_wait_for_ever_when_told_to_stop(home: Site, gateway: Gateway) -> None:
    home.model.delay_s = 30
    before = home.model.asked

    def give_up() -> None:
        with contextlib.suppress(OSError, Exception):
            ask(home, gateway)

    thread = threading.Thread(target=give_up)
    thread.start()
    eventually(lambda: home.model.asked > before)
    started_s = time.monotonic()
    gateway.process.terminate()
    code, _ = gateway.wait()
    assert code == 0
    assert time.monotonic() - started_s < 3.5
    thread.join()


def test_it_goes_when_its_parent_is_gone(gateway: Gateway) -> None:
    gateway.end_parent()
    assert gateway.wait(5) == (0, "")


def test_killed_under_load_it_has_released_nothing_that_is_not_durable(home: Site, gateway: Gateway) -> None:
    released: list[str] = []

    def client() -> None:
        with contextlib.suppress(OSError, Exception), contextlib.closing(gateway.connection()) as connection:
            while True:
                released.append(infer(connection, home.token).body["parameters"]["prediction"])

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(released) > 200, 20)
    gateway.process.kill()
    gateway.wait()
    for thread in threads:
        thread.join()
    assert set(released) <= set(made(home))


def test_a_port_in_use_is_said_and_nothing_starts(home: Site, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    path = home.workspace.settings_file
    before = path.read_text()
    path.write_text(before.replace("gateway_port = 0", f"gateway_port = {gateway.port}"))
    try:
        with pytest.raises(AssertionError, match=f"`127.0.0.1:{gateway.port}` cannot be listened on"):
            Gateway(home.workspace)
    finally:
        path.write_text(before)


def test_when_the_database_is_away_nothing_is_served(home: Site, gateway: Gateway) -> None:
    """Last of this module: it takes the database away."""
    assert ask(home, gateway).status == 200
    assert home.tree.database is not None
    home.tree.database.stop()
    time.sleep(2.5)
    heard = ask(home, gateway)
    assert (heard.status, heard.body["code"]) == (503, "snapshot_stale")
