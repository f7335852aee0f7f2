"""`jurat ask`: what happened, why, and who was responsible; each line with the event that says so."""

from __future__ import annotations

import shutil
import textwrap

import click

from jurat.cli.session import Session, flat
from jurat.cli.show import has_colour, paint, show_json
from jurat.cli.verbs import noun


@noun("ask")
def ask() -> None:
    """What happened, why, and who was responsible."""


@ask.verb("why", example="jurat ask why prd_01k9…")
@click.argument("prediction")
@click.pass_obj
def why(session: Session, prediction: str) -> None:
    """Follow one prediction back to everything it rests on: model, data, code, measurements, approvals, policy, guardrails."""
    from jurat.app.ask import why as tell_why
    from jurat.app.look import names_of

    token = session.token()
    with session.app() as app:
        story = tell_why(app, token, prediction)
        names = {} if session.as_json else names_of(app, token)
    if session.as_json:
        show_json(story)
        return
    click.echo(f"{story.prediction}: {paint(story.outcome)}")
    width = max((len(line.about) for line in story.lines), default=0)
    question = ""
    for line in story.lines:
        if line.question != question:
            question = line.question
            click.echo("\n" + _styled(question, bold=True))
        text = flat(line.text)
        for principal, name in names.items():
            text = text.replace(principal, flat(f"{name} (…{principal[-6:]})"))
        source = f"{line.event} · {line.position}"
        if not session.on_terminal:
            click.echo(f"  {line.about.ljust(width)}  {text}  [{source}]")
            continue
        wrapped = textwrap.wrap(text, max(40, shutil.get_terminal_size().columns - width - 4))
        for label, part in zip([line.about, *[""] * len(wrapped)], wrapped, strict=False):
            click.echo(f"  {label.ljust(width)}  {part}")
        click.echo(_styled(f"  {' ' * width}  {source}", dim=True))


@ask.verb("predictions-by-data", example="jurat ask predictions-by-data loans@v1 --limit 1000 --json")
@click.argument("dataset")
@click.option("--limit", default=100, show_default=True, help="Predictions at most.")
@click.option("--after", default="", help="`next` of an earlier answer.")
@click.pass_obj
def predictions_by_data(session: Session, dataset: str, limit: int, after: str) -> None:
    """Show which predictions were made by versions that were trained on a data set, at any remove. The question is recorded."""
    from jurat.app.lineage import predictions_by_data as ask_graph
    from jurat.cli.show import show_table, when

    token = session.token()
    with session.app() as app:
        found = ask_graph(app, token, dataset, after=after, limit=limit)
    if session.as_json:
        show_json(found)
        return
    lines = [[p.prediction, p.version, when(p.at), p.outcome, p.event] for p in found.predictions]
    show_table(
        session, ["prediction", "version", "at", "outcome", "event"], lines, empty="no prediction was made by anything trained on it"
    )
    session.say(f"trained on {found.dataset}: {', '.join(found.versions) or 'nothing'}")
    for made in found.made:
        session.say(f"  {made.version}: {made.predictions} predictions, {when(made.first)} to {when(made.last)}")
    if found.next:
        session.say(f"there is more: --after '{found.next}'")


def _styled(text: str, **style: bool) -> str:
    return click.style(text, **style) if has_colour() else text
