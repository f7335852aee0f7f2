"""`jurat break-glass`, `jurat glass`: a role in an emergency, what was done with it, and the look at it afterwards."""

from __future__ import annotations

from pathlib import Path

import click

from jurat.cli.session import Session
from jurat.cli.show import brief, show, show_fields, show_json, show_table, when
from jurat.cli.verbs import noun, verb


@verb(
    "break-glass",
    example="jurat break-glass ml_engineer --on models/prod/ --reason 'wrong credit answers' --ticket INC-12\n\n"
    "jurat break-glass ml_engineer --on models/prod/ --reason 'the drill of May' --ticket DR-5 --drill -o drill.json",
)
@click.argument("role_name", metavar="ROLE")
@click.option("--on", "scope", required=True, metavar="RESOURCE", help="Where: one thing, or a branch such as `models/prod/`.")
@click.option("--reason", required=True, help="What is wrong.")
@click.option("--ticket", required=True, help="Where it is written down.")
@click.option("--for", "lifetime", default="", metavar="DURATION", help="How long.  [default: 1h; at most 4h]")
@click.option("--drill", "is_drill", is_flag=True, help="Walk the whole path, measure it, undo it; changes nothing else.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Of a drill: put the signed report there.")
@click.pass_obj
def break_glass(
    session: Session, role_name: str, scope: str, reason: str, ticket: str, lifetime: str, is_drill: bool, output: Path | None
) -> None:
    """Take a role in an emergency: at once, for an hour. Everybody who was skipped is told, and somebody else reviews it."""
    from jurat.app.look import known
    from jurat.app.walk import act
    from jurat.core.errors import Malformed
    from jurat.core.units import parse_duration_s
    from jurat.domain.commands_access import BreakGlass
    from jurat.domain.facts_access import GlassBroken

    if is_drill:
        if lifetime:
            raise Malformed("a drill lasts as long as its steps take", hint="leave `--for` out")
        _drill(session, role_name, scope, reason, ticket, output)
        return
    if output is not None:
        raise Malformed("`-o` is for drills", hint="the acts of a window: `jurat glass show`")
    token = session.token()
    with session.app() as app:
        me = known(app, token).principal
        lifetime_s = parse_duration_s(lifetime) if lifetime else 0.0
        done = act(app, token, BreakGlass(principal=me, role=role_name, scope=scope, reason=reason, ticket=ticket, lifetime_s=lifetime_s))
    fact = done.events[0].data
    assert isinstance(fact, GlassBroken)
    if session.as_json:
        answer = {"glass": fact.glass, "grant": fact.grant, "expires_at": fact.expires_at, "review_due": fact.review_due}
        show_json({**answer, "skipped": fact.skipped, "told": fact.told, "event": done.events[0].id})
        return
    show_fields(
        session,
        [
            ("window", fact.glass), ("until", when(fact.expires_at)),
            ("told", f"{len(fact.told)} people, {len(fact.skipped)} of them skipped"),
            ("review due", when(fact.review_due)), ("event", done.events[0].id),
        ],
    )  # fmt: skip
    session.say(f"every act of yours is tagged until then; when it is over: jurat glass close {fact.glass}")


def _drill(session: Session, role_name: str, scope: str, reason: str, ticket: str, output: Path | None) -> None:
    from jurat.app.emergency import drill
    from jurat.app.records import take_proof
    from jurat.core.files import write_whole

    token = session.token()
    with session.app() as app:
        report, event = drill(app, token, role=role_name, scope=scope, reason=reason, ticket=ticket)
        if output is not None:
            app.settle()
            write_whole(output, take_proof(app, token, event))
    if session.as_json:
        show_json({"report": report, "event": event, "file": str(output) if output else ""})
        return
    slowest = max(report.to_notify_s.values(), default=0.0)
    show_fields(
        session,
        [
            ("drill", report.glass), ("to access", f"{report.to_access_s * 1000:.0f} ms"),
            ("to notify", f"{slowest * 1000:.0f} ms, the slowest of {len(report.to_notify_s)}"),
            ("to revoke", f"{report.to_revoke_s * 1000:.0f} ms"), ("event", event), *([("report", str(output))] if output else []),
        ],
    )  # fmt: skip
    session.say(f"checked offline by: jurat verify {output}" if output else f"a signed report: jurat prove {event} -o drill.json")


