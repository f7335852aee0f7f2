"""What the ledger's counts say of a step: each figure against one worked out by hand, and without data no figure."""

from __future__ import annotations

import math

import pytest

from jurat.app.rollouts import Tally, metrics_of
from jurat.domain.values import Metric


def tally(*lines: tuple[str, str, str, str, str, int | None, int, float]) -> Tally:
    found = Tally()
    for line in lines:
        found.add(*line)
    return found


def made(count: int, *, output: str = "true", bin_of: int | None = 9, outcome: str = "released", segment: str = "") -> tuple:
    confidence = 0.0 if bin_of is None else count * (bin_of + 0.5) / 10
    return ("prediction.made.v1", outcome, output, segment, "", bin_of, count, confidence)


def asked(count: int) -> tuple:
    return ("prediction.requested.v1", "", "null", "", "", None, count, 0.0)


def by_name(new: Tally, old: Tally, latencies_s: list[float] | None = None) -> dict[str, Metric]:
    found = metrics_of(new, old, latencies_s or ([0.01] * 3 if new.answered else []), {"true", "good"}, 30)
    assert all((m.value is None) == bool(m.reason) for m in found), "no figure without a reason, and no reason with one"
    return {m.name + (f" by {m.group_by}" if m.group_by else ""): m for m in found}


OLD = tally(asked(100), made(100))


def test_nothing_recorded_is_nothing_measured() -> None:
    found = by_name(Tally(), OLD)
    assert {name: m.value for name, m in found.items() if m.value is not None} == {"request_count": 0.0}


def test_a_request_without_an_answer_counts_as_an_error_whatever_is_on_record_of_it() -> None:
    new = tally(asked(50), made(40), ("prediction.failed.v1", "", "null", "", "", None, 4, 0.0))
    assert by_name(new, OLD)["error_rate"].value == pytest.approx(10 / 50)
    more_failed = tally(asked(50), made(50), ("prediction.failed.v1", "", "null", "", "", None, 6, 0.0))
    assert by_name(more_failed, OLD)["error_rate"].value == pytest.approx(6 / 50)


def test_a_shadow_is_asked_and_answers_by_the_same_line() -> None:
    new = tally(
        ("prediction.shadowed.v1", "", "false", "", "", 5, 30, 16.5), ("prediction.shadowed.v1", "", "null", "", "timed out", None, 10, 0.0)
    )
    found = by_name(new, OLD)
    assert (found["request_count"].value, found["error_rate"].value) == (40.0, 0.25)
    assert found["mean_confidence"].value == pytest.approx(0.55)
    assert found["output_drift"].value == 1.0


def test_confidence_abstention_alerts_and_latency() -> None:
    new = tally(asked(20), made(15), made(5, outcome="abstained", bin_of=3), ("guardrail.failed.v1", "", "null", "", "", None, 1, 0.0))
    found = by_name(new, OLD, [0.01, 0.05, 0.2])
    assert found["mean_confidence"].value == pytest.approx((15 * 0.95 + 5 * 0.35) / 20)
    assert (found["abstention_rate"].value, found["no_critical_alerts"].value) == (0.25, 0.0)
    assert [found[f"latency_p{p}"].value for p in (50, 95, 99)] == [0.01, 0.05, 0.2]


def test_drift_is_the_stability_index_less_what_chance_alone_makes() -> None:
    new = tally(asked(100), made(50, bin_of=9), made(50, bin_of=6))
    p, q = [(n + 0.5) / 101 for n in (50, 50)], [(n + 0.5) / 101 for n in (100, 0)]  # of the two tenths in use
    by_hand = sum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True)) - (1 / 100 + 1 / 100)
    assert by_name(new, OLD)["confidence_drift"].value == pytest.approx(by_hand)
    assert by_name(OLD, OLD)["confidence_drift"].value == 0.0
    for cases in (10, 13, 40):
        assert by_name(tally(asked(cases), made(cases)), OLD)["confidence_drift"].value == 0.0, "fewer of the same are no drift"
    few = by_name(tally(asked(9), made(9)), OLD)
    assert (few["confidence_drift"].value, few["output_drift"].value) == (None, None)


def test_outputs_that_are_numbers_are_no_categories() -> None:
    numbers = tally(asked(40), *(made(1, output=str(n)) for n in range(40)))
    assert "numbers" in by_name(numbers, OLD)["output_drift"].reason
    half = tally(asked(40), made(20), made(20, output="false"))
    assert by_name(half, OLD)["output_drift"].value == 0.5


def test_fairness_by_each_attribute_and_none_on_small_groups() -> None:
    def of(good: int, bad: int, segment: str) -> list[tuple]:
        return [made(good, segment=segment), made(bad, output='"false"', segment=segment)]

    new = tally(asked(160), *of(30, 10, "sex=f"), *of(36, 4, "sex=m"), *of(40, 1, "age=old"), *of(20, 9, "age=young"))
    found = by_name(new, OLD)
    assert found["demographic_parity_difference by sex"].value == pytest.approx(0.9 - 0.75)
    assert "young" in found["demographic_parity_difference by age"].reason
    alone = by_name(tally(asked(40), *of(40, 0, "sex=f")), OLD)
    assert alone["demographic_parity_difference by sex"].reason == "only one group was seen"
    assert "Jurat-Segment" in by_name(OLD, OLD)["demographic_parity_difference"].reason
