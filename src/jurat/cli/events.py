"""`jurat events` and `jurat sql`: read the ledger. Whoever reads it leaves a record of what was asked."""

from __future__ import annotations

from typing import Any

import click

from jurat.cli.session import Session
from jurat.cli.show import show, show_json, show_table, when
from jurat.cli.verbs import verb


@verb("events", example="jurat events --kind act.denied.v1 --limit 10\n\njurat events --class inference --principal 'Ada Lovelace' --json")
@click.option("--kind", default=None, help="Of one kind, such as `version.promoted.v1`.")
@click.option("--class", "retention", default=None, help="Of one class: training, deployment, inference, access, configuration, error.")
@click.option("--principal", default=None, help="By this principal: id or name.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="At most so many, the newest.")
@click.pass_obj
def events(session: Session, kind: str | None, retention: str | None, principal: str | None, limit: int) -> None:
    """Show events, newest first, with their place in the log."""
    from jurat.app.records import Wanted, newest
    from jurat.cli.people import People, resolve

    token = session.token()
    with session.app() as app:
        who = resolve(app, token, principal) if principal else None
        found = newest(app, token, Wanted(kind=kind, retention=retention, principal=who, limit=limit))
        people = People(session, app, token)
    lines = [
        [when(e.at), e.kind, people.name(e.principal), e.resource, e.effect or "", f"{e.log}#{e.index}", e.event_id] for e in found.events
    ]
    titles = ["at", "kind", "by", "on", "policy", "position", "event"]
    show(session, found, titles, lines, empty="no event fits")


@verb("sql", example='jurat sql "SELECT kind, count(*) AS n FROM events GROUP BY kind ORDER BY n DESC"')
@click.argument("query")
@click.pass_obj
def sql(session: Session, query: str) -> None:
    """Ask the ledger in SQL: one SELECT over the relation `events`. It can read nothing else and change nothing."""
    from jurat.app.records import ask_sql

    token = session.token()
    with session.app() as app:
        answer = ask_sql(app, token, query)
    if session.as_json:
        show_json([dict(zip(answer.columns, map(_plain, row), strict=True)) for row in answer.rows])
    else:
        show_table(
            session, answer.columns, [["" if cell is None else str(cell) for cell in row] for row in answer.rows], empty="no row fits"
        )
    if answer.is_cut:
        session.say(f"only the first {len(answer.rows)} rows are shown: ask for fewer")


def _plain(cell: Any) -> Any:
    return cell if cell is None or isinstance(cell, str | int | float | bool) else str(cell)
