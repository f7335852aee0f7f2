"""Sessions: opened on a proof, looked at, ended. Ending one ends its tokens in the same act.

Doors close what is open by them a moment later (`connections`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from jurat.app.keep_identity import hash_secret
from jurat.app.look import look
from jurat.app.walk import Done, act, act_as, act_by
from jurat.app.wiring import App
from jurat.core.clock import from_ns, parse_at, to_ns
from jurat.core.errors import Malformed, Unauthenticated
from jurat.core.units import parse_duration_s
from jurat.domain import rows
from jurat.domain.commands_identity import EndSession, OpenSession
from jurat.domain.events import Actor
from jurat.domain.roles import is_live
from jurat.store.store import Tx


def open_session(
    app: App, who: Callable[[Tx, int], Actor], method: str, *, form: str = "jwt", jkt: str = "",
    link: str = "", linked_by: str = "", issuer: str = "", subject: str = "",
) -> Done:  # fmt: skip
    """Open a session of whoever `who` proves inside the act, and return its first token: `reply["token"]`.

    Args:
        who: proves a person and uses the proof up, in the act's own transaction.
        method: how they were proved: `oidc:corporate`, `passkey`.
        form: `jwt`, with `reply["refresh_token"]` to renew it; or `opaque`, for a cookie that lives as long as the session.
        link: a provider whose account (`issuer`, `subject`) becomes that person's in the same act.
    """
    command = OpenSession(
        method=method, form=form, jkt=jkt, link=link, linked_by=linked_by, issuer=issuer, subject=subject,
        lifetime_s=parse_duration_s(app.settings.session_lifetime),
        token_lifetime_s=parse_duration_s(app.settings.token_lifetime),
        idle_s=app.settings.session_idle_s,
    )  # fmt: skip
    return act_by(app, who, command)


_TOUCH_S: Final = 60.0
_MOST_TOUCHED: Final = 10_000
_touched: dict[bytes, float] = {}  # by hash: when this process noted last that a cookie was used


def touch(app: App, token: str) -> None:
    """Note that a browser's session is used: once a minute, however often it asks."""
    now_s, token_hash = time.monotonic(), hash_secret(token)
    if now_s - _touched.get(token_hash, float("-inf")) < _TOUCH_S:
        return
    if len(_touched) >= _MOST_TOUCHED:
        _touched.clear()
    _touched[token_hash] = now_s
    with app.store.vaulting() as vault:
        vault.touch_token(token_hash, from_ns(app.clock.now_ns()))


def live_sessions(app: App, token: str, principal: str = "") -> list[rows.Session]:
    """Return the sessions that live now and the caller may see: their own, or everybody's for an operator."""
    found = look(app, token, rows.Session, {"principal": principal} if principal else None)
    now_ns = app.clock.now_ns()
    return [session for session in found if to_ns(parse_at(session.expires_at)) > now_ns]


def end_session(app: App, token: str, session: str, reason: str) -> Done:
    """End a session before its time."""
    return act(app, token, EndSession(session=session, reason=reason))


def give_back(app: App, secret: str) -> None:
    """End what a secret opens: a session by its refresh token, or an access token alone (RFC 7009). An unknown one is no error."""
    secret_hash = hash_secret(secret)
    with app.store.reading() as state:
        session = state.vault.proofs.find_session(secret_hash)
        row = state.get(rows.Session, session.session_id) if session else None
        known = state.vault.find_token(secret_hash)
        owner = state.get(rows.Principal, (row or known).principal) if row or known else None  # type: ignore[union-attr]
    if owner is None:
        return
    if row is not None:
        act_as(
            app, Actor(principal=owner.principal, type=owner.type, chain=row.chain), EndSession(session=row.session, reason="given back")
        )
    elif known is not None and known.revoked_at is None:
        if not known.session:
            raise Malformed(
                "a token of no session ends by itself, or by an operator", hint="`jurat token revoke`", code="unauthorized_client"
            )
        caller = Actor(principal=owner.principal, type=owner.type, chain=known.chain)
        act_as(app, caller, EndSession(session=known.session, reason="given back"))


def roles_of(app: App, caller: Actor) -> list[str]:
    """Return the roles that a caller holds now, each with the place where it does: `auditor`, `ml_engineer on models/dev/`."""
    now_ns = app.clock.now_ns()
    with app.store.reading() as state:
        found = [grant for grant in state.find(rows.Grant, principal=caller.principal) if is_live(grant, now_ns)]
    return sorted({grant.role if grant.scope == "*" else f"{grant.role} on {grant.scope}" for grant in found})


def session_of(app: App, token: str) -> str:
    """Return the session that a token belongs to.

    Raises:
        Unauthenticated: it belongs to none.
    """
    with app.store.reading() as state:
        known = state.vault.find_token(hash_secret(token))
    if known is None or not known.session:
        raise Unauthenticated("this token belongs to no session", hint="sign in: `jurat login`", code="no_session")
    return known.session
