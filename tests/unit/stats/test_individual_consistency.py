"""Consistency against scikit-learn's neighbours, with ties, copies, and too few rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from jurat.core.errors import Malformed
from jurat.stats import consistency
from jurat.stats.consistency import consistency_score, coordinates
from jurat.stats.intervals import NotEnoughData


@pytest.mark.parametrize("seed", range(4))
def test_the_point_is_that_of_another_implementation(seed):
    random = np.random.default_rng(seed)
    points = random.normal(size=(700, 4))
    selected = points[:, 0] + random.normal(size=700) > 0
    near = NearestNeighbors(n_neighbors=6).fit(points).kneighbors(points, return_distance=False)[:, 1:]
    theirs = 1 - np.abs(selected - selected[near].mean(axis=1)).mean()
    found = consistency_score(selected, points)
    assert found.point == pytest.approx(theirs, abs=1e-9)
    assert found.low < found.point < found.high


def test_equal_answers_are_perfect_and_a_coin_is_not():
    points = np.random.default_rng(1).normal(size=(400, 2))
    assert consistency_score(np.ones(400, bool), points).point == 1
    assert consistency_score(np.random.default_rng(2).random(400) < 0.5, points).point < 0.6


def test_people_at_one_place_share_the_places_and_their_order_does_not_matter():
    points = np.zeros((40, 2))
    selected = np.arange(40) < 10
    expected = (10 * 9 + 30 * 29) / 39 / 40
    assert consistency_score(selected, points).point == pytest.approx(expected)
    assert consistency_score(selected[::-1], points).point == pytest.approx(expected)


def test_many_rows_are_sampled_evenly_and_the_figure_stays_near(monkeypatch):
    random = np.random.default_rng(3)
    points = random.normal(size=(3_000, 1))
    selected = points[:, 0] > 0
    whole = consistency_score(selected, points).point
    monkeypatch.setattr(consistency, "MOST_ROWS", 1_000)
    monkeypatch.setattr(consistency, "MOST_ASKED", 300)
    assert consistency_score(selected, points).point == pytest.approx(whole, abs=0.02)


def test_numbers_count_by_their_spread_and_texts_by_being_different():
    places = coordinates([np.array([0.0, 10.0, np.nan]), np.array(["a", "b", "a"]), np.array([7.0, 7.0, 7.0])])
    assert places[1, 0] - places[0, 0] == pytest.approx(2.0)  # ±5 around a mean of 5, spread 5
    assert places[2, 0] == 0
    text = places[:, 1:3]
    assert ((text[0] - text[1]) ** 2).sum() == pytest.approx(1.0)
    assert (text[0] == text[2]).all()
    assert not places[:, 3].any()


def test_rare_texts_do_not_make_a_wide_table():
    assert coordinates([np.array([f"street {n}" for n in range(5_000)])]).shape == (5_000, 51)


def test_too_few_rows_give_no_figure_and_shapes_must_fit():
    assert isinstance(consistency_score(np.ones(29, bool), np.zeros((29, 1))), NotEnoughData)
    with pytest.raises(Malformed, match="shapes"):
        consistency_score(np.ones(40, bool), np.zeros((39, 1)))
    with pytest.raises(Malformed, match="no columns"):
        coordinates([])
