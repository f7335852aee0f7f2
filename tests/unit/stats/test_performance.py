"""Accuracy and percentiles: right on paper, and intervals that cover as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from jurat.core.errors import Malformed
from jurat.stats.intervals import Interval, NotEnoughData, wilson
from jurat.stats.performance import accuracy, percentile, precision, recall, roc_auc


def test_accuracy_is_the_share_of_equal_rows():
    answered, actual = np.array([True, False, True, True]), np.array([True, True, True, False])
    assert accuracy(answered, actual) == wilson(2, 4)


@pytest.mark.parametrize(("a", "b"), [(np.ones(2, bool), np.ones(3, bool)), (np.ones(0, bool), np.ones(0, bool))])
def test_accuracy_of_nothing_or_of_unequal_lengths_is_malformed(a, b):
    with pytest.raises(Malformed):
        accuracy(a, b)


def test_a_percentile_is_a_value_that_was_measured():
    values = np.random.default_rng(1).permutation(np.arange(1.0, 1001.0))
    assert percentile(values, 0.5).point == 500
    found = percentile(values, 0.99)
    assert found.point == 990
    # B ~ binomial(1000, 0.99), by scipy: P(B <= 982) = 0.0138, P(B <= 983) = 0.0264; P(B <= 995) = 0.9713, P(B <= 996) = 0.9899.
    assert (found.low, found.high) == (983, 997)


@pytest.mark.parametrize(("n", "enough"), [(367, False), (368, True)])
def test_p99_needs_368_values(n, enough):
    found = percentile(np.arange(float(n)), 0.99)
    assert isinstance(found, Interval) is enough
    if not enough:
        assert found == NotEnoughData("367 values are too few for a 95 % interval of the 0.99 quantile")


def test_the_interval_covers_the_true_p99_about_as_often_as_it_says():
    random, true = np.random.default_rng(7), -np.log(0.01)
    covered = 0
    for _ in range(600):
        found = percentile(random.exponential(size=1000), 0.99)
        covered += found.low <= true <= found.high
    assert 0.93 <= covered / 600 <= 0.99


@pytest.mark.parametrize(
    ("values", "ratio"),
    [(np.array([]), 0.5), (np.array([1.0, np.nan]), 0.5), (np.array([1.0, np.inf]), 0.5), (np.ones(9), 0.0), (np.ones(9), 1.0)],
)
def test_nonsense_is_malformed(values, ratio):
    with pytest.raises(Malformed):
        percentile(values, ratio)


@pytest.mark.parametrize("seed", range(4))
def test_precision_recall_and_area_are_scikit_learns(seed):
    random = np.random.default_rng(seed)
    actual = random.random(500) < 0.4
    score = np.round(random.normal(actual * 0.8, 1), 1)  # with ties
    answered = score > 0.5
    assert precision(answered, actual).point == pytest.approx(sklearn.metrics.precision_score(actual, answered))
    assert recall(answered, actual).point == pytest.approx(sklearn.metrics.recall_score(actual, answered))
    area = roc_auc(score, actual)
    assert area.point == pytest.approx(sklearn.metrics.roc_auc_score(actual, score), abs=1e-12)
    assert 0.05 < area.high - area.low < 0.2
    assert area.low < area.point < area.high


def test_an_area_of_one_is_not_certain_and_one_outcome_has_none():
    actual = np.repeat([False, True], 20)
    found = roc_auc(actual.astype(float), actual)
    assert found.point == found.high == 1
    assert found.low < 0.9
    assert isinstance(roc_auc(np.zeros(4), np.ones(4, bool)), NotEnoughData)
    assert isinstance(precision(np.zeros(4, bool), np.ones(4, bool)), NotEnoughData)
    assert isinstance(recall(np.zeros(4, bool), np.zeros(4, bool)), NotEnoughData)
    with pytest.raises(Malformed):
        roc_auc(np.array([np.nan]), np.array([True]))
