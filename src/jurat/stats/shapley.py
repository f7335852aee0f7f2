"""What each input contributed to one number that a function gave: Shapley values against a background. Knows numbers; knows no model.

The contributions add up exactly: base + Σ values = the function at the point, whatever the function is. For a linear function
they are weight × (input − mean of the background), to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jurat.core.errors import Malformed

EXACT_UP_TO: Final = 8  # inputs: 256 coalitions of each background row
_SEED: Final = 20_250_101

Rows = NDArray[Any]
Function = Callable[[Rows], NDArray[np.float64]]


class Contributions(NamedTuple):
    """How a number came about. `errors`: standard errors of sampling; 0 where every coalition was looked at."""

    base: float  # mean of the function over the background
    value: float  # the function at the point
    values: NDArray[np.float64]  # one an input; they add up to value − base
    errors: NDArray[np.float64]
    is_exact: bool  # against this background; another background is another question


def contributions(function: Function, point: Rows, background: Rows, *, permutations: int = 4) -> Contributions:
    """Return the Shapley value of each input: its mean effect when it joins the others, in every order, on every background row.

    Args:
        function: (n, d) → (n,), finite numbers.
        point: shape (d,).
        background: shape (m, d), m >= 2: the rows that stand for "not knowing" an input.
        permutations: for more than `EXACT_UP_TO` inputs, orders a background row, each also walked backwards.
    Raises:
        Malformed: shapes differ, or the function gives something that is no number.
    Source: Štrumbelj & Kononenko 2014; Lundberg & Lee 2017, interventional; antithetic orders, Mitchell et al. 2022.
    """
    if background.ndim != 2 or point.shape != background.shape[1:] or len(background) < 2 or not len(point):
        raise Malformed(f"a point of shape `{point.shape}` against a background of `{background.shape}`: expected the same columns")
    if len(point) <= EXACT_UP_TO:
        return _exact(function, point, background)
    return _sampled(function, point, background, permutations)


def _exact(function: Function, point: Rows, background: Rows) -> Contributions:
    d = len(point)
    means = np.empty(1 << d)
    for known in range(1 << d):  # bit i: input i is the point's
        rows = background.copy()
        for column in range(d):
            if known >> column & 1:
                rows[:, column] = point[column]
        means[known] = _asked(function, rows).mean()
    weight = [factorial(size) * factorial(d - size - 1) / factorial(d) for size in range(d)]
    values = np.zeros(d)
    for known in range(1 << d):
        for column in range(d):
            if not known >> column & 1:
                values[column] += weight[known.bit_count()] * (means[known | 1 << column] - means[known])
    return Contributions(float(means[0]), float(means[-1]), values, np.zeros(d), True)


def _sampled(function: Function, point: Rows, background: Rows, permutations: int) -> Contributions:
    d, random = len(point), np.random.default_rng(_SEED)
    found = np.empty((len(background), d))
    for number, start in enumerate(background):
        orders = [order for _ in range(permutations) for order in _both(random.permutation(d))]
        steps = np.empty((len(orders), d + 1, d), dtype=background.dtype)
        for walk, order in enumerate(orders):
            steps[walk, :] = start
            for place, column in enumerate(order):
                steps[walk, place + 1 :, column] = point[column]
        gains = np.diff(_asked(function, steps.reshape(-1, d)).reshape(len(orders), d + 1), axis=1)
        total = np.zeros(d)
        for walk, order in enumerate(orders):
            total[order] += gains[walk]
        found[number] = total / len(orders)
    values = found.mean(axis=0)
    value = float(_asked(function, point[np.newaxis, :])[0])
    errors = found.std(axis=0, ddof=1) / np.sqrt(len(background))
    return Contributions(value - float(values.sum()), value, values, errors, False)


def _both(order: NDArray[np.int_]) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    return order, order[::-1]


def _asked(function: Function, rows: Rows) -> NDArray[np.float64]:
    found = np.asarray(function(rows), dtype=np.float64)
    if found.shape != (len(rows),) or not np.isfinite(found).all():
        raise Malformed("the function to explain does not give one finite number a row")
    return found
