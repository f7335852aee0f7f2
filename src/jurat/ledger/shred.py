"""From an event's bytes to the columns that people filter by.

The bytes are what the log commits to; columns are a view of them that anybody can derive again with this one function.
So a column never says more than the bytes do: what is missing, or of another type, is NULL, and no input is an error.
Knows the envelope of `domain/events.py`; must not know logs, files or Arrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import fields

from jurat.ledger.times import read_times


class Columns(NamedTuple):
    """The columns of one event, in the order of the Parquet schema. Times are UTC; `latency_ms` is milliseconds."""

    event_id: str | None = None
    occurred_at: datetime | None = None
    principal: str | None = None
    resource: str | None = None
    effect: str | None = None
    prediction: str | None = None
    version: str | None = None
    latency_ms: float | None = None
    confidence: float | None = None
    outcome: str | None = None


class _Actor(msgspec.Struct, gc=False):
    principal: str | None = None


class _Decision(msgspec.Struct, gc=False):
    effect: str | None = None


class _Data(msgspec.Struct, gc=False):
    prediction: str | None = None
    version: str | None = None
    latency_ms: float | None = None
    confidence: float | None = None
    outcome: str | None = None


class _Envelope(msgspec.Struct, gc=False):
    id: str | None = None
    kind: str | None = None
    at: str | None = None
    actor: _Actor | None = None
    decision: _Decision | None = None
    resource: str | None = None
    data: _Data | None = None


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_anything = msgspec.json.Decoder().decode
_NO_ACTOR, _NO_DECISION, _NO_DATA = _Actor(), _Decision(), _Data()


def shred(raw: bytes) -> Columns:
    """Return the columns of an event's bytes, whatever they are; what cannot be read is None."""
    columns = Columns(*(column[0] for column in shred_all([raw])))
    at = columns.occurred_at.item()  # type: ignore[union-attr]
    return columns._replace(occurred_at=at and at.replace(tzinfo=UTC))


def shred_all(raws: Sequence[bytes]) -> list[Any]:
    """Return the same for many events, column by column. A thousand at a time is fastest: few living objects.

    Columns are lists, but for the times: those are an array of `datetime64[us]`, in UTC, NaT for none.
    """
    return _columns(_read_all(raws))


def shred_with_kinds(raws: Sequence[bytes]) -> tuple[list[Any], list[str | None]]:
    """Return the columns, and the kind that each event's bytes name: for verifiers, who hold it against the entry."""
    events = _read_all(raws)
    return _columns(events), [event.kind for event in events]


def _columns(events: Sequence[_Envelope]) -> list[Any]:
    actors = [event.actor or _NO_ACTOR for event in events]
    decisions = [event.decision or _NO_DECISION for event in events]
    data = [event.data or _NO_DATA for event in events]
    return [
        [event.id for event in events],
        read_times([event.at for event in events]),
        [actor.principal for actor in actors],
        [event.resource for event in events],
        [decision.effect for decision in decisions],
        [item.prediction for item in data],
        [item.version for item in data],
        [item.latency_ms for item in data],
        [item.confidence for item in data],
        [item.outcome for item in data],
    ]


def _read_all(raws: Sequence[bytes]) -> list[_Envelope]:
    try:
        return [_decode_envelope(raw) for raw in raws]
    except (ValueError, RecursionError):  # one of them is odd
        return [_read(raw) for raw in raws]


def _read(raw: bytes) -> _Envelope:
    try:
        return _decode_envelope(raw)
    except (ValueError, RecursionError):  # msgspec's own errors are ValueErrors, and so is bad UTF-8
        return _read_odd(raw)


def _read_odd(raw: bytes) -> _Envelope:
    """Read an event of which some field has another type than ours: the other fields still count."""
    try:
        event = _decode_anything(raw)
    except (ValueError, RecursionError):
        return _Envelope()
    found = {field.name: _as(field.type, _field(event, field.name)) for field in fields(_Envelope)}
    for name, kind in (("actor", _Actor), ("decision", _Decision), ("data", _Data)):
        inner = _field(event, name)
        found[name] = kind(**{field.name: _as(field.type, _field(inner, field.name)) for field in fields(kind)})
    return _Envelope(**found)


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _as(kind: Any, value: Any) -> Any:
    try:
        return msgspec.convert(value, type=kind)
    except (ValueError, OverflowError):
        return None
