"""Conditions on events, as people write them: `class=inference and principal=prn_… and received>=2026-11-25T00:00:00Z`.

    condition   column operator value      and nothing but `and` between them
    columns     class log kind principal resource effect version outcome prediction event (text: = != ~), confidence latency_ms index
                (numbers), at received (RFC 3339 times): = != < <= > >=
    value       a bare word, or "in quotes"; `~` asks whether the text holds it

Becomes SQL with parameters: what somebody wrote is never part of the statement.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from jurat.core.clock import from_ns, parse_at, to_ns
from jurat.core.errors import Malformed
from jurat.domain.kinds import RetentionClass
from jurat.ledger.layout import parse_log_name

MOST_CONDITIONS: Final = 20
_LONGEST: Final = 2_000  # characters
_CONDITION: Final = re.compile(r'\s*([a-z_]+)\s*(!=|<=|>=|=|<|>|~)\s*("(?:[^"\\]|\\["\\])*"|[^\s"]+)')
_AND: Final = re.compile(r"\s+and(?=\s)", re.IGNORECASE)
_TEXT: Final = ("=", "!=", "~")
_ORDERED: Final = ("=", "!=", "<", "<=", ">", ">=")
_SQL: Final = {"=": "IS NOT DISTINCT FROM", "!=": "IS DISTINCT FROM"}


class Where(NamedTuple):
    """Conditions as SQL, and the values of their marks."""

    sql: list[str]
    parameters: list[Any]


class _Column(NamedTuple):
    sql: str
    operators: tuple[str, ...]
    read: Callable[[str], Any]


def parse_where(text: str) -> Where:
    """Return the conditions in a text; none for an empty one.

    Raises:
        Malformed: it is not such a text; the place, what was expected and what was got are named.
    """
    if len(text) > _LONGEST:
        raise Malformed(f"conditions of `{len(text)}` characters, expected at most {_LONGEST}")
    found, at = Where([], []), 0
    while text[at:].strip():
        if found.sql:
            word = _AND.match(text, at)
            if word is None:
                raise _unreadable(text, at, "`and`")
            at = word.end()
        match = _CONDITION.match(text, at)
        if match is None:
            raise _unreadable(text, at, "a condition such as `kind=act.denied.v1`")
        sql, value = _condition(match[1], match[2], _unquote(match[3]))
        found.sql.append(sql)
        found.parameters.append(value)
        if len(found.sql) > MOST_CONDITIONS:
            raise Malformed(f"more than `{MOST_CONDITIONS}` conditions", hint="`jurat sql` can ask for anything")
        at = match.end()
    return found


def _condition(name: str, operator: str, text: str) -> tuple[str, Any]:
    column = _COLUMNS.get(name)
    if column is None:
        near = difflib.get_close_matches(name, _COLUMNS, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(_COLUMNS)}"
        raise Malformed(f"column `{name[:40]}` is unknown", hint=hint, code="column_unknown")
    if operator not in column.operators:
        raise Malformed(f"`{name}` cannot be asked with `{operator}`", hint=f"with one of {' '.join(column.operators)}")
    value = column.read(text)
    if operator == "~":
        return f"contains({column.sql}, ?)", value
    return f"{column.sql} {_SQL.get(operator, operator)} ?", value


def _unquote(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def _unreadable(text: str, at: int, expected: str) -> Malformed:
    rest = text[at:].strip()
    return Malformed(f"at `{rest[:40]}`: expected {expected}", hint="conditions are `column operator value`, joined by `and`")


def _class(text: str) -> str:
    if text not in set(RetentionClass):
        raise Malformed(f"class `{text[:40]}` is unknown", hint=f"there are {', '.join(RetentionClass)}")
    return text


def _number(text: str) -> float:
    if not re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", text):
        raise Malformed(f"`{text[:40]}` is not a number")
    return float(text)


def _time_ns(text: str) -> int:
    try:
        return to_ns(parse_at(text))
    except ValueError:
        raise Malformed(f"`{text[:40]}` is not a time with a zone", hint="write RFC 3339, such as `2026-11-25T12:00:00Z`") from None


_COLUMNS: Final = {
    "class": _Column("split_part(log, '/', 2)", _TEXT, _class),
    "log": _Column("log", _TEXT, lambda text: str(parse_log_name(text))),
    "kind": _Column("kind", _TEXT, str),
    "principal": _Column("principal", _TEXT, str),
    "resource": _Column("resource", _TEXT, str),
    "effect": _Column("effect", _TEXT, str),
    "version": _Column("version", _TEXT, str),
    "outcome": _Column("outcome", _TEXT, str),
    "prediction": _Column("prediction", _TEXT, str),
    "event": _Column("event_id", _TEXT, str),
    "confidence": _Column("confidence", _ORDERED, _number),
    "latency_ms": _Column("latency_ms", _ORDERED, _number),
    "index": _Column("idx", _ORDERED, _number),
    "at": _Column("occurred_at", _ORDERED, lambda text: from_ns(_time_ns(text))),
    "received": _Column("received_ns", _ORDERED, _time_ns),
}
