"""Sets of events by log and index: `Places`. Made of single indexes, joined, counted, asked. Knows no log."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping

from jurat.domain.facts_keeping import Places, Stretch


def to_places(indexes: Mapping[str, Iterable[int]]) -> Places:
    """Return the set of these indexes; a log without any is left out."""
    found = {log: _stretches((index, index) for index in some) for log, some in indexes.items()}
    return {log: stretches for log, stretches in sorted(found.items()) if stretches}


def join(*some: Places) -> Places:
    """Return the union."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for each in some:
        for log, stretches in each.items():
            spans.setdefault(log, []).extend((stretch.first, stretch.last) for stretch in stretches)
    return {log: _stretches(found) for log, found in sorted(spans.items()) if found}


def without(some: Places, others: Places) -> Places:
    """Return what is in `some` and not in `others`."""
    kept = {log: [index for index in indexes_of(stretches) if not covers(others, log, index)] for log, stretches in some.items()}
    return to_places(kept)


def count(places: Places) -> int:
    """Return how many events there are in a set."""
    return sum(stretch.last - stretch.first + 1 for stretches in places.values() for stretch in stretches)


def covers(places: Places, log: str, index: int) -> bool:
    """Whether an event is in a set."""
    stretches = places.get(log)
    if not stretches:
        return False
    at = bisect_right(stretches, index, key=lambda stretch: stretch.first) - 1
    return at >= 0 and index <= stretches[at].last


def indexes_of(stretches: Iterable[Stretch]) -> Iterator[int]:
    """Yield every index, ascending."""
    for stretch in stretches:
        yield from range(stretch.first, stretch.last + 1)


def _stretches(spans: Iterable[tuple[int, int]]) -> list[Stretch]:
    found: list[list[int]] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1] + 1:
            found[-1][1] = max(found[-1][1], last)
        else:
            found.append([first, last])
    return [Stretch(first=first, last=last) for first, last in found]
