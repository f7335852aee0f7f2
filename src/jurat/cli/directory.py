"""`jurat directory`: identity providers that provision by SCIM, their groups, and which roles these give."""

from __future__ import annotations

from pathlib import Path

import click

from jurat.cli.session import Session, flat
from jurat.cli.show import brief, show, show_fields, show_json
from jurat.cli.verbs import noun


@noun("directory")
def directory() -> None:
    """Identity providers that provision by SCIM: their groups, and the roles that these give."""


@directory.verb("apply", example="jurat directory apply group-roles.yaml --reason 'the credit team works in staging too'")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--reason", required=True, help="Why it changes, or why it is renewed.")
@click.pass_obj
def apply_group_roles(session: Session, file: Path, reason: str) -> None:
    """Put a table from groups to roles into force: `lifetime: 180d`, then `groups:` with roles by group name. Applied again, it renews."""
    from jurat.cli.files import read_text
    from jurat.domain.commands_people import ApplyGroupRoles
    from jurat.domain.facts import RoleGranted, RoleRevoked

    done = session.act(ApplyGroupRoles(source=read_text(file), reason=reason))
    granted = sum(isinstance(event.data, RoleGranted) for event in done.events)
    revoked = sum(isinstance(event.data, RoleRevoked) for event in done.events)
    if session.as_json:
        show_json({"event": done.events[0].id, "granted": granted, "revoked": revoked})
    else:
        show_fields(session, [("event", done.events[0].id), ("granted", str(granted)), ("revoked", str(revoked))])


@directory.verb("show", example="jurat directory show")
@click.pass_obj
def show_group_roles(session: Session) -> None:
    """Print the table that is in force."""
    from jurat.app.look import look_at
    from jurat.domain.rows import GroupRolesInForce

    token = session.token()
    with session.app() as app:
        found = look_at(app, token, GroupRolesInForce, "current")
    if session.as_json:
        show_json(found)
    else:
        session.say(f"in force: {brief(found.digest)}, since {found.as_of}")
        click.echo(flat(found.source.rstrip("\n"), keep="\n\t"))


@directory.verb("groups", example="jurat directory groups")
@click.pass_obj
def list_groups(session: Session) -> None:
    """Show the groups that directories defined, with how many people and groups are in each."""
    from jurat.app.look import look
    from jurat.cli.people import People
    from jurat.domain.rows import Group

    token = session.token()
    with session.app() as app:
        found = look(app, token, Group)
        people = People(session, app, token)
    lines = [[row.group, row.name, people.name(row.directory), str(len(row.people)), str(len(row.groups))] for row in found]
    show(session, found, ["group", "name", "directory", "people", "groups"], lines, empty="no directory defined a group yet")
