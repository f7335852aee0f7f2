"""What is told to a policy besides who, what and on what: exact values, or a refusal. Never a float, never silently rounded.

Cedar's `decimal` has at most 4 places. Whoever has more rounds them first, in the direction that cannot help the asker:
down where more is better (a confidence), up where less is better (a disparity).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from jurat.core.errors import Malformed

Value = bool | int | str | Decimal | datetime
_PLACES: Final = Decimal("0.0001")
_DECIMAL_LIMIT: Final = Decimal(2**63) * _PLACES
_PLAIN: Final = frozenset({bool, str})  # told as they are; a subclass of theirs is looked at first
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def round_down(number: Decimal) -> Decimal:
    """Return the largest decimal of 4 places that is not above `number`: safe where more is better."""
    return _round(number, ROUND_FLOOR)


def round_up(number: Decimal) -> Decimal:
    """Return the smallest decimal of 4 places that is not below `number`: safe where less is better."""
    return _round(number, ROUND_CEILING)


def pack_values(values: Mapping[str, Value]) -> str:
    """Return Cedar's JSON of named values, sorted by name.

    Raises:
        Malformed: a value that cannot be told exactly.
    """
    if not values:
        return "{}"
    if all(type(value) in _PLAIN for value in values.values()):
        return _encode(dict(values)).decode()
    return _encode({name: _pack(name, value) for name, value in values.items()}).decode()


def plain_values(values: Mapping[str, Value]) -> dict[str, object]:
    """Return the values as JSON holds them exactly, for the record; `values_of` reads them again.

    A value that cannot be told to a policy is written as its text: such a question was refused, and the record says so.
    """
    found: dict[str, object] = {}
    for name, value in values.items():
        try:
            found[name] = _pack(name, value)
        except Malformed:
            found[name] = str(value)
    return found


def values_of(plain: Mapping[str, Any]) -> dict[str, Value]:
    """Return recorded values as they were told.

    Raises:
        Malformed: something that was never told to a policy.
    """
    return {name: _unpack(name, value) for name, value in plain.items()}


def _unpack(name: str, value: Any) -> Value:
    if isinstance(value, bool | int | str):
        return value
    told = value.get("__extn") if isinstance(value, dict) else None
    if isinstance(told, dict) and isinstance(text := told.get("arg"), str):
        if told.get("fn") == "decimal":
            return Decimal(text)
        if told.get("fn") == "datetime":
            return datetime.fromisoformat(text)
    raise Malformed(f"`{name}` was recorded as something that no policy can be told")


def _pack(name: str, value: Value) -> object:
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise Malformed(f"`{name}` does not fit into 64 bits")
        return value
    if isinstance(value, Decimal):
        if value != round_down(value):
            raise Malformed(f"`{name}` is `{value}`, which has more than 4 places", hint="round it first with `round_down` or `round_up`")
        return {"__extn": {"fn": "decimal", "arg": f"{round_down(value):f}"}}
    if isinstance(value, datetime) and value.tzinfo is not None:
        text = f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z"  # Cedar counts milliseconds
        return {"__extn": {"fn": "datetime", "arg": text}}
    raise Malformed(
        f"`{name}` is a `{type(value).__name__}`, which cannot be told to a policy",
        hint="use a Decimal instead of a float, and a time with its zone",
    )


def _round(number: Decimal, rounding: str) -> Decimal:
    try:
        rounded = number.quantize(_PLACES, rounding=rounding)
        fits = -_DECIMAL_LIMIT <= rounded < _DECIMAL_LIMIT
    except InvalidOperation:
        fits = False
    if not fits:
        raise Malformed(f"`{number}` is not a decimal that a policy can read", hint="Cedar reads 4 places and 15 digits before them")
    return rounded
