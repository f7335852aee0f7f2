"""The vault's part for signing in without a password: passkeys, one-time links, challenges. Hashes only, where it is a secret."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import psycopg


class Passkey(NamedTuple):
    """A passkey of a person. The private half never leaves their device."""

    credential_id: bytes
    passkey_id: str
    principal: str
    public_key: bytes
    sign_count: int
    label: str
    synced: bool
    created_at: datetime
    used_at: datetime | None
    hands: Sequence[str] = ()  # who else made it, or the link that made it


class Link(NamedTuple):
    """A one-time link. Whether it holds now is for the reader to decide."""

    link_id: str
    principal: str
    expires_at: datetime
    used_at: datetime | None
    hands: Sequence[str] = ()  # who handed it out, if not its person


_COLUMNS = "credential_id, passkey_id, principal, public_key, sign_count, label, synced, created_at, used_at, hands"


class Passkeys:
    """Passkeys, links and challenges, inside one transaction."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def put(self, found: Passkey) -> None:
        """Keep a new passkey.

        Raises:
            Conflict: it is there already.
        """
        self._connection.execute(
            f"INSERT INTO vault.passkey ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [*found[:-1], list(found.hands)],
        )

    def find(self, credential_id: bytes) -> Passkey | None:
        """Return the passkey with this credential id, or None."""
        row = self._connection.execute(f"SELECT {_COLUMNS} FROM vault.passkey WHERE credential_id = %s", [credential_id]).fetchone()
        return None if row is None else Passkey(*row)

    def holder_of(self, *, passkey_id: str = "", credential_id: bytes = b"") -> str:
        """Return whose passkey that is; empty if nobody's."""
        row = self._connection.execute(
            "SELECT principal FROM vault.passkey WHERE passkey_id = %s OR credential_id = %s", [passkey_id, credential_id]
        ).fetchone()
        return str(row[0]) if row else ""

    def of(self, principal: str) -> list[Passkey]:
        """Return a person's passkeys, the oldest first."""
        found = self._connection.execute(
            f"SELECT {_COLUMNS} FROM vault.passkey WHERE principal = %s ORDER BY created_at, passkey_id",
            [principal],
        )
        return [Passkey(*row) for row in found.fetchall()]

    def any(self) -> bool:
        """Whether anybody has a passkey."""
        return self._connection.execute("SELECT FROM vault.passkey LIMIT 1").fetchone() is not None

    def use(self, credential_id: bytes, *, sign_count: int, at: datetime) -> bool:
        """Note that a passkey was used; False if its counter did not go on, or if it is gone."""
        done = self._connection.execute(
            "UPDATE vault.passkey SET sign_count = %s, used_at = %s "
            "WHERE credential_id = %s AND (sign_count < %s OR (sign_count = 0 AND %s = 0))",
            [sign_count, at, credential_id, sign_count, sign_count],
        )
        return done.rowcount == 1

    def remove(self, passkey_id: str) -> None:
        """Take a passkey away."""
        self._connection.execute("DELETE FROM vault.passkey WHERE passkey_id = %s", [passkey_id])

    def put_link(self, link_hash: bytes, *, link_id: str, principal: str, expires_at: datetime, hands: Sequence[str] = ()) -> None:
        """Keep the SHA-256 of a link that is about to be handed out."""
        self._connection.execute(
            "INSERT INTO vault.link (link_hash, link_id, principal, expires_at, hands) VALUES (%s, %s, %s, %s, %s)",
            [link_hash, link_id, principal, expires_at, list(hands)],
        )

    def find_link(self, link_hash: bytes) -> Link | None:
        """Return the link with this hash, whether or not it still holds."""
        row = self._connection.execute(
            "SELECT link_id, principal, expires_at, used_at, hands FROM vault.link WHERE link_hash = %s", [link_hash]
        ).fetchone()
        return None if row is None else Link(*row)

    def use_link(self, link_hash: bytes, at: datetime) -> bool:
        """Use a link up; False if it was, or is not there."""
        done = self._connection.execute("UPDATE vault.link SET used_at = %s WHERE link_hash = %s AND used_at IS NULL", [at, link_hash])
        return done.rowcount == 1

    def put_challenge(self, challenge_hash: bytes, *, bound_to: bytes, expires_at: datetime) -> None:
        """Keep the hash of a challenge that is about to be shown; what has expired goes."""
        self._connection.execute("DELETE FROM vault.challenge WHERE expires_at < now()")
        self._connection.execute(
            "INSERT INTO vault.challenge (challenge_hash, bound_to, expires_at) VALUES (%s, %s, %s)", [challenge_hash, bound_to, expires_at]
        )

    def take_challenge(self, challenge_hash: bytes, *, bound_to: bytes, at: datetime) -> bool:
        """Use a challenge up; False if it is unknown, answered already, bound to something else, or too old."""
        row = self._connection.execute(
            "DELETE FROM vault.challenge WHERE challenge_hash = %s RETURNING bound_to, expires_at", [challenge_hash]
        ).fetchone()
        return row is not None and bytes(row[0]) == bound_to and at < row[1]

    def live(self, principal: str, at: datetime) -> dict[str, list[str]]:
        """Return the ids of a person's passkeys and of the links for them that still work; invitations have none, and say their end."""
        links = self._connection.execute(
            "SELECT link_id FROM vault.link WHERE principal = %s AND used_at IS NULL AND expires_at > %s ORDER BY link_id", [principal, at]
        ).fetchall()
        invited = self._connection.execute(
            "SELECT expires_at FROM vault.invitation WHERE principal = %s AND expires_at > %s ORDER BY expires_at", [principal, at]
        ).fetchall()
        return {
            "passkeys": [each.passkey_id for each in self.of(principal)],
            "links": [row[0] for row in links],
            "invitations": [f"until {row[0]:%Y-%m-%dT%H:%M:%SZ}" for row in invited],
        }

    def end_all(self, principal: str, at: datetime) -> None:
        """Take away all passkeys of a person, and all invitations, and use up all links for them."""
        self._connection.execute("DELETE FROM vault.invitation WHERE principal = %s", [principal])
        self._connection.execute("DELETE FROM vault.passkey WHERE principal = %s", [principal])
        self._connection.execute("UPDATE vault.link SET used_at = %s WHERE principal = %s AND used_at IS NULL", [at, principal])

    def forget(self, principal: str) -> None:
        """Take away everything by which a person was recognised."""
        self._connection.execute("DELETE FROM vault.passkey WHERE principal = %s", [principal])
        self._connection.execute("DELETE FROM vault.link WHERE principal = %s", [principal])
