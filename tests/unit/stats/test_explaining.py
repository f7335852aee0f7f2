"""Contributions and counterfactuals against what is known on paper: linear functions, symmetry, exhaustive search."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from jurat.core.errors import Malformed
from jurat.stats.counterfactual import nearest_change
from jurat.stats.shapley import contributions


@pytest.mark.parametrize("d", [3, 8, 12])
def test_a_linear_function_is_explained_exactly(d):
    random = np.random.default_rng(d)
    weights, background, point = random.normal(size=d), random.normal(size=(20, d)), random.normal(size=d)
    found = contributions(lambda rows: rows @ weights + 3.0, point, background)
    assert found.is_exact is (d <= 8)
    assert found.values == pytest.approx(weights * (point - background.mean(axis=0)), abs=1e-9)
    assert found.base == pytest.approx(float((background @ weights).mean()) + 3.0)
    assert found.base + found.values.sum() == pytest.approx(found.value, abs=1e-9)


def knotty(rows):
    return np.tanh(rows[:, 0] * rows[:, 1]) + (rows[:, 2] > 0) * rows[:, 3]


def test_the_exact_values_are_the_mean_over_all_orders():
    random = np.random.default_rng(1)
    background, point = random.normal(size=(5, 4)), random.normal(size=4)
    expected = np.zeros(4)
    for order in permutations(range(4)):
        for start in background:
            row = start.copy()
            for column in order:
                before = knotty(row[None])[0]
                row[column] = point[column]
                expected[column] += knotty(row[None])[0] - before
    assert contributions(knotty, point, background).values == pytest.approx(expected / (24 * 5), abs=1e-12)


def test_sampling_adds_up_and_its_errors_are_honest():
    random = np.random.default_rng(2)
    background, point = random.normal(size=(60, 10)), random.normal(size=10)
    truth = contributions(lambda rows: knotty(rows[:, :4]), point[:4], background[:, :4]).values
    found = contributions(knotty, point, background)
    assert not found.is_exact
    assert found.base + found.values.sum() == pytest.approx(found.value, abs=1e-12)
    assert (np.abs(found.values[:4] - truth) <= 4 * found.errors[:4] + 1e-9).all()
    assert np.abs(found.values[4:]).max() < 1e-12  # inputs that are not looked at


def test_what_cannot_be_explained_is_malformed():
    background = np.zeros((4, 2))
    with pytest.raises(Malformed, match="same columns"):
        contributions(knotty, np.zeros(3), background)
    with pytest.raises(Malformed, match="finite"):
        contributions(lambda rows: np.full(len(rows), np.nan), np.zeros(2), background)


def approve(rows):
    income = rows[:, 0].astype(float)
    return np.where(rows[:, 1] == "owner", 0.2, 0.0) + np.where(rows[:, 2] == "paid", 0.2, 0.0) + income / 10


BACKGROUND = np.array(
    [[float(n % 6), ["rent", "owner", "free"][n % 3], ["paid", "late"][n % 2]] for n in range(30)], dtype=object
)  # fmt: skip


def test_one_change_is_nearer_than_two_and_the_smallest_wins():
    found = nearest_change(approve, np.array([2.0, "rent", "paid"], object), BACKGROUND, [0, 1, 2])
    assert [(c.column, c.after) for c in found] == [(0, 3.0)]  # 0.58 standard deviations; owning costs 1


def test_what_may_not_change_does_not_and_two_are_found_where_one_is_not_enough():
    found = nearest_change(approve, np.array([2.0, "rent", "late"], object), BACKGROUND, [1, 2])
    assert {(c.column, c.after) for c in found} == {(1, "owner"), (2, "paid")}
    assert nearest_change(approve, np.array([0.0, "rent", "late"], object), BACKGROUND, [1, 2]) == []
    assert nearest_change(approve, np.array([5.0, "owner", "paid"], object), BACKGROUND, [0]) == []
    with pytest.raises(Malformed):
        nearest_change(approve, np.array([0.0, "rent", "late"], object), BACKGROUND, [7])
