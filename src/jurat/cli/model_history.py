"""`jurat model`, more verbs: what changed between two versions, one made again, references read, approvals given again, zombies."""

from __future__ import annotations

from pathlib import Path

import click

from jurat.cli.model import model
from jurat.cli.session import Session
from jurat.cli.show import show, show_json, show_table, when


@model.verb("diff", example="jurat model diff credit@1.0.0 credit@1.1.0")
@click.argument("before")
@click.argument("after")
@click.pass_obj
def diff(session: Session, before: str, after: str) -> None:
    """Show what changed between two versions: artefacts, lineage, hyperparameters, packages, evidence."""
    from jurat.app.versions import diff as compare

    token = session.token()
    with session.app() as app:
        found = compare(app, token, before, after)
    if session.as_json:
        show_json(found)
        return
    lines = [[c.about, c.name, c.before, c.after] for c in found.changes]
    show_table(
        session, ["about", "what", found.before, found.after], lines, empty=f"{found.before} and {found.after} say the same of themselves"
    )
    session.say(f"the same bytes: {', '.join(found.same) or 'none'}")


@model.verb("reproduce", example="jurat model reproduce credit@1.1.0 -o reproduce.sh")
@click.argument("version")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the script to a file.")
@click.pass_obj
def reproduce(session: Session, version: str, output: Path | None) -> None:
    """Print a script that makes a version again from its exact inputs, and says whether the weights are the same bytes."""
    from jurat.app.versions import reproduce as recipe_of
    from jurat.core.files import write_whole

    token = session.token()
    with session.app() as app:
        found = recipe_of(app, token, version)
    for each in found.unknown:
        session.say(f"unknown: {each}")
    if output is not None:
        write_whole(output, found.script.encode())
    if session.as_json:
        show_json(found)
    elif output is None:
        click.echo(found.script, nl=False)


@model.verb("verify", example="jurat model verify credit@1.1.0\njurat model verify credit@1.1.0 --keep")
@click.argument("version")
@click.option("--keep", is_flag=True, help="Keep the bytes in the workspace too, so that they can be measured.")
@click.pass_obj
def verify(session: Session, version: str, keep: bool) -> None:
    """Read the artefacts of a version that lie elsewhere, and record that they are what was registered. Until then no gate passes."""
    from jurat.app.references import verify_references

    token = session.token()
    with session.app() as app:
        done = verify_references(app, token, version, keep=keep)
    session.done(done)


@model.verb("reaffirm", example="jurat model reaffirm credit@1.1.0 --request req_01k9…")
@click.argument("version")
@click.option("--request", required=True, help="The request for `production` in which people approved it, having been shown the change.")
@click.pass_obj
def reaffirm(session: Session, version: str, request: str) -> None:
    """Let a version's approvals count again after a change upstream: what was held is free."""
    from jurat.domain.commands_lineage import Reaffirm

    session.done(session.act(Reaffirm(version=version, request=request)))


@model.verb("zombies", example="jurat model zombies --days 90")
@click.option("--days", default=90, show_default=True, help="For how long nobody used it, or looked at it.")
@click.pass_obj
def zombies(session: Session, days: int) -> None:
    """Show what is in production and was unused, or not reviewed, for so many days."""
    from jurat.app.zombies import zombies as report_on
    from jurat.cli.people import People

    token = session.token()
    with session.app() as app:
        found = report_on(app, token, days)
        people = People(session, app, token)
    lines = [
        [
            z.version,
            " and ".join(z.reasons),
            when(z.last_used) if z.last_used else "never",
            when(z.last_reviewed),
            people.name(z.owner),
            ", ".join(z.endpoints),
        ]
        for z in found.zombies
    ]
    show(
        session, found, ["version", "why", "last used", "last reviewed", "owner", "endpoints"], lines,
        empty=f"each of {found.looked_at} versions in production was used and reviewed within {days} days",
    )  # fmt: skip
