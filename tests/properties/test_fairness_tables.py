"""Fairness on small and odd tables: fairlearn's figure to 1e-9 wherever both say one, and where we say none, the reason is the data's."""

from __future__ import annotations

import warnings
from collections import Counter

import fairlearn.metrics
import numpy as np

from jurat.stats.fairness import demographic_parity_difference, equalized_odds_difference, group_rates
from jurat.stats.intervals import Interval, NotEnoughData

TABLES = 40


def tables() -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return one-row tables, groups of one, labels or answers that are all the same, and plain ones."""
    made = []
    for seed in range(TABLES):
        random = np.random.default_rng(seed)
        groups, size = int(random.integers(1, 6)), int(random.integers(1, 40)) if seed % 3 else 1
        group = np.concatenate([np.arange(groups), random.integers(0, groups, size - 1)])  # every group has somebody
        odds = random.choice([0.0, 0.3, 0.5, 1.0], 2)
        made.append((random.random(group.size) < odds[0], random.random(group.size) < odds[1], group))
    return made


def test_every_figure_is_fairlearns_or_has_a_reason() -> None:
    said: Counter[str] = Counter()
    for selected, favourable, group in tables():
        theirs = {"y_true": favourable, "y_pred": selected, "sensitive_features": group}
        rates = group_rates(selected, favourable, group)
        assert sum(rate.n for rate in rates) == group.size
        parity = demographic_parity_difference(selected, group, min_group_size=1)
        odds = equalized_odds_difference(selected, favourable, group, min_group_size=1)
        if len(rates) < 2:
            assert parity == odds == NotEnoughData("there is only one group: nothing to compare it with")
            said["one group"] += 1
            continue
        assert isinstance(parity, Interval)
        assert abs(parity.point - fairlearn.metrics.demographic_parity_difference(**theirs)) <= 1e-9
        assert 0 <= parity.low <= parity.point <= parity.high <= 1
        someone_of_each = all(0 < rate.favourable < rate.n for rate in rates)
        assert isinstance(odds, Interval) == someone_of_each
        if isinstance(odds, Interval):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert abs(odds.point - fairlearn.metrics.equalized_odds_difference(**theirs)) <= 1e-9
            said["both"] += 1
        else:
            assert "has 0 rows" in odds.reason  # fairlearn says a number here: 0 of 0 people is a rate of 0 to it
            said["parity"] += 1
    assert min(said[each] for each in ("one group", "both", "parity")) >= 3, said
