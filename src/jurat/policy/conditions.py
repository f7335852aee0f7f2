"""Gate conditions: `accuracy >= 0.85`, `latency_p99 <= 100ms`, `error_rate <= 0.1%`, `no_critical_alerts`.

A condition is read once, when a gate file is applied, and there its metric, its unit and its direction are checked.
Checked against a measurement it answers pass, fail or not_enough_data, and never passes on a number it cannot
believe. Knows nothing of YAML, of stages, or of who measured.
"""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Callable, Iterable
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec
from lark import Lark, Token, Tree
from lark.exceptions import LarkError

from jurat.core.errors import Malformed
from jurat.core.units import format_quantity, parse_quantity
from jurat.policy.metrics import DIMENSIONS, EXAMPLES, METRICS, OTHER_SPELLINGS, Better, Metric, Scale

_GRAMMAR: Final = r"""
    start: NAME [OPERATOR QUANTITY]

    NAME: /[a-z][a-z0-9_]*/
    OPERATOR: "<=" | "<" | ">=" | ">" | "=="
    QUANTITY: /-?[0-9]+(\.[0-9]+)?\s*[A-Za-zµ%]*/

    %ignore " "
"""
_parser: Final = Lark(_GRAMMAR, parser="lalr")
_MAX_LENGTH: Final = 200
_COMPARE: Final[dict[str, Callable[[Decimal, Decimal], bool]]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
}
_SIDE: Final = {Better.HIGHER: (">=", ">", "=="), Better.LOWER: ("<=", "<", "==")}


class Verdict(StrEnum):
    """What a gate, or one condition of it, says."""

    PASS = "pass"  # noqa: S105 - measured, and good enough
    FAIL = "fail"  # measured, and not good enough
    NOT_ENOUGH_DATA = "not_enough_data"  # not measured, or not believably; never a pass


class Measured(msgspec.Struct, frozen=True):
    """What was found for one metric on one version.

    Attributes:
        value: in the base unit (seconds, bytes, ratio); a bool for a flag; None when nothing was measured.
        low, high: the 95 % interval, where there is one; shown, and checked for sense.
        sample_size: rows or requests behind the value.
        too_small: a group had too few members for the value to mean anything.
        source: where the evidence lies: an event id.
    """

    value: Decimal | float | bool | None
    low: float | None = None
    high: float | None = None
    sample_size: int | None = None
    too_small: bool = False
    source: str = ""


class Clause(msgspec.Struct, frozen=True, omit_defaults=True):
    """One condition's answer, with what it was answered from. `value` is a float for people; the verdict used exact numbers."""

    verdict: Verdict
    condition: str
    value: float | bool | None
    reason: str
    low: float | None = None
    high: float | None = None
    sample_size: int | None = None
    source: str = ""


class Condition(msgspec.Struct, frozen=True):
    """A condition that makes sense. Made by `parse_condition` only.

    Attributes:
        metric: a name in `METRICS`.
        operator: one of `<= < >= > ==`; empty for a flag.
        threshold: exact, in the metric's base unit; 1 for a flag.
        text: the condition in its one spelling; `parse_condition(text)` gives this condition again.
    """

    metric: str
    operator: str
    threshold: Decimal
    text: str

    def check(self, measured: Measured | None) -> Clause:
        """Return pass only for a believable measurement on the right side of the threshold."""
        metric = METRICS[self.metric]
        number, doubt = believe(metric, measured)
        if number is None:
            return self._clause(Verdict.NOT_ENOUGH_DATA, measured, doubt)
        if metric.dimension is Scale.FLAG:
            held, reason = number == 1, f"`{self.metric}` is {'true' if number == 1 else 'false'}, expected true"
        else:
            number = number.copy_abs() if metric.two_sided else number  # `abs` would round to 28 digits
            held = _COMPARE[self.operator](number, self.threshold)
            bars = "|{}|" if metric.two_sided else "{}"
            reason = f"`{bars.format(self.metric)}` is {_show(metric, number, self.threshold)}, expected {self._expected()}"
        return self._clause(Verdict.PASS if held else Verdict.FAIL, measured, reason)

    def _expected(self) -> str:
        return self.text.removeprefix(self.metric).strip()

    def _clause(self, verdict: Verdict, measured: Measured | None, reason: str) -> Clause:
        if measured is None:
            return Clause(verdict, self.text, None, reason)
        return Clause(
            verdict=verdict,
            condition=self.text,
            value=_plain(measured.value),
            reason=reason,
            low=_finite(measured.low),
            high=_finite(measured.high),
            sample_size=measured.sample_size,
            source=measured.source,
        )


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """Return fail if any failed, else not_enough_data if any lacked data *or there were none*, else pass."""
    seen = set(verdicts)
    if Verdict.FAIL in seen:
        return Verdict.FAIL
    return Verdict.PASS if seen == {Verdict.PASS} else Verdict.NOT_ENOUGH_DATA


