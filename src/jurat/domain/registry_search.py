"""MLflow's search language: filters, orders, page tokens. Reads what MLflow's own parser reads, refuses what it refuses.

Conditions are joined by AND, and by nothing else; a needless or missing AND is forgiven, as MLflow does. Pure: knows
nothing of where rows lie. Source: MLflow 3.17's parser, watched from outside; `test_registry_search.py` compares the two.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final, NamedTuple

import msgspec

from jurat.core.digests import digest_json
from jurat.core.errors import Malformed

MAX_FILTER: Final = 100_000
_MAX_CLAUSES: Final = 200
PROMPT_TAG: Final = "mlflow.prompt.is_prompt"
_TEXT_OPERATORS: Final = ("=", "!=", "LIKE", "ILIKE")
_NUMBER_OPERATORS: Final = ("=", "!=", "<", "<=", ">", ">=")

_STRING: Final = r"'(?:''|\\'|[^'])*'|\"(?:\"\"|\\\"|[^\"])*\""
_LIST: Final = rf"\(\s*(?:{_STRING})(?:\s*,\s*(?:{_STRING}))*\s*,?\s*\)"
_WORD: Final = r"[^\W\d]\w*"
_KEY: Final = rf"{_WORD}(?:\.(?:{_WORD}|\d+\w*|`[^`]*`|{_STRING}))*"
_CONDITION: Final = re.compile(
    rf"(?P<key>{_KEY})\s*(?P<op><=|>=|!=|=|<|>|\bNOT\s+IN\b|\bIN\b|\bNOT\s+LIKE\b|\bI?LIKE\b)\s*"
    rf"(?:(?P<text>{_STRING})|(?P<number>-?\d+(?:\.\d+)?)|(?P<many>{_LIST}))",
    re.IGNORECASE,
)
_AND: Final = re.compile(r"\s*(?:AND\b\s*)*", re.IGNORECASE)
_ITEM: Final = re.compile(_STRING)


class Clause(NamedTuple):
    """One condition. `key` of a tag is the tag's key; `value` is a text, a number, or texts for IN."""

    is_tag: bool
    key: str
    operator: str
    value: str | int | tuple[str, ...]


class Kind(NamedTuple):
    """What can be searched for, and how."""

    name: str
    text_keys: tuple[str, ...]
    number_keys: tuple[str, ...]
    list_keys: tuple[str, ...]
    orders: dict[str, str]  # as written → the field that is meant
    tie: tuple[tuple[str, bool], ...]  # what decides between equals: field, ascending
    default: tuple[tuple[str, bool], ...]
    default_results: int
    most_results: int


MODELS: Final = Kind(
    "registered models", ("name",), (), ("name",),
    {"name": "name", "last_updated_timestamp": "updated_ms", "timestamp": "updated_ms"},
    (("name", True),), (("name", True),), 100, 1_000,
)  # fmt: skip
VERSIONS: Final = Kind(
    "model versions", ("name", "run_id", "source_path"), ("version_number",), ("name", "run_id"),
    {"name": "name", "version_number": "number", "creation_timestamp": "created_ms", "last_updated_timestamp": "updated_ms"},
    (("name", True), ("number", False)), (("updated_ms", False), ("name", True), ("number", False)), 10_000, 200_000,
)  # fmt: skip


def parse_filter(text: str, kind: Kind) -> list[Clause]:
    """Return the conditions of a filter, none for an empty one.

    Raises:
        Malformed: not MLflow's language, an unknown key, or an operator that does not fit the key.
    """
    if len(text) > MAX_FILTER:
        raise Malformed(f"the filter has {len(text)} characters, expected at most {MAX_FILTER}")
    if not text.strip():
        return []
    clauses: list[Clause] = []
    at = _skip_and(text, 0)
    while at < len(text):
        found = _CONDITION.match(text, at)
        if found is None:
            raise Malformed(
                f"invalid clause in filter string: `{text[at : at + 60]}`",
                hint="write conditions joined by AND, such as `name LIKE 'cred%' AND tags.team = 'risk'`",
            )
        clauses.append(_clause(found, kind))
        at = _skip_and(text, found.end())
    if not clauses or len(clauses) > _MAX_CLAUSES:
        raise Malformed(f"the filter has {len(clauses)} conditions, expected 1 to {_MAX_CLAUSES}")
    return clauses


