"""`jurat passkey`: signing in without a password. Passkeys are made in a browser; here people are invited, and passkeys taken away."""

from __future__ import annotations

import click

from jurat.cli.session import Session
from jurat.cli.show import show, show_fields, show_json, when
from jurat.cli.verbs import noun


@noun("passkey")
def passkey() -> None:
    """Passkeys: how people sign in. No passwords."""


@passkey.verb("invite", example="jurat passkey invite 'Ada Lovelace' --for 24h")
@click.argument("who", metavar="PERSON")
@click.option(
    "--for", "lifetime", default="1h", show_default=True, metavar="DURATION", help="How long the link works: `15min`, `24h`; at most 7d."
)
@click.pass_obj
def invite(session: Session, who: str, lifetime: str) -> None:
    """Hand out a link that works once: whoever opens it registers a passkey for that person. It is shown this once."""
    from jurat.app.passkeys import link_url
    from jurat.app.walk import act
    from jurat.cli.people import resolve
    from jurat.core.units import parse_duration_s
    from jurat.domain.commands_people import IssueLink

    token = session.token()
    with session.app() as app:
        done = act(app, token, IssueLink(principal=resolve(app, token, who), lifetime_s=parse_duration_s(lifetime)))
        url = link_url(app.workspace, app.settings, done.reply["link"])
    if session.as_json:
        show_json({"url": url, "link": done.reply["link_id"], "expires_at": done.reply["expires_at"], "event": done.events[0].id})
    else:
        show_fields(session, [("link", url), ("works until", when(done.reply["expires_at"])), ("event", done.events[0].id)])
        session.say("whoever opens it first becomes that person here: hand it over in person, or by a way that only they read")


@passkey.verb("list", example="jurat passkey list 'Ada Lovelace'")
@click.argument("who", metavar="PERSON")
@click.pass_obj
def list_passkeys(session: Session, who: str) -> None:
    """Show a person's passkeys, and when each was last used."""
    from jurat.app.passkeys import passkeys_of
    from jurat.cli.people import resolve

    token = session.token()
    with session.app() as app:
        found = passkeys_of(app, token, resolve(app, token, who))
    lines = [
        [each.passkey, each.label, "yes" if each.synced else "no", when(each.created_at), when(each.used_at) if each.used_at else "never"]
        for each in found
    ]
    show(session, found, ["passkey", "label", "on other devices too", "added", "last used"], lines, empty="no passkey")


@passkey.verb("remove", example="jurat passkey remove pky_01k9… --of 'Ada Lovelace' --reason 'phone lost'")
@click.argument("passkey_id", metavar="PASSKEY")
@click.option("--of", "who", required=True, help="Whose it is: id or name.")
@click.option("--reason", required=True)
@click.pass_obj
def remove(session: Session, passkey_id: str, who: str, reason: str) -> None:
    """Take a passkey away: nobody signs in with it any more. Sessions that it began go on: `jurat session revoke`."""
    from jurat.app.walk import act
    from jurat.cli.people import resolve
    from jurat.domain.commands_people import RemovePasskey

    token = session.token()
    with session.app() as app:
        session.done(act(app, token, RemovePasskey(principal=resolve(app, token, who), passkey=passkey_id, reason=reason)))
