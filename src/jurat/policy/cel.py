"""A custom gate's expression in CEL: `evidence.accuracy >= 0.85 && system.risk_tier != 'high'`, in a part of the language that cannot err.

Read once, when a gate file is applied: every name must be a metric or a fact that Jurat knows, every type must fit, the answer must be
yes or no. What could fail, grow or yield NaN is not let in: then `||` has no error to absorb, and nothing has to be timed. Every name
must have a value before anything is evaluated. Knows nothing of gates, or of where values come from (decision 0139).

Source: the Common Expression Language, https://github.com/google/cel-spec (langdef.md; `cel.expr.CheckedExpr` in checked.proto).
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

import msgspec

from jurat.core.errors import Malformed
from jurat.policy.conditions import Measured, Verdict, believe
from jurat.policy.metrics import METRICS, OTHER_SPELLINGS, Scale
from jurat.policy.plainyaml import suggest

Value = bool | int | float | str | timedelta | list[str]
EVIDENCE: Final = "evidence."
FACTS: Final = ("system.risk_tier", "system.purpose", "system.environments", "version.semver", "version.stage")
MAX_LENGTH: Final = 2_000
_MAX_CHOICES: Final = 256  # combinations of values, where metrics have one for each protected attribute
_MAX_MULTIPLIED: Final = 8  # with literals of 18 digits at most, no product comes near infinity, and so no sum near NaN
_ONE_MACRO: Final = 3  # times that `all` or `exists` speaks of its own result: more is a second one, and two could be nested

# What is let in, as CEL's standard names its overloads: all of them answer for all values.
_LET_IN: Final = frozenset(
    ["logical_and", "logical_or", "logical_not", "conditional", "equals", "not_equals", "not_strictly_false",
     "in_list", "size_list", "list_size", "contains_string", "starts_with_string", "ends_with_string",
     "add_double", "subtract_double", "multiply_double", "negate_double", "negate_int64", "int64_to_double", "string_to_duration",
     *(f"{name}_{kind}" for name in ("less", "less_equals", "greater", "greater_equals") for kind in ("double", "int64", "duration"))]
)  # fmt: skip
_DURATION: Final = re.compile(r"""\bduration\s*\(\s*(?:'[0-9.]{1,12}(?:ms|us|h|m|s)'|"[0-9.]{1,12}(?:ms|us|h|m|s)")\s*\)""")
_REFUSED: Final = {
    re.compile(r"\bhas(?:\s|//[^\n]*(?:\n|\Z))*\("): "`has(…)`: a name without a value is never a pass, so there is nothing to ask",
    re.compile(r"\{"): "`{`: there are no maps and no messages",
    re.compile(r"\d{19}|\d[eE][+-]?\d"): "a number of more than 18 digits, or with an exponent: write it out",
}
_HINT: Final = "write like `evidence.accuracy >= 0.85 && evidence.latency_p99 <= duration('100ms') && system.risk_tier != 'high'`"
_TYPES: Final = "ratios have a point (`1.0`), counts and bytes have none (`3`), times are `duration('100ms')`, texts are quoted"
_AT: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")


class Cel(msgspec.Struct, frozen=True):
    """An expression that was read and checked. Made by `parse_cel` only.

    Attributes:
        text: as it was written, without white space around it.
        metrics: the metrics that it names, each in `METRICS`.
        facts: the facts that it names, each in `FACTS`.
    """

    text: str
    metrics: tuple[str, ...]
    facts: tuple[str, ...]

    def check(self, choices: Mapping[str, Sequence[Value]]) -> tuple[Verdict, str]:
        """Return pass only if the expression is true whichever of its values each name has; and why not.

        Args:
            choices: for each of its variables (`evidence.accuracy`) the values that it has: one for each protected attribute.
        """
        names = [*(EVIDENCE + metric for metric in self.metrics), *self.facts]
        if absent := [name for name in names if not choices.get(name)]:
            return Verdict.NOT_ENOUGH_DATA, f"`{absent[0]}` has no value"
        if math.prod(len(choices[name]) for name in names) > _MAX_CHOICES:
            return Verdict.NOT_ENOUGH_DATA, f"more than {_MAX_CHOICES} combinations of values: split it into several gates"
        failed = ""
        for values in itertools.product(*(choices[name] for name in names)):
            answer = _evaluate(self.text, dict(zip(names, values, strict=True)))
            if not isinstance(answer, bool):
                return Verdict.NOT_ENOUGH_DATA, "the expression has no answer for these values"
            if not answer and not failed:
                failed = "false where " + ", ".join(f"`{n}` is {_plain(v)}" for n, v in zip(names, values, strict=True))
        return (Verdict.FAIL, failed) if failed else (Verdict.PASS, "")


def variable(metric: str, measured: Measured | None) -> tuple[Value | None, str]:
    """Return what a metric's variable is, or None and why there is none: what a condition would not believe is not there.

    A gap that has two sides is given without its sign; durations and sizes are rounded up, to microseconds and bytes.
    """
    declared = METRICS[metric]
    number, doubt = believe(declared, measured)
    if number is None:
        return None, doubt
    match declared.dimension:
        case Scale.FLAG:
            return number == 1, ""
        case Scale.DURATION:
            return timedelta(microseconds=math.ceil(number * 1_000_000)), ""
        case Scale.SIZE:
            return math.ceil(number), ""
        case Scale.COUNT:
            return (int(number), "") if number == int(number) else (None, f"`{metric}` is a count, and not a whole number")
    return float(number.copy_abs() if declared.two_sided else number), ""


@lru_cache(maxsize=256)
def parse_cel(text: str) -> Cel:
    """Return the expression that `text` says.

    Raises:
        Malformed: too long or too deep; not CEL; an unknown variable; types that do not fit; an answer that is not yes or no; nothing
            of the version in it; or something that is not let in. Line and column count from 1, within the expression.
    """
    text = text.strip()
    if not text or len(text) > MAX_LENGTH:
        raise Malformed(f"`cel` has {len(text)} characters, expected 1 to {MAX_LENGTH}", hint=_HINT)
    for pattern, why in _REFUSED.items():
        if found := pattern.search(text):
            raise Malformed(f"{_place(text, found.start())}: not let in: {why}", hint=_HINT, code="not_let_in")
    program = _program(text)
    if program.return_type().name() != "BOOL":
        raise Malformed(f"`cel` answers {program.return_type().name().lower()}, expected true or false", hint=_HINT)
    names, overloads = _references(program.serialize())
    _refuse_what_is_not_let_in(text, names, overloads)
    metrics = tuple(name for name in METRICS if EVIDENCE + name in names)
    facts = tuple(name for name in FACTS if name in names)
    if not metrics and not facts:
        raise Malformed("`cel` says nothing of the version: it would always answer the same", hint=_HINT)
    return Cel(text, metrics, facts)


def _refuse_what_is_not_let_in(text: str, names: Counter[str], overloads: Counter[str]) -> None:
    def refuse(what: str, hint: str) -> Malformed:
        return Malformed(f"`cel` may not use {what}", hint=f"{hint}; what is really code is a policy in Python", code="not_let_in")

    if names["@result"] > _ONE_MACRO:
        raise refuse("more than one `all` or `exists`", "make it several gates, or use `in`")
    for overload in sorted(overloads.keys() - _LET_IN):
        raise refuse(f"`{overload}`", "comparisons, `&& || ! in ? :`, `+ - *` of ratios, one `all` or `exists`, texts' `contains`")
    if overloads["multiply_double"] > _MAX_MULTIPLIED:
        raise refuse(f"`*` more than {_MAX_MULTIPLIED} times", "make it several gates")
    # A call with another argument could err. Each word is a call if they are equally many, and each is written out if those are, too.
    written = sum(_reads_as_duration(each) for each in _DURATION.findall(text))
    if not overloads["string_to_duration"] == len(re.findall(r"\bduration\b", text)) == written:
        raise refuse("a duration that is not written out", "write `duration('100ms')`, with h, m, s, ms or us")
    if strange := [name for name in names if "." in name and name not in _variables()]:
        raise refuse(f"`{strange[0]}`", "there are no messages")


def _reads_as_duration(call: str) -> bool:
    return isinstance(_evaluate(call, {}), timedelta)


def _variables() -> list[str]:
    return [*(EVIDENCE + name for name in METRICS), *FACTS]


@lru_cache(maxsize=1)
def _environment() -> Any:
    from cel_expr_python import cel  # only where a gate is written in CEL: the library takes a moment to load

    kinds = {Scale.RATIO: cel.Type.DOUBLE, Scale.DURATION: cel.Type.DURATION, Scale.FLAG: cel.Type.BOOL}
    types = {EVIDENCE + name: kinds.get(metric.dimension, cel.Type.INT) for name, metric in METRICS.items()}
    types |= {name: cel.Type.List(cel.Type.STRING) if name == "system.environments" else cel.Type.STRING for name in FACTS}
    return cel.NewEnv(variables=types)


@lru_cache(maxsize=256)
def _program(text: str) -> Any:
    try:
        return _environment().compile(text)
    except Exception as error:  # the library has no type of its own for it
        raise _refused(str(error)) from None


def _evaluate(text: str, values: Mapping[str, Value]) -> Any:
    """Return the answer as a plain value; an error of CEL's is whatever the library gives for one, and no bool."""
    try:
        return _program(text).eval(data=dict(values)).value()
    except Exception as error:
        return error


