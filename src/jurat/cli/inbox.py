"""`jurat inbox`: what you were told: glass that was broken past you, reviews that wait for you, rules that were loosened."""

from __future__ import annotations

import click

from jurat.cli.session import Session
from jurat.cli.show import show, when
from jurat.cli.verbs import noun


@noun("inbox")
def inbox() -> None:
    """What you were told, and have not taken note of yet."""


@inbox.verb("list", example="jurat inbox list")
@click.pass_obj
def list_notices(session: Session) -> None:
    """Show your own notices, oldest first."""
    from jurat.app.look import known, look
    from jurat.cli.people import People
    from jurat.domain.rows import Notice

    token = session.token()
    with session.app() as app:
        found = look(app, token, Notice, {"to": known(app, token).principal})
        people = People(session, app, token)
    lines = [[n.notice, when(n.at), n.subject, n.about, people.put_names(n.text)] for n in found]
    show(session, found, ["notice", "at", "subject", "about", "what"], lines, empty="nothing waits for you")


@inbox.verb("read", example="jurat inbox read ntc_01k9…")
@click.argument("notice", metavar="NOTICE")
@click.pass_obj
def read(session: Session, notice: str) -> None:
    """Take note of a notice: that is recorded, and it leaves your inbox."""
    from jurat.domain.commands_access import SeeNotice

    session.done(session.act(SeeNotice(notice=notice)))
