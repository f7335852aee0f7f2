"""Intervals of rates, and of differences of rates. Counts in, 95 % intervals out; no arrays, no groups, no verdicts."""

from __future__ import annotations

from math import sqrt
from typing import Final, NamedTuple

from jurat.core.errors import Malformed

Z_95: Final = 1.959963984540054  # the normal distribution's 97.5 % point: two-sided 95 %


class Interval(NamedTuple):
    """A figure and where it may well lie: `low <= point <= high`, 95 %."""

    point: float
    low: float
    high: float


class NotEnoughData(NamedTuple):
    """There is no figure, and `reason` says why. Never a pass, and never 0.0."""

    reason: str


def wilson(successes: int, n: int) -> Interval:
    """Return the rate `successes / n` with Wilson's 95 % interval, a ratio in [0, 1].

    Unlike the textbook's `p ± z·se` it is right for small n, and not empty when all or none succeeded.

    Raises:
        Malformed: n is not positive, or not 0 <= successes <= n.
    Source: Wilson 1927, score interval without continuity correction.
    Example:
        >>> [round(x, 4) for x in wilson(81, 263)]
        [0.308, 0.2553, 0.3662]
    """
    if n <= 0 or not 0 <= successes <= n:
        raise Malformed(f"a rate of `{successes}` out of `{n}`: expected 0 to n successes out of at least one")
    return wilson_of_mean(successes / n, n)


def wilson_of_mean(p: float, n: int) -> Interval:
    """Return a mean of n numbers in [0, 1] with Wilson's interval: exact in form for a rate, wider than needed for a mean of shares.

    Raises:
        Malformed: n is not positive, or the mean is outside [0, 1].
    """
    if n <= 0 or not 0 <= p <= 1:
        raise Malformed(f"a mean of `{p}` over `{n}` numbers: expected one from 0 to 1 over at least one")
    middle = (p + Z_95 * Z_95 / (2 * n)) / (1 + Z_95 * Z_95 / n)
    half = Z_95 * sqrt(p * (1 - p) / n + Z_95 * Z_95 / (4 * n * n)) / (1 + Z_95 * Z_95 / n)
    # Rounding may put a bound a hair on the wrong side of 0, 1 or the point itself.
    return Interval(p, min(p, max(0.0, middle - half)), max(p, min(1.0, middle + half)))


def newcombe(successes_a: int, n_a: int, successes_b: int, n_b: int) -> Interval:
    """Return `rate_a - rate_b` with its 95 % interval, in [-1, 1]; positive where a's rate is the higher.

    Raises:
        Malformed: as `wilson`.
    Source: Newcombe 1998, *Interval estimation for the difference between independent proportions*, method 10.
    Example:
        >>> [round(x, 4) for x in newcombe(56, 70, 48, 80)]
        [0.2, 0.0524, 0.3339]
    """
    a, b = wilson(successes_a, n_a), wilson(successes_b, n_b)
    point = a.point - b.point
    below = sqrt((a.point - a.low) ** 2 + (b.high - b.point) ** 2)
    above = sqrt((a.high - a.point) ** 2 + (b.point - b.low) ** 2)
    return Interval(point, max(-1.0, point - below), min(1.0, point + above))
