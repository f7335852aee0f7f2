"""`jurat retention`, `jurat hold`: how long events are kept, and what is kept whatever that says."""

from __future__ import annotations

from pathlib import Path

import click

from jurat.cli.session import Session, flat
from jurat.cli.show import brief, show, show_fields, show_json, show_table
from jurat.cli.verbs import noun


@noun("retention")
def retention() -> None:
    """How long events are kept: the table in force, and what is due by it."""


@retention.verb("show", example="jurat retention show\n\njurat retention show --source > retention.yaml")
@click.option("--source", is_flag=True, help="Print the file itself, to edit it.")
@click.pass_obj
def show_retention(session: Session, source: bool) -> None:
    """Show the table in force: the organisation's periods, and the legal floors that raise them."""
    from jurat.app.keeping import retention_in_force
    from jurat.core.periods import format_period

    token = session.token()
    with session.app() as app:
        found = retention_in_force(app, token)
    if source:
        click.echo(flat(found.source.rstrip("\n"), keep="\n"))
        return
    table = found.table
    if session.as_json:
        show_json({"digest": table.digest, "as_of": found.as_of, "source": found.source})
        return
    session.say(f"in force: {brief(table.digest)}, " + (f"since {found.as_of}" if found.as_of else "as shipped; none was applied yet"))
    lines = [["every system", name, format_period(period), "received", "our own"] for name, period in table.classes.items()]
    lines += [[f"{rule.tier} risk", rule.retention, format_period(rule.period), "received", "our own"] for rule in table.rules]
    lines += [
        [f"{floor.tier} risk, {floor.jurisdiction}", name, f"at least {format_period(floor.period)}", floor.starts, floor.source]
        for floor in table.floors
        for name in floor.classes
    ]
    show_table(session, ["of", "class", "kept", "from", "by"], lines, empty="")


@retention.verb("apply", example="jurat retention apply retention.yaml --reason 'predictions are kept for a year'")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--reason", required=True, help="Why it changes.")
@click.pass_obj
def apply_retention(session: Session, file: Path, reason: str) -> None:
    """Put a retention table into force. One under a legal floor, or shorter than what holds, changes nothing."""
    from jurat.cli.files import read_text
    from jurat.domain.commands_keeping import ApplyRetention

    session.done(session.act(ApplyRetention(source=read_text(file), reason=reason)))


@retention.verb("run", example="jurat retention run\n\njurat retention run --apply")
@click.option("--apply", is_flag=True, help="Take it away. Without this the run only says what is due.")
@click.pass_obj
def run(session: Session, apply: bool) -> None:
    """Say what is due by the table in force, or take it away: a tombstone first, then the rows and their space."""
    from jurat.app.keeping import plan_expiry, run_expiry
    from jurat.domain.places import count

    token = session.token()
    with session.app() as app:
        if apply:
            done = run_expiry(app, token, say=lambda text: None if session.as_json else session.say(text))
            if session.as_json:
                show_json(done)
                return
            pairs = [("expired", str(done.count)), ("written anew", str(len(done.written))), ("deleted", str(len(done.removed)))]
            show_fields(session, [*pairs, *(("tombstone", each) for each in done.tombstones)])
            return
        plan = plan_expiry(app, token)
    if session.as_json:
        show_json(plan)
        return
    lines = [[kind, str(count(places))] for kind, places in plan.due.items()]
    show_table(session, ["kind", "due"], lines, empty="nothing is due")
    show_fields(session, [("due", str(plan.count)), ("held", str(plan.held)), ("kept by law", str(plan.kept))])
    if plan.due:
        session.say("to take it away: jurat retention run --apply")


@noun("hold")
def hold() -> None:
    """Legal holds: what neither expires nor is erased until a person says so."""


@hold.verb("list", example="jurat hold list")
@click.pass_obj
def list_holds(session: Session) -> None:
    """Show the holds that are live."""
    from jurat.app.look import look
    from jurat.domain.rows import Hold

    token = session.token()
    with session.app() as app:
        found = look(app, token, Hold)
    lines = [
        [
            h.hold,
            ", ".join(h.systems) or "every system",
            h.subject or "everybody",
            h.received_from or "ever",
            h.received_until or "ever",
            h.reason,
        ]
        for h in found
    ]
    show(session, found, ["hold", "systems", "subject", "from", "until", "reason"], lines, empty="no hold is live")


@hold.verb("place", example="jurat hold place --system credit-decisions --reason 'claim 7 of 2026' --basis 'GDPR Article 17(3)(e)'")
@click.option("--system", "systems", multiple=True, help="Events of this system; may be repeated.  [default: of every one]")
@click.option("--subject", default="", help="Events that name this principal (prn_…) or prediction (prd_…).")
@click.option("--from", "received_from", default="", metavar="TIME", help="Received at this time or later.")
@click.option("--until", "received_until", default="", metavar="TIME", help="Received at this time or earlier.")
@click.option("--reason", required=True, help="What it is for.")
@click.option("--basis", "legal_basis", required=True, help="By which law.")
@click.pass_obj
def place(
    session: Session, systems: tuple[str, ...], subject: str, received_from: str, received_until: str, reason: str, legal_basis: str
) -> None:
    """Hold what all given conditions meet. It beats every expiry and every erasure."""
    from jurat.domain.commands_keeping import PlaceHold
    from jurat.domain.facts_keeping import HoldPlaced

    done = session.act(
        PlaceHold(
            reason=reason, legal_basis=legal_basis, systems=list(systems), subject=subject, received_from=received_from,
            received_until=received_until,
        )
    )  # fmt: skip
    fact = done.events[0].data
    assert isinstance(fact, HoldPlaced)
    if session.as_json:
        show_json({"hold": fact.hold, "event": done.events[0].id})
    else:
        show_fields(session, [("hold", fact.hold), ("event", done.events[0].id)])


@hold.verb("release", example="jurat hold release hld_01k9… --reason 'the claim was settled'")
@click.argument("name", metavar="HOLD")
@click.option("--reason", required=True, help="Why it ends.")
@click.pass_obj
def release(session: Session, name: str, reason: str) -> None:
    """End a hold. What is due by then goes with the next run."""
    from jurat.domain.commands_keeping import ReleaseHold

    session.done(session.act(ReleaseHold(hold=name, reason=reason)))
