"""`jurat rollout`: traffic that comes to a new version in steps, and goes back in one command."""

from __future__ import annotations

import click

from jurat.cli.session import Session
from jurat.cli.show import show, show_fields, show_json, show_table, when
from jurat.cli.verbs import noun


@noun("rollout")
def rollout() -> None:
    """Traffic in steps: start, watch, pause, resume, abort; and back to an earlier version at once."""


@rollout.verb("list", example="jurat rollout list")
@click.pass_obj
def list_rollouts(session: Session) -> None:
    """Show the newest rollout of each endpoint that you may see."""
    from jurat.app.look import look
    from jurat.domain.rows import Rollout

    token = session.token()
    with session.app() as app:
        found = look(app, token, Rollout)
    lines = [
        [r.endpoint, r.from_version, r.version, _share(r.share_bp, r.shadow), f"{r.step + 1} of {len(r.steps_bp)}", r.status] for r in found
    ]
    show(session, found, ["endpoint", "from", "to", "share", "step", "status"], lines, empty="no rollout was ever started")


@rollout.verb("show", example="jurat rollout show credit")
@click.argument("endpoint")
@click.pass_obj
def show_rollout(session: Session, endpoint: str) -> None:
    """Show how the rollout of an endpoint stands, and what the ledger says of its step so far."""
    from jurat.app.look import look_at
    from jurat.app.rollouts import measure_step
    from jurat.domain.gates import show_metric
    from jurat.domain.rows import Rollout

    token = session.token()
    with session.app() as app:
        found = look_at(app, token, Rollout, endpoint)
        with app.store.reading() as state:
            metrics = measure_step(app, state, found) if found.is_live else []
    if session.as_json:
        show_json({"rollout": found, "metrics": metrics})
        return
    show_fields(
        session,
        [
            ("endpoint", found.endpoint), ("from", found.from_version), ("to", found.version), ("status", found.status),
            ("share", _share(found.share_bp, found.shadow)),
            ("step", f"{found.step + 1} of {len(found.steps_bp)} since {when(found.step_since)}"),
            ("reason", found.reason),
        ],
    )  # fmt: skip
    click.echo()
    clauses = [[c.condition, c.verdict, c.found, c.reason] for c in found.clauses] or [[text, "", "", ""] for text in found.criteria]
    show_table(session, ["criterion", "verdict", "found", "why"], clauses, empty="")
    if metrics:
        click.echo()
        lines = [[m.name, show_metric(m), str(m.n), m.reason] for m in metrics]
        show_table(session, ["in this step", "found", "n", "why not"], lines, empty="")


@rollout.verb(
    "start",
    example="jurat rollout start credit credit@1.1.0 http://127.0.0.1:9001 --reason 'fairer'\n"
    "jurat rollout start credit credit@1.2.0 http://127.0.0.1:9002 --shadow --reason 'a look before it answers anybody'",
)
@click.argument("endpoint")
@click.argument("version")
@click.argument("upstream")
@click.option("--reason", required=True, help="Why.")
@click.option("--shadow", is_flag=True, help="Ask it beside the one that answers; nobody is given what it says.")
@click.pass_obj
def start(session: Session, endpoint: str, version: str, upstream: str, reason: str, shadow: bool) -> None:
    """Give a version an endpoint's traffic, in the steps that the gate file declares."""
    from jurat.domain.commands_rollout import StartRollout

    command = StartRollout(endpoint=endpoint, version=version, upstream=upstream, reason=reason, shadow=shadow)
    session.done(session.act(command))


def _steer(session: Session, endpoint: str, act: str, reason: str) -> None:
    from jurat.domain.commands_rollout import SteerRollout

    session.done(session.act(SteerRollout(endpoint=endpoint, act=act, reason=reason)))


@rollout.verb("pause", example="jurat rollout pause credit --reason 'a complaint is being looked at'")
@click.argument("endpoint")
@click.option("--reason", required=True, help="Why.")
@click.pass_obj
def pause(session: Session, endpoint: str, reason: str) -> None:
    """Let it stay at its step until it is resumed. A criterion that fails takes it back all the same."""
    _steer(session, endpoint, "pause", reason)


@rollout.verb("resume", example="jurat rollout resume credit --reason 'the complaint was about something else'")
@click.argument("endpoint")
@click.option("--reason", required=True, help="Why.")
@click.pass_obj
def resume(session: Session, endpoint: str, reason: str) -> None:
    """Let it go on; the time of its step begins anew."""
    _steer(session, endpoint, "resume", reason)


@rollout.verb("abort", example="jurat rollout abort credit --reason 'not this week'")
@click.argument("endpoint")
@click.option("--reason", required=True, help="Why.")
@click.pass_obj
def abort(session: Session, endpoint: str, reason: str) -> None:
    """End it: all traffic goes to the version that was there before."""
    _steer(session, endpoint, "abort", reason)


@rollout.verb("back", example="jurat rollout back credit credit@1.0.0 --reason 'wrong answers for the self-employed'")
@click.argument("endpoint")
@click.argument("version")
@click.option("--reason", required=True, help="Why.")
@click.pass_obj
def back(session: Session, endpoint: str, version: str, reason: str) -> None:
    """Let an endpoint serve a version again that it served before, at once, and say when the gateway did."""
    from jurat.app.rollouts import roll_back

    token = session.token()
    with session.app() as app:
        done, took_ms = roll_back(app, token, endpoint, version, reason)
    if session.as_json:
        show_json({"events": [event.id for event in done.events], "in_effect_after_ms": took_ms})
        return
    session.done(done)
    session.say(
        f"in effect at the gateway after {took_ms:.0f} ms" if took_ms is not None else "no gateway has said yet that it serves by it"
    )


def _share(share_bp: int, shadow: bool) -> str:
    return "shadow" if shadow else f"{share_bp / 100:g}%"
