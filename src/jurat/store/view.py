"""State as PostgreSQL holds it: rows of `view.*` read back as the domain's types, and changed by what `evolve` says.

Not trusted: whoever writes to `view.*` past jurat misleads readers until `rebuild --compare` names the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

import msgspec
import psycopg
from psycopg import sql

from jurat.core.errors import Tampered
from jurat.core.jsonio import dump_json
from jurat.domain.rows import ROWS, TABLE_OF, R, Row
from jurat.domain.state import Put
from jurat.store.kept import NOTHING, KeptRows

_GET: Final = {table: sql.SQL("SELECT row::text FROM {} WHERE key = %s").format(sql.Identifier("view", table)).as_bytes() for table in ROWS}
_FIND: Final = {
    table: sql.SQL("SELECT key, row::text FROM {} WHERE row @> %s::jsonb ORDER BY key").format(sql.Identifier("view", table)).as_bytes()
    for table in ROWS
}
_PUT: Final = {
    table: sql.SQL(
        "INSERT INTO {} (key, row, as_of) VALUES (%s, %s::jsonb, %s) "
        "ON CONFLICT (key) DO UPDATE SET row = excluded.row, as_of = excluded.as_of"
    )
    .format(sql.Identifier("view", table))
    .as_bytes()
    for table in ROWS
}
_DECODERS: Final = {row: msgspec.json.Decoder(row) for row in ROWS.values()}
_DELETE: Final = {table: sql.SQL("DELETE FROM {} WHERE key = %s").format(sql.Identifier("view", table)).as_bytes() for table in ROWS}


class ViewState:
    """The `State` of one transaction: what it reads is what that transaction sees. Of no use after its end.

    Args:
        changed: table → its last change, as this transaction sees it (`outbox.head`).
        kept: what was read in earlier transactions.
    """

    def __init__(self, connection: psycopg.Connection, changed: Mapping[str, int], kept: KeptRows) -> None:
        self._connection = connection
        self._changed, self._kept = changed, kept
        # INVARIANT: within one transaction nobody else's change is seen (acts hold the head row, pictures are snapshots),
        # so what was read once holds until this very transaction changes it.
        self._got: dict[tuple[str, str], Row | None] = {}
        self._found: dict[tuple[str, bytes], list[Row]] = {}
        self._touched: set[str] = set()  # tables that this transaction has changed: of them nothing is kept, nor taken

    def get(self, row: type[R], key: str) -> R | None:
        """Return the row under `key`, or None."""
        table = TABLE_OF[row]
        if (table, key) not in self._got:

            def read() -> R | None:
                found = self._connection.execute(_GET[table], [key]).fetchone()
                return None if found is None else _decode(row, table, key, found[0])

            self._got[table, key] = self._once(table, key, read)
        return cast("R | None", self._got[table, key])

    def find(self, row: type[R], **equals: str) -> list[R]:
        """Return the rows whose top-level text fields equal these, ordered by key."""
        table, asked = TABLE_OF[row], dump_json(equals)
        if unknown := set(equals) - set(row.__struct_fields__):
            raise AttributeError(f"{row.__name__} has no field {', '.join(sorted(unknown))}")
        if (table, asked) not in self._found:

            def read() -> list[R]:
                found = self._connection.execute(_FIND[table], [asked.decode()]).fetchall()
                return [_decode(row, table, key, text) for key, text in found]

            self._found[table, asked] = self._once(table, asked, read)
        return cast("list[R]", list(self._found[table, asked]))

    def touch(self, puts: Iterable[Put]) -> None:
        """Forget what these changes make untrue."""
        for table, key, _ in puts:
            self._touched.add(table)
            self._got.pop((table, key), None)
            for question in [each for each in self._found if each[0] == table]:
                del self._found[question]

    def _once(self, table: str, question: str | bytes, read: Callable[[], Any]) -> Any:
        """Return what was read of a table since it changed, in this transaction or before; else read it, and keep it."""
        if table in self._touched:
            return read()
        changed = self._changed.get(table, 0)
        answer = self._kept.get(table, question, changed)
        if answer is NOTHING:
            answer = read()
            self._kept.put(table, question, changed, answer)
        return answer


def apply_puts(connection: psycopg.Connection, puts: Iterable[Put]) -> None:
    """Make the changes. The database refuses each one whose event is not in the outbox of this transaction."""
    for table, key, row in puts:
        if row is None:
            connection.execute(_DELETE[table], [key])
        else:
            connection.execute(_PUT[table], [key, dump_json(row).decode(), row.as_of])


def _decode(row: type[R], table: str, key: str, text: str) -> R:
    try:
        return cast("R", _DECODERS[row].decode(text))
    except msgspec.DecodeError as error:
        raise Tampered(
            f"row `{key}` of `view.{table}` cannot be read: {str(error)[:1].lower()}{str(error)[1:]}",
            hint="no jurat wrote it: run `jurat rebuild --compare`, then find out who did",
            code="row_unreadable",
        ) from None
