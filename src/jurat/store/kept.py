"""Rows that this process has read, for as long as no event changes their table. Pure memory; whose the rows are is not its business.

The head row, which every act locks and every picture reads, names for each table the last event that changed it (`changed`).
Same event, same table: what was read then is what would be read now, in whatever transaction. So what a walk asks each time
(grants, policies, principals) is fetched once after it changed, and not once an act.
"""

from __future__ import annotations

from typing import Any, Final

_MOST_ROWS: Final = 50_000
_LONGEST_ANSWER: Final = 10_000  # rows
NOTHING: Final = object()


class KeptRows:
    """What one store has read. Thread-safe: entries are put and taken whole, and a lost one is read again."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str | bytes], tuple[int, Any]] = {}
        self._size = 0

    def get(self, table: str, question: str | bytes, changed: int) -> Any:
        """Return what was read when `changed` was the table's last change, or `NOTHING`."""
        found = self._rows.get((table, question))
        return found[1] if found is not None and found[0] == changed else NOTHING

    def put(self, table: str, question: str | bytes, changed: int, answer: Any) -> None:
        """Keep an answer: a row, None, or a list of rows that nobody changes."""
        size = len(answer) if isinstance(answer, list) else 1
        if size > _LONGEST_ANSWER:
            return
        if self._size + size > _MOST_ROWS:
            self.clear()
        self._rows[table, question] = (changed, answer)
        self._size += size + 1  # replaced ones are counted again: the bound holds, and is reached sooner

    def clear(self) -> None:
        """Forget everything."""
        self._rows, self._size = {}, 0
