"""State as PostgreSQL holds it: rows of `view.*` read back as the domain's types, and changed by what `evolve` says.

Not trusted: whoever writes to `view.*` past jurat misleads readers until `rebuild --compare` names the row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast

import msgspec
import psycopg
from psycopg import sql

from jurat.core.errors import Tampered
from jurat.core.jsonio import dump_json
from jurat.domain.rows import ROWS, TABLE_OF, R, Row
from jurat.domain.state import Put

_GET: Final = {table: sql.SQL("SELECT row::text FROM {} WHERE key = %s").format(sql.Identifier("view", table)) for table in ROWS}
_FIND: Final = {
    table: sql.SQL("SELECT key, row::text FROM {} WHERE row @> %s::jsonb ORDER BY key").format(sql.Identifier("view", table))
    for table in ROWS
}
_PUT: Final = {
    table: sql.SQL(
        "INSERT INTO {} (key, row, as_of) VALUES (%s, %s::jsonb, %s) "
        "ON CONFLICT (key) DO UPDATE SET row = excluded.row, as_of = excluded.as_of"
    ).format(sql.Identifier("view", table))
    for table in ROWS
}
_DECODERS: Final = {row: msgspec.json.Decoder(row) for row in ROWS.values()}
_DELETE: Final = {table: sql.SQL("DELETE FROM {} WHERE key = %s").format(sql.Identifier("view", table)) for table in ROWS}


class ViewState:
    """The `State` of one transaction: what it reads is what that transaction sees. Of no use after its end."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        # INVARIANT: within one transaction nobody else's change is seen (acts hold the head row, pictures are snapshots),
        # so what was read once holds until this very transaction changes it.
        self._got: dict[tuple[str, str], Row | None] = {}
        self._found: dict[tuple[str, bytes], list[Row]] = {}

    def get(self, row: type[R], key: str) -> R | None:
        """Return the row under `key`, or None."""
        table = TABLE_OF[row]
        if (table, key) not in self._got:
            found = self._connection.execute(_GET[table], [key]).fetchone()
            self._got[table, key] = None if found is None else _decode(row, table, key, found[0])
        return cast("R | None", self._got[table, key])

    def find(self, row: type[R], **equals: str) -> list[R]:
        """Return the rows whose top-level text fields equal these, ordered by key."""
        table, asked = TABLE_OF[row], dump_json(equals)
        if unknown := set(equals) - set(row.__struct_fields__):
            raise AttributeError(f"{row.__name__} has no field {', '.join(sorted(unknown))}")
        if (table, asked) not in self._found:
            found = self._connection.execute(_FIND[table], [asked.decode()]).fetchall()
            self._found[table, asked] = [_decode(row, table, key, text) for key, text in found]
        return cast("list[R]", list(self._found[table, asked]))

    def changed(self, puts: Iterable[Put]) -> None:
        """Forget what these changes make untrue."""
        for table, key, _ in puts:
            self._got.pop((table, key), None)
            for question in [each for each in self._found if each[0] == table]:
                del self._found[question]


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
