"""How far a model's probabilities are from what came true, in each group of people. Knows arrays; knows no gates and no models.

The figure of a group is its *expected calibration error*: rows are put into ten bins of equal width by their predicted
probability; in each bin the mean probability is compared with the share that came true; the sizes of these differences are
averaged, weighted by rows. In [0, 1], 0 is perfect, lower is better; it has no sign. `group_calibration` has one with a sign.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jurat.core.errors import Malformed
from jurat.stats.fairness import check_groups
from jurat.stats.intervals import Interval, NotEnoughData

BINS: Final = 10
_DRAWS: Final = 4_000
_SEED: Final = 20_250_101  # the same rows always give the same interval


class GroupCalibration(NamedTuple):
    """One group's calibration."""

    n: int
    error: float  # expected calibration error, in [0, 1]
    excess: float  # mean probability − share that came true: above 0, the model promises this group too much


def calibration_error_per_group(
    probability: NDArray[np.float64], favourable: NDArray[np.bool_], group: NDArray[np.int_], *, min_group_size: int = 30
) -> Interval | NotEnoughData:
    """Return the largest expected calibration error of any group, with a 95 % interval that holds for all groups at once.

    A finite sample never looks perfectly calibrated, so the point lies above the truth on average: about 0.08 for a perfect
    model and 100 rows. The interval says so: it reaches down to 0 when chance alone explains the point.

    Args:
        probability: shape (n,), predicted probability of the favourable outcome, in [0, 1].
        favourable: shape (n,), True where the favourable outcome is the true one.
        group: shape (n,), group index 0..g-1; every index occurs at least once.
        min_group_size: rows; a smaller group makes the answer `NotEnoughData`, never 0.0.
    Raises:
        Malformed: shapes differ, n == 0, or a probability is not in [0, 1].
    Source: Naeini, Cooper & Hauskrecht 2015; interval: |error − truth| is at most the weighted sum of the bins' noise
        (triangle inequality), whose 95 % quantile is simulated with binomial variances. Conservative.
    """
    groups = _check(probability, favourable, group)
    sizes = np.bincount(group, minlength=groups)
    if sizes.min() < max(1, min_group_size):
        return NotEnoughData(f"smallest group has {int(sizes.min())} rows, needs {max(1, min_group_size)}")
    counts, gaps, wins = _cells(probability, favourable, group, groups)
    errors = np.abs(gaps).sum(axis=1) / sizes
    rate = (wins + 1) / (counts + 2)  # never 0 or 1: a bin of three rows is not certain of itself
    spread = np.sqrt(rate * (1 - rate) * counts) / sizes[:, None]
    draws = np.random.default_rng(_SEED).standard_normal((_DRAWS, *spread.shape))
    noise = np.quantile((np.abs(draws) * spread).sum(axis=2).max(axis=1), 0.95)
    point = float(errors.max())
    return Interval(point, max(0.0, point - float(noise)), min(1.0, point + float(noise)))


def group_calibration(probability: NDArray[np.float64], favourable: NDArray[np.bool_], group: NDArray[np.int_]) -> list[GroupCalibration]:
    """Return the calibration of every group, by index.

    Raises:
        Malformed: as `calibration_error_per_group`.
    """
    groups = _check(probability, favourable, group)
    sizes = np.bincount(group, minlength=groups)
    _, gaps, _ = _cells(probability, favourable, group, groups)
    errors, excess = np.abs(gaps).sum(axis=1) / sizes, gaps.sum(axis=1) / sizes
    return [GroupCalibration(int(n), float(error), float(by)) for n, error, by in zip(sizes, errors, excess, strict=True)]


def _cells(
    probability: NDArray[np.float64], favourable: NDArray[np.bool_], group: NDArray[np.int_], groups: int
) -> tuple[NDArray[np.int_], NDArray[np.float64], NDArray[np.int_]]:
    """Return rows, sum of (probability − outcome), and favourable outcomes of each group × bin."""
    bins = np.minimum((probability * BINS).astype(np.int64), BINS - 1)  # 1.0 belongs to the last
    cell, shape, cells = group * BINS + bins, (groups, BINS), groups * BINS
    counts = np.bincount(cell, minlength=cells).reshape(shape)
    gaps = np.bincount(cell, weights=probability - favourable, minlength=cells).reshape(shape)
    wins = np.bincount(cell[favourable], minlength=cells).reshape(shape)
    return counts, gaps.astype(np.float64), wins


def _check(probability: NDArray[np.float64], favourable: NDArray[np.bool_], group: NDArray[np.int_]) -> int:
    groups = check_groups(group, favourable)
    if probability.shape != group.shape:
        raise Malformed(f"arrays have shapes `{probability.shape}` and `{group.shape}`, expected one and the same length")
    if not (np.isfinite(probability) & (probability >= 0) & (probability <= 1)).all():
        raise Malformed("a probability is not a number from 0 to 1")
    return groups
