"""`jurat retention`, `jurat hold`: how long events are kept, and what is kept whatever that says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jurat.cli.session import Session, flat
from jurat.cli.show import brief, show, show_fields, show_json, show_table, when
from jurat.cli.verbs import noun

if TYPE_CHECKING:
    from jurat.app.pruning import LogPruning


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


@retention.verb("request", example="jurat retention request retention.yaml --reason 'predictions are kept for 90 days only'")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--reason", required=True, help="Why something is to be kept for a shorter time.")
@click.pass_obj
def request_shortening(session: Session, file: Path, reason: str) -> None:
    """Ask that a table which keeps something for a shorter time comes into force. For events to come: what was promised stays."""
    from jurat.cli.files import read_text
    from jurat.core.settings import load_settings
    from jurat.core.units import parse_duration_s
    from jurat.domain.commands_keeping import RequestShortening
    from jurat.domain.facts_keeping import ShorteningRequested

    lifetime_s = parse_duration_s(load_settings(session.workspace).approval_lifetime)
    done = session.act(RequestShortening(source=read_text(file), reason=reason, lifetime_s=lifetime_s))
    fact = done.events[0].data
    assert isinstance(fact, ShorteningRequested)
    if session.as_json:
        show_json({"request": fact.request, "shown_digest": fact.shown_digest, "less": fact.less, "event": done.events[0].id})
        return
    show_fields(session, [("request", fact.request), ("shortens", fact.less), ("until", when(fact.expires_at))])
    session.say(f"a compliance officer looks with `jurat retention requests {fact.request}`, and approves")


@retention.verb("requests", example="jurat retention requests\n\njurat retention requests req_01k9…")
@click.argument("name", metavar="REQUEST", required=False)
@click.pass_obj
def requests(session: Session, name: str | None) -> None:
    """Show the requests to keep something for a shorter time; or exactly what an approver of one signs."""
    from jurat.app.look import look, look_at
    from jurat.domain.rows import Shortening

    token = session.token()
    with session.app() as app:
        found = look(app, token, Shortening) if name is None else [look_at(app, token, Shortening, name)]
    if name is None:
        lines = [[each.request, each.status, each.less, when(each.requested_at), each.reason] for each in found]
        show(session, found, ["request", "status", "shortens", "asked", "reason"], lines, empty="nobody has asked to shorten anything")
        return
    (only,) = found
    if session.as_json:
        show_json(only)
        return
    pairs = [("request", only.request), ("status", only.status), ("shortens", only.less), ("reason", only.reason)]
    show_fields(session, [*pairs, ("asked by", only.requested_by), ("table", brief(only.digest)), ("until", when(only.expires_at))])
    click.echo(flat(only.source.rstrip("\n"), keep="\n"))
    if only.status == "waiting_for_approval":
        session.say(f"to approve exactly this: jurat retention approve {only.request} --shown {only.shown_digest}")


@retention.verb("approve", example="jurat retention approve req_01k9… --shown sha256:3f9a… --comment 'compared with the register'")
@click.argument("name", metavar="REQUEST")
@click.option("--shown", "shown_digest", required=True, help="The digest of what you were shown by `jurat retention requests REQUEST`.")
@click.option("--comment", default="", help="What you looked at.")
@click.pass_obj
def approve(session: Session, name: str, shown_digest: str, comment: str) -> None:
    """Say yes, as a compliance officer. The table is in force with the same act, for events to come."""
    from jurat.domain.commands_keeping import ApproveShortening

    session.done(session.act(ApproveShortening(request=name, shown_digest=shown_digest, comment=comment)))


@retention.verb("reject", example="jurat retention reject req_01k9… --shown sha256:3f9a… --comment 'the works council has not agreed'")
@click.argument("name", metavar="REQUEST")
@click.option("--shown", "shown_digest", required=True, help="The digest of what you were shown.")
@click.option("--comment", required=True, help="Why not.")
@click.pass_obj
def reject(session: Session, name: str, shown_digest: str, comment: str) -> None:
    """Say no, with a reason."""
    from jurat.domain.commands_keeping import RejectShortening

    session.done(session.act(RejectShortening(request=name, shown_digest=shown_digest, comment=comment)))


@retention.verb("run", example="jurat retention run\n\njurat retention run --apply")
@click.option("--apply", is_flag=True, help="Take it away. Without this the run only says what is due.")
@click.pass_obj
def run(session: Session, apply: bool) -> None:
    """Say what is due by the table in force, or take it away: a tombstone first, then the rows, the logs' prefixes and the space."""
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
            pairs += [("freed", f"{done.freed_bytes} bytes"), *(("tombstone", each) for each in done.tombstones)]
            show_fields(session, [*pairs, *(("pruned", _pruned(each)) for each in done.pruned)])
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


def _pruned(log: LogPruning) -> str:
    from jurat.core.clock import format_at

    waits = f"; its space is freed by the first run after {when(format_at(log.free_at_ns))}" if log.free_at_ns and not log.problem else ""
    return f"{log.log} below index {log.minimum}" + waits + (f"; {log.problem}" if log.problem else "")


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
@click.option("--system", "systems", multiple=True, help="Events of this system.  [default: of every one]")
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
