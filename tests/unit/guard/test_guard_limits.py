from __future__ import annotations

import pytest

from jurat.guard import limits
from jurat.guard.limits import RateLimit


class _Clock:
    def __init__(self) -> None:
        self.at_s = 1000.0

    def __call__(self) -> float:
        return self.at_s


def test_a_burst_of_one_minute_then_a_steady_rate() -> None:
    clock = _Clock()
    limit = RateLimit(clock)
    assert [limit.take("a", 3) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert limit.take("a", 3) == pytest.approx(20.0)
    clock.at_s += 19.0
    assert limit.take("a", 3) == pytest.approx(1.0)
    clock.at_s += 1.0
    assert limit.take("a", 3) == 0.0
    assert limit.take("a", 3) > 0.0


def test_waiting_exactly_what_was_said_is_enough() -> None:
    clock = _Clock()
    limit = RateLimit(clock)
    for per_minute in (1, 7, 59, 600, 6000):
        while (wait_s := limit.take(per_minute, per_minute)) == 0.0:
            pass
        clock.at_s += wait_s + 1e-9
        assert limit.take(per_minute, per_minute) == 0.0


def test_keys_do_not_share_and_idle_time_does_not_pile_up() -> None:
    clock = _Clock()
    limit = RateLimit(clock)
    assert limit.take(("a", "x"), 1) == 0.0
    assert limit.take(("a", "y"), 1) == 0.0
    clock.at_s += 3600.0
    assert limit.take(("a", "x"), 1) == 0.0
    assert limit.take(("a", "x"), 1) > 0.0


def test_nothing_a_minute_is_nothing() -> None:
    assert RateLimit(_Clock()).take("a", 0) == 60.0
    assert RateLimit(_Clock()).take("a", -5) == 60.0


def test_a_clock_that_steps_back_gives_nothing_away() -> None:
    clock = _Clock()
    limit = RateLimit(clock)
    limit.take("a", 1)
    clock.at_s -= 500.0
    assert limit.take("a", 1) == pytest.approx(60.0)  # nor is anything taken away


def test_forgetting_keys_loosens_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_KEYS", 10)
    clock = _Clock()
    limit = RateLimit(clock)
    for number in range(10):
        limit.take(("old", number), 1)
    clock.at_s += 30.0
    assert limit.take("late", 1) == 0.0
    clock.at_s += 31.0
    assert limit.take("new", 1) == 0.0  # over the bound: the ten old ones, full again, go
    assert len(limit._buckets) == 2
    assert limit.take("late", 1) > 0.0  # half full: kept
