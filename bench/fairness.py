"""How long the whole fairness report takes: 300,000 rows, six groups, every figure with its interval. Set-up is not in it."""

from __future__ import annotations

import time
from typing import Any, Final

import numpy as np

from jurat.stats.consistency import coordinates
from jurat.stats.fairness_report import fairness_report

LIMIT_S: Final = 5.0


def run(quick: bool) -> list[dict[str, Any]]:
    """Report on 300,000 people (30,000 if `quick`): two columns, whose pairs are six groups, and ten features to be similar in."""
    n = 30_000 if quick else 300_000
    random = np.random.default_rng(1)
    columns = {"sex": random.choice(["female", "male"], n), "age": random.choice(["old", "young", "middle"], n)}
    numbers = [random.normal(size=n) for _ in range(8)]
    texts = [random.choice(list("abcdefgh"), n) for _ in range(2)]
    chance = np.clip(0.5 + 0.2 * numbers[0] + 0.05 * (columns["sex"] == "male"), 0, 1)
    favourable, selected = random.random(n) < chance, chance > 0.5
    began_s = time.perf_counter()
    report = fairness_report(selected, favourable, columns, probability=chance, points=coordinates([*numbers, *texts]))
    seconds = round(time.perf_counter() - began_s, 2)
    assert len({figure.by for figure in report.segments if "×" in figure.by}) == 6
    assert len(report.gaps) == 10
    return [
        {
            "name": "fairness.report_s", "value": seconds, "unit": "s",
            "against": f"the {LIMIT_S:g} s that it may take on 300,000 rows", "ratio": round(seconds / LIMIT_S, 3),
        }
    ]  # fmt: skip
