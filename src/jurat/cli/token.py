"""`jurat token`: access tokens. One is shown once, or written to a file that only its owner reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jurat.cli.session import Session
from jurat.cli.show import show_fields, show_json, when
from jurat.cli.verbs import noun

if TYPE_CHECKING:
    from pathlib import Path

    from jurat.app.walk import Done


@noun("token")
def token() -> None:
    """Access tokens: issue, activate, revoke. Only a hash is ever kept."""


@token.verb("issue", example="jurat token issue 'Ada Lovelace' --for 8h --save ada\n\njurat --as ada model list")
@click.argument("principal")
@click.option("--for", "lifetime", default=None, metavar="DURATION", help="How long; by default `token_lifetime` of jurat.toml.")
@click.option("--on-behalf-of", default=None, help="The person whom an agent or a process acts for: id or name.")
@click.option("--save", default=None, metavar="NAME", help="Write it to credentials/NAME.token instead of showing it.")
@click.pass_obj
def issue(session: Session, principal: str, lifetime: str | None, on_behalf_of: str | None, save: str | None) -> None:
    """Issue a token for a principal. It is shown this once."""
    from jurat.app.walk import act
    from jurat.cli.people import resolve
    from jurat.core.units import parse_duration_s
    from jurat.domain.commands import IssueToken

    path = session.credential(save) if save else None
    caller = session.token()
    with session.app() as app:
        command = IssueToken(
            principal=resolve(app, caller, principal),
            lifetime_s=parse_duration_s(lifetime or app.settings.token_lifetime),
            on_behalf_of=resolve(app, caller, on_behalf_of) if on_behalf_of else None,
        )
        done = act(app, caller, command)
    _show_issued(session, done, path)
    if path is None and not session.as_json:
        session.say("this token is shown once; keep it where only you can read it")


@token.verb("activate", example="jurat token activate --as ada --save ada")
@click.option("--save", default=None, metavar="NAME", help="Write it to credentials/NAME.token instead of showing it.")
@click.pass_obj
def activate(session: Session, save: str | None) -> None:
    """Change the token that you were handed for one that nobody else has seen. The old one ends.

    Then read its id to somebody who had no hand in it, and let them say so: `jurat credential vouch`. Until then it approves nothing.
    """
    from jurat.app.credentials import activate as change

    path = session.credential(save) if save else None
    with session.app() as app:
        done = change(app, session.token())
    _show_issued(session, done, path)
    if not session.as_json:
        session.say("ask somebody who had no hand in it: `jurat credential vouch`; until then it approves nothing")


@token.verb("revoke", example="jurat token revoke tok_01k9… --principal 'Ada Lovelace' --reason 'laptop lost'")
@click.argument("token_id", metavar="TOKEN_ID")
@click.option("--principal", required=True, help="Whose token it is: id or name.")
@click.option("--reason", required=True)
@click.pass_obj
def revoke(session: Session, token_id: str, principal: str, reason: str) -> None:
    """End a token before its time."""
    from jurat.app.walk import act
    from jurat.cli.people import resolve
    from jurat.domain.commands import RevokeToken

    caller = session.token()
    with session.app() as app:
        done = act(app, caller, RevokeToken(token=token_id, principal=resolve(app, caller, principal), reason=reason))
    session.done(done)


def _show_issued(session: Session, done: Done, path: Path | None) -> None:
    """Show a token that was made just now: once, or the file that it was written to instead."""
    from jurat.core.files import write_secret
    from jurat.domain.facts import TokenIssued

    fact = done.events[0].data
    assert isinstance(fact, TokenIssued)
    shown = {"token_id": fact.token, "expires_at": fact.expires_at, "event": done.events[0].id}
    if path is not None:
        write_secret(path, done.reply["token"].encode() + b"\n")
        shown["file"] = str(path)
    else:
        shown["token"] = done.reply["token"]
    if session.as_json:
        show_json(shown)
    else:
        show_fields(session, [(name.replace("_", " "), when(value)) for name, value in shown.items()])
