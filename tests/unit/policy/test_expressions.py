"""Expressions of custom gates: one spelling, three verdicts, and nothing that passes what was not measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jurat.core.errors import Malformed
from jurat.policy.conditions import Clause, Condition, Verdict
from jurat.policy.expressions import parse_expression

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.NOT_ENOUGH_DATA
A, B = "accuracy >= 0.9", "recall >= 0.8"


def judge(text: str, **found: Verdict) -> Verdict:
    def answer(condition: Condition) -> Clause:
        return Clause(found.get(condition.metric, UNKNOWN), condition.text, None, "")

    return parse_expression(text).check(answer)


@pytest.mark.parametrize(
    ("a", "b", "both", "either"),
    [
        (PASS, PASS, PASS, PASS), (PASS, FAIL, FAIL, PASS), (PASS, UNKNOWN, UNKNOWN, PASS),
        (FAIL, FAIL, FAIL, FAIL), (FAIL, UNKNOWN, FAIL, UNKNOWN), (UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN),
    ],
)  # fmt: skip
def test_three_verdicts(a: Verdict, b: Verdict, both: Verdict, either: Verdict) -> None:
    for left, right in ((a, b), (b, a)):
        assert judge(f"{A} && {B}", accuracy=left, recall=right) == both
        assert judge(f"{A} || {B}", accuracy=left, recall=right) == either


def test_and_binds_before_or_as_in_cel() -> None:
    assert judge(f"{A} || {B} && precision >= 0.5", accuracy=PASS, recall=FAIL) == PASS
    assert judge(f"({A} || {B}) && precision >= 0.5", accuracy=PASS, precision=FAIL) == FAIL


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not an expression"), ("   ", "not an expression"), (f"{A} &&", "not an expression"), (f"({A}", "not an expression"),
        (f"{A} & {B}", "not an expression"), (f"!{A}", "not a condition"), ("accuracy", "not a yes or no"),
        ("accuracy <= 0.9", "wrong side"),
        (f"{A} && acuracy >= 0.8", "unknown"), ("(" * 40 + A + ")" * 40, "longer"), (" && ".join([A] * 200), "longer"),
        (f"{A}; import os", "not a condition"), ("__import__('os')", "not a"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(text: str, says: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse_expression(text)
    assert says in refused.value.detail


_LEAVES = st.sampled_from([A, B, "latency_p99 <= 100ms", "no_critical_findings", "error_rate <= 0.1%"])
_TREES = st.recursive(
    _LEAVES, lambda inner: st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"), max_leaves=6
)


@given(_TREES, st.lists(st.sampled_from(list(Verdict)), min_size=5, max_size=5))
def test_the_one_spelling_means_the_same(text: str, verdicts: list[Verdict]) -> None:
    expression = parse_expression(text)
    again = parse_expression(expression.text)
    assert again.text == expression.text
    found = dict(zip(("accuracy", "recall", "latency_p99", "no_critical_findings", "error_rate"), verdicts, strict=True))

    def answer(condition: Condition) -> Clause:
        return Clause(found[condition.metric], condition.text, None, "")

    assert again.check(answer) == expression.check(answer)
    if UNKNOWN in verdicts and PASS not in verdicts:
        assert expression.check(answer) != PASS
