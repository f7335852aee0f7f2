"""The whole report against fairlearn's MetricFrame, with crossed groups, small ones, and a model without probabilities."""

from __future__ import annotations

import fairlearn.metrics
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

from jurat.stats.fairness_report import fairness_report
from jurat.stats.intervals import Interval, NotEnoughData


def people(n=4_000, seed=5):
    random = np.random.default_rng(seed)
    sex, age = random.choice(["female", "male"], n), random.choice(["old", "young", "middle"], n)
    chance = np.clip(0.5 + 0.1 * (sex == "male") - 0.15 * ((sex == "female") & (age == "young")) + random.normal(0, 0.15, n), 0, 1)
    return chance > 0.5, random.random(n) < chance, {"sex": sex, "age": age}, chance


def test_every_gap_and_every_groups_rate_is_fairlearns():
    selected, favourable, columns, chance = people()
    found = fairness_report(selected, favourable, columns, probability=chance)
    gaps = {(f.name, f.by): f.found for f in found.gaps}
    segments = {(f.name, f.by): f.found for f in found.segments}
    for by, sensitive in [*columns.items(), ("sex × age", pd.DataFrame(columns))]:
        theirs = {"y_true": favourable, "y_pred": selected, "sensitive_features": sensitive}
        prefix = "intersectional_" if "×" in by else ""
        for name, function in [
            ("demographic_parity_difference", fairlearn.metrics.demographic_parity_difference),
            ("equalized_odds_difference", fairlearn.metrics.equalized_odds_difference),
        ]:
            assert gaps[prefix + name, by].point == pytest.approx(function(**theirs), abs=1e-9)
        metrics = {
            "selection_rate": fairlearn.metrics.selection_rate, "true_positive_rate": fairlearn.metrics.true_positive_rate,
            "false_positive_rate": fairlearn.metrics.false_positive_rate, "accuracy": accuracy_score,
        }  # fmt: skip
        table = fairlearn.metrics.MetricFrame(metrics=metrics, **theirs).by_group
        for group, row in table.iterrows():
            named = " × ".join(group) if isinstance(group, tuple) else group
            for name, value in row.items():
                assert segments[name, f"{by}={named}"].point == pytest.approx(value, abs=1e-9)


def test_a_gap_between_crossed_groups_shows_where_no_single_column_shows_it():
    n = 400
    sex, age = np.tile(["f", "f", "m", "m"], n), np.tile(["o", "y", "o", "y"], n)
    selected = np.tile([True, False, False, True], n)
    found = {(f.name, f.by): f.found for f in fairness_report(selected, selected.copy(), {"sex": sex, "age": age}).gaps}
    assert found["demographic_parity_difference", "sex"].point == found["demographic_parity_difference", "age"].point == 0
    assert found["intersectional_demographic_parity_difference", "sex × age"].point == 1


def test_a_small_crossed_group_makes_no_figure_and_is_named():
    selected, favourable, columns, chance = people(400)
    columns["age"][:] = "old"
    columns["age"][np.flatnonzero(columns["sex"] == "female")[:12]] = "young"
    found = fairness_report(selected, favourable, columns, probability=chance)
    crossed = [f for f in found.gaps if f.by == "sex × age"]
    assert len(crossed) == 3
    assert all(isinstance(f.found, NotEnoughData) for f in crossed)
    assert "sex × age=female × young: 12 rows, too few" in found.warnings
    young = [f for f in found.segments if f.by == "age=young"]
    assert young
    assert all(isinstance(f.found, NotEnoughData) for f in young)


def test_without_probabilities_calibration_says_why_not_and_the_rest_stands():
    selected, favourable, columns, _ = people()
    gaps = fairness_report(selected, favourable, columns).gaps
    assert all(f.found == NotEnoughData("the model gives no probabilities") for f in gaps if "calibration" in f.name)
    assert all(isinstance(f.found, Interval) for f in gaps if "calibration" not in f.name)
    assert "consistency_score" not in {f.name for f in gaps}
