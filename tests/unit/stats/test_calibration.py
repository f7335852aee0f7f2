"""Calibration against another way of computing it, against chance, and against small groups and nonsense."""

from __future__ import annotations

import numpy as np
import pytest

from jurat.core.errors import Malformed
from jurat.stats.calibration import calibration_error_per_group, group_calibration
from jurat.stats.intervals import Interval, NotEnoughData


def people(seed, n=2_000, groups=3, bias=0.0):
    random = np.random.default_rng(seed)
    group = random.integers(0, groups, n)
    truth = random.beta(2, 2, n)
    favourable = random.random(n) < truth
    return np.clip(truth + bias * (group == 1), 0, 1), favourable, group


def by_hand(probability, favourable):
    bins = [[] for _ in range(10)]
    for p, y in zip(probability, favourable, strict=True):
        bins[min(int(p * 10), 9)].append((p, y))
    return sum(abs(sum(p - y for p, y in cell)) for cell in bins) / len(probability)


@pytest.mark.parametrize("seed", range(5))
def test_the_point_is_the_worst_groups_error(seed):
    probability, favourable, group = people(seed, bias=0.2)
    errors = [by_hand(probability[group == g], favourable[group == g]) for g in range(3)]
    found = calibration_error_per_group(probability, favourable, group)
    assert found.point == pytest.approx(max(errors), abs=1e-9)
    each = group_calibration(probability, favourable, group)
    assert [each[g].error for g in range(3)] == pytest.approx(errors, abs=1e-9)
    assert each[1].excess == pytest.approx((probability - favourable)[group == 1].mean(), abs=1e-9)
    assert each[1].excess > 0.1 > abs(each[0].excess)


def test_a_perfect_model_may_well_be_perfect_and_a_bad_one_is_not():
    good = [calibration_error_per_group(*people(seed)) for seed in range(60)]
    assert sum(found.low == 0 for found in good) >= 57  # 95 % at least
    assert calibration_error_per_group(*people(1, bias=0.25)).low > 0.1


def test_the_interval_holds_the_truth_of_a_biased_model():
    held = 0
    for seed in range(60):
        found = calibration_error_per_group(*people(seed, bias=0.1))
        held += found.low <= 0.1 * 0.98 <= found.high  # clipping at 1 takes a little of the 0.1
    assert held >= 57


def test_the_same_rows_give_the_same_interval():
    assert calibration_error_per_group(*people(4)) == calibration_error_per_group(*people(4))


@pytest.mark.parametrize(("size", "enough"), [(29, False), (30, True)])
def test_a_small_group_gives_no_figure(size, enough):
    probability, favourable, _ = people(3, n=200 + size)
    found = calibration_error_per_group(probability, favourable, np.repeat([0, 1], [200, size]))
    assert isinstance(found, Interval if enough else NotEnoughData)


@pytest.mark.parametrize("bad", [-0.01, 1.01, np.nan, np.inf])
def test_what_is_no_probability_is_malformed(bad):
    probability, favourable, group = people(3)
    probability[7] = bad
    with pytest.raises(Malformed, match="not a number from 0 to 1"):
        calibration_error_per_group(probability, favourable, group)


def test_shapes_must_fit():
    probability, favourable, group = people(3)
    with pytest.raises(Malformed, match="shapes"):
        calibration_error_per_group(probability[1:], favourable, group)


def test_the_ends_of_the_scale_have_a_bin():
    probability, favourable, group = np.repeat([0.0, 1.0], 40), np.repeat([False, True], 40), np.tile([0, 1], 40)
    assert calibration_error_per_group(probability, favourable, group).point == 0
