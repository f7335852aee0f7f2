"""`jurat login`, `logout`, `whoami`: a sign-in at an identity provider from a terminal, and what comes of it in `credentials/`."""

from __future__ import annotations

import time

import click

from jurat.cli.session import Session
from jurat.cli.show import show_fields, show_json
from jurat.cli.verbs import verb


@verb("login", example="jurat login corporate --save ada\n\njurat --as ada whoami")
@click.argument("provider")
@click.option("--save", default="", metavar="NAME", help="Sign in as credentials/NAME  [default: what `--as` says, or `me`]")
@click.option("--invitation", default="", metavar="jri_…", help="The first time: what an operator gave you.")
@click.pass_obj
def login(session: Session, provider: str, save: str, invitation: str) -> None:
    """Sign in at an identity provider: open the address that is shown, anywhere, and type the code. The token renews itself."""
    from jurat.app.login import begin_device, poll_device
    from jurat.core.errors import Unauthenticated

    name = save or session.as_name or "me"
    session.credential(name)
    with session.app() as app:
        device = begin_device(app, provider)
        session.say(f"open {device.url}\nand confirm the code {device.shown}")
        deadline, interval_s = time.monotonic() + device.ends_in_s, device.interval_s
        while True:
            done = poll_device(app, provider, device.code, invitation)
            if not isinstance(done, float):
                break
            interval_s += done
            if time.monotonic() + interval_s > deadline:
                raise Unauthenticated("nobody confirmed the code in time", hint="run it again", code="login_over")
            time.sleep(interval_s)
    session.keep_tokens(name, done.reply["token"], done.reply["refresh_token"])
    shown = {"signed_in_as": done.events[0].actor.principal, "session": done.reply["session"], "until": done.reply["session_expires_at"]}
    if session.as_json:
        show_json({**shown, "credential": name})
    else:
        show_fields(session, [(key.replace("_", " "), value) for key, value in shown.items()])
        session.say(f"act with `jurat --as {name} …`")


@verb("logout", example="jurat logout --as ada")
@click.pass_obj
def logout(session: Session) -> None:
    """Sign out: the session ends, and everything that lives by it; the files in credentials/ go."""
    from jurat.app.sessions import end_session, session_of

    token = session.token()
    with session.app() as app:
        done = end_session(app, token, session_of(app, token), "signed out")
    session.forget_tokens()
    session.done(done)


@verb("whoami", example="jurat whoami --as ada")
@click.pass_obj
def whoami(session: Session) -> None:
    """Show who acts: the principal, the chain behind it, and the roles that it holds now."""
    from jurat.app.look import known, names_of
    from jurat.app.sessions import roles_of

    token = session.token()
    with session.app() as app:
        caller = known(app, token)
        names, roles = names_of(app, token), roles_of(app, caller)
    name = names.get(caller.principal, "")
    if session.as_json:
        show_json({"principal": caller.principal, "name": name, "type": caller.type.value, "chain": caller.chain, "roles": roles})
        return
    chain = " → ".join(names.get(each, each) for each in caller.chain)
    held = ", ".join(roles) or "none"
    show_fields(session, [("principal", caller.principal), ("name", name), ("type", caller.type.value), ("chain", chain), ("roles", held)])
