"""Strict JSON in, deterministic JSON out.

Out: keys sorted, no white space, UTF-8; the same value always gives the same bytes, so a digest of them means
something. It is *not* RFC 8785 (floats differ), and it need not be: the ledger commits to stored bytes.
In: typed by msgspec; numbers must be finite. msgspec writes NaN as `null` without a word, so every `null` is looked at.
"""

from __future__ import annotations

import json
import math
from typing import Any, TypeVar

import msgspec

from jurat.core.errors import Malformed

T = TypeVar("T")
_encoder = msgspec.json.Encoder(order="sorted", decimal_format="string")


def dump_json(value: Any) -> bytes:
    """Return the deterministic JSON bytes of a value.

    Raises:
        Malformed: a number in it is NaN or infinite, or a type has no JSON form.
    """
    try:
        raw = _encoder.encode(value)
        if b"null" in raw:  # was one of them a number? A walk through the value is slow, and mostly there is no `null` at all
            refuse_non_finite(msgspec.to_builtins(value, builtin_types=(bytes,)))
        return raw
    except (TypeError, ValueError) as error:
        raise Malformed(f"this value has no JSON form: {error}") from error


def load_json(raw: bytes | str, into: type[T], *, what: str = "document") -> T:
    """Return `raw` as a value of type `into`.

    Raises:
        Malformed: not JSON, or not of that type; the message names the path inside it.
    """
    try:
        return msgspec.json.decode(raw, type=into)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"{what} cannot be read: {_lower(str(error))}") from error


def refuse_twice(raw: bytes | str, *, what: str = "document") -> None:
    """Pass if no object in this JSON has a member twice: whoever reads the first would not see what a program takes, the last.

    Raises:
        Malformed: one has, and the message names it; or it is not JSON.
    """

    def once(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise Malformed(f"{what} has `{name[:60]}` twice", hint="ask for the file as it was written")
            seen.add(name)

    try:
        json.loads(raw, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{what} cannot be read: {_lower(str(error))}") from error


def refuse_non_finite(value: Any, path: str = "$") -> None:
    """Pass if every number in `value` (builtins only) is finite.

    Raises:
        Malformed: one is not, named by its path.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Malformed(f"number at `{path}` is `{value}`, expected a finite number")
    elif isinstance(value, dict):
        for key, item in value.items():
            refuse_non_finite(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            refuse_non_finite(item, f"{path}[{number}]")


def _lower(text: str) -> str:
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]  # not `jSON`
