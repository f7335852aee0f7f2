"""`jurat gate`: what stands between two stages."""

from __future__ import annotations

from pathlib import Path

import click

from jurat.cli.session import Session, flat
from jurat.cli.show import brief, has_colour, paint, show_fields, show_json, show_table
from jurat.cli.verbs import noun


@noun("gate")
def gate() -> None:
    """Gates between stages: apply, check, show."""


@gate.verb("show", example="jurat gate show")
@click.pass_obj
def show_gates(session: Session) -> None:
    """Print the gate file that is in force."""
    from jurat.app.look import look_at
    from jurat.domain.rows import GatesInForce

    token = session.token()
    with session.app() as app:
        found = look_at(app, token, GatesInForce, "current")
    if session.as_json:
        show_json(found)
    else:
        session.say(f"in force: {brief(found.digest)}, since {found.as_of}")
        click.echo(flat(found.source.rstrip("\n"), keep="\n\t"))


@gate.verb("apply", example="jurat gate apply gates.yaml --reason 'bias bound lowered after the review of May'")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--reason", required=True, help="Why it changes.")
@click.pass_obj
def apply_gates(session: Session, file: Path, reason: str) -> None:
    """Put a gate file into force. One that cannot be read changes nothing."""
    from jurat.cli.files import read_text
    from jurat.domain.commands import ApplyGates

    session.done(session.act(ApplyGates(source=read_text(file), reason=reason)))


@gate.verb("check", example="jurat gate check credit@1.1.0 staging")
@click.argument("version")
@click.argument("stage")
@click.pass_obj
def check(session: Session, version: str, stage: str) -> int:
    """Check a version against the gates before a stage. Exit 0 only if it passes; the verdict is recorded."""
    from jurat.domain.commands import CheckGate
    from jurat.domain.facts import GateChecked

    done = session.act(CheckGate(version=version, stage=stage))
    fact = done.events[0].data
    assert isinstance(fact, GateChecked)
    if session.as_json:
        show_json({"event": done.events[0].id, "verdict": fact.verdict, "clauses": fact.clauses})
    else:
        lines = [[c.verdict, c.gate, c.condition, c.found, c.reason] for c in fact.clauses]
        show_table(session, ["verdict", "gate", "condition", "found", "why"], lines, empty="no gate stands there")
        verdict = paint(fact.verdict) if has_colour() else fact.verdict
        show_fields(session, [("verdict", verdict), ("version", f"{version} {brief(fact.version_digest)}"), ("event", done.events[0].id)])
    return 0 if fact.verdict == "pass" else 4
