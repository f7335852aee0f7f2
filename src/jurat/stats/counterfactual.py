"""The nearest point at which an answer changes: as few inputs as possible, and of these the smallest change. Knows no model.

Only values that really occur in the background are tried, so nobody is told to have minus three children. The search is
exhaustive over single inputs and over pairs and triples of the most promising values; what it does not find may still exist.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, product
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jurat.core.errors import Malformed

MOST_CHANGES: Final = 3
_MOST_VALUES: Final = 40  # tried of one input alone
_MOST_TRIED: Final = 20_000  # points of one number of changes

Rows = NDArray[Any]


class Change(NamedTuple):
    """One input that would have to be different."""

    column: int
    before: Any
    after: Any


def nearest_change(
    score: Callable[[Rows], NDArray[np.float64]], point: Rows, background: Rows, may_change: Sequence[int], *, wanted: float = 0.5
) -> list[Change]:
    """Return the changes after which the score is at least `wanted`; an empty list: none was found, or none is needed.

    Args:
        score: (n, d) → (n,).
        may_change: columns that a person can do something about.
    Raises:
        Malformed: a column is not there.
    Source: Wachter, Mittelstadt & Russell 2018; distance: inputs changed, then Σ |difference| in standard deviations (1 for a text).
    """
    if any(not 0 <= column < len(point) for column in may_change):
        raise Malformed("an input that may change is not there")
    if score(point[np.newaxis, :])[0] >= wanted:
        return []
    options = {column: _values(background[:, column], point[column]) for column in may_change}
    options = {column: values for column, values in options.items() if values}
    promising = {column: _best_first(score, point, column, values) for column, values in options.items()}
    for many in range(1, min(MOST_CHANGES, len(options)) + 1):
        found = _search(score, point, background, options if many == 1 else promising, many, wanted)
        if found:
            return found
    return []


def _search(
    score: Callable[[Rows], NDArray[np.float64]], point: Rows, background: Rows, options: dict[int, list[Any]], many: int, wanted: float
) -> list[Change]:
    chosen = list(combinations(options, many))
    each = max(1, int((_MOST_TRIED / max(1, len(chosen))) ** (1 / many)))
    tried = [
        [Change(column, point[column], value) for column, value in zip(columns, values, strict=True)]
        for columns in chosen[:_MOST_TRIED]
        for values in product(*(options[column][:each] if many > 1 else options[column] for column in columns))
    ]
    if not tried:
        return []
    rows = np.repeat(point[np.newaxis, :], len(tried), axis=0)
    for row, changes in zip(rows, tried, strict=True):
        for change in changes:
            row[change.column] = change.after
    good = np.flatnonzero(score(rows) >= wanted)
    return min((tried[number] for number in good), key=lambda changes: _cost(changes, background), default=[])


def _cost(changes: list[Change], background: Rows) -> float:
    return sum(
        abs(change.after - change.before) / (float(background[:, change.column].astype(float).std()) or 1.0)
        if isinstance(change.after, float | int)
        else 1.0
        for change in changes
    )


def _values(column: Rows, mine: Any) -> list[Any]:
    distinct = sorted({value for value in column.tolist() if value != mine})
    if len(distinct) <= _MOST_VALUES:
        return distinct
    return [distinct[n] for n in np.linspace(0, len(distinct) - 1, _MOST_VALUES).round().astype(int)]


def _best_first(score: Callable[[Rows], NDArray[np.float64]], point: Rows, column: int, values: list[Any]) -> list[Any]:
    rows = np.repeat(point[np.newaxis, :], len(values), axis=0)
    rows[:, column] = values
    return [values[n] for n in np.argsort(-score(rows), kind="stable")]
