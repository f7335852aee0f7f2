"""How often a model is right, and how long it takes. Arrays in, a figure with a 95 % interval or the reason why there is none."""

from __future__ import annotations

from math import ceil, exp, lgamma, log, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from jurat.core.errors import Malformed
from jurat.stats.intervals import Z_95, Interval, NotEnoughData, wilson, wilson_of_mean

_TAIL: Final = 0.025  # on each side of a 95 % interval


def accuracy(answered: NDArray[np.bool_], actual: NDArray[np.bool_]) -> Interval:
    """Return the share of rows where `answered` equals `actual`, with Wilson's interval; a ratio in [0, 1].

    Raises:
        Malformed: shapes differ, or n == 0.
    """
    if answered.shape != actual.shape or answered.ndim != 1:
        raise Malformed(f"arrays have shapes `{answered.shape}` and `{actual.shape}`, expected one and the same length")
    return wilson(int(np.count_nonzero(answered == actual)), answered.size)


def precision(answered: NDArray[np.bool_], actual: NDArray[np.bool_]) -> Interval | NotEnoughData:
    """Return the share of favourable answers that were right, with Wilson's interval.

    Returns:
        NotEnoughData when there is no favourable answer.
    """
    n = int(np.count_nonzero(answered))
    return wilson(int(np.count_nonzero(answered & actual)), n) if n else NotEnoughData("no answer is favourable")


def recall(answered: NDArray[np.bool_], actual: NDArray[np.bool_]) -> Interval | NotEnoughData:
    """Return the share of favourable outcomes that were found, with Wilson's interval.

    Returns:
        NotEnoughData when there is no favourable outcome.
    """
    n = int(np.count_nonzero(actual))
    return wilson(int(np.count_nonzero(answered & actual)), n) if n else NotEnoughData("no outcome is favourable")


def roc_auc(score: NDArray[np.float64], actual: NDArray[np.bool_]) -> Interval | NotEnoughData:
    """Return the chance that a favourable case scores above an unfavourable one; ties count half.

    Returns:
        NotEnoughData when one of the two outcomes does not occur.
    Raises:
        Malformed: shapes differ, or a score is not finite.
    Source: Mann–Whitney; standard error of Hanley & McNeil 1982, interval on the logit scale so that it stays in [0, 1].
    """
    if score.shape != actual.shape or score.ndim != 1 or not np.isfinite(score).all():
        raise Malformed(f"scores of shape `{score.shape}` and outcomes of `{actual.shape}`: expected finite ones of one length")
    good, bad = int(np.count_nonzero(actual)), int(np.count_nonzero(~actual))
    if not good or not bad:
        return NotEnoughData("only one of the two outcomes occurs")
    _, which, counts = np.unique(score, return_inverse=True, return_counts=True)
    middle_rank = np.cumsum(counts) - (counts - 1) / 2
    area = (float(middle_rank[which][actual].sum()) - good * (good + 1) / 2) / (good * bad)
    if not 0 < area < 1:
        return wilson_of_mean(area, min(good, bad))  # no spread is visible: as sure as the smaller side allows
    q_good, q_bad = area / (2 - area), 2 * area * area / (1 + area)
    variance = (area * (1 - area) + (good - 1) * (q_good - area * area) + (bad - 1) * (q_bad - area * area)) / (good * bad)
    half = Z_95 * sqrt(variance) / (area * (1 - area))
    low, high = (1 / (1 + (1 - area) / area * exp(-shift)) for shift in (-half, half))
    return Interval(area, min(area, low), max(area, high))


def percentile(values: NDArray[np.float64], ratio: float) -> Interval | NotEnoughData:
    """Return the `ratio` quantile of a sample, with a 95 % interval that assumes no distribution.

    The figure is the smallest sample value that at least `ratio` of the sample does not exceed (no interpolation: it
    was really measured). The interval lies between two order statistics.

    Args:
        values: shape (n,), finite, any unit; independent, which timings in a row only nearly are.
        ratio: strictly between 0 and 1; 0.99 for p99.
    Returns:
        NotEnoughData when even the largest value is no upper bound: p99 needs 368 values.
    Raises:
        Malformed: n == 0, a value is not finite, or the ratio is out of range.
    Source: Hahn & Meeker 1991 §5.2, binomial order-statistic interval; equal tails.
    """
    if values.ndim != 1 or values.size == 0 or not 0 < ratio < 1:
        raise Malformed(f"quantile `{ratio}` of an array of shape `{values.shape}`: expected 0 < ratio < 1 and at least one value")
    if not np.isfinite(values).all():
        raise Malformed("a value to take a quantile of is not finite")
    ordered, n = np.sort(values), values.size
    at_most = np.cumsum([_binomial(k, n, ratio) for k in range(n)])  # at_most[k]: P(Binomial(n, ratio) <= k)
    upper = int(np.searchsorted(at_most, 1 - _TAIL))  # 0-based rank of the smallest value that is high enough
    lower = int(np.searchsorted(at_most, _TAIL, side="right")) - 1
    if upper >= n or lower < 0:
        return NotEnoughData(f"{n} values are too few for a 95 % interval of the {ratio:.3g} quantile")
    point = ceil(n * ratio - 1e-9) - 1
    return Interval(float(ordered[point]), float(ordered[min(lower, point)]), float(ordered[max(upper, point)]))


def _binomial(k: int, n: int, p: float) -> float:
    return exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(p) + (n - k) * log(1 - p))