@noun("glass")
def glass() -> None:
    """Break-glass windows: what was done in them, closing one, reviewing one."""


@glass.verb("list", example="jurat glass list")
@click.pass_obj
def list_windows(session: Session) -> None:
    """Show the windows that you opened, or may review."""
    from jurat.app.look import look
    from jurat.cli.people import People
    from jurat.domain.rows import Glass

    token = session.token()
    with session.app() as app:
        found = look(app, token, Glass)
        people = People(session, app, token)
    lines = [
        [
            g.glass + (" (drill)" if g.drill else ""), people.name(g.person), g.role, g.scope, when(g.opened_at),
            when(g.closed_at or g.expires_at), g.ticket, g.verdict or ("–" if g.drill else f"due {when(g.review_due)}"),
        ]
        for g in found
    ]  # fmt: skip
    show(session, found, ["window", "who", "role", "on", "from", "until", "ticket", "review"], lines, empty="no glass was broken")


@glass.verb("show", example="jurat glass show brk_01k9…")
@click.argument("window", metavar="WINDOW")
@click.pass_obj
def show_window(session: Session, window: str) -> None:
    """Show every recorded act in a window: exactly what a reviewer signs."""
    from jurat.app.emergency import window_with_acts
    from jurat.cli.people import People

    token = session.token()
    with session.app() as app:
        found = window_with_acts(app, token, window)
        people = People(session, app, token)
    if session.as_json:
        show_json(found)
        return
    g = found.glass
    show_fields(
        session,
        [
            ("window", g.glass), ("who", people.name(g.person)), ("role", f"{g.role} on {g.scope}"), ("ticket", g.ticket),
            ("reason", g.reason), ("from", when(g.opened_at)), ("until", when(g.closed_at or g.expires_at)),
            ("review", g.verdict or ("none, it was a drill" if g.drill else f"due {when(g.review_due)}")),
            ("shown", brief(found.shown_digest)),
        ],
    )  # fmt: skip
    lines = [[when(a.at), a.kind, a.resource, a.effect, people.name(a.principal), a.event] for a in found.acts]
    show_table(session, ["at", "what", "on", "effect", "by", "event"], lines, empty="nothing was done in it")
    if not g.verdict and not g.drill:
        session.say(f"to review exactly this: jurat glass review {g.glass} justified --shown {found.shown_digest} --comment …")


@glass.verb("close", example="jurat glass close brk_01k9…")
@click.argument("window", metavar="WINDOW")
@click.pass_obj
def close(session: Session, window: str) -> None:
    """End your own window before its time; its grant ends with it."""
    from jurat.domain.commands_access import CloseGlass

    session.done(session.act(CloseGlass(glass=window)))


@glass.verb(
    "review", example="jurat glass review brk_01k9… justified --shown sha256:3f9a… --comment 'read all five acts; INC-12 is closed'"
)
@click.argument("window", metavar="WINDOW")
@click.argument("verdict", type=click.Choice(["justified", "unjustified"]))
@click.option("--shown", "shown_digest", required=True, help="The digest of the acts you were shown: `jurat glass show` prints it.")
@click.option("--comment", required=True, help="What you looked at, and what follows.")
@click.pass_obj
def review(session: Session, window: str, verdict: str, shown_digest: str, comment: str) -> None:
    """Say whether what was done in somebody else's window was right. Until then they break no other glass."""
    from jurat.app.emergency import review_window

    token = session.token()
    with session.app() as app:
        done = review_window(app, token, window, shown_digest, verdict, comment)
    session.done(done)
