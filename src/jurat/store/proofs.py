"""The part of the vault that proves somebody until it is used or over: sessions, accounts at providers, invitations, sign-ins, proofs.

Whatever may be used once is taken away by the statement that finds it, so two workers cannot both have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import psycopg

from jurat.core.errors import Exhausted

MOST_LOGINS: Final = 10_000  # anybody can begin one
FORGET_EVERY: Final = 64  # proofs, after which those that are over are swept away


class KnownSession(NamedTuple):
    """A session, as its secret found it. `reused`: the secret had been exchanged for another before, so two have it."""

    session_id: str
    principal: str
    expires_at: datetime
    reused: bool


class KnownAccount(NamedTuple):
    """Whose an account at a provider is, or whom an invitation is for; and who else had a hand in that."""

    principal: str
    identity: str  # its id; empty: not linked yet, or from before there were ids
    hands: Sequence[str]


class Login(NamedTuple):
    """A sign-in that was sent to a provider."""

    provider: str
    nonce: str
    verifier: str
    redirect_uri: str
    invitation_hash: bytes | None
    browser_hash: bytes
    expires_at: datetime


class Proofs:
    """Inside one transaction, beside the rest of the vault."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    # ── sessions ────────────────────────────────────────────────────────────────────────────────────────────────

    def put_session(self, session_id: str, secret_hash: bytes, *, principal: str, expires_at: datetime) -> None:
        """Keep the hash of what renews a session's tokens."""
        self._connection.execute(
            "INSERT INTO vault.session (session_id, secret_hash, principal, expires_at) VALUES (%s, %s, %s, %s)",
            [session_id, secret_hash, principal, expires_at],
        )

    def find_session(self, secret_hash: bytes) -> KnownSession | None:
        """Return the session whose secret this is, or was until it was exchanged."""
        row = self._connection.execute(
            "SELECT session_id, principal, expires_at, secret_hash <> %s FROM vault.session WHERE secret_hash = %s OR previous_hash = %s",
            [secret_hash] * 3,
        ).fetchone()
        return None if row is None else KnownSession(*row)

    def rotate_session(self, session_id: str, secret_hash: bytes, fresh_hash: bytes) -> bool:
        """Put another secret in place of this one. Returns False if somebody else did already."""
        done = self._connection.execute(
            "UPDATE vault.session SET secret_hash = %s, previous_hash = %s WHERE session_id = %s AND secret_hash = %s",
            [fresh_hash, secret_hash, session_id, secret_hash],
        )
        return done.rowcount == 1

    def end_session(self, session_id: str, at: datetime) -> int:
        """Forget what renews a session, and end its tokens. Returns how many lived."""
        self._connection.execute("DELETE FROM vault.session WHERE session_id = %s", [session_id])
        return self._connection.execute(
            "UPDATE vault.token SET revoked_at = %s WHERE session_id = %s AND revoked_at IS NULL AND expires_at > %s", [at, session_id, at]
        ).rowcount

    # ── accounts at providers ───────────────────────────────────────────────────────────────────────────────────

    def link_identity(
        self, issuer: str, subject: str, *, principal: str, at: datetime, identity: str = "", hands: Sequence[str] = ()
    ) -> bool:
        """Let an issuer's word on one account be that person. Returns False if the account is linked already."""
        done = self._connection.execute(
            "INSERT INTO vault.identity (issuer, subject, principal, linked_at, identity_id, hands) VALUES (%s, %s, %s, %s, %s, %s) "
            "ON CONFLICT DO NOTHING",
            [issuer, subject, principal, at, identity, list(hands)],
        )
        return done.rowcount == 1

    def find_identity(self, issuer: str, subject: str) -> KnownAccount | None:
        """Return who that account is."""
        row = self._connection.execute(
            "SELECT principal, identity_id, hands FROM vault.identity WHERE issuer = %s AND subject = %s", [issuer, subject]
        ).fetchone()
        return None if row is None else KnownAccount(*row)

    def provisioned(self, directory: str, external_id: str) -> str | None:
        """Return whom a directory calls by that external id; None if nobody, or more than one."""
        found = self._connection.execute(
            "SELECT principal FROM vault.account WHERE directory = %s AND external_id = %s AND external_id <> '' LIMIT 2",
            [directory, external_id],
        ).fetchall()
        return str(found[0][0]) if len(found) == 1 else None

    def forget(self, principal: str) -> None:
        """Forget by which accounts a person was recognised, and what was handed out to link one."""
        for table in ("identity", "invitation"):
            self._connection.execute(f"DELETE FROM vault.{table} WHERE principal = %s", [principal])

    # ── used once ───────────────────────────────────────────────────────────────────────────────────────────────

    def put_invitation(self, secret_hash: bytes, *, principal: str, expires_at: datetime, hands: Sequence[str] = ()) -> None:
        """Keep the hash of an invitation."""
        self._connection.execute(
            "INSERT INTO vault.invitation (secret_hash, principal, expires_at, hands) VALUES (%s, %s, %s, %s)",
            [secret_hash, principal, expires_at, list(hands)],
        )

    def take_invitation(self, secret_hash: bytes, at: datetime) -> KnownAccount | None:
        """Return whom an invitation is for, and use it up; None if there is none, or its time is over."""
        row = self._connection.execute(
            "DELETE FROM vault.invitation WHERE secret_hash = %s RETURNING principal, expires_at, hands", [secret_hash]
        ).fetchone()
        return None if row is None or row[1] <= at else KnownAccount(row[0], "", row[2])

    def put_login(self, state_hash: bytes, login: Login) -> None:
        """Keep a sign-in until it comes back; those that never did are swept away.

        Raises:
            Exhausted: too many are under way.
        """
        self._connection.execute("DELETE FROM vault.login WHERE expires_at < now() - interval '1 hour'")
        waiting = self._connection.execute("SELECT count(*) FROM vault.login").fetchone()
        if waiting and waiting[0] >= MOST_LOGINS:
            raise Exhausted(f"{MOST_LOGINS} sign-ins are under way", retry_after_s=60, hint="try again in a minute")
        self._connection.execute(
            "INSERT INTO vault.login (state_hash, provider, nonce, verifier, redirect_uri, invitation_hash, browser_hash, expires_at) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [state_hash, *login],
        )

    def take_login(self, state_hash: bytes) -> Login | None:
        """Return a sign-in that comes back, and use it up; whether its time is over, the reader looks."""
        row = self._connection.execute(
            "DELETE FROM vault.login WHERE state_hash = %s "
            "RETURNING provider, nonce, verifier, redirect_uri, invitation_hash, browser_hash, expires_at",
            [state_hash],
        ).fetchone()
        return None if row is None else Login(*row)

    def see_proof(self, proof_hash: bytes, *, issued_at: datetime, expires_at: datetime) -> bool:
        """Remember a proof. Returns False if it was seen before, by any worker, or is older than our memory."""
        done = self._connection.execute(
            "INSERT INTO vault.seen_proof (proof_hash, expires_at) "
            "SELECT %s, %s WHERE %s >= date_trunc('second', pg_postmaster_start_time()) ON CONFLICT DO NOTHING",
            [proof_hash, expires_at, issued_at],
        )
        if proof_hash[0] % FORGET_EVERY == 0:
            self._connection.execute("DELETE FROM vault.seen_proof WHERE expires_at < now()")
        return done.rowcount == 1
