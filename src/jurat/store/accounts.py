"""The vault's part for directories: what an identity provider said of a person. Erasable; nothing here is history."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import psycopg

from jurat.core.jsonio import dump_json


class Account(NamedTuple):
    """What a directory says of one person."""

    principal: str
    directory: str
    user_name: str
    external_id: str
    document: dict[str, Any]
    created_at: datetime
    changed_at: datetime


_COLUMNS = "principal, directory, user_name, external_id, document::text, created_at, changed_at"


class Accounts:
    """The accounts, inside one transaction."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def put(
        self,
        principal: str,
        directory: str,
        *,
        user_name: str,
        emails: Sequence[str],
        external_id: str,
        document: dict[str, Any],
        at: datetime,
    ) -> None:
        """Keep what a directory says, in place of what it said before. Whose the names are was asked before: `holder_of`."""
        self._connection.execute(
            "INSERT INTO vault.account (principal, directory, user_name, keys, external_id, document, created_at, changed_at) "
            "VALUES (%s, %s, %s, %s, %s, %s::jsonb, %s, %s) ON CONFLICT (principal) DO UPDATE SET directory = excluded.directory, "
            "user_name = excluded.user_name, keys = excluded.keys, external_id = excluded.external_id, document = excluded.document, "
            "changed_at = excluded.changed_at",
            [
                principal, directory, user_name, sorted({key(each) for each in (user_name, *emails)}), external_id,
                dump_json(document).decode(), at, at,
            ],
        )  # fmt: skip

    def touch(self, principal: str, at: datetime) -> None:
        """Note that something of the person changed that is not written here, such as whether they may act."""
        self._connection.execute("UPDATE vault.account SET changed_at = %s WHERE principal = %s", [at, principal])

    def get(self, principal: str) -> Account | None:
        """Return what is known of one person, or None."""
        row = self._connection.execute(f"SELECT {_COLUMNS} FROM vault.account WHERE principal = %s", [principal]).fetchone()
        return None if row is None else _account(row)

    def page(self, directory: str, *, offset: int = 0, limit: int | None = None, user_name: str = "") -> list[Account]:
        """Return a directory's accounts, ordered by principal; with `user_name` only that one, in whatever case."""
        found = self._connection.execute(
            f"SELECT {_COLUMNS} FROM vault.account WHERE directory = %s AND (%s = '' OR keys @> ARRAY[%s]) "
            "ORDER BY principal OFFSET %s LIMIT %s",
            [directory, user_name, key(user_name), offset, limit],
        )
        return [each for each in map(_account, found.fetchall()) if not user_name or key(each.user_name) == key(user_name)]

    def count(self, directory: str) -> int:
        """Return how many accounts a directory has."""
        row = self._connection.execute("SELECT count(*) FROM vault.account WHERE directory = %s", [directory]).fetchone()
        return int(row[0]) if row else 0

    def holder_of(self, name: str, *, but: str) -> str:
        """Return who else bears that name, as a user name or an address, in whatever case; empty if nobody does.

        One name, one person: who is called like somebody's address would be taken for them.
        """
        row = self._connection.execute(
            "SELECT principal FROM vault.account WHERE keys @> ARRAY[%s] AND principal <> %s UNION ALL "
            "SELECT principal FROM vault.person WHERE lower(email) = lower(%s) AND email <> '' AND principal <> %s LIMIT 1",
            [key(name), but, name, but],
        ).fetchone()
        return str(row[0]) if row else ""

    def forget(self, principal: str) -> None:
        """Take away what the directory said, and the person's address with it: both may be somebody else's tomorrow."""
        self._connection.execute("DELETE FROM vault.account WHERE principal = %s", [principal])
        self._connection.execute("UPDATE vault.person SET email = '' WHERE principal = %s", [principal])


def key(name: str) -> str:
    """Return the one form in which names are compared: composed, and without case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name.strip()).casefold())


def _account(row: tuple[Any, ...]) -> Account:
    principal, directory, user_name, external_id, document, created_at, changed_at = row
    read = msgspec.json.decode(document, type=dict[str, Any])
    return Account(principal, directory, user_name, external_id, read, created_at, changed_at)
