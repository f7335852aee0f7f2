"""The gateway's process between real neighbours: PostgreSQL, the sequencer, a model server, and clients that behave badly."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.wire.gateway.gateway_site import Gateway, Heard, Site, infer, site

from jurat.app import intents
from jurat.app.comparing import compare_by_itself, next_at_ns
from jurat.app.wiring import App, open_relay
from jurat.cli.main import run
from jurat.cli.session import Session
from jurat.core.clock import parse_at, to_ns
from jurat.core.errors import Malformed
from jurat.core.jsonio import dump_json
from jurat.core.settings import parse_settings
from jurat.domain import facts, rows
from jurat.domain.events import decode_event
from jurat.domain.facts_watch import IntentsOrphaned, ViewDiffers
from jurat.gateway.app import MAX_BODY_BYTES
from jurat.store.connect import attach_database
from jurat.store.store import Store


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


@contextlib.contextmanager
def relayed(home: Site) -> Iterator[App]:
    """The workspace as a process that owns it has it: what it records comes to the ledger."""
    with open_relay(home.workspace) as relay:
        yield replace(home.app, relay=relay)


def notices_of(home: Site, subject: str) -> list[rows.Notice]:
    with home.app.store.reading() as state:
        return state.find(rows.Notice, subject=subject)


def test_what_a_killed_gateway_left_without_an_outcome_is_on_record_and_told_once(
    home: Site, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(home, gateway).status == 200
    home.model.delay_s = 8.0

    def unanswered() -> set[str]:
        events = [event.data for event in home.events("inference")]
        return {each.prediction for each in events if isinstance(each, facts.PredictionRequested)} - set(made(home))

    before = unanswered()

    def client() -> None:
        with contextlib.suppress(OSError, Exception):
            ask(home, gateway)

    callers = [threading.Thread(target=client) for _ in range(3)]
    for caller in callers:
        caller.start()
    eventually(lambda: len(unanswered() - before) == 3)
    gateway.process.kill()
    gateway.wait()
    for caller in callers:
        caller.join()
    left = unanswered()

    def orphaned() -> list[str]:
        found = [event.data for event in home.events("error")]
        return [each for data in found if isinstance(data, IntentsOrphaned) for each in data.intents]

    with relayed(home) as app:
        intents.watch_intents(app)
        assert not (left - before) & set(orphaned()), "they may still be answered"
        intents_file = intents.intents_file(home.workspace)
        monkeypatch.setattr(intents, "_OLD_ENOUGH_NS", 0)
        new = intents.watch_intents(app)
        assert {(each.sort, each.about) for each in new} == {("prediction", "endpoints/credit")}
        assert sum(each.count for each in new) >= 3
        assert sorted(orphaned()) == sorted(left)
        assert intents.watch_intents(app) == []
        intents_file.unlink()
        assert intents.watch_intents(app) == [], "the record remembers what the file does not"
        assert intents.read_intents(home.workspace) is not None
        assert len(orphaned()) == len(left)
    (told,) = notices_of(home, "intent")
    assert told.to not in ("prn_operator", "prn_client"), "the operator of the workspace is told"
    assert "without an outcome" in told.text


def test_the_status_says_what_got_no_outcome(home: Site, gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    seen = intents.IntentsSeen(
        looked_until_ns=1,
        orphaned=[
            intents.Orphaned(
                sort="prediction", about="endpoints/credit", count=3, first_at="2026-11-26T01:00:00Z", last_at="2026-11-26T01:00:02Z",
                event="evt_x",
            )
        ],
    )  # fmt: skip
    intents.intents_file(home.workspace).write_bytes(dump_json(seen))
    assert run(["status"], Session(workspace_given=str(home.workspace.root))) == 0
    said = capsys.readouterr().out
    assert "without an outcome: 3 at endpoints/credit" in said
    assert "evt_x" in said
    assert run(["status", "--json"], Session(workspace_given=str(home.workspace.root))) == 0
    assert '"count":3' in capsys.readouterr().out.replace(" ", "")
    intents.intents_file(home.workspace).write_bytes(b"{")
    assert run(["status"], Session(workspace_given=str(home.workspace.root))) == 0, "what cannot be read is not there"


def test_a_row_that_was_edited_past_the_walk_is_noticed_by_the_clock(home: Site, gateway: Gateway) -> None:
    def edit(stage: str) -> None:
        with Store.open(attach_database(home.workspace).dsn("owner"), application="test") as owner, owner.connection() as connection:
            connection.execute("ALTER TABLE view.versions DISABLE TRIGGER USER")
            connection.execute("UPDATE view.versions SET row = jsonb_set(row, '{stage}', %s::jsonb)", [f'"{stage}"'])
            connection.execute("ALTER TABLE view.versions ENABLE TRIGGER USER")

    with home.app.store.reading() as state:
        known = state.get(rows.Version, "credit@1.1.0")
    assert known is not None
    with relayed(home) as app:
        assert compare_by_itself(app) == "the database says what the ledger says"
        edit("production" if known.stage != "production" else "staging")
        try:
            assert compare_by_itself(app) == "1 row of the database is not what the ledger says, the first: altered versions/credit@1.1.0"
            compare_by_itself(app)  # the next night
            app.settle()
        finally:
            edit(known.stage)
        assert compare_by_itself(app) == "the database says what the ledger says"
    found = [event.data for event in home.events("error") if isinstance(event.data, ViewDiffers)]
    assert [(each.count, each.fields) for each in found] == [(1, {"versions/credit@1.1.0": ["stage"]})] * 2
    assert len(notices_of(home, "view")) == 1, "nobody is told the same again while it lies unread"


@pytest.mark.parametrize(
    ("at", "now", "expected"),
    [
        ("03:10", "2026-11-26T02:00:00Z", "2026-11-26T03:10:00Z"), ("03:10", "2026-11-26T03:10:00Z", "2026-11-27T03:10:00Z"),
        ("00:00", "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"), ("23:59", "2026-11-26T00:00:00Z", "2026-11-26T23:59:00Z"),
    ],
)  # fmt: skip
def test_the_next_night(at: str, now: str, expected: str) -> None:
    assert next_at_ns(at, to_ns(parse_at(now))) == to_ns(parse_at(expected))


def test_a_time_of_day_is_checked_when_the_settings_are_read() -> None:
    assert parse_settings({"compare_at": "off"}, source="jurat.toml").compare_at == "off"
    for bad in ("24:00", "3:10", "03:60", "", "noon"):
        with pytest.raises(Malformed, match="compare_at"):
            parse_settings({"compare_at": bad}, source="jurat.toml")


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
