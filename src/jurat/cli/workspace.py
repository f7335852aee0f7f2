"""`jurat init`, `serve`, `status`: a workspace begins, runs, and tells how it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jurat.cli.session import Session, flat
from jurat.cli.show import show_fields, show_json, show_table
from jurat.cli.verbs import verb
from jurat.core.workspace import Workspace

if TYPE_CHECKING:
    from jurat.app.clockwork import Clockwork


@verb("init", example="jurat init ./governance --operator 'Ada Lovelace'")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--operator", "name", default="operator", show_default=True, help="The first operator's name; kept in the vault only.")
@click.option(
    "--throwaway", is_flag=True, help="For demos and tests: approvals count by tokens that the operator made in other people's names."
)
@click.pass_obj
def init(session: Session, directory: Path, name: str, throwaway: bool) -> None:
    """Make a workspace: keys, settings, policies, gates, database, and its first operator. All of it, or nothing."""
    from jurat.app.bootstrap import init_workspace

    session.say("making keys, logs and a database; this takes a few seconds")
    made = init_workspace(directory, operator_name=name, throwaway=throwaway)
    token = made.workspace.credentials / "operator.token"
    if session.as_json:
        show_json({"workspace": str(made.workspace.root), "operator": made.operator, "token_file": str(token)})
        return
    show_fields(session, [("workspace", str(made.workspace.root)), ("operator", made.operator), ("token", f"{token} (0600)")])
    if throwaway:
        session.say("to be thrown away: approvals count by tokens that the operator made in other people's names")
    session.say(f"next: jurat serve -C {directory}")


@verb("serve", example="jurat serve -C ./governance")
@click.pass_obj
def serve(session: Session) -> None:
    """Run the database, the ledger, the API and the gateway until Ctrl-C or SIGTERM. Loopback unless told otherwise."""
    from jurat.app.tree import Tree
    from jurat.app.tree import serve as run_tree
    from jurat.core.settings import load_settings

    workspace = session.workspace
    settings = load_settings(workspace)

    def ready(tree: Tree) -> None:
        addresses = {name: f"http://{settings.bind}:{port}" for name, port in tree.ports.items()}
        if session.as_json:
            show_json({"workspace": str(workspace.root), **addresses})
        else:
            names = {"web": "API", "gateway": "inference gateway"}
            show_fields(session, [(names.get(name, name), url) for name, url in addresses.items()])
            if link := _first_link(workspace):
                session.say(f"nobody can sign in yet: make the first passkey at {link} (it works once, for 15 minutes)")
            session.say("serving; Ctrl-C stops it")

    run_tree(workspace, settings, on_ready=ready)


def _first_link(workspace: Workspace) -> str:
    """Return the address where the first operator makes the first passkey, as long as nobody has one."""
    from jurat.app.passkeys import first_link
    from jurat.app.wiring import attach_app

    token = workspace.credentials / "operator.token"
    if not token.is_file():
        return ""
    with attach_app(workspace, application="cli") as app:
        return first_link(app, token.read_text().strip())


@verb("status", example="jurat status --json")
@click.pass_obj
def status(session: Session) -> None:
    """Show what runs in the workspace, and how far each log is recorded and sealed."""
    from jurat.app.status import status_of
    from jurat.cli.show import when

    found = status_of(session.workspace)
    if session.as_json:
        show_json(found)
        return
    running = f"{found.mode}, process {found.pid}" if found.pid else "nothing"
    doors = [(name, str(port)) for name, port in found.ports.items()]
    ports = [(f"{name} port", port) for name, port in doors]
    fields = [
        ("workspace", found.workspace),
        ("running", running),
        *ports,
        ("retention", _clock(found.retention, "jurat retention run --apply")),
        ("comparison", _clock(found.comparing, "jurat rebuild --compare")),
    ]
    show_fields(session, fields)
    click.echo()
    lines = [[each.log, str(each.size), str(each.sealed), str(each.pruned or "")] for each in found.logs]
    show_table(session, ["log", "recorded", "sealed", "pruned below"], lines, empty="no log")
    for each in found.watched.silent if found.watched else ():
        click.echo(flat(f"silent: producer {each.producer} in {each.log}, nothing since {when(each.last_received_at)}"))
    for orphaned in found.intents.orphaned if found.intents else ():
        span = f"{when(orphaned.first_at)} to {when(orphaned.last_at)}"
        click.echo(flat(f"without an outcome: {orphaned.count} at {orphaned.about}, {span}, {orphaned.event}"))
    for way in found.deliveries.ways if found.deliveries else ():
        missing = f"; no address of {way.without_address}" if way.without_address else ""
        waits = f"{way.waiting} wait, since {when(way.oldest_at)}" if way.waiting else "nothing waits"
        click.echo(flat(f"notices by {way.way}: {waits}{missing}{f'; last failure: {way.said}' if way.said else ''}"))
    for producer, counts in found.refused.counts.items() if found.refused else ():
        reasons = ", ".join(f"{count} × {reason}" for reason, count in sorted(counts.items()))
        click.echo(flat(f"refused of producer {producer}: {reasons}"))


def _clock(clock: Clockwork, by_hand: str) -> str:
    from jurat.cli.show import when
    from jurat.core.clock import format_at

    if not clock.every_s:
        return f"runs by hand only: {by_hand}"
    ran = f"ran {when(format_at(clock.ran_ns))}: {clock.said}" if clock.ran_ns else "has not run yet"
    return f"{ran}; next {when(format_at(clock.next_ns))}" if clock.next_ns else f"{ran}; runs while jurat serves"
