"""`jurat artefact`: the bytes that are kept by digest, and what of them nothing speaks of any more."""

from __future__ import annotations

import click

from jurat.cli.session import Session
from jurat.cli.show import show, show_json
from jurat.cli.verbs import noun


@noun("artefact")
def artefact() -> None:
    """Artefacts: kept by digest, here or in an object store; what is left over."""


def _options(function: click.decorators.FC) -> click.decorators.FC:
    for option in (
        click.option("--copies", is_flag=True, help="Also what is kept here of what lies in the object store."),
        click.option("--older-than", default="24h", show_default=True, help="Spare what was written later than that; 1h at least."),
    ):
        function = option(function)
    return function


@artefact.verb("orphans", example="jurat artefact orphans\njurat artefact orphans --older-than 7d --json")
@_options
@click.pass_obj
def orphans(session: Session, older_than: str, *, copies: bool) -> None:
    """Show bytes that no version, data set or asset speaks of: left by a registration that was killed or refused. Nothing goes."""
    from jurat.app.orphans import find_orphans
    from jurat.core.units import parse_duration_s

    token = session.token()
    with session.app() as app:
        found = find_orphans(app, token, older_than_s=parse_duration_s(older_than), copies=copies)
    lines = [
        [each.name, each.why, str(each.size_bytes), f"{each.age_s / 3600:.0f} h", "object store" if each.is_elsewhere else "workspace"]
        for each in found.found
    ]
    show(
        session, found, ["name", "why", "bytes", "age", "lies in"], lines,
        empty=f"something speaks of each of {found.looked_at} artefacts that are older than {older_than}",
    )  # fmt: skip
    if found.spared:
        session.say(f"{found.spared} more are younger than {older_than}, and may be about to be registered")


@artefact.verb("clean", example="jurat artefact clean\njurat artefact clean --older-than 7d --copies --json")
@_options
@click.pass_obj
def clean(session: Session, older_than: str, *, copies: bool) -> None:
    """Take such bytes away. It is recorded first which; what is registered stays, in whatever stage it is."""
    from jurat.app.orphans import clean_artefacts
    from jurat.core.units import parse_duration_s

    token = session.token()
    with session.app() as app:
        done = clean_artefacts(app, token, older_than_s=parse_duration_s(older_than), copies=copies)
    if session.as_json:
        show_json(done)
        return
    session.say(f"{done.removed} files removed, {done.freed_bytes} bytes" + (f", {done.kept} kept after all" if done.kept else ""))
    for event in done.events:
        click.echo(event)
