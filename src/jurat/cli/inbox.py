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


@inbox.verb("deliveries", example="jurat inbox deliveries\njurat --json inbox deliveries --all")
@click.option("--all", "everybody", is_flag=True, help="Those of others, too, whose inbox you may read.")
@click.pass_obj
def deliveries(session: Session, everybody: bool) -> None:
    """Show how your unseen notices were sent on (`webhooks`, `mail_server` in `jurat.toml`), and which still wait.

    What became of notices that were seen meanwhile is in the ledger, as `delivery.ended.v1`. Whoever has no address gets no mail,
    and nothing waits for them: `jurat status` counts such notices.
    """
    from jurat.app.delivery import deliveries_seen

    token = session.token()
    with session.app() as app:
        found = deliveries_seen(app, token, everybody=everybody)
    lines = [[each.notice, each.way, each.state, str(each.tries), when(each.at) if each.at else "", each.why] for each in found]
    show(session, found, ["notice", "by", "state", "tries", "at, or again at", "why"], lines, empty="nothing was sent on")
