"""Events from outside, through the real door: the API's process, the sequencer, PostgreSQL. What is acknowledged is in the log."""

from __future__ import annotations

import base64
import concurrent.futures
import gzip
import http.client
import json
import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from tests.contract.web.conftest import Live
from tests.contract.web.test_api_process import Process

from jurat.app.refusals import read_refused
from jurat.app.status import status_of
from jurat.app.walk import act
from jurat.core.statements import CLOSED, Stated, Statement, cut_commitments, format_statement
from jurat.domain.commands import GrantRole, IssueToken, RegisterPrincipal, RegisterProducer
from jurat.domain.roles import expiry
from jurat.domain.values import PrincipalType
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import log_keys_file
from jurat.ledger.receipt import open_receipt
from jurat.merkle.entry import commit_event
from jurat.merkle.note import parse_vkey


class Reply(NamedTuple):
    status: int
    body: Any

    @property
    def data(self) -> Any:
        assert self.status == 200, self.body
        return self.body["data"]


class Door:
    """The API's process, and a registered producer's token."""

    def __init__(self, live: Live, port: int, token: str, producer: int, principal: str) -> None:
        self.live, self.port, self.token, self.producer, self.principal = live, port, token, producer, principal

    def send(
        self, body: bytes, where: str = "inference", *, kind: str = "application/x-ndjson", token: str | None = None, **headers: str
    ) -> Reply:
        given = {"content-type": kind, "authorization": f"Bearer {self.token if token is None else token}"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", f"/api/v1/ingest/{where}", body, given)

    def get(self, path: str, method: str = "GET") -> Reply:
        return self.ask(method, f"/api/v1/ingest{path}", b"", {"authorization": f"Bearer {self.token}"})

    def ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {name: value for name, value in headers.items() if value != "no"})
            reply = connection.getresponse()
            return Reply(reply.status, json.loads(reply.read()))
        finally:
            connection.close()

    def stored(self, answer: Any) -> list[bytes]:
        """The bytes that the ledger has where an answer says they lie."""
        self.live.app.settle()
        found = [self.live.app.events.at(answer["log"], answer["first_index"] + number) for number in range(answer["count"])]
        assert {event.producer for event in found} == {answer["producer"]}
        assert [event.seq for event in found] == list(range(answer["first_seq"], answer["first_seq"] + answer["count"]))
        return [event.raw for event in found]


@pytest.fixture(scope="module")
def door(live: Live) -> Iterator[Door]:
    path = live.app.workspace.settings_file
    text = path.read_text()
    path.write_text(text.replace("api_port = 8700", "api_port = 0"))
    token, producer, principal = join(live, ["inference", "error"])
    process = Process(live.app.workspace.root)
    yield Door(live, process.port, token, producer, principal)
    process.process.terminate()
    process.end()
    path.write_text(text)


def join(live: Live, classes: list[str], *, role: str = "recorder", register: bool = True) -> tuple[str, int, str]:
    app, operator = live.app, live.tokens["operator"]
    owner = act(app, operator, RegisterPrincipal(type=PrincipalType.PERSON, name="owner")).reply["principal"]
    service = act(app, operator, RegisterPrincipal(type=PrincipalType.SERVICE, name="scorer", owner=owner)).reply["principal"]
    producer = 0
    if register:
        done = act(app, operator, RegisterProducer(principal=service, name="scorer", classes=classes, reason="test"))
        producer = done.events[0].data.producer
    if role:
        act(app, operator, GrantRole(principal=service, role=role, reason="test", expires_at=expiry(app.clock.now_ns(), 3600)))
    return act(app, operator, IssueToken(principal=service, lifetime_s=3600)).reply["token"], producer, service


def lines(*events: Any) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def test_the_bytes_that_were_sent_are_the_bytes_that_are_committed(door: Door) -> None:
    sent = [b'{"b": 1,  "a":"\\u00fc"}', b'{"n":1e21}']
    answer = door.send(b"\n".join(sent) + b"\n\n").data
    assert door.stored(answer) == sent
    keys = next(k for k in load_log_keys(log_keys_file(door.live.app.workspace.keys)) if k.log == "main/inference")
    receipt = open_receipt(answer["receipt"], parse_vkey(keys.receipt_vkey))
    assert (receipt.first_index, receipt.count, receipt.producer) == (answer["first_index"], 2, door.producer)
    assert door.live.app.events.at("main/inference", answer["first_index"]).kind == "inference.observed.v1"


