"""`jurat session`: who is signed in, and ending it."""

from __future__ import annotations

import click

from jurat.cli.session import Session
from jurat.cli.show import show, when
from jurat.cli.verbs import noun


@noun("session")
def session() -> None:
    """Sessions: who is signed in, how, until when; ending one ends everything that lives by it."""


@session.verb("list", example="jurat session list\n\njurat session list --principal 'Ada Lovelace'")
@click.option("--principal", default="", help="Whose: id or name.")
@click.pass_obj
def list_sessions(session: Session, principal: str) -> None:
    """Show the sessions that live and that you may see: your own, or everybody's for an operator."""
    from jurat.app.look import names_of
    from jurat.app.sessions import live_sessions
    from jurat.cli.people import resolve

    token = session.token()
    with session.app() as app:
        found = live_sessions(app, token, resolve(app, token, principal) if principal else "")
        names = names_of(app, token)
    lines = [
        [r.session, names.get(r.principal, r.principal), r.method, when(r.opened_at), when(r.expires_at), "yes" if r.jkt else "no"]
        for r in found
    ]
    show(session, found, ["session", "principal", "proved by", "since", "until", "bound to a key"], lines, empty="nobody is signed in")


@session.verb("revoke", example="jurat session revoke ses_01k9… --reason 'laptop lost'")
@click.argument("session_id", metavar="SESSION")
@click.option("--reason", required=True)
@click.pass_obj
def revoke(session: Session, session_id: str, reason: str) -> None:
    """End a session at once: its tokens open nothing any more, and open connections are closed within a moment."""
    from jurat.domain.commands_identity import EndSession

    session.done(session.act(EndSession(session=session_id, reason=reason)))