def parse_order(written: list[str], kind: Kind) -> list[tuple[str, bool]]:
    """Return the fields to order by, each with whether it ascends; ties are decided at the end of them.

    Raises:
        Malformed: an unknown key or direction, or a key twice.
    """
    if not written:
        return list(kind.default)
    order: list[tuple[str, bool]] = []
    for each in written:
        words = each.split()
        direction = words[1].upper() if len(words) == 2 else "ASC"
        key = words[0] if words else ""
        key = key[1:-1] if len(key) > 1 and key[0] == key[-1] == "`" else key
        if (
            not 1 <= len(words) <= 2
            or direction not in ("ASC", "DESC")
            or (field := kind.orders.get(key.removeprefix("attribute."))) is None
        ):
            raise Malformed(
                f"invalid order_by clause `{each[:60]}`", hint=f"keys of {kind.name}: {', '.join(kind.orders)}; then ASC or DESC"
            )
        if any(field == known for known, _ in order):
            raise Malformed(f"`order_by` names `{field}` twice", hint="each key once")
        order.append((field, direction == "ASC"))
    return order + [tie for tie in kind.tie if all(tie[0] != field for field, _ in order)]


def make_token(question: Any, last: list[str | int]) -> str:
    """Return the token of the page after the row whose order values are `last`."""
    return base64.urlsafe_b64encode(msgspec.json.encode([digest_json(question)[-16:], last])).decode()


def read_token(token: str, question: Any, order: list[tuple[str, bool]]) -> list[str | int] | None:
    """Return the order values that a page token carries, None for no token.

    Raises:
        Malformed: not one of ours, or of another question.
    """
    if not token:
        return None
    wrong = Malformed("invalid page token", hint="send the token of the page before, with the same filter and order_by; or none")
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        asked, last = msgspec.json.decode(raw, type=tuple[str, list[str | int]])
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise wrong from error
    fits = len(last) == len(order) and all(isinstance(v, str) == (field == "name") for v, (field, _) in zip(last, order, strict=True))
    if asked != digest_json(question)[-16:] or not fits or any("\0" in v for v in last if isinstance(v, str)):
        raise wrong
    return last


def asks_for_prompts(clauses: list[Clause]) -> bool:
    """Whether prompts are meant; else they are left out, as MLflow does. Only the first condition on the tag counts."""
    for clause in clauses:
        if clause.is_tag and clause.key == PROMPT_TAG:
            return (clause.operator, str(clause.value).lower()) in (("=", "true"), ("!=", "false"))
    return False


def _skip_and(text: str, at: int) -> int:
    found = _AND.match(text, at)
    return found.end() if found else at


def _clause(found: re.Match[str], kind: Kind) -> Clause:
    key, operator = found["key"], " ".join(found["op"].upper().split())
    head, dot, rest = key.partition(".")
    if dot and head not in ("tag", "tags", "attribute"):
        raise Malformed(f"invalid entity type `{head[:40]}` in the filter", hint="write `tags.<key>`, or a key by itself")
    is_tag, key = head in ("tag", "tags") and bool(dot), rest if dot else key
    if is_tag:
        key = key[1:-1] if len(key) > 1 and key[0] == key[-1] and key[0] in "`'\"" else key
    elif key not in kind.text_keys + kind.number_keys:
        raise Malformed(f"invalid attribute key `{key[:40]}`", hint=f"keys of {kind.name}: {', '.join(kind.text_keys + kind.number_keys)}")
    value: str | int | tuple[str, ...]
    if found["many"] is not None:
        if is_tag or key not in kind.list_keys or operator not in ("IN", "NOT IN"):
            raise Malformed(f"`{key[:40]}` is not compared with a list here", hint=f"keys that are: {', '.join(kind.list_keys)}")
        return Clause(is_tag, key, operator, tuple(item[1:-1] for item in _ITEM.findall(found["many"])))
    text = found["text"][1:-1] if found["text"] is not None else found["number"]
    if not is_tag and key in kind.number_keys:
        if operator not in _NUMBER_OPERATORS or not re.fullmatch(r"\s*-?\d{1,18}\s*", text):
            raise Malformed(f"`{key}` is compared with a whole number by one of {', '.join(_NUMBER_OPERATORS)}; got `{text[:40]}`")
        value = int(text)
    elif found["text"] is None:
        raise Malformed(f"`{key[:40]}` is compared with a text in quotes, got `{text[:40]}`")
    elif operator not in _TEXT_OPERATORS:
        raise Malformed(f"invalid comparator `{operator}` for `{key[:40]}`", hint=f"one of {', '.join(_TEXT_OPERATORS)}")
    else:
        value = text
    return Clause(is_tag, key, operator, value)
