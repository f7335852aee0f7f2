"""The salts of the newest entries, in memory: enough to see whether a repeated event is the same one.

A window, not a store: 65,536 entries a log, filled from the journal at the start, gone with the process.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from jurat.merkle.entry import SALT_SIZE

_WINDOW: Final = 65_536  # entries


class RecentSalts:
    """Salts by index, newest last; the oldest go as new ones come."""

    def __init__(self) -> None:
        self._runs: deque[tuple[int, bytes]] = deque()  # (first index, salts end to end)
        self._count = 0

    def add(self, first_index: int, salts: bytes) -> None:
        """Remember the salts of entries from `first_index` on."""
        self._runs.append((first_index, salts))
        self._count += len(salts) // SALT_SIZE
        while self._count > _WINDOW and len(self._runs) > 1:
            self._count -= len(self._runs.popleft()[1]) // SALT_SIZE

    def forget(self, first: int, last: int) -> None:
        """Let go the salts of entries `first` to `last`, and those of the runs that they came in."""
        kept = deque(run for run in self._runs if run[0] > last or run[0] + len(run[1]) // SALT_SIZE <= first)
        self._runs, self._count = kept, sum(len(salts) // SALT_SIZE for _, salts in kept)

    def at(self, index: int) -> bytes | None:
        """Return the salt of an entry, or None if it is not at hand."""
        for first_index, salts in reversed(self._runs):
            if first_index <= index < first_index + len(salts) // SALT_SIZE:
                offset = (index - first_index) * SALT_SIZE
                return salts[offset : offset + SALT_SIZE]
        return None
