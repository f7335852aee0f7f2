"""The four fairness figures over any table of people, degenerate ones first: fairlearn's where it has one, by hand where it has none."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from fractions import Fraction

import fairlearn.metrics
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jurat.stats.calibration import calibration_error_per_group
from jurat.stats.consistency import consistency_score
from jurat.stats.fairness import demographic_parity_difference, equalized_odds_difference
from jurat.stats.intervals import Interval, NotEnoughData

Person = tuple[int, bool, bool]  # group, answer, outcome
CONSTANT = [(0, True, True), (0, True, False), (1, True, True), (1, True, False)]
OPPOSITE = [(0, True, True), (0, True, False), (1, False, True), (1, False, False)]
NO_OUTCOME = [(0, True, True), (0, False, False), (1, True, True), (1, False, True)]
ONE_GROUP = [(0, True, True), (0, False, False)]
NEAR = settings(max_examples=25, deadline=None)


@st.composite
def tables(draw: st.DrawFn) -> list[Person]:
    """Up to five groups, each with somebody in it; some of them of one person, some without one of the outcomes."""
    groups = draw(st.integers(1, 5))
    first = [(g, draw(st.booleans()), draw(st.booleans())) for g in range(groups)]
    rest = draw(st.lists(st.tuples(st.integers(0, groups - 1), st.booleans(), st.booleans()), max_size=60))
    return draw(st.permutations([*first, *rest]))


def columns(table: Sequence[Person]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    group, selected, favourable = zip(*table, strict=True)
    return np.array(selected, bool), np.array(favourable, bool), np.array(group)


@given(tables())
@example(CONSTANT)
@example(OPPOSITE)
@example(NO_OUTCOME)
@example(ONE_GROUP)
@NEAR
def test_parity_and_odds_are_fairlearns_or_there_is_no_figure(table: list[Person]) -> None:
    selected, favourable, group = columns(table)
    parity = demographic_parity_difference(selected, group, min_group_size=1)
    odds = equalized_odds_difference(selected, favourable, group, min_group_size=1)
    theirs = {"y_true": favourable, "y_pred": selected, "sensitive_features": group}
    if len(set(group)) == 1:
        assert isinstance(parity, NotEnoughData)
        assert isinstance(odds, NotEnoughData)
        return
    assert isinstance(parity, Interval)
    assert parity.point == pytest.approx(fairlearn.metrics.demographic_parity_difference(**theirs), abs=1e-9)
    assert 0 <= parity.low <= parity.point <= parity.high <= 1
    if {(g, y) for g, _, y in table} == {(g, y) for g in set(group) for y in (True, False)}:
        assert isinstance(odds, Interval)
        assert odds.point == pytest.approx(fairlearn.metrics.equalized_odds_difference(**theirs), abs=1e-9)
        assert 0 <= odds.low <= odds.point <= odds.high <= 1
    else:  # fairlearn takes nobody of nobody for 0; a rate of nobody is no rate
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert np.isfinite(fairlearn.metrics.equalized_odds_difference(**theirs))
        assert isinstance(odds, NotEnoughData)


@given(tables())
@NEAR
def test_neither_the_order_of_people_nor_the_numbers_of_groups_matter(table: list[Person]) -> None:
    groups = sorted({g for g, _, _ in table})
    names = dict(zip(groups, reversed(groups), strict=True))
    other = [(names[g], s, y) for g, s, y in reversed(table)]
    assert demographic_parity_difference(*_two(table), min_group_size=1) == demographic_parity_difference(*_two(other), min_group_size=1)
    mine, theirs = (equalized_odds_difference(*columns(each), min_group_size=1) for each in (table, other))
    assert mine == theirs


def _two(table: Sequence[Person]) -> tuple[np.ndarray, np.ndarray]:
    selected, _, group = columns(table)
    return selected, group


probabilities = st.one_of(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 0.9999999, 1.0]), st.floats(0, 1, allow_subnormal=False))


@given(tables(), st.data())
@NEAR
def test_calibration_is_what_one_computes_by_hand(table: list[Person], data: st.DataObject) -> None:
    """fairlearn has no such figure. Bins are lists here, sums are exact."""
    given_ = data.draw(st.lists(probabilities, min_size=len(table), max_size=len(table)))
    _, favourable, group = columns(table)
    found = calibration_error_per_group(np.array(given_), favourable, group, min_group_size=1)
    errors = []
    for g in set(group.tolist()):
        bins: dict[int, Fraction] = {}
        people = [(p, y) for p, (own, _, y) in zip(given_, table, strict=True) if own == g]
        for p, y in people:
            key = min(int(p * 10), 9)
            bins[key] = bins.get(key, Fraction(0)) + Fraction(p) - int(y)
        errors.append(sum(abs(gap) for gap in bins.values()) / len(people))
    assert isinstance(found, Interval)
    assert found.point == pytest.approx(float(max(errors)), abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), min_size=6, max_size=30))
@example([(0, 0, True)] * 6)
@example([(0, 0, True)] * 3 + [(0, 0, False)] * 3)
@NEAR
def test_consistency_is_what_one_computes_by_hand(people: list[tuple[int, int, bool]]) -> None:
    """fairlearn has no such figure. Points on a grid: many ties and copies, distances exact."""
    answers = np.array([a for *_, a in people])
    found = consistency_score(answers, np.array([[float(x), float(y)] for x, y, _ in people]), min_rows=1)
    shares = []
    for i, (x, y, a) in enumerate(people):
        others = sorted(((x - u) ** 2 + (y - v) ** 2, b == a) for j, (u, v, b) in enumerate(people) if j != i)
        last = others[4][0]
        nearer, level = [same for d, same in others if d < last], [same for d, same in others if d == last]
        shares.append((sum(nearer) + Fraction(5 - len(nearer)) * sum(level) / len(level)) / 5)
    assert isinstance(found, Interval)
    assert found.point == pytest.approx(float(sum(shares) / len(shares)), abs=1e-9)
