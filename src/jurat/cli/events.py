"""`jurat events` and `jurat sql`: read the ledger. Whoever reads it leaves a record of what was asked."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click

from jurat.cli.session import Session, flat
from jurat.cli.show import show, show_json, show_table, when
from jurat.cli.verbs import verb
from jurat.core.errors import Malformed, Unavailable

if TYPE_CHECKING:
    from jurat.app.follow import Shown

_LOOK_EVERY_S: Final = 0.5


@verb(
    "events",
    example="""jurat events --kind act.denied.v1 --limit 10

jurat events --class inference --principal 'Ada Lovelace' --json

jurat events --where 'class=inference and confidence<0.6 and version=credit@1.1.0'

jurat events --where 'kind=act.denied.v1' --follow --json""",
)
@click.option("--kind", default=None, help="Of one kind, such as `version.promoted.v1`.")
@click.option("--class", "retention", default=None, help="Of one class: training, deployment, inference, access, configuration, error.")
@click.option("--principal", default=None, help="By this principal: id or name.")
@click.option(
    "--where", default="", help="Conditions joined by `and`: `version=credit@1.1.0 and outcome=released`; operators = != ~ < <= > >=."
)
@click.option("--follow", is_flag=True, help="Go on showing events as they are sealed, oldest first, until Ctrl-C.")
@click.option("--after", default="", help="Go on after an earlier answer: its `next`; with --follow the `after` of a line.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="At most so many, the newest.")
@click.pass_obj
def events(
    session: Session, kind: str | None, retention: str | None, principal: str | None, where: str, follow: bool, after: str, limit: int
) -> None:
    """Show events, newest first, with their place in the log; or follow them as they come."""
    from jurat.app.records import Wanted, newest
    from jurat.cli.people import People, resolve

    token = session.token()
    if follow:
        if kind or retention or principal:
            raise Malformed("`--follow` takes its conditions in `--where`", hint="such as `--where 'class=inference and principal=prn_…'`")
        _follow(session, where, after)
        return
    with session.app() as app:
        who = resolve(app, token, principal) if principal else None
        found = newest(app, token, Wanted(kind=kind, retention=retention, principal=who, where=where, limit=limit, after=after))
        people = People(session, app, token)
    lines = [
        [when(e.at), e.kind, people.name(e.principal), e.resource, e.effect or "", f"{e.log}#{e.index}", e.event_id] for e in found.events
    ]
    titles = ["at", "kind", "by", "on", "policy", "position", "event"]
    show(session, found, titles, lines, empty="no event fits")


def _follow(session: Session, where: str, after: str) -> None:
    """Show events until somebody stops it. A server that is away is waited for; nothing is shown twice, nothing left out."""
    from jurat.app.follow import Following
    from jurat.app.wiring import attach_app

    following, is_away = Following(where, after), False
    try:
        while True:
            try:
                with attach_app(session.workspace, application="cli") as app:
                    if is_away:
                        session.say("the server is back")
                    is_away = False
                    while True:
                        for shown in following.step(app, session.token()):
                            _tell(session, shown)
                        time.sleep(_LOOK_EVERY_S)
            except Unavailable as error:
                if not is_away:
                    session.say(f"waiting for the server: {error.detail}")
                is_away = True
                time.sleep(_LOOK_EVERY_S)
    except KeyboardInterrupt:
        session.say(f"to go on: --after {following.after}" if following.after else "nothing was seen yet")


def _tell(session: Session, shown: Shown) -> None:
    import msgspec

    from jurat.core.jsonio import dump_json

    if session.as_json:
        click.echo(dump_json({**msgspec.to_builtins(shown.event), "after": shown.after}))
    else:
        e = shown.event
        click.echo(flat(f"{when(e.at)}  {e.kind}  {e.principal}  {e.resource}  {e.effect or ''}  {e.log}#{e.index}  {e.event_id}"))
    sys.stdout.flush()


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
