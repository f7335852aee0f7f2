"""Intervals against the published examples, and against what an interval is for."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from jurat.core.errors import Malformed
from jurat.stats import fairness, intervals
from jurat.stats.intervals import newcombe, wilson

# Newcombe 1998, table I of each paper (Statistics in Medicine 17: 857 and 873): successes, n, low, high.
WILSON = [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
NEWCOMBE = [
    (56, 70, 48, 80, 0.0524, 0.3339),
    (9, 10, 3, 10, 0.1705, 0.8090),
    (10, 10, 0, 20, 0.6791, 1.0),
    (5, 56, 0, 29, -0.0381, 0.1926),
    (0, 10, 0, 20, -0.1611, 0.2775),
]


@pytest.mark.parametrize(("successes", "n", "low", "high"), WILSON)
def test_wilson_agrees_with_the_paper(successes, n, low, high):
    found = wilson(successes, n)
    assert found.point == successes / n
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@pytest.mark.parametrize(("a", "n_a", "b", "n_b", "low", "high"), NEWCOMBE)
def test_newcombe_agrees_with_the_paper(a, n_a, b, n_b, low, high):
    found = newcombe(a, n_a, b, n_b)
    assert found.point == pytest.approx(a / n_a - b / n_b)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_newcombe_only_changes_its_sign_when_the_groups_change_places():
    one, other = newcombe(12, 40, 31, 90), newcombe(31, 90, 12, 40)
    assert (other.point, other.low, other.high) == pytest.approx((-one.point, -one.high, -one.low))


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5), (1, -1)])
def test_an_impossible_rate_is_malformed(successes, n):
    with pytest.raises(Malformed, match="expected 0 to n successes"):
        wilson(successes, n)


def test_every_interval_holds_its_point_and_stays_in_range():
    for n in (1, 2, 7, 50):
        for k in range(n + 1):
            found = wilson(k, n)
            assert 0 <= found.low <= found.point <= found.high <= 1


def test_newcombe_covers_the_true_difference_about_as_often_as_it_says():
    random, covered, times = np.random.default_rng(20251125), 0, 4000
    for a, b in zip(random.binomial(40, 0.8, times), random.binomial(60, 0.6, times), strict=True):
        found = newcombe(int(a), 40, int(b), 60)
        covered += found.low <= 0.8 - 0.6 <= found.high
    assert 0.935 <= covered / times <= 0.975


def test_the_examples_in_the_docstrings_are_true():
    for module in (intervals, fairness):
        found = doctest.testmod(module, extraglobs={"np": np})
        assert found.attempted > 0
        assert found.failed == 0
