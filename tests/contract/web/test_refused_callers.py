"""Doors that answer from memory refuse who is suspended and put it on record: a minute's first whole, the others counted."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from tests.contract.web.conftest import Live
from tests.contract.web.test_leaving_live import People
from tests.scenes.asgi_client import call

from jurat.app import turned_away
from jurat.app.serving import RequestPrediction
from jurat.app.turned_away import TurnedAway
from jurat.core.errors import Unauthenticated, Unavailable
from jurat.domain.commands_people import Deactivate
from jurat.domain.events import Event, decode_event
from jurat.domain.facts import ActDenied
from jurat.domain.facts_credentials import CallerRefused
from jurat.web.asgi import make_asgi

QUESTION = {"subject": {"type": "person", "id": "x"}, "action": {"name": "a:b"}, "resource": {"type": "w", "id": "w"}}


@pytest.fixture(scope="module")
def suspended(live: Live) -> tuple[People, str]:
    """A service that nobody answers for any more, with a token that its owner's leaving did not end."""
    found, other = People(live, "Tia"), People(live, "Ugo")
    living = found.token(found.service, on_behalf_of=other.person)
    act_of_leaving(found)
    return found, living


def act_of_leaving(found: People) -> None:
    from jurat.app.walk import act

    act(found.app, found.operator, Deactivate(principal=found.person, reason="left", suspend_owned=True))


def recorded(found: People, fact: type[Any]) -> list[Event]:
    found.app.settle()
    kinds = ["act.denied.v1" if fact is ActDenied else "caller.refused.v1"]
    events = [decode_event(stored.raw) for stored in found.app.events.scan(kinds=kinds)]
    return [e for e in events if e.actor.principal == found.service]


@pytest.mark.parametrize(
    ("path", "body", "command", "place"),
    [
        ("/access/v1/evaluation", QUESTION,
         "Evaluate", "workspace"),
        ("/api/v1/ingest/inference", None, "RecordEvents", "ledger/inference"),
    ],
    ids=["enforcement point", "events"],
)  # fmt: skip
def test_a_door_records_the_first_and_counts_the_others(
    suspended: tuple[People, str], path: str, body: Any, command: str, place: str
) -> None:
    found, living = suspended
    before, counted = len(recorded(found, ActDenied)), len(recorded(found, CallerRefused))
    door = make_asgi(found.app)
    for _ in range(4):
        raw = json.dumps(body).encode() if body else b'{"a":1}\n'
        kind = "application/json" if body else "application/x-ndjson"
        answer = call(door, "POST", path, token=living, raw=raw, headers={"content-type": kind})
        assert answer.status == 401, answer.body
    fresh = recorded(found, ActDenied)[-1]
    assert len(recorded(found, ActDenied)) == before + 1
    assert (fresh.data.by, fresh.data.rule, fresh.data.command) == ("identity", "suspended", command)  # type: ignore[attr-defined]
    assert fresh.resource == place
    assert len(recorded(found, CallerRefused)) == counted, "their minute is not over"


def refusal(found: People) -> Unauthenticated:
    chain = [found.person, found.service]
    return Unauthenticated(f"`{found.service}` is suspended", code="suspended", principal=found.service, chain=chain)


def test_when_the_minute_is_over_or_the_process_goes_the_count_is_on_record(
    suspended: tuple[People, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = suspended
    asked = RequestPrediction(endpoint="credit")
    before, counted = len(recorded(found, ActDenied)), len(recorded(found, CallerRefused))
    monkeypatch.setattr(turned_away, "WINDOW_S", 3_600.0)
    door = TurnedAway(found.app, "gateway")
    for _ in range(5):
        door.note(asked, refusal(found))
    door.flush()
    assert len(recorded(found, CallerRefused)) == counted
    door.close()
    event = recorded(found, CallerRefused)[-1]
    assert isinstance(event.data, CallerRefused)
    assert (event.data.count, event.data.door, event.data.rule, event.resource) == (4, "gateway", "suspended", "endpoints/credit")
    assert event.data.first_at <= event.data.last_at
    monkeypatch.setattr(turned_away, "WINDOW_S", 0.0)
    door.note(asked, refusal(found))
    door.note(asked, refusal(found))  # each begins a minute of its own
    assert len(recorded(found, ActDenied)) == before + 3
    door.close()
    assert len(recorded(found, CallerRefused)) == counted + 1, "none was left to count"
    door.note(asked, Unauthenticated("this access token is not valid"))
    assert len(recorded(found, ActDenied)) == before + 3, "nobody's refusal is nobody's act"


def test_what_cannot_be_recorded_now_is_counted_and_recorded_later(
    suspended: tuple[People, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found, _ = suspended
    counted = len(recorded(found, CallerRefused))
    door = TurnedAway(found.app, "gateway")
    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(turned_away, "_write", lambda *_: (_ for _ in ()).throw(Unavailable("the database is away")))
        door.note(RequestPrediction(endpoint="credit"), refusal(found))
        door.close()
        assert len(caplog.records) == 2
    assert len(recorded(found, CallerRefused)) == counted
    door.close()
    assert recorded(found, CallerRefused)[-1].data.count == 1  # type: ignore[attr-defined]
