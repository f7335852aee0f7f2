"""How rows are read. The store reads them from PostgreSQL, tests and rebuilds from memory; the law sees no difference."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from jurat.domain.rows import ROWS, TABLE_OF, R, Row


class State(Protocol):
    """A consistent picture of what holds now."""

    def get(self, row: type[R], key: str) -> R | None:
        """Return the row under `key`, or None."""
        ...

    def find(self, row: type[R], **equals: str) -> list[R]:
        """Return the rows whose top-level text fields equal these, ordered by key."""
        ...


class Put(NamedTuple):
    """One change of state: the row under a key from now on; None takes it away."""

    table: str
    key: str
    row: Row | None


class MemoryState:
    """A state in dictionaries: for tests, for previews, and for folding the ledger again."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Row]] = {table: {} for table in ROWS}

    def get(self, row: type[R], key: str) -> R | None:
        found = self.tables[TABLE_OF[row]].get(key)
        return found if isinstance(found, row) else None

    def find(self, row: type[R], **equals: str) -> list[R]:
        rows = sorted(self.tables[TABLE_OF[row]].items())
        return [r for _, r in rows if isinstance(r, row) and all(getattr(r, field) == value for field, value in equals.items())]

    def apply(self, puts: Iterable[Put]) -> None:
        """Make the changes."""
        for table, key, row in puts:
            if row is None:
                self.tables[table].pop(key, None)
            else:
                self.tables[table][key] = row
