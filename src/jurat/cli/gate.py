"""`jurat gate`: what stands between two stages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jurat.cli.session import Session, flat
from jurat.cli.show import brief, has_colour, paint, show_fields, show_json, show_table
from jurat.cli.verbs import noun

if TYPE_CHECKING:
    from jurat.app.gate_check import Checked


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
    """Put a gate file into force. One that cannot be read changes nothing.

    A custom gate joins conditions (checks), asks policies in Python (policies), or says it in CEL (cel):

    \b
    - type: custom
      name: house-rule
      cel: "evidence.accuracy >= 0.85 && evidence.latency_p99 <= duration('100ms') && system.risk_tier != 'high'"

    CEL sees evidence.METRIC, system.risk_tier, .purpose and .environments, version.semver and .stage. Ratios have a point (1.0), counts and
    bytes have none, gaps have no sign. Each name must have a value, and what it says must hold for every protected attribute.
    """
    from jurat.cli.files import read_text
    from jurat.domain.commands import ApplyGates

    session.done(session.act(ApplyGates(source=read_text(file), reason=reason)))


@gate.verb(
    "check",
    example="""jurat gate check credit@1.1.0 staging
jurat gate check credit@1.1.0 production --junit gate.xml --sarif gate.sarif""",
)
@click.argument("version")
@click.argument("stage")
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write the verdict as JUnit XML.")
@click.option("--sarif", type=click.Path(path_type=Path), metavar="FILE", help="Write the verdict as SARIF 2.1.0.")
@click.option("--gate-file", default="gates.yaml", show_default=True, metavar="PATH", help="Where SARIF's results point to.")
@click.pass_obj
def check(session: Session, version: str, stage: str, junit: Path | None, sarif: Path | None, gate_file: str) -> int:
    """Check a version against the gates before a stage. Exit 0 only if it passes, 4 if not; the verdict is recorded.

    Policies written in Python that the gates name are asked first. Reports are written whether it passes or not.

    \b
    GitHub: - run: jurat gate check "$V" production --sarif gate.sarif   # then github/codeql-action/upload-sarif
    GitLab: gate: {script: [jurat gate check "$V" production --junit g.xml], artifacts: {when: always, reports: {junit: g.xml}}}
    """
    from jurat.app.gate_check import check_gate
    from jurat.app.gate_reports import to_junit, to_sarif
    from jurat.core.files import write_whole

    token = session.token()
    with session.app() as app:
        checked = check_gate(app, token, version, stage)
    if junit is not None:
        write_whole(junit, to_junit(checked))
    if sarif is not None:
        write_whole(sarif, to_sarif(checked, gates_uri=gate_file))
    _show(session, checked)
    return 0 if checked.verdict == "pass" else 4


@gate.verb("preview", example="jurat gate preview credit@1.1.0 production")
@click.argument("version")
@click.argument("stage")
@click.pass_obj
def preview(session: Session, version: str, stage: str) -> None:
    """Show what is still missing before a stage, how to get it, and who can. Records nothing and asks no policy."""
    from jurat.app.gate_check import preview_gate

    token = session.token()
    with session.app() as app:
        checked = preview_gate(app, token, version, stage)
    _show(session, checked, steps=True)


def _show(session: Session, checked: Checked, *, steps: bool = False) -> None:
    if session.as_json:
        show_json(checked)
        return
    lines = [
        [c.verdict if needed else f"{c.verdict} (optional)", c.gate, c.condition, c.found, c.reason]
        for c, needed in zip(checked.clauses, checked.required, strict=True)
    ]
    show_table(session, ["verdict", "gate", "condition", "found", "why"], lines, empty="no gate stands there")
    verdict = paint(checked.verdict) if has_colour() else checked.verdict
    show_fields(session, [("verdict", verdict), ("version", f"{checked.version} {brief(checked.version_digest)}"),
                          *([("event", checked.event)] if checked.event else [])])  # fmt: skip
    if steps:
        click.echo()
        todo = [[step.condition, step.why, step.do, ", ".join(step.who) or "whoever may"] for step in checked.missing]
        show_table(session, ["missing", "why", "next", "who"], todo, empty="nothing is missing")
    if checked.then:
        session.say(f"after the promotion: {checked.then}")
