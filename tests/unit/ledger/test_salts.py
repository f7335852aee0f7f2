"""The window of salts: the newest are at hand, the oldest are not, and nothing is mixed up."""

from __future__ import annotations

from jurat.ledger.salts import RecentSalts


def test_salts_are_found_by_index() -> None:
    salts = RecentSalts()
    salts.add(5, bytes(16) + bytes([1]) * 16)
    salts.add(7, bytes([2]) * 16)
    assert [salts.at(index) for index in range(4, 9)] == [None, bytes(16), bytes([1]) * 16, bytes([2]) * 16, None]


def test_oldest_go_first() -> None:
    salts = RecentSalts()
    for first in range(0, 100_000, 1_000):
        salts.add(first, first.to_bytes(16) * 1_000)
    assert salts.at(99_999) == (99_000).to_bytes(16)
    assert salts.at(40_000) == (40_000).to_bytes(16)
    assert salts.at(30_000) is None