@lru_cache(maxsize=1024)
def parse_condition(text: str) -> Condition:
    """Return the condition that `text` says.

    Raises:
        Malformed: not a condition; an unknown metric; a unit that the metric does not have; a threshold outside
            what the metric can be; or a bound on the metric's good side, which would pass the worst.

    Example:
        >>> parse_condition("error_rate<=0.1%").threshold
        Decimal('0.001')
    """
    name, comparison, quantity = _read(text)
    metric = _metric(name)
    if metric.dimension is Scale.FLAG:
        if comparison:
            raise Malformed(f"`{name}` is true or false and takes no `{comparison}`", hint=f"write `{name}` alone: true is what passes")
        return Condition(name, "", Decimal(1), name)
    if not comparison:
        raise Malformed(
            f"`{name}` is not a yes or no, and has no threshold",
            hint=f"write `{name} {_SIDE[metric.direction][0]} {EXAMPLES[metric.dimension].split()[0]}`, with your own number",
        )
    threshold = _threshold(metric, quantity)
    if comparison not in _SIDE[metric.direction]:
        raise Malformed(
            f"`{name} {comparison} {quantity}` bounds the wrong side: of `{name}`, {metric.direction.value} is better",
            hint=f"write `{name} {_SIDE[metric.direction][0]} {quantity}`",
        )
    return Condition(name, comparison, threshold, f"{name} {comparison} {quantity}")


def format_condition(condition: Condition) -> str:
    """Return the condition's one spelling. The inverse of `parse_condition`."""
    return condition.text


def _read(text: str) -> tuple[str, str, str]:
    shown = text[:60]
    hint = "write `metric >= 0.85`, `metric <= 100ms` or the bare name of a flag; comparisons: <= < >= > =="
    if len(text) > _MAX_LENGTH:
        raise Malformed(f"condition `{shown}…` is longer than {_MAX_LENGTH} characters", hint=hint)
    try:
        tree: Tree[Token] = _parser.parse(text)
    except LarkError as error:
        column = getattr(error, "column", -1)
        place = f" at character {column}" if isinstance(column, int) and column > 0 else ""
        raise Malformed(f"`{shown}` is not a condition{place}", hint=hint) from error
    name, comparison, quantity = (None if child is None else str(child) for child in tree.children)
    return name or "", comparison or "", "".join((quantity or "").split())


def _metric(name: str) -> Metric:
    if name in METRICS:
        return METRICS[name]
    near = [OTHER_SPELLINGS[name]] if name in OTHER_SPELLINGS else difflib.get_close_matches(name, METRICS, n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"known metrics: {', '.join(METRICS)}"
    raise Malformed(f"metric `{name}` is unknown", hint=hint, code="unknown_metric")


def _threshold(metric: Metric, text: str) -> Decimal:
    wanted, example = metric.dimension.value, EXAMPLES[metric.dimension]
    quantity = parse_quantity(text)
    counts_in_percent = metric.dimension is Scale.COUNT and (text.endswith("%") or quantity.value % 1 != 0)
    if quantity.dimension is not DIMENSIONS[metric.dimension] or counts_in_percent:
        got = quantity.dimension.value if not counts_in_percent else "fraction"
        raise Malformed(f"`{metric.name}` is a {wanted}, `{text}` is a {got}", hint=f"write it like `{example}`", code="wrong_unit")
    lower = max(metric.lower, Decimal(0)) if metric.two_sided else metric.lower
    if not lower <= quantity.value <= metric.upper:
        raise Malformed(
            f"threshold `{text}` is outside what `{metric.name}` can be, {_show(metric, lower)} to {_show(metric, metric.upper)}",
            hint="a gate that always or never passes is none; percent is written `10%`, and 10% is 0.1",
        )
    return quantity.value


def believe(metric: Metric, measured: Measured | None) -> tuple[Decimal | None, str]:
    """Return the exact number in the metric's base unit (1 or 0 for a flag), or None and why it cannot be used."""
    name = metric.name
    if measured is None or measured.value is None:
        return None, f"`{name}` was not measured"
    if measured.too_small:
        return None, f"`{name}` was measured on a group too small to tell"
    if metric.dimension is Scale.FLAG:
        return (Decimal(measured.value), "") if isinstance(measured.value, bool) else (None, f"`{name}` is not true or false")
    number = _exact(measured.value)
    if number is None:
        return None, f"`{name}` is not a finite number"
    if not metric.lower <= number <= metric.upper:
        return None, f"`{name}` is {_show(metric, number)}, which it cannot be: the measurement is at fault"
    edges = [_exact(edge) for edge in (measured.low, measured.high) if edge is not None]
    if None in edges or edges != sorted(edge for edge in edges if edge is not None):
        return None, f"the interval of `{name}` makes no sense"
    if measured.sample_size is not None and measured.sample_size <= 0:
        return None, f"`{name}` was measured on nothing"
    return number, ""


def _exact(value: object) -> Decimal | None:
    """Return the number as people and JSON write it (the float 0.1 is exactly 0.1), or None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    number = Decimal(float(value).__repr__()) if isinstance(value, float) else Decimal(value)
    return number if number.is_finite() else None


def _plain(value: Decimal | float | bool | None) -> float | bool | None:
    return value if isinstance(value, bool) else _finite(value)


def _finite(value: object) -> float | None:
    exact = _exact(value)
    shown = float(exact) if exact is not None else math.nan
    return shown if math.isfinite(shown) else None  # an exact number may still be too large for a float


def _show(metric: Metric, number: Decimal, beside: Decimal | None = None) -> str:
    """Return the number for people; with every digit where the short form would look equal to `beside` and is not."""
    if metric.dimension is Scale.COUNT:
        return f"{number.normalize():f}"
    short = format_quantity(number, DIMENSIONS[metric.dimension])
    if beside is not None and number != beside and short == format_quantity(beside, DIMENSIONS[metric.dimension]):
        unit = {Scale.DURATION: "s", Scale.SIZE: "B"}.get(metric.dimension, "")
        return f"{number.normalize():f}{unit}"
    return short
