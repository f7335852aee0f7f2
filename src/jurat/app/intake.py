"""What callers send becomes a command, or is refused by name: the door's first check, the same for every door.

Stricter than reading events back: an unknown or repeated key, a number that is not finite, or text that cannot be
stored is refused at any depth. What a caller believes to have said is what we read, or nothing.
"""

from __future__ import annotations

import json
import math
from functools import partial
from typing import Any, TypeVar

import msgspec

from jurat.core.errors import Malformed

T = TypeVar("T")


def parse_json(raw: bytes, *, what: str) -> Any:
    """Return JSON as builtins.

    Raises:
        Malformed: not JSON in UTF-8, a key written twice, NaN or an infinity, or nested too deeply.
    """
    try:
        return json.loads(
            raw.decode(), object_pairs_hook=partial(_unique, what), parse_constant=partial(_no_number, what),
            parse_float=partial(_finite, what),
        )  # fmt: skip
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{what} is not JSON: {_lower(str(error))}", hint="send one JSON object in UTF-8") from error


def read_as(into: type[T], found: Any, *, what: str) -> T:
    """Return builtins as a value of type `into`, nothing lost.

    Raises:
        Malformed: a field is missing, unknown or of the wrong type; the message names it by its path.
    """
    _refuse_unstorable(found, "$", what)
    try:
        value = msgspec.convert(found, into)
    except (msgspec.ValidationError, RecursionError) as error:
        raise Malformed(f"{what} cannot be read: {_lower(str(error))}") from error
    _refuse_lost(found, msgspec.to_builtins(value), "$", what)
    return value


def _refuse_lost(found: Any, kept: Any, path: str, what: str) -> None:
    """Pass if every key that was given is still there: facts read leniently, so that old ledgers stay readable; doors must not."""
    if isinstance(found, dict) and isinstance(kept, dict):
        for key, value in found.items():
            if key not in kept:
                known = ", ".join(sorted(map(str, kept)))
                raise Malformed(f"{what} has an unknown field `{key[:80]}` at `{path}`", hint=f"known there: {known}")
            _refuse_lost(value, kept[key], f"{path}.{key}", what)
    elif isinstance(found, list) and isinstance(kept, list):
        for number, (value, same) in enumerate(zip(found, kept, strict=False)):
            _refuse_lost(value, same, f"{path}[{number}]", what)


def _refuse_unstorable(value: Any, path: str, what: str) -> None:
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
            raise Malformed(f"text at `{path[:200]}` of {what} holds NUL or half of a surrogate pair", hint="neither can be stored")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_unstorable(str(key), path, what)
            _refuse_unstorable(item, f"{path}.{key}", what)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _refuse_unstorable(item, f"{path}[{number}]", what)


def _unique(what: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Malformed(f"{what} has the key `{twice[:80]}` twice in one object", hint="only one of them can be meant")
    return found


def _finite(what: str, text: str) -> float:
    """Return a number; one that is too large for a float would be read as an infinity."""
    return number if math.isfinite(number := float(text)) else _no_number(what, text[:40])


def _no_number(what: str, text: str) -> float:
    raise Malformed(f"`{text}` in {what} is not a finite number")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:] if not text[1:2].isupper() else text
