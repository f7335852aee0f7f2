"""Everything that is said about fairness of one model on one set of rows: by each protected column, and by each pair of them.

Knows names of columns and groups as texts. What each figure means, and its source, stands with the function that makes it
(`fairness`, `calibration`, `consistency`); the whole is told in `docs/fairness.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jurat.stats.calibration import calibration_error_per_group, group_calibration
from jurat.stats.consistency import consistency_score
from jurat.stats.fairness import demographic_parity_difference, equalized_odds_difference, group_rates
from jurat.stats.intervals import Interval, NotEnoughData, wilson

PAIR: Final = " × "
INTERSECTIONAL: Final = "intersectional_"
FEW_ROWS: Final = 100  # a group below this has figures, and a warning
_MOST_SEGMENTS: Final = 24  # groups of one column that are told one by one
_NO_PROBABILITIES: Final = NotEnoughData("the model gives no probabilities")


class Figure(NamedTuple):
    """One figure, or why there is none."""

    name: str
    by: str  # the column, or the pair `sex × age`; for a single group `sex=female`
    found: Interval | NotEnoughData
    n: int


class FairnessReport(NamedTuple):
    """What was found."""

    gaps: list[Figure]  # between groups: what gates judge
    segments: list[Figure]  # of each group alone
    warnings: list[str]  # groups that are small, by name


def fairness_report(
    selected: NDArray[np.bool_],
    favourable: NDArray[np.bool_],
    columns: Mapping[str, NDArray[np.str_]],
    *,
    probability: NDArray[np.float64] | None = None,
    points: NDArray[np.float64] | None = None,
    min_group_size: int = 30,
) -> FairnessReport:
    """Return the four figures by every protected column, those of groups by every pair of columns, and each group's own rates.

    Args:
        columns: name of a protected column → shape (n,), each row's group as text.
        probability: of the favourable outcome; None where the model gives none.
        points: rows as `consistency.coordinates` places them; None leaves consistency out.
    Raises:
        Malformed: shapes differ, n == 0, or a probability is not one.
    """
    gaps: list[Figure] = []
    segments: list[Figure] = []
    warnings: list[str] = []
    n = len(selected)
    for column, names, group in _partitions(columns):
        prefix = INTERSECTIONAL if PAIR in column else ""
        found: dict[str, Interval | NotEnoughData] = {
            "demographic_parity_difference": demographic_parity_difference(selected, group, min_group_size=min_group_size),
            "equalized_odds_difference": equalized_odds_difference(selected, favourable, group, min_group_size=min_group_size),
            "calibration_error_per_group": _NO_PROBABILITIES
            if probability is None
            else calibration_error_per_group(probability, favourable, group, min_group_size=min_group_size),
        }
        gaps += [Figure(prefix + name, column, figure, n) for name, figure in found.items()]
        sizes = np.bincount(group, minlength=len(names))
        small = [(name, int(size)) for name, size in zip(names, sizes, strict=True) if size < FEW_ROWS]
        warnings += [f"{column}={name}: {size} rows" + (", too few" if size < min_group_size else "") for name, size in small]
        if len(names) <= _MOST_SEGMENTS:
            segments += _segments(column, names, group, selected, favourable, probability, min_group_size)
    if points is not None:
        gaps.append(Figure("consistency_score", "", consistency_score(selected, points, min_rows=min_group_size), n))
    return FairnessReport(gaps, segments, warnings)


def _partitions(columns: Mapping[str, NDArray[np.str_]]) -> list[tuple[str, list[str], NDArray[np.int_]]]:
    """Return name, groups' names and each row's group, of every column and of every pair of columns."""
    single = [(column, *np.unique(values, return_inverse=True)) for column, values in columns.items()]
    found = [(column, [str(name) for name in names], group.astype(np.int64)) for column, names, group in single]
    for (a, names_a, group_a), (b, names_b, group_b) in combinations(list(found), 2):
        both, group = np.unique(group_a * len(names_b) + group_b, return_inverse=True)
        names = [f"{names_a[cell // len(names_b)]}{PAIR}{names_b[cell % len(names_b)]}" for cell in both.tolist()]
        found.append((f"{a}{PAIR}{b}", names, group.astype(np.int64)))
    return found


def _segments(
    column: str,
    names: list[str],
    group: NDArray[np.int_],
    selected: NDArray[np.bool_],
    favourable: NDArray[np.bool_],
    probability: NDArray[np.float64] | None,
    min_group_size: int,
) -> list[Figure]:
    figures: list[Figure] = []
    rates = group_rates(selected, favourable, group)
    calibrations = [None] * len(names) if probability is None else group_calibration(probability, favourable, group)
    for name, rate, calibration in zip(names, rates, calibrations, strict=True):
        by, unfavourable = f"{column}={name}", rate.n - rate.favourable
        right = rate.selected_favourable + unfavourable - (rate.selected - rate.selected_favourable)
        tallies = {
            "accuracy": (right, rate.n),
            "selection_rate": (rate.selected, rate.n),
            "true_positive_rate": (rate.selected_favourable, rate.favourable),
            "false_positive_rate": (rate.selected - rate.selected_favourable, unfavourable),
        }
        for metric, (k, out_of) in tallies.items():
            enough = out_of >= max(1, min_group_size)
            found = wilson(k, out_of) if enough else NotEnoughData(f"{out_of} rows, needs {max(1, min_group_size)}")
            figures.append(Figure(metric, by, found, out_of))
        if calibration is not None and rate.n >= max(1, min_group_size):
            excess = calibration.excess  # its sign is the finding; the interval of its size is with the gap
            figures.append(Figure("calibration_excess", by, Interval(excess, excess, excess), rate.n))
    return figures
