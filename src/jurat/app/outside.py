"""How events from outside arrive: NDJSON, one JSON object, or CloudEvents 1.0 in its three modes, as the bytes of each event.

The bytes of an event are those that were received, cut out and never written anew. One exception: in binary mode a
CloudEvent has no bytes of its own, for its attributes are headers; it is put into the structured form (decision 0051).
Knows formats. Whether an event may be recorded is `core.outside`'s to say; who may record is `ingest`'s.

Source: CloudEvents 1.0.2, JSON event format and HTTP protocol binding §3; NDJSON.
"""

from __future__ import annotations

import base64
import binascii
import re
import urllib.parse
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from jurat.core.errors import JuratError, Malformed

JSON: Final = "application/json"
NDJSON: Final = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
CLOUD_EVENT: Final = "application/cloudevents+json"
CLOUD_EVENTS: Final = "application/cloudevents-batch+json"
_REQUIRED: Final = ("id", "source", "type")
_NOT_ATTRIBUTES: Final = frozenset({"data", "data_base64"})
_ATTRIBUTE: Final = re.compile(r"[a-z0-9]{1,64}\Z")
_MEDIA_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+\s*(;.*)?\Z", re.ASCII | re.DOTALL)  # RFC 2046
_PREFIX: Final = "ce-"
_INT32: Final = 2**31


def read_events(content_type: str, headers: Sequence[tuple[str, str]], body: bytes) -> list[bytes]:
    """Return the bytes of each event in a body, in their order; at least one.

    Args:
        headers: all of the request's, lower-case names, as often as they were sent.
    Raises:
        Malformed: not of that form, or nothing in it; code `content_type_unknown`: a form that is not read here.
    """
    media, parameters = _parse_media_type(content_type)
    if parameters.get("charset", "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise Malformed(f"charset `{parameters['charset'][:40]}` is not read", hint="send UTF-8", code="content_type_unknown")
    if media == CLOUD_EVENTS:
        raws = _cut_batch(body)
        _check_each(raws)
    elif media == CLOUD_EVENT:
        raws = [body]
        _check_each(raws)
    elif media.startswith("application/cloudevents"):
        raise _unknown(media)
    elif any(name.startswith(_PREFIX) for name, _ in headers):
        raws = [_from_headers(content_type, headers, body)]
        _check_each(raws)
    elif media in NDJSON:
        raws = [line for line in body.split(b"\n") if line and not line.isspace()]
    elif media == JSON:
        raws = [body] if body.strip() else []
    else:
        raise _unknown(media)
    if not raws:
        raise Malformed("there is no event in the body", hint="send at least one", code="nothing_to_record")
    return raws


def _unknown(media: str) -> Malformed:
    known = ", ".join(f"`{each}`" for each in (NDJSON[0], JSON, CLOUD_EVENT, CLOUD_EVENTS))
    return Malformed(
        f"content type `{media[:80]}` is not read here",
        hint=f"send {known}, or a CloudEvent with `ce-` headers",
        code="content_type_unknown",
    )


def _parse_media_type(text: str) -> tuple[str, dict[str, str]]:
    media, *rest = (part.strip() for part in text.split(";"))
    pairs = (part.partition("=") for part in rest if part)
    return media.lower(), {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


def _cut_batch(body: bytes) -> list[bytes]:
    try:
        return [bytes(each) for each in msgspec.json.decode(body, type=list[msgspec.Raw])]
    except (ValueError, RecursionError) as error:
        raise Malformed("a batch of CloudEvents is one JSON array of objects in UTF-8", code="not_json") from error


def _check_each(raws: Sequence[bytes]) -> None:
    for number, raw in enumerate(raws):
        try:
            check_cloud_event(raw)
        except JuratError as error:
            error.fields["line"] = number + 1
            raise


def check_cloud_event(raw: bytes) -> None:
    """Pass if these bytes are a CloudEvent 1.0 in JSON.

    Raises:
        Malformed: they are not; what is wrong is named.
    """
    try:
        event: Any = msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:
        raise Malformed("a CloudEvent is one JSON object in UTF-8", code="not_json") from error
    if not isinstance(event, dict):
        raise Malformed("a CloudEvent is one JSON object in UTF-8", code="not_json")
    version = event.get("specversion")
    if version != "1.0":
        raise _wrong(f"`specversion` is `{str(version)[:20]}`, expected `1.0`")
    for name in _REQUIRED:
        if not isinstance(event.get(name), str) or not event[name]:
            raise _wrong(f"a CloudEvent needs `{name}`, a text that is not empty")
    for name, value in event.items():
        if name in _NOT_ATTRIBUTES or value is None:
            continue
        if not _ATTRIBUTE.match(name):
            raise _wrong(f"`{name[:80]}` is no name of an attribute: lower-case letters and digits only")
        if isinstance(value, int) and not -_INT32 <= value < _INT32:
            raise _wrong(f"attribute `{name}` is a number outside 32 bits")
        if not isinstance(value, str | int):  # a bool is an int
            raise _wrong(
                f"attribute `{name}` is neither a text, a whole number nor true or false", hint="what has a structure goes into `data`"
            )
    for name in ("subject", "datacontenttype", "dataschema"):
        if event.get(name) is not None and (not isinstance(event[name], str) or not event[name]):
            raise _wrong(f"`{name}` of a CloudEvent is a text that is not empty, or is left out")
    media = event.get("datacontenttype")
    if isinstance(media, str) and not _MEDIA_TYPE.match(media):
        raise _wrong(f"`datacontenttype` is `{media[:80]}`, expected a media type such as `application/json`")
    if "data_base64" in event:
        if "data" in event:
            raise _wrong("a CloudEvent has `data` or `data_base64`, not both")
        try:
            base64.b64decode(event["data_base64"], validate=True)
        except (TypeError, ValueError, binascii.Error) as error:
            raise _wrong("`data_base64` of a CloudEvent is not base64") from error


def _from_headers(content_type: str, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
    """Return a CloudEvent in binary mode as its structured form."""
    event: dict[str, Any] = {}
    for header, value in headers:
        if not header.startswith(_PREFIX):
            continue
        name = header.removeprefix(_PREFIX)
        if name == "datacontenttype" or name in event or name in _NOT_ATTRIBUTES:
            raise _wrong(f"header `{header[:80]}` may not be here, or not twice", hint="`Content-Type` is the `datacontenttype`")
        event[name] = _decode_header(header, value)
    if content_type:
        event["datacontenttype"] = content_type
    if body:
        media = _parse_media_type(content_type)[0]
        if media == JSON or media.endswith("+json") or not media:
            try:
                msgspec.json.decode(body)
            except (ValueError, RecursionError) as error:
                raise Malformed("the body of a CloudEvent in binary mode is not JSON, as its content type says", code="not_json") from error
            event["data"] = msgspec.Raw(body)
        else:
            event["data_base64"] = base64.b64encode(body).decode()
    return msgspec.json.encode(event)


def _decode_header(header: str, value: str) -> str:
    """Return an attribute's value: unquoted, then percent-decoded once."""
    text = value.strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    try:
        if not text.isascii():
            raise ValueError
        return urllib.parse.unquote(text, errors="strict")
    except ValueError as error:
        raise _wrong(f"header `{header[:80]}` is not percent-encoded UTF-8") from error


def _wrong(detail: str, *, hint: str = "see cloudevents.io, version 1.0") -> Malformed:
    return Malformed(detail, hint=hint, code="not_a_cloudevent")
