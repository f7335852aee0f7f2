"""`jurat principal`: people, services, agents and processes."""

from __future__ import annotations

import click

from jurat.cli.session import Session
from jurat.cli.show import show, show_fields, show_json
from jurat.cli.verbs import noun


@noun("principal")
def principal() -> None:
    """People, services, agents and processes: whoever can act."""


@principal.verb("list", example="jurat principal list")
@click.pass_obj
def list_principals(session: Session) -> None:
    """Show whom you may see, with names from the vault."""
    from jurat.app.look import look, names_of
    from jurat.domain.rows import Principal

    token = session.token()
    with session.app() as app:
        found = look(app, token, Principal)
        names = names_of(app, token)
    owners = {r.principal: names.get(r.owner, r.owner) if r.owner else "" for r in found}
    lines = [
        [r.principal, names.get(r.principal, ""), r.type.value, owners[r.principal], "active" if r.active else "suspended"] for r in found
    ]
    show(session, found, ["principal", "name", "type", "answered for by", "state"], lines, empty="nobody is known here yet")


@principal.verb(
    "register",
    example="jurat principal register 'Ada Lovelace' --email ada@example.org\n\n"
    "jurat principal register scorer --type service --owner prn_01k9…",
)
@click.argument("name")
@click.option("--type", "kind", default="person", type=click.Choice(["person", "service", "agent", "process"]), show_default=True)
@click.option("--email", default="", help="Of a person; kept in the vault, never in the ledger.")
@click.option("--owner", default=None, help="The person who answers for a service, agent or process: id or name.")
@click.pass_obj
def register(session: Session, name: str, kind: str, email: str, owner: str | None) -> None:
    """Make someone or something known. A person's name and address go to the vault, never into the ledger."""
    from jurat.app.walk import act
    from jurat.cli.people import resolve
    from jurat.domain.commands import RegisterPrincipal
    from jurat.domain.values import PrincipalType

    token = session.token()
    with session.app() as app:
        owner_id = resolve(app, token, owner) if owner else None
        done = act(app, token, RegisterPrincipal(type=PrincipalType(kind), name=name, email=email, owner=owner_id))
    if session.as_json:
        show_json({**done.reply, "event": done.events[0].id})
    else:
        show_fields(session, [("principal", done.reply["principal"]), ("event", done.events[0].id)])
