"""How often a model is right, and how long it takes. Arrays in, a figure with a 95 % interval or the reason why there is none."""

from __future__ import annotations

from math import ceil, exp, lgamma, log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from jurat.core.errors import Malformed
from jurat.stats.intervals import Interval, NotEnoughData, wilson

_TAIL: Final = 0.025  # on each side of a 95 % interval


def accuracy(answered: NDArray[np.bool_], actual: NDArray[np.bool_]) -> Interval:
    """Return the share of rows where `answered` equals `actual`, with Wilson's interval; a ratio in [0, 1].

    Raises:
        Malformed: shapes differ, or n == 0.
    """
    if answered.shape != actual.shape or answered.ndim != 1:
        raise Malformed(f"arrays have shapes `{answered.shape}` and `{actual.shape}`, expected one and the same length")
    return wilson(int(np.count_nonzero(answered == actual)), answered.size)


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
