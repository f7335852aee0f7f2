"""`jurat access who-can | what-can | why`: the answers of the policies, and what would change them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jurat.cli.access import access
from jurat.cli.session import Session, flat
from jurat.cli.show import brief, show_fields, show_json, show_table, when

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from jurat.app.why import Page, Why
    from jurat.cli.people import People


def _paged(function: Callable[..., Any]) -> Callable[..., Any]:
    function = click.option("--after", default="", help="Go on after an earlier answer: its `next`.")(function)
    return click.option("--limit", default=1_000, show_default=True, type=click.IntRange(1, 100_000), help="At most so many.")(function)


def _said(function: Callable[..., Any]) -> Callable[..., Any]:
    function = click.option("--reason", default=None, help="As if this reason were given.")(function)
    return click.option("--purpose", default=None, help="As if this purpose were given.")(function)


@access.verb(
    "who-can",
    example="jurat access who-can model:promote models/prod/credit@1.1.0\n\n"
    "jurat access who-can data:read data/production/loans@v5 --purpose debugging --limit 100",
)
@click.argument("action")
@click.argument("resource")
@_said
@_paged
@click.pass_obj
def who_can(session: Session, action: str, resource: str, purpose: str | None, reason: str | None, after: str, limit: int) -> None:
    """Show everybody who can do that there now, and by which policies."""
    from jurat.app.why import who_can
    from jurat.cli.people import People

    token = session.token()
    with session.app() as app:
        page = who_can(app, token, action, resource, _given(purpose, reason), after=after, limit=limit)
        people = People(session, app, token)
    lines = [[people.name(each.principal), each.principal, ", ".join(each.policies)] for each in page.found]
    empty = "nobody more" if after else "nobody can; `jurat access why PRINCIPAL ACTION RESOURCE` says what is missing"
    _show_page(session, page, ["who", "principal", "by"], lines, empty)


@access.verb("what-can", example="jurat access what-can 'Ada Lovelace'\n\njurat access what-can prn_01k9… --purpose debugging --json")
@click.argument("principal")
@_said
@_paged
@click.pass_obj
def what_can(session: Session, principal: str, purpose: str | None, reason: str | None, after: str, limit: int) -> None:
    """Show everything that somebody (an id or a name) can do now, on every place that there is."""
    from jurat.app.why import what_can
    from jurat.cli.people import People, resolve

    token = session.token()
    with session.app() as app:
        who = resolve(app, token, principal)
        page = what_can(app, token, who, _given(purpose, reason), after=after, limit=limit)
        people = People(session, app, token)
    lines = [[each.action, people.put_names(each.resource), ", ".join(each.policies)] for each in page.found]
    _show_page(session, page, ["act", "on", "by"], lines, "nothing more" if after else "nothing")


@access.verb(
    "why",
    example="jurat access why evt_01k9…\n\njurat access why 'Ada Lovelace' data:read data/training/loans@v5\n\n"
    "jurat access why prn_01k9… data:read data/training/loans@v5 --with policies/",
)
@click.argument("subject", metavar="EVENT|PRINCIPAL")
@click.argument("action", required=False)
@click.argument("resource", required=False)
@_said
@click.option("--with", "folder", type=click.Path(path_type=Path), help="Ask the policies in this folder instead of those in force.")
@click.pass_obj
def why(
    session: Session, subject: str, action: str | None, resource: str | None, purpose: str | None, reason: str | None, folder: Path | None
) -> None:
    """Explain an answer: a recorded one by its event, or what the answer would be now: policies, attributes, what would change it."""
    from jurat.app.why import why_event, why_not
    from jurat.cli.people import People, resolve

    is_event = subject.startswith("evt_")
    if is_event and (action or resource or purpose or reason or folder):
        raise click.UsageError("a recorded decision has its own question: give the event alone")
    if not is_event and not (action and resource):
        raise click.UsageError("say what, and on what: `jurat access why PRINCIPAL ACTION RESOURCE`")
    token = session.token()
    with session.app() as app:
        if is_event:
            found = why_event(app, token, subject)
        else:
            from jurat.cli.policy import load_folder

            candidate = load_folder(folder) if folder is not None else None
            found = why_not(app, token, resolve(app, token, subject), action or "", resource or "", _given(purpose, reason), candidate)
        people = People(session, app, token)
    if session.as_json:
        show_json(found)
    else:
        _tell(session, people, found)


def _show_page(session: Session, page: Page, titles: list[str], lines: list[list[str]], empty: str) -> None:
    if session.as_json:
        show_json({"found": [each._asdict() for each in page.found], "next": page.next})
        return
    show_table(session, titles, lines, empty=empty)
    if page.next:
        session.say(f"there is more: --after {page.next!r}")


def _tell(session: Session, people: People, found: Why) -> None:
    question = found.question
    recorded = [("event", found.event), ("at", when(found.at))] if found.event else []
    told = [(f"resource.{name}", str(value)) for name, value in sorted(question.attributes.items())]
    told += [(f"context.{name}", str(value)) for name, value in sorted(question.context.items())]
    show_fields(
        session,
        [
            *recorded, ("answer", found.effect), ("act", question.action), ("on", question.resource), ("policies", brief(found.policy_set)),
            *told,
        ],
    )  # fmt: skip
    for hop in found.hops:
        click.echo(f"\n{flat(people.name(hop.principal))} ({hop.type}; {flat(', '.join(hop.roles) or 'no role')}): {hop.effect}")
        for name, value in sorted(hop.standing.items()):
            click.echo(f"  {flat(name)} is {flat(str(value))}")
        for name, why_it_is in hop.policies.items():
            click.echo(f"  by {flat(name)}: {flat(why_it_is)}")
        if hop.explanation is None:
            continue
        for name in hop.explanation.unmet:
            click.echo(f"  nearly by {flat(name)}: its conditions do not hold")
        for changes in hop.explanation.changes:
            click.echo(f"  would be allowed with {flat(' and '.join(map(str, changes)))}")
        if not hop.explanation.changes:
            click.echo("  no two changes of roles, attributes or what is said would allow it")
        if hop.explanation.hint:
            click.echo(f"  {flat(hop.explanation.hint)}")
    if found.rule:
        click.echo(f"\nthe policies allowed it; the rule `{flat(found.rule)}` did not: {flat(found.rule_detail)}")
    for role, holders in found.ask.items():
        click.echo(f"`{flat(role)}` is held by {flat(', '.join(map(people.name, holders)) or 'nobody')}")
    if found.same is False:
        session.say("the policies that decided it give another answer to the recorded question: this is a fault, tell an operator")


def _given(purpose: str | None, reason: str | None) -> dict[str, str]:
    return {name: text for name, text in (("purpose", purpose), ("reason", reason)) if text is not None}
