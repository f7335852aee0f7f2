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


def _styled(text: str, **style: bool) -> str:
    return click.style(text, **style) if has_colour() else text