def test_cloudevents_in_their_three_modes(door: Door) -> None:
    event = {"specversion": "1.0", "id": "a", "source": "/x", "type": "t", "data": {"v": 1}}
    raw = json.dumps(event, indent=1).encode()
    assert door.stored(door.send(raw, kind="application/cloudevents+json; charset=UTF-8").data) == [raw]
    batch = b"[" + raw + b" , " + raw + b"]"
    assert door.stored(door.send(batch, kind="application/cloudevents-batch+json").data) == [raw, raw]
    headers = {"ce_specversion": "1.0", "ce_id": "a", "ce_source": "/x", "ce_type": "Euro%20%E2%82%AC", "ce_answer": '"say \\"hi\\""'}
    (stored,) = door.stored(door.send(b'{"v": 1}', kind="application/json", **headers).data)
    assert json.loads(stored) == {
        "specversion": "1.0", "id": "a", "source": "/x", "type": "Euro €", "answer": 'say "hi"', "datacontenttype": "application/json",
        "data": {"v": 1},
    }  # fmt: skip
    assert b'{"v": 1}' in stored
    (stored,) = door.stored(door.send(b"\xff\x00", kind="image/png", **headers).data)
    assert base64.b64decode(json.loads(stored)["data_base64"]) == b"\xff\x00"


def test_packed_bodies_are_unpacked_within_a_bound(door: Door) -> None:
    body = lines({"n": 1}, {"n": 2})
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, "zstd") as stream:
        stream.write(body)
    zstd = packed.getvalue().to_pybytes()
    for encoding, raw in (("gzip", gzip.compress(body)), ("zstd", zstd)):
        assert door.stored(door.send(raw, content_encoding=encoding).data) == body.split()[:0] + body.splitlines()
        cut = door.send(raw[:-5], content_encoding=encoding)
        assert (cut.status, cut.body["code"]) == (400, "encoding_damaged")
    spaces = pa.BufferOutputStream()
    with pa.CompressedOutputStream(spaces, "zstd") as stream:
        for _ in range(50):
            stream.write(b" " * 1_000_000)
    bombs = {"gzip": gzip.compress(b" " * 50_000_000), "zstd": spaces.getvalue().to_pybytes()}
    for encoding, raw in (*bombs.items(), ("gzip", gzip.compress(b" " * 1_000_000) * 50)):  # the last one in many small members
        assert len(raw) < 200_000
        bomb = door.send(raw, content_encoding=encoding)
        assert (bomb.status, bomb.body["code"]) == (413, "body_too_large")
    assert door.send(body, content_encoding="br").status == 415


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        (b'{"n":1}\nnonsense\n', "not_json", 400),
        (b'{"n":1}\n[1]\n', "not_json", 400),
        (b'{"n":1}\n{"t":"\xff"}\n', "not_json", 400),
        (b'{"n":1}\n{"a":1,"a":2}\n', "not_json", 400),
        (b'{"n":1}\n' + b'{"a":' * 5000 + b"1" + b"}" * 5000, "not_json", 400),
        (b'{"n":1}\n' + b'{"fill":"' + b"x" * 1_048_576 + b'"}\n', "event_too_large", 413),
        (b'{"n":1}\n{"time":"2999-01-01T00:00:00Z"}\n', "from_the_future", 400),
        (b'{"n":1}\n{"time":"yesterday"}\n', "time_unreadable", 400),
        (b'{"n":1}\n{"actor":{"principal":"prn_x"}}\n', "reserved_field", 400),
        (b'{"n":1}\n{"id":"evt_00000000000000000000000000"}\n', "reserved_field", 400),
        (b'{"n":1}\n{"kind":"producer.closed.v1"}\n', "reserved_field", 400),
        (b"", "nothing_to_record", 400),
    ],
    ids=lambda value: value[-30:].decode(errors="replace") if isinstance(value, bytes) else None,
)
def test_what_may_not_be_recorded_is_refused_with_its_reason_counted_and_committed_to(
    door: Door, body: bytes, code: str, status: int
) -> None:
    before = door.get("").data["refused"].get(code, 0)
    reply = door.send(body)
    assert (reply.status, reply.body["code"]) == (status, code)
    assert door.get("").data["refused"][code] == before + 1
    if "event" in reply.body:  # within the rate
        door.live.app.settle()
        stored = door.live.app.events.find(reply.body["event"])
        assert stored is not None
        said = json.loads(stored.raw)["data"]
        raw = body.splitlines()[reply.body["line"] - 1] if "line" in reply.body else body
        assert said["commitment"] == commit_event(bytes.fromhex(reply.body["commitment_salt"]), raw).hex()
        assert said["reason"].startswith(code)


@pytest.mark.parametrize(
    ("event", "path"),
    [
        ({"a": [{"b": {"Password": "x"}}]}, "$.a[0].b.Password"),
        ({"headers": {"X-Api-Key": "x"}}, "$.headers.X-Api-Key"),
        ({"authorization": "Bearer x"}, "$.authorization"),
    ],
)
def test_a_secret_is_refused_with_its_path_and_never_its_value(door: Door, event: Any, path: str) -> None:
    reply = door.send(lines({"n": 1}, event))
    assert (reply.status, reply.body["code"], reply.body["path"], reply.body["line"]) == (400, "holds_secret", path, 2)
    escaped = door.send(
        json.dumps(event).replace("ass", "\\u0061ss").replace("Key", "\\u004bey").replace("zation", "z\\u0061tion").encode()
    )
    assert escaped.body["code"] == "holds_secret"
    hidden = door.send(b'{"x":' + json.dumps(event).encode() + b',"x":1}')
    assert hidden.status == 400


