"""Do similar people get the same answer? Knows rows as points in space; knows no features' names, no models, no gates.

The score is the share of a person's five nearest neighbours who got the same answer, averaged over people. In [0, 1], 1 is
perfectly consistent, higher is better. Who is near is a choice (`coordinates`), and the figure means nothing without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from jurat.core.errors import Malformed
from jurat.stats.intervals import Interval, NotEnoughData, wilson_of_mean

NEIGHBOURS: Final = 5
MOST_ROWS: Final = 20_000  # of more rows, every n-th is looked at
MOST_ASKED: Final = 2_000  # of these, every n-th is asked for its neighbours
_TEXTS_KEPT: Final = 50  # of one column; rarer ones count as one
_CHUNK: Final = 200
_SAME: Final = 1e-9  # distances closer than this are equal: the arithmetic is no finer


def coordinates(columns: Sequence[NDArray[np.float64] | NDArray[np.str_]]) -> NDArray[np.float64]:
    """Return shape (n, d): numbers in units of their standard deviation, texts so that two different ones are 1 apart.

    A number that is missing (NaN) is put at its column's mean; a column that is constant says nothing and adds nothing. Leave
    protected columns out: two people who differ in them only are similar.

    Raises:
        Malformed: there are no columns.
    """
    if not columns:
        raise Malformed("there are no columns to tell by who is similar")
    parts = []
    for column in columns:
        if np.issubdtype(column.dtype, np.number):
            numbers = np.asarray(column, float)
            known = np.isfinite(numbers)
            mean, spread = (numbers[known].mean(), numbers[known].std()) if known.any() else (0.0, 0.0)
            parts.append(((np.where(known, numbers, mean) - mean) / (spread or 1.0))[:, None])
        else:
            texts, which, counts = np.unique(column, return_inverse=True, return_counts=True)
            rank = np.empty(len(texts), dtype=np.int64)
            rank[np.argsort(-counts, kind="stable")] = np.arange(len(texts))
            parts.append(np.eye(min(len(texts), _TEXTS_KEPT + 1))[np.minimum(rank[which], _TEXTS_KEPT)] / np.sqrt(2))
    return np.hstack(parts)


def consistency_score(
    selected: NDArray[np.bool_], points: NDArray[np.float64], *, neighbours: int = NEIGHBOURS, min_rows: int = 30
) -> Interval | NotEnoughData:
    """Return the mean share of the nearest neighbours with the same answer, with a 95 % interval.

    Neighbours that are equally far share the places that are left, so that the order of rows does not matter.

    Args:
        selected: shape (n,), the answers.
        points: shape (n, d), as `coordinates` gives them.
    Raises:
        Malformed: shapes differ.
    Source: Zemel et al. 2013, *Learning fair representations*: 1 − mean |answer − mean answer of the neighbours|, without the
        person among their own neighbours. Wilson's interval at one observation a person asked; not corrected for shared neighbours.
    """
    if selected.ndim != 1 or points.ndim != 2 or len(points) != len(selected):
        raise Malformed(f"arrays have shapes `{selected.shape}` and `{points.shape}`, expected one answer a point")
    if len(selected) < max(min_rows, neighbours + 1):
        return NotEnoughData(f"{len(selected)} rows, needs {max(min_rows, neighbours + 1)}")
    rows = _every_nth(len(selected), MOST_ROWS)
    answers, places = selected[rows], points[rows]
    asked = _every_nth(len(rows), MOST_ASKED)
    lengths = np.einsum("ij,ij->i", places, places)
    shares = np.empty(len(asked))
    for start in range(0, len(asked), _CHUNK):
        mine = asked[start : start + _CHUNK]
        far = lengths[mine, None] + lengths[None, :] - 2 * places[mine] @ places.T
        far[np.arange(len(mine)), mine] = np.inf  # nobody is their own neighbour
        last = np.partition(far, neighbours - 1, axis=1)[:, neighbours - 1]
        who, whom = np.nonzero(far <= last[:, None] + _SAME)  # the few that matter
        same = answers[whom] == answers[mine[who]]
        nearer = far[who, whom] < last[who] - _SAME

        def count(which: NDArray[np.bool_], who: NDArray[np.int_] = who, people: int = len(mine)) -> NDArray[np.int_]:
            return np.bincount(who[which], minlength=people)

        left = neighbours - count(nearer)
        shares[start : start + _CHUNK] = (count(same & nearer) + left * count(same & ~nearer) / count(~nearer)) / neighbours
    return wilson_of_mean(float(shares.mean()), len(asked))


def _every_nth(n: int, most: int) -> NDArray[np.int_]:
    """Return at most `most` indices below n, evenly spaced: chosen by nobody, and the same each time."""
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).round().astype(np.int64)
