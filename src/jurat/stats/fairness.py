"""How differently a model treats groups of people. Arrays in, a figure with an interval or the reason why there is none.

Both figures are the *size* of the largest gap between any two groups: in [0, 1], 0 means equal, lower is better, and
the sign is gone on purpose. Which group is behind is told by `group_rates`. Definitions follow fairlearn
(`demographic_parity_difference`, `equalized_odds_difference` with `agg="worst_case"`), and agree with it to 1e-9.

A rate over a handful of people means nothing, so a group below `min_group_size` makes the answer `NotEnoughData`. For
equalized odds the people behind a rate are those of one group *and* one outcome, and it is they who are counted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jurat.core.errors import Malformed
from jurat.stats.intervals import Interval, NotEnoughData, newcombe

_Tally = tuple[int, int]  # how many were selected, out of how many


class GroupRates(NamedTuple):
    """What one group got. Counts, so that anyone can compute every figure again."""

    n: int
    selected: int  # got the favourable answer
    favourable: int  # had the favourable outcome in truth
    selected_favourable: int  # both: true positives


def demographic_parity_difference(
    selected: NDArray[np.bool_], group: NDArray[np.int_], *, min_group_size: int = 30
) -> Interval | NotEnoughData:
    """Return the largest gap in selection rate between any two groups, with a 95 % interval.

    Args:
        selected: shape (n,), True where the model gave the favourable outcome.
        group: shape (n,), group index 0..g-1; every index occurs at least once.
        min_group_size: rows; a smaller group makes the answer `NotEnoughData`, never 0.0.
    Returns:
        Interval of Python floats in [0, 1], a ratio and not percent; 0 means equal rates.
    Raises:
        Malformed: shapes differ, or n == 0.
    Source: statistical parity, Dwork et al. 2012; interval of the worst pair,
        Newcombe 1998 method 10 (not corrected for having chosen the pair).
    Example:
        >>> selected, group = np.array([1, 0, 1, 1], bool), np.array([0, 0, 1, 1])
        >>> demographic_parity_difference(selected, group, min_group_size=2).point
        0.5
    """
    groups = check_groups(group, selected)
    return _largest_gap(_tally(selected, group, groups), min_group_size, "group")


def equalized_odds_difference(
    selected: NDArray[np.bool_], favourable: NDArray[np.bool_], group: NDArray[np.int_], *, min_group_size: int = 30
) -> Interval | NotEnoughData:
    """Return the larger of the gaps in true and in false positive rate between any two groups, with a 95 % interval.

    "Positive" is the favourable outcome: the true positive rate is how many of those who deserved it got it, the false
    positive rate how many of those who did not.

    Args:
        selected: shape (n,), True where the model gave the favourable outcome.
        favourable: shape (n,), True where the favourable outcome is the true one.
        group: shape (n,), group index 0..g-1; every index occurs at least once.
        min_group_size: rows of one group and one true outcome; fewer make the answer `NotEnoughData`.
    Returns:
        Interval of Python floats in [0, 1], that of the worse of the two gaps.
    Raises:
        Malformed: shapes differ, or n == 0.
    Source: Hardt, Price & Srebro 2016; interval as in `demographic_parity_difference`.
    """
    groups = check_groups(group, selected, favourable)
    gaps = []
    for outcome, what in ((True, "group with the favourable outcome"), (False, "group with the unfavourable outcome")):
        mine = favourable == outcome
        gap = _largest_gap(_tally(selected[mine], group[mine], groups), min_group_size, what)
        if isinstance(gap, NotEnoughData):
            return gap
        gaps.append(gap)
    return max(gaps, key=lambda gap: gap.point)


def group_rates(selected: NDArray[np.bool_], favourable: NDArray[np.bool_], group: NDArray[np.int_]) -> list[GroupRates]:
    """Return the counts of every group, by index.

    Raises:
        Malformed: shapes differ, or n == 0.
    """
    groups = check_groups(group, selected, favourable)
    return [
        GroupRates(
            int(np.count_nonzero(mine)),
            int(np.count_nonzero(mine & selected)),
            int(np.count_nonzero(mine & favourable)),
            int(np.count_nonzero(mine & selected & favourable)),
        )
        for mine in (group == index for index in range(groups))
    ]


def _largest_gap(tallies: list[_Tally], min_group_size: int, what: str) -> Interval | NotEnoughData:
    if len(tallies) < 2:
        return NotEnoughData("there is only one group: nothing to compare it with")
    smallest = min(n for _, n in tallies)
    if smallest < max(1, min_group_size):
        return NotEnoughData(f"smallest {what} has {smallest} rows, needs {max(1, min_group_size)}")
    # Of groups with the same rate the smaller one speaks, whose interval is wider: how groups are numbered decides nothing.
    lowest, *others = sorted(tallies, key=lambda tally: (tally[0] / tally[1], tally[1]))
    highest = max(others, key=lambda tally: (tally[0] / tally[1], -tally[1]))
    gap = newcombe(*highest, *lowest)
    # The figure is a size: where the signed interval crosses 0, no gap at all is possible, and either end may be the larger.
    return Interval(gap.point, max(0.0, gap.low), max(gap.high, -gap.low))


def _tally(selected: NDArray[np.bool_], group: NDArray[np.int_], groups: int) -> list[_Tally]:
    sizes = np.bincount(group, minlength=groups)
    wins = np.bincount(group[selected], minlength=groups)
    return list(zip(wins.tolist(), sizes.tolist(), strict=True))


def check_groups(group: NDArray[np.int_], *columns: NDArray[np.bool_]) -> int:
    """Return the number of groups, once the arrays are known to belong together.

    Raises:
        Malformed: they do not, there are no rows, or a group has none.
    """
    if group.ndim != 1 or any(column.shape != group.shape for column in columns):
        shapes = ", ".join(f"`{array.shape}`" for array in (*columns, group))
        raise Malformed(f"arrays have shapes {shapes}, expected one and the same length")
    if group.size == 0:
        raise Malformed("there are no rows to compare groups in, expected at least one")
    if not np.issubdtype(group.dtype, np.integer) or any(column.dtype != np.bool_ for column in columns):
        raise Malformed("groups must be integers and outcomes booleans")
    groups = int(group.max()) + 1
    if int(group.min()) < 0 or len(np.unique(group)) != groups:
        raise Malformed("group indices have a hole or are negative, expected every index 0 to g-1 to occur")
    return groups
