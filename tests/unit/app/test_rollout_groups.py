"""What a rollout is told of groups: a gap that is there is not hidden by a group that is hardly seen, and none is passed without it."""

from __future__ import annotations

import pytest

from jurat.app.rollouts import Tally, metrics_of
from jurat.domain.gate_measured import check_metrics
from jurat.policy.conditions import combine, parse_condition

CONDITION = parse_condition("demographic_parity_difference <= 10%")


def verdict(**groups: tuple[int, int]) -> str:
    """Return how the condition stands by counts of favourable answers and of all, group by group."""
    new = Tally(asked=1, answered=1)
    for group, (good, size) in groups.items():
        new.segments[f"sex={group}"] = {'"good"': good, '"bad"': size - good}
    metrics = metrics_of(new, Tally(), [], {"good"}, 30)
    found = [m for m in metrics if m.name == CONDITION.metric]
    return combine(answer.verdict for answer in check_metrics(CONDITION, found, "")).value


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ({"f": (50, 100), "m": (55, 100)}, "pass"),
        ({"f": (20, 100), "m": (90, 100)}, "fail"),
        ({"f": (20, 100), "m": (90, 100), "zz": (1, 1)}, "fail"),  # one request that names a group of its own hides nothing
        ({"f": (50, 100), "m": (55, 100), "x": (0, 5)}, "not_enough_data"),
        ({"f": (50, 100), "x": (0, 5)}, "not_enough_data"),
        ({"f": (50, 100)}, "not_enough_data"),
        ({}, "not_enough_data"),
    ],
)
def test_a_gap(groups: dict[str, tuple[int, int]], says: str) -> None:
    assert verdict(**groups) == says