def _refused(said: str) -> Malformed:
    found = _AT.search(said)
    if found is None and "recursion" in said:
        return Malformed("`cel` is nested too deeply", hint="at most 32 levels: make it several gates")
    if found is None:
        return Malformed(f"`cel` is not CEL: {said[:100]}", hint=_HINT)
    line, column, what = found.groups()
    where = f"`cel` at line {line}, column {column}"
    if name := re.match(r"undeclared reference to '([^']+)'", what):
        unknown = name[1]
        other = OTHER_SPELLINGS.get(unknown.removeprefix(EVIDENCE))
        hint = f"did you mean `{EVIDENCE}{other}`?" if other else suggest(unknown, _variables(), "variables")
        return Malformed(f"{where}: `{unknown[:60]}` is unknown", hint=hint, code="unknown_variable")
    if clash := re.match(r"found no matching overload for '_?([^']+?)_?' applied to '([^']*)'", what):
        types = clash[2].replace("google.protobuf.Duration", "duration")[:80]
        return Malformed(f"{where}: `{clash[1]}` does not go with `{types}`", hint=_TYPES, code="wrong_type")
    what = what.removeprefix("Syntax error: ").split(" expecting")[0][:100].replace("'", "`")
    return Malformed(f"{where}: not CEL: {what}", hint=_HINT)


