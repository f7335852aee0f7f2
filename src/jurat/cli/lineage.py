"""`jurat lineage`: what rests on what, and what happens when something upstream changes."""

from __future__ import annotations

import click

from jurat.cli.session import Session
from jurat.cli.show import show, show_json, show_table
from jurat.cli.verbs import noun


@noun("lineage")
def lineage() -> None:
    """Lineage: what rests on what; what happens when something upstream changes."""


def _options(function: click.decorators.FC) -> click.decorators.FC:
    for option in (
        click.option("--limit", default=10_000, show_default=True, help="Edges at most."),
        click.option("--depth", default=64, show_default=True, help="Edges away at most."),
        click.argument("node"),
    ):
        function = option(function)
    return function


@lineage.verb("downstream", example="jurat lineage downstream loans@v1\njurat lineage downstream package:scikit-learn==1.5.0 --depth 1")
@_options
@click.pass_obj
def downstream(session: Session, node: str, depth: int, limit: int) -> None:
    """Show what rests on a data set, a version, a package, a run …: everything that a change of it would touch."""
    _walk(session, node, depth, limit, up=False)


@lineage.verb("upstream", example="jurat lineage upstream credit@1.1.0\njurat lineage upstream endpoint:credit --json")
@_options
@click.pass_obj
def upstream(session: Session, node: str, depth: int, limit: int) -> None:
    """Show what something rests on: data, code, runs, packages, at any remove."""
    _walk(session, node, depth, limit, up=True)


@lineage.verb("rules", example="jurat lineage rules\njurat lineage rules --recalled hold --reason 'nothing is served by recalled data'")
@click.option("--recalled", type=click.Choice(["hold", "warn"]), help="When a data set is recalled.")
@click.option("--licence", type=click.Choice(["hold", "warn"]), help="When a licence changes.")
@click.option("--advisory", type=click.Choice(["hold", "warn"]), help="When a package has a known flaw.")
@click.option("--reason", default="", help="Why; asked for when rules are set.")
@click.pass_obj
def rules(session: Session, /, reason: str, **given: str | None) -> None:
    """Show, or set, what happens to versions in production when something upstream changes: held, or their owners warned."""
    from jurat.app.look import look
    from jurat.domain.commands_lineage import ApplyReopeningRules
    from jurat.domain.decide_upstream import CAUSES
    from jurat.domain.rows import ReopeningRules

    wanted = {cause: effect for cause, effect in given.items() if effect}
    if wanted:
        session.done(session.act(ApplyReopeningRules(rules=wanted, reason=reason)))
        return
    token = session.token()
    with session.app() as app:
        found = look(app, token, ReopeningRules)
    in_force = dict.fromkeys(CAUSES, "warn") | (found[0].rules if found else {})
    show(session, in_force, ["when", "in production"], [[cause, effect] for cause, effect in in_force.items()], empty="")


def _walk(session: Session, node: str, depth: int, limit: int, *, up: bool) -> None:
    from jurat.app.lineage import graph

    token = session.token()
    with session.app() as app:
        found = graph(app, token, node, up=up, depth=depth, limit=limit)
    if session.as_json:
        show_json(found)
        return
    lines = [[str(e.depth), e.source, e.relation, e.target, "claimed" if e.claimed else "recorded", e.event] for e in found.edges]
    show_table(
        session, ["away", "source", "relation", "target", "by", "event"], lines, empty=f"nothing lies {found.direction} of {found.start}"
    )
    if found.is_cut:
        session.say(f"there is more: raise --limit (now {limit}) or --depth (now {depth})")
