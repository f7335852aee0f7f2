"""The only source of time. Wall time is Unix nanoseconds; what people read is UTC with microseconds."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Protocol

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Anything that tells the time. Tests pass their own, so that golden files stay golden."""

    def now_ns(self) -> int:
        """Return Unix nanoseconds."""
        ...


class SystemClock:
    """The machine's own wall clock."""

    def now_ns(self) -> int:
        return time.time_ns()


class FixedClock:
    """A clock that moves only when told to."""

    def __init__(self, at_ns: int) -> None:
        self.at_ns = at_ns

    def now_ns(self) -> int:
        return self.at_ns

    def advance(self, seconds: float) -> None:
        self.at_ns += round(seconds * 1_000_000_000)


def from_ns(at_ns: int) -> datetime:
    """Return the aware UTC time, cut (not rounded) to microseconds."""
    seconds, rest = divmod(at_ns, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


def to_ns(at: datetime) -> int:
    """Return Unix nanoseconds of an aware time, exactly.

    Raises:
        ValueError: `at` has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError("a time without a zone means nothing")
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000


def format_at(at_ns: int) -> str:
    """Return RFC 3339 UTC with microseconds, such as `2026-11-25T19:40:41.123456Z`."""
    return from_ns(at_ns).isoformat(timespec="microseconds")[:-6] + "Z"  # for +00:00; a fifth of the time of strftime


@lru_cache(maxsize=4_096)  # ends of grants are read at every decision
def parse_at(text: str) -> datetime:
    """Return the aware UTC time of an RFC 3339 text. The inverse of `format_at`.

    Raises:
        ValueError: not RFC 3339, or without a zone.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"`{text}` has no time zone")
    return at.astimezone(UTC)