def _place(text: str, offset: int) -> str:
    before = text[:offset]
    return f"`cel` at line {before.count(chr(10)) + 1}, column {offset - before.rfind(chr(10))}"


def _plain(value: Value) -> str:
    return f"{value.total_seconds():g}s" if isinstance(value, timedelta) else str(value)


def _references(serialized: bytes) -> tuple[Counter[str], Counter[str]]:
    """Return the names and the overloads that a checked expression refers to, as often as it does: its map of references."""
    names: Counter[str] = Counter()
    overloads: Counter[str] = Counter()
    checked = next(value for number, value in _fields(serialized) if number == 2)  # google.protobuf.Any: the message
    for entry in (value for number, value in _fields(checked) if number == 2):  # CheckedExpr.reference_map
        for reference in (value for number, value in _fields(entry) if number == 2):
            for number, value in _fields(reference):
                if number in (1, 3):
                    (names if number == 1 else overloads)[value.decode()] += 1
    return names, overloads


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the fields of a message in protobuf's encoding that have a length; skip numbers, which the maps' keys are."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        size = varint()
        if key & 7 == 2:
            yield key >> 3, message[at : at + size]
            at += size
        elif key & 7 != 0:
            raise Malformed("`cel` was compiled to something that cannot be read", hint="ask whoever operates Jurat")