def test_who_may_not(door: Door) -> None:
    body = lines({"n": 1})
    assert door.send(body, token="jrt_" + "x" * 43).status == 401
    assert door.send(body, authorization="no").status == 401
    person = door.send(body, token=door.live.tokens["auditor"])
    assert (person.status, person.body["code"]) == (403, "policy_denied")
    assert person.body["event"].startswith("evt_")
    unknown = door.send(body, token=join(door.live, [], register=False)[0])
    assert (unknown.status, unknown.body["code"]) == (403, "producer_unknown")
    elsewhere = door.send(body, "training")
    assert (elsewhere.status, elsewhere.body["code"]) == (403, "class_not_registered")
    assert (door.send(body, "gossip").status, door.send(body, "gossip").body["code"]) == (404, "class_unknown")
    assert door.send(body, kind="text/plain").status == 415
    until_s = time.monotonic() + 10
    wanted = {"unauthenticated", "policy_denied", "producer_unknown", "class_not_registered", "class_unknown"}
    while not (found := read_refused(door.live.app.workspace)) or not wanted <= found.counts.get("0", {}).keys():
        assert time.monotonic() < until_s, found
        time.sleep(0.05)
    assert found.counts[str(door.producer)]["content_type_unknown"] >= 1
    assert status_of(door.live.app.workspace).refused is not None


def test_a_key_stands_for_one_batch(door: Door) -> None:
    key = os.urandom(8).hex()
    first = door.send(lines({"n": 1}), idempotency_key=key).data
    again = door.send(lines({"n": 1}), idempotency_key=key).data
    assert again == {**first, "duplicate": True}
    other = door.send(lines({"n": 2}), idempotency_key=key)
    assert (other.status, other.body["code"]) == (422, "idempotency_key_reused")
    assert door.send(lines({"n": 1}), "error", idempotency_key=key).status == 422
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        key = os.urandom(8).hex()
        found = {pool.submit(door.send, lines({"n": 3}), idempotency_key=key) for _ in range(6)}
        assert len({done.result().data["first_index"] for done in found}) == 1


def test_numbers_of_the_producers_own(door: Door) -> None:
    epoch = door.get("/epochs", "POST").data["epoch"]
    assert door.get("/epochs", "POST").data["epoch"] > epoch

    def send(seq: int, *events: Any, **headers: str) -> Reply:
        return door.send(lines(*events), jurat_epoch=str(epoch), jurat_seq=str(seq), **headers)

    first = send(1, {"n": 1}, {"n": 2}, jurat_commitments="1").data
    assert not first["duplicate"]
    stored = [door.live.app.events.at(first["log"], first["first_index"] + number) for number in (0, 1)]
    assert cut_commitments(base64.b64decode(first["commitments"])) == [event.commitment for event in stored]
    assert send(1, {"n": 1}, {"n": 2}, jurat_commitments="1").data == {**first, "duplicate": True}
    gap = send(4, {"n": 4})
    assert (gap.status, gap.body["code"], gap.body["expected"]) == (409, "sequence_gap", 3)
    reused = send(1, {"n": 7})
    assert (reused.status, reused.body["code"]) == (409, "sequence_reused")
    assert door.get(f"/inference?epoch={epoch}").data["last_seq"] == 2
    assert door.send(lines({"n": 1}), jurat_epoch=str(2**32 - 1), jurat_seq="1").body["code"] == "epoch_unknown"
    assert door.send(lines({"n": 1}), jurat_epoch=str(epoch)).status == 400


def test_nothing_follows_a_closed_epoch(door: Door) -> None:
    epoch = door.get("/epochs", "POST").data["epoch"]

    def closed(last_seq: int) -> bytes:
        return format_statement(Statement(kind=CLOSED, at="2026-11-25T19:40:41.123456Z", data=Stated(epoch=epoch, last_seq=last_seq)))

    def send(seq: int, body: bytes) -> Reply:
        return door.send(body, jurat_epoch=str(epoch), jurat_seq=str(seq))

    assert send(1, lines({"n": 1})).status == 200
    assert send(2, closed(7)).body["code"] == "statement_wrong"
    assert send(2, closed(1) + b"\n" + lines({"n": 3})).body["code"] == "epoch_closed"
    answer = send(2, closed(1)).data
    assert door.live.app.events.at("main/inference", answer["first_index"]).kind == "producer.closed.v1"
    assert send(2, closed(1)).data["duplicate"]
    late = send(3, lines({"n": 3}))
    assert (late.status, late.body["code"]) == (409, "epoch_closed")


def test_the_ledger_verifies_with_events_from_outside(door: Door) -> None:
    from jurat.core.settings import lock_file
    from jurat.ledger.verify import verify_workspace

    door.send(lines({"kind": "version.promoted.v1", "data": {"prediction": "prd_x"}}, {"kind": 7}))
    app = door.live.app
    app.settle()
    report = verify_workspace(
        app.workspace.ledger, load_log_keys(log_keys_file(app.workspace.keys)), lock_file(app.workspace, app.settings)
    )
    assert report.faults == []
    assert app.events.find_prediction("prd_x") == []
