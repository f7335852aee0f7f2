"""The published conformance examples of CloudEvents 1.0, at the door for events: taken as they are, or refused."""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
import yaml

from jurat.app.outside import CLOUD_EVENT, CLOUD_EVENTS, read_events
from jurat.core.errors import Malformed
from jurat.core.outside import check_events

HERE = Path(__file__).parent / "cloudevents"
NOW_NS = 1_795_635_641 * 10**9


def cases(name: str, key: str) -> list[Any]:
    return [pytest.param(case[key], id=case["id"]) for case in json.loads((HERE / name).read_bytes())["tests"]]


def take(media: str, body: bytes, headers: dict[str, str] | None = None) -> list[bytes]:
    raws = read_events(media, list((headers or {}).items()), body)
    check_events(raws, NOW_NS, max_bytes=1_048_576, may_state=False)
    return raws


@pytest.mark.parametrize("event", cases("valid-events.json", "event"))
def test_a_valid_event_is_taken_in_its_own_bytes(event: Any) -> None:
    body = json.dumps(event, indent=2).encode()
    assert take(CLOUD_EVENT, body) == [body]


@pytest.mark.parametrize("event", cases("invalid-events.json", "event"))
def test_an_invalid_event_is_refused(event: Any) -> None:
    with pytest.raises(Malformed):
        take(CLOUD_EVENT, json.dumps(event).encode())


@pytest.mark.parametrize("batch", cases("valid-batches.json", "batch"))
def test_a_valid_batch_is_cut_into_its_events(batch: list[Any]) -> None:
    body = json.dumps(batch).encode()
    if not batch:
        with pytest.raises(Malformed) as caught:
            take(CLOUD_EVENTS, body)
        assert caught.value.code == "nothing_to_record"
        return
    assert [json.loads(raw) for raw in take(CLOUD_EVENTS, body)] == batch


@pytest.mark.parametrize("batch", cases("invalid-batches.json", "batch"))
def test_an_invalid_batch_is_refused_whole(batch: list[Any]) -> None:
    with pytest.raises(Malformed):
        take(CLOUD_EVENTS, json.dumps(batch).encode())


@pytest.mark.parametrize(
    "event", [pytest.param(e, id=e["ContextAttributes"]["id"]) for e in yaml.safe_load_all((HERE / "v1_minimum.yaml").read_text())]
)
def test_binary_mode_keeps_attributes_and_data(event: Any) -> None:
    attributes, data = event["ContextAttributes"], event["Data"].encode()
    media = attributes.pop("datacontenttype")
    headers = {f"ce-{name}": urllib.parse.quote(str(value), safe="/:;= ") for name, value in attributes.items()}
    (raw,) = take(media, data, headers)
    stored = json.loads(raw)
    assert {name: stored[name] for name in attributes} == {name: str(value) for name, value in attributes.items()}
    assert stored["datacontenttype"] == media
    if media.startswith("application/json"):
        assert stored["data"] == json.loads(data)
    else:
        assert base64.b64decode(stored["data_base64"]) == data


def test_the_requests_of_the_http_binding() -> None:
    text = (HERE / "http-protocol-binding.feature").read_text()
    requests = re.findall(r'Given an HTTP request\n\s+"""\n(.*?)\n\s+"""', text, re.DOTALL)
    medias = [re.findall(r"\| (application\S.*?)\s*\|", part.partition("\n\n")[0]) for part in text.split("Examples:")[1:]]
    assert (len(requests), [len(each) for each in medias]) == (2, [2, 2])
    for request, kinds in zip(requests, medias, strict=True):
        head, _, body = request.partition("\n\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head.splitlines()[1:])}
        for kind in kinds:
            (raw,) = take(kind, body.encode(), {name: value for name, value in headers.items() if name != "content-type"})
            event = json.loads(raw)
            expected = ("1234-1234-1234", "1.0", "com.example.someevent", "/mycontext/subcontext", "2018-04-05T03:56:24Z")
            assert tuple(event[name] for name in ("id", "specversion", "type", "source", "time")) == expected
            assert event["datacontenttype"] == (kind if "ce-id" in headers else "application/json")
            assert event["data"] == {"message": "Hello World!"}
