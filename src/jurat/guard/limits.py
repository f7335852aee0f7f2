"""Token buckets: so many a minute for each key, with bursts up to one minute's worth. Knows no clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

MAX_KEYS: Final = 100_000


class RateLimit:
    """One bucket for each key (a caller and an endpoint, say). Not for use from several threads.

    A bucket that has been full again for a minute is indistinguishable from one that was never used, so those are
    forgotten when there are more than `MAX_KEYS`; memory is bounded, no limit is ever loosened.

    Args:
        now_s: a monotonic clock, in seconds.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._buckets: dict[Hashable, tuple[float, float]] = {}  # key → tokens left, at (seconds)

    def take(self, key: Hashable, per_minute: int) -> float:
        """Take one token. Return 0.0 when there was one, or the seconds until there will be (nothing is taken then).

        `per_minute` of zero or less never has one: the answer is 60.0.
        """
        if per_minute <= 0:
            return 60.0
        now_s = self._now_s()
        rate = per_minute / 60.0
        tokens, at_s = self._buckets.get(key, (float(per_minute), now_s))
        tokens = min(float(per_minute), tokens + max(0.0, now_s - at_s) * rate)
        if tokens < 1.0:
            return (1.0 - tokens) / rate
        if len(self._buckets) >= MAX_KEYS and key not in self._buckets:
            self._forget_full(now_s)
        self._buckets[key] = (tokens - 1.0, now_s)
        return 0.0

    def _forget_full(self, now_s: float) -> None:
        # Any bucket is full after 60 s without a taking, whatever its rate: bursts are one minute's worth.
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if now_s - bucket[1] < 60.0}
