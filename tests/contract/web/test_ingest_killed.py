"""The door is killed between the ledger's word and its own answer; whoever sends again gets the first receipt, and one record."""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterator

import pytest
from tests.contract.web.conftest import Live
from tests.contract.web.test_api_process import Process
from tests.contract.web.test_ingest import Door, join, lines

from jurat.ledger.crash_points import INGEST_POINTS
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import log_keys_file
from jurat.ledger.receipt import open_receipt
from jurat.merkle.note import parse_vkey


@pytest.fixture
def any_port(live: Live) -> Iterator[None]:
    path = live.app.workspace.settings_file
    text = path.read_text()
    path.write_text(text.replace("api_port = 8700", "api_port = 0"))
    yield
    path.write_text(text)


@pytest.mark.parametrize("point", INGEST_POINTS)
def test_a_batch_with_a_key_is_recorded_once_whenever_the_door_dies(live: Live, any_port: None, point: str) -> None:
    token, producer, principal = join(live, ["inference"])
    key, body = os.urandom(8).hex(), lines({"n": 1}, {"n": 2})
    first = Process(live.app.workspace.root, crash_at=point)
    door = Door(live, first.port, token, producer, principal)
    with pytest.raises((OSError, http.client.HTTPException)):
        door.send(body, idempotency_key=key)
    assert first.process.wait(10) == -signal.SIGKILL
    first.end()
    live.app.settle()
    there = [event for event in live.app.events.scan(classes=["inference"]) if event.producer == producer]
    assert len(there) == (2 if point == "ingest_after_append" else 0)

    second = Process(live.app.workspace.root)
    try:
        door = Door(live, second.port, token, producer, principal)
        other = door.send(lines({"n": 3}), idempotency_key=key)
        assert (other.status, other.body["code"]) == (422, "idempotency_key_reused"), "the key is taken, whatever became of it"
        answer = door.send(body, idempotency_key=key).data
        assert answer["duplicate"] == bool(there)
        again = door.send(body, idempotency_key=key).data
        assert again == {**answer, "duplicate": True}
        assert door.stored(answer) == body.splitlines()
        keys = next(k for k in load_log_keys(log_keys_file(live.app.workspace.keys)) if k.log == "main/inference")
        receipt = open_receipt(answer["receipt"], parse_vkey(keys.receipt_vkey))
        assert (receipt.first_index, receipt.count) == (answer["first_index"], 2)
        if there:
            assert (there[0].index, there[0].received_ns) == (receipt.first_index, receipt.received_ns)
        found = [json.loads(event.raw)["n"] for event in live.app.events.scan(classes=["inference"]) if event.producer == producer]
        assert found == [1, 2], "once"
    finally:
        second.process.terminate()
        second.end()
