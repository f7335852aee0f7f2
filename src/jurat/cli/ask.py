"""`jurat ask`: what happened, why, and who was responsible; each line with the event that says so."""

from __future__ import annotations

import click

from jurat.cli.session import Session
from jurat.cli.show import has_colour, show_json
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
    question = ""
    for line in story.lines:
        if line.question != question:
            question = line.question
            title = {"what": "What happened", "why": "Why", "who": "Who was responsible"}.get(question, question)
            click.echo(("" if line is story.lines[0] else "\n") + (click.style(title, bold=True) if has_colour() else title))
        text = line.text
        for principal, name in names.items():
            text = text.replace(principal, f"{name} ({principal})")
        where = f"{line.event_id}  {line.position}".rstrip()
        click.echo(f"  {text}\n      {click.style(where, dim=True) if has_colour() else where}")
