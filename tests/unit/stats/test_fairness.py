"""Fairness figures against a second implementation, and against small groups, one group and nonsense."""

from __future__ import annotations

import fairlearn.metrics
import numpy as np
import pytest

from jurat.core.errors import Malformed
from jurat.stats.fairness import demographic_parity_difference, equalized_odds_difference, group_rates
from jurat.stats.intervals import Interval, NotEnoughData, newcombe


def population(seed, n=600, groups=3):
    random = np.random.default_rng(seed)
    group = random.integers(0, groups, n)
    favourable = random.random(n) < 0.6 + 0.05 * group
    selected = random.random(n) < np.where(favourable, 0.8, 0.3) - 0.07 * group
    return selected, favourable, group


@pytest.mark.parametrize("seed", range(12))
def test_the_points_agree_with_fairlearn(seed):
    selected, favourable, group = population(seed, groups=2 + seed % 3)
    parity = demographic_parity_difference(selected, group)
    odds = equalized_odds_difference(selected, favourable, group)
    assert isinstance(parity, Interval)
    assert isinstance(odds, Interval)
    theirs = {"y_true": favourable, "y_pred": selected, "sensitive_features": group}
    assert parity.point == pytest.approx(fairlearn.metrics.demographic_parity_difference(**theirs), abs=1e-9)
    assert odds.point == pytest.approx(fairlearn.metrics.equalized_odds_difference(**theirs), abs=1e-9)


def test_the_interval_is_that_of_the_worst_pair():
    group = np.repeat([0, 1, 2], [100, 80, 60])
    selected = np.zeros(240, bool)
    selected[:50] = selected[100:172] = selected[180:216] = True  # 0.5, 0.9, 0.6
    found = demographic_parity_difference(selected, group)
    signed = newcombe(72, 80, 50, 100)
    assert found == Interval(signed.point, signed.low, signed.high)
    assert found.point == pytest.approx(0.4)


def test_which_group_is_behind_does_not_matter():
    selected, favourable, group = population(3, groups=2)
    assert demographic_parity_difference(selected, 1 - group) == demographic_parity_difference(selected, group)
    assert equalized_odds_difference(selected, favourable, 1 - group) == equalized_odds_difference(selected, favourable, group)


def test_equal_rates_are_zero_with_an_interval_that_starts_at_zero_and_is_not_empty():
    selected, group = np.tile([True, False], 100), np.repeat([0, 1], 100)
    found = demographic_parity_difference(selected, group)
    assert found.point == found.low == 0
    assert 0.1 < found.high < 0.2


def test_the_interval_of_a_size_takes_the_longer_end():
    group, selected = np.repeat([0, 1], [30, 300]), np.ones(330, bool)
    selected[-5:] = False  # 30 of 30 against 295 of 300: the small group may well be the one that is behind
    signed, found = newcombe(30, 30, 295, 300), demographic_parity_difference(selected, group)
    assert -signed.low > signed.high
    assert found == Interval(signed.point, 0.0, -signed.low)


def test_the_worse_of_the_two_gaps_is_told():
    group = np.tile(np.repeat([0, 1], 50), 2)
    favourable = np.repeat([True, False], 100)
    selected = favourable.copy()
    selected[100:120] = True  # group 0: 20 of 50 undeserving ones got it; group 1: none
    found = equalized_odds_difference(selected, favourable, group)
    assert found.point == pytest.approx(0.4)
    selected[50:90] = False  # group 1: only 10 of 50 deserving ones got it; group 0: all
    assert equalized_odds_difference(selected, favourable, group).point == pytest.approx(0.8)


@pytest.mark.parametrize(("size", "enough"), [(29, False), (30, True)])
def test_a_small_group_is_not_enough_data_and_never_zero(size, enough):
    group, selected = np.repeat([0, 1], [200, size]), np.ones(200 + size, bool)
    found = demographic_parity_difference(selected, group)
    assert isinstance(found, Interval) is enough
    if not enough:
        assert found == NotEnoughData("smallest group has 29 rows, needs 30")


def test_for_equalized_odds_the_rows_of_one_outcome_are_counted():
    group, favourable = np.repeat([0, 1], 100), np.ones(200, bool)
    favourable[:40] = favourable[100:112] = False  # 40 and 12 undeserving ones
    selected = np.ones(200, bool)
    found = equalized_odds_difference(selected, favourable, group)
    assert found == NotEnoughData("smallest group with the unfavourable outcome has 12 rows, needs 30")
    assert isinstance(equalized_odds_difference(selected, favourable, group, min_group_size=12), Interval)


def test_an_outcome_that_a_group_never_had_is_not_enough_data_even_when_any_size_is_allowed():
    group, favourable = np.repeat([0, 1], 50), np.repeat([True, False], [75, 25])
    favourable[:50] = True
    found = equalized_odds_difference(favourable, favourable, group, min_group_size=0)
    assert found == NotEnoughData("smallest group with the unfavourable outcome has 0 rows, needs 1")


def test_one_group_is_not_enough_data():
    found = demographic_parity_difference(np.ones(100, bool), np.zeros(100, int))
    assert found == NotEnoughData("there is only one group: nothing to compare it with")


@pytest.mark.parametrize(
    ("selected", "group"),
    [
        (np.ones(3, bool), np.zeros(4, int)),
        (np.ones(0, bool), np.zeros(0, int)),
        (np.ones(3, bool), np.array([0, 2, 2])),
        (np.ones(3, bool), np.array([0, -1, 1])),
        (np.ones(3), np.array([0, 1, 1])),
        (np.ones(3, bool), np.array([0.0, 1.0, 1.0])),
        (np.ones((3, 1), bool), np.array([[0], [1], [1]])),
    ],
)
def test_arrays_that_do_not_belong_together_are_malformed(selected, group):
    with pytest.raises(Malformed):
        demographic_parity_difference(selected, group, min_group_size=1)


def test_group_rates_are_the_counts_that_everything_follows_from():
    selected, favourable, group = population(5, groups=2)
    rates = group_rates(selected, favourable, group)
    assert sum(r.n for r in rates) == 600
    assert rates[1].selected == int((selected & (group == 1)).sum())
    tpr = [r.selected_favourable / r.favourable for r in rates]
    fpr = [(r.selected - r.selected_favourable) / (r.n - r.favourable) for r in rates]
    worst = max(abs(tpr[0] - tpr[1]), abs(fpr[0] - fpr[1]))
    assert equalized_odds_difference(selected, favourable, group).point == pytest.approx(worst)
