"""Gate conditions: read once and strictly, never passing on what cannot be believed."""

from __future__ import annotations

import math
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jurat.core.errors import Malformed
from jurat.policy.conditions import Condition, Measured, Verdict, combine, format_condition, parse_condition
from jurat.policy.metrics import METRICS, OTHER_SPELLINGS, Better, GateType, Scale


@pytest.mark.parametrize(
    ("text", "threshold"),
    [
        ("accuracy >= 0.85", "0.85"),
        ("latency_p99 <= 100ms", "0.1"),
        ("memory_usage <= 2GB", "2000000000"),
        ("memory_usage <= 2GiB", "2147483648"),
        ("demographic_parity_difference <= 0.1", "0.1"),
        ("equalized_odds_difference <= 10%", "0.1"),
        ("error_rate <= 0.1%", "0.001"),
        ("error_rate<=0.1 %", "0.001"),
        ("consistency_score > 0.9", "0.9"),
        ("request_count >= 300", "300"),
        ("error_rate == 0", "0"),
        ("no_critical_alerts", "1"),
    ],
)
def test_a_threshold_is_exact(text: str, threshold: str) -> None:
    assert parse_condition(text).threshold == Decimal(threshold)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("latency <= 2GB", "did you mean `latency_p99`"),
        ("latency_p99 <= 2GB", "is a duration, `2GB` is a size"),
        ("accuracy >= 0.85B", "is a ratio, `0.85B` is a size"),
        ("memory_usage <= 2", "is a size, `2` is a ratio"),
        ("acuracy >= 0.85", "did you mean `accuracy`"),
        ("qwertyuiop >= 0.85", "known metrics: accuracy"),
        ("equalised_odds_difference <= 0.1", "did you mean `equalized_odds_difference`"),
        ("accuracy <= 0.85", "of `accuracy`, higher is better"),
        ("latency_p99 >= 1ms", "of `latency_p99`, lower is better"),
        ("accuracy >= 85", "outside what `accuracy` can be"),
        ("demographic_parity_difference <= -0.1", "outside what"),
        ("latency_p99 <= -1ms", "outside what"),
        ("request_count >= 1.5", "is a count, `1.5` is a fraction"),
        ("request_count >= 10%", "is a count, `10%` is a fraction"),
        ("accuracy", "has no threshold"),
        ("no_critical_alerts == 1", "takes no `==`"),
        ("not no_critical_alerts", "is not a condition"),
        ("accuracy = 0.85", "is not a condition"),
        ("accuracy != 0.85", "is not a condition"),
        ("accuracy >= 0.85 and error_rate <= 0.1%", "is not a condition"),
        ("accuracy >= nan", "is not a condition"),
        ("accuracy >= 1e-1", "is not a condition"),
        ("0.85 <= accuracy", "is not a condition"),
        ("accuracy >= 0.8furlong", "unit `furlong`"),
        ("", "is not a condition"),
        ("accuracy >= " + "9" * 100, "is not a quantity"),
        ("a" * 300, "longer than"),
        ("accuracy\x00>= 0.85", "is not a condition"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_hint(text: str, says: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse_condition(text)
    assert says in f"{refused.value.detail} | {refused.value.hint}"
    assert refused.value.hint


@given(st.text(max_size=40))
def test_any_text_is_a_condition_or_malformed(text: str) -> None:
    try:
        condition = parse_condition(text)
    except Malformed:
        return
    assert parse_condition(condition.text) == condition


@given(st.sampled_from([m for m in METRICS.values() if m.dimension is Scale.RATIO]), st.decimals(0, 1, places=4), st.booleans())
def test_reading_and_writing_are_inverse(metric: object, threshold: Decimal, strict: bool) -> None:
    comparison = (">" if metric.direction is Better.HIGHER else "<") + ("" if strict else "=")  # type: ignore[attr-defined]
    text = f"{metric.name} {comparison} {threshold}"  # type: ignore[attr-defined]
    condition = parse_condition(text)
    assert format_condition(condition) == text
    assert parse_condition(format_condition(condition)) == condition
    assert msgspec.json.decode(msgspec.json.encode(condition), type=Condition) == condition


@pytest.mark.parametrize(
    ("text", "value", "verdict"),
    [
        ("accuracy >= 0.85", 0.85, Verdict.PASS),
        ("accuracy >= 0.85", 0.8499999999, Verdict.FAIL),
        ("accuracy > 0.85", 0.85, Verdict.FAIL),
        ("accuracy >= 0.85", np.float64(0.9), Verdict.PASS),
        ("error_rate <= 0.1%", 0.001, Verdict.PASS),  # the float 0.001 is a little above one thousandth; as written it is not
        ("error_rate <= 0.1%", 0.0010001, Verdict.FAIL),
        ("error_rate == 0", 0, Verdict.PASS),
        ("error_rate == 0", 1e-9, Verdict.FAIL),
        ("latency_p99 <= 100ms", 0.1, Verdict.PASS),
        ("latency_p99 <= 100ms", Decimal("0.1000001"), Verdict.FAIL),
        ("memory_usage <= 2GB", 2_000_000_001, Verdict.FAIL),
        ("demographic_parity_difference <= 0.1", 0.1, Verdict.PASS),
        ("demographic_parity_difference <= 0.1", -0.1, Verdict.PASS),
        ("demographic_parity_difference <= 0.1", -0.3, Verdict.FAIL),  # the sign must not hide it
        ("no_critical_alerts", True, Verdict.PASS),
        ("no_critical_alerts", False, Verdict.FAIL),
    ],
)
def test_a_believable_measurement_passes_or_fails_exactly(text: str, value: float, verdict: Verdict) -> None:
    clause = parse_condition(text).check(Measured(value, source="evt_1"))
    assert clause.verdict is verdict
    assert clause.value == (value if isinstance(value, bool) else float(value))
    assert clause.source == "evt_1"
    assert clause.condition == text


@pytest.mark.parametrize(
    ("text", "measured"),
    [
        ("accuracy >= 0.85", None),
        ("accuracy >= 0.85", Measured(None)),
        ("accuracy >= 0.85", Measured(math.nan)),
        ("accuracy >= 0.85", Measured(math.inf)),
        ("accuracy >= 0.85", Measured(Decimal("NaN"))),
        ("accuracy >= 0.85", Measured(Decimal("sNaN"))),
        ("accuracy >= 0.85", Measured("0.9")),
        ("accuracy >= 0.85", Measured(True)),  # a bool is an int in Python, and no accuracy
        ("accuracy >= 0.85", Measured(1.2)),
        ("accuracy >= 0.85", Measured(0.9, too_small=True)),
        ("accuracy >= 0.85", Measured(0.9, sample_size=0)),
        ("accuracy >= 0.85", Measured(0.9, low=math.nan, high=0.95)),
        ("accuracy >= 0.85", Measured(0.9, low=0.95, high=0.85)),
        ("latency_p99 <= 100ms", Measured(-0.001)),
        ("error_rate <= 0.1%", Measured(-1)),
        ("memory_usage <= 2GB", Measured(-5)),
        ("memory_usage <= 2GB", Measured(10**400)),
        ("demographic_parity_difference <= 0.1", Measured(-1.5)),
        ("no_critical_alerts", None),
        ("no_critical_alerts", Measured(1)),
        ("no_critical_alerts", Measured("true")),
    ],
)
def test_what_cannot_be_believed_is_not_enough_data(text: str, measured: Measured | None) -> None:
    clause = parse_condition(text).check(measured)
    assert clause.verdict is Verdict.NOT_ENOUGH_DATA
    assert clause.reason
    msgspec.json.decode(msgspec.json.encode(clause))  # and it can be recorded


@given(st.sampled_from(["accuracy >= 0.85", "demographic_parity_difference <= 0.1", "latency_p99 <= 100ms"]), st.floats() | st.integers())
def test_it_passes_only_what_is_in_range_and_on_the_right_side(text: str, value: float) -> None:
    condition = parse_condition(text)
    if condition.check(Measured(value)).verdict is Verdict.PASS:
        side = value >= 0.85 if condition.metric == "accuracy" else abs(value) <= 0.1
        assert side
        assert METRICS[condition.metric].lower <= value <= METRICS[condition.metric].upper


def test_a_reason_never_shows_two_different_numbers_as_equal() -> None:
    clause = parse_condition("accuracy >= 0.85").check(Measured(0.84999999))
    assert clause.reason == "`accuracy` is 0.84999999, expected >= 0.85"


@pytest.mark.parametrize(
    ("verdicts", "together"),
    [
        ([], Verdict.NOT_ENOUGH_DATA),  # empty is never success
        ([Verdict.PASS], Verdict.PASS),
        ([Verdict.PASS, Verdict.NOT_ENOUGH_DATA], Verdict.NOT_ENOUGH_DATA),
        ([Verdict.PASS, Verdict.NOT_ENOUGH_DATA, Verdict.FAIL], Verdict.FAIL),
    ],
)
def test_verdicts_join_to_the_worst(verdicts: list[Verdict], together: Verdict) -> None:
    assert combine(verdicts) is together


def test_the_catalogue_makes_sense() -> None:
    for name, metric in METRICS.items():
        assert name == metric.name
        assert metric.lower < metric.upper
        assert metric.gates
        assert GateType.HUMAN_APPROVAL not in metric.gates
        assert metric.two_sided == (metric.lower < 0)
        assert metric.meaning == metric.meaning.strip()
    assert set(OTHER_SPELLINGS.values()) <= set(METRICS)
    assert not set(OTHER_SPELLINGS) & set(METRICS)
