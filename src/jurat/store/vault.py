"""The erasable part: who a principal is, and the hashes of the tokens that were handed out.

What lies here is deleted when a person asks for it; no history depends on it. A secret itself is never stored.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
import psycopg

from jurat.core.errors import Malformed, NotFound
from jurat.core.jsonio import dump_json
from jurat.store.accounts import Accounts
from jurat.store.passkeys import Passkeys
from jurat.store.proofs import Proofs


class Person(NamedTuple):
    """A person behind a principal."""

    principal: str
    name: str
    email: str  # empty: not known


class KnownToken(NamedTuple):
    """What is known of an access token. Whether it holds now is for the reader to decide, at each use."""

    token_id: str
    principal: str
    chain: list[str]
    scope: str
    expires_at: datetime
    revoked_at: datetime | None
    session: str = ""  # with which it ends
    jkt: str = ""  # thumbprint of the key that must come with it
    audience: str = ""  # doors, separated by spaces; empty: every door
    hands: Sequence[str] = ()  # who else made it, or what it came of; empty: nobody else
    root: str = ""  # what it came of, that somebody may vouch for
    idle_s: float = 0.0  # how long it lives unused; 0: however long
    used_at: datetime | None = None  # as of a minute ago at most


class Made(NamedTuple):
    """A credential: whose it is, who else made it, and what somebody may vouch for, if it has come to that."""

    principal: str
    hands: Sequence[str]
    root: str
    expires_at: datetime | None = None  # of a token


_MADE: Final = (
    "SELECT principal, hands, passkey_id FROM vault.passkey WHERE passkey_id = %s",
    "SELECT principal, hands, identity_id FROM vault.identity WHERE identity_id = %s AND identity_id <> ''",
    "SELECT principal, hands, root, expires_at FROM vault.token WHERE token_id = %s AND session_id = '' AND revoked_at IS NULL",
)


class Vault:
    """The vault, inside one transaction."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self.accounts = Accounts(connection)
        self.passkeys = Passkeys(connection)
        self.proofs = Proofs(connection)

    def put_person(self, principal: str, *, name: str, email: str = "") -> None:
        """Keep who a principal is, in place of what was known before.

        Raises:
            Conflict: the address belongs to another principal.
        """
        self._connection.execute(
            "INSERT INTO vault.person (principal, name, email) VALUES (%s, %s, %s) "
            "ON CONFLICT (principal) DO UPDATE SET name = excluded.name, email = excluded.email",
            [principal, name, email],
        )

    def find_person(self, principal: str) -> Person | None:
        """Return who a principal is; None if nobody said so, or if it was erased."""
        row = self._connection.execute("SELECT principal, name, email FROM vault.person WHERE principal = %s", [principal]).fetchone()
        return None if row is None else Person(*row)

    def addresses_of(self, principals: Collection[str]) -> dict[str, str]:
        """Return where these people get mail, of those of whom it is known."""
        if not principals:
            return {}
        query = "SELECT principal, email FROM vault.person WHERE principal = ANY(%s) AND email <> ''"
        return dict(self._connection.execute(query, [sorted(principals)]).fetchall())

    def people(self) -> list[Person]:
        """Return everybody who is known, ordered by principal."""
        return [Person(*row) for row in self._connection.execute("SELECT principal, name, email FROM vault.person ORDER BY principal")]

    def erase_person(self, principal: str) -> bool:
        """Forget who a principal is, and by what they were recognised. Returns False if nobody knew who it was."""
        self.accounts.forget(principal)
        self.passkeys.forget(principal)
        self.proofs.forget(principal)
        return self._connection.execute("DELETE FROM vault.person WHERE principal = %s", [principal]).rowcount == 1

    def put_token(
        self,
        token_hash: bytes,
        *,
        token_id: str,
        principal: str,
        chain: Sequence[str],
        expires_at: datetime,
        scope: str = "*",
        session: str = "",
        jkt: str = "",
        audience: Sequence[str] = (),
        hands: Sequence[str] = (),
        root: str = "",
        idle_s: float = 0.0,
        used_at: datetime | None = None,
    ) -> None:
        """Keep the SHA-256 of a token that is about to be handed out.

        Raises:
            Conflict: it is there already.
            Malformed: `expires_at` has no zone.
        """
        if expires_at.tzinfo is None:
            raise Malformed("the expiry of a token has no time zone")
        self._connection.execute(
            "INSERT INTO vault.token (token_hash, token_id, principal, chain, scope, expires_at, session_id, jkt, audience, hands, root, "
            "idle_s, used_at) "
            "VALUES (%s, %s, %s, %s::jsonb, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                token_hash, token_id, principal, dump_json(list(chain)).decode(), scope, expires_at, session, jkt, " ".join(audience),
                list(hands), root, idle_s, used_at,
            ],
        )  # fmt: skip

    def find_token(self, token_hash: bytes) -> KnownToken | None:
        """Return the token with this hash, whether or not it still holds; None if there is none."""
        row = self._connection.execute(
            "SELECT token_id, principal, chain::text, scope, expires_at, revoked_at, session_id, jkt, audience, hands, root, idle_s, "
            "used_at FROM vault.token WHERE token_hash = %s",
            [token_hash],
        ).fetchone()
        if row is None:
            return None
        token_id, principal, chain, *rest = row
        return KnownToken(token_id, principal, msgspec.json.decode(chain, type=list[str]), *rest)

    def made(self, credential: str) -> Made | None:
        """Return whose a passkey, a linked account or a token is, and who else made it; None if it is not there, or was revoked."""
        for query in _MADE:
            row = self._connection.execute(query, [credential]).fetchone()
            if row is not None:
                return Made(*row)
        return None

    def made_for(self, principal: str, at: datetime) -> list[tuple[str, Made]]:
        """Return the credentials of a person that would still work, by id: passkeys, linked accounts, tokens of no session."""
        found = self._connection.execute(
            "SELECT passkey_id, principal, hands, passkey_id, NULL::timestamptz FROM vault.passkey WHERE principal = %(who)s "
            "UNION ALL SELECT identity_id, principal, hands, identity_id, NULL FROM vault.identity WHERE principal = %(who)s "
            "UNION ALL SELECT token_id, principal, hands, root, expires_at FROM vault.token WHERE principal = %(who)s AND session_id = '' "
            "AND expires_at > %(at)s AND (revoked_at IS NULL OR revoked_at > %(at)s) ORDER BY 1",
            {"who": principal, "at": at},
        )
        return [(str(name), Made(*rest)) for name, *rest in found.fetchall()]

    def touch_token(self, token_hash: bytes, at: datetime) -> None:
        """Note that a token which ends when it lies idle was used; one that has ended so stays ended."""
        self._connection.execute(
            "UPDATE vault.token SET used_at = %s WHERE token_hash = %s AND used_at < %s AND used_at + make_interval(secs => idle_s) > %s",
            [at, token_hash, at, at],
        )

    def revoke_token(self, token_id: str, principal: str, at: datetime | None = None) -> None:
        """End a principal's token, now or at a given moment; one that ended earlier stays as it is.

        Raises:
            NotFound: the principal has no such token.
        """
        done = self._connection.execute(
            "UPDATE vault.token SET revoked_at = least(revoked_at, coalesce(%s, now())) WHERE token_id = %s AND principal = %s",
            [at, token_id, principal],
        )
        if done.rowcount == 0:
            raise NotFound(f"there is no token `{token_id[:60]}` of `{principal[:60]}`")

    def live_tokens(self, principal: str, at: datetime) -> list[str]:
        """Return the ids of the tokens that would still work and have a principal in their chain: their own, and of what acts for them."""
        found = self._connection.execute(
            "SELECT token_id FROM vault.token WHERE (principal = %s OR chain @> %s::jsonb) AND expires_at > %s "
            "AND (revoked_at IS NULL OR revoked_at > %s) ORDER BY token_id",
            [principal, dump_json([principal]).decode(), at, at],
        )
        return [row[0] for row in found.fetchall()]

    def end_tokens(self, token_ids: Sequence[str], at: datetime) -> None:
        """End these tokens, whosever they are; what ended earlier stays as it is."""
        self._connection.execute(
            "UPDATE vault.token SET revoked_at = least(revoked_at, %s) WHERE token_id = ANY(%s)", [at, list(token_ids)]
        )

    def forget_tokens(self, before: datetime) -> int:
        """Delete the tokens that expired before a moment. Returns how many; the ledger still says that they were issued."""
        return self._connection.execute("DELETE FROM vault.token WHERE expires_at < %s", [before]).rowcount
