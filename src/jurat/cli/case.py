"""`jurat case`: predictions that wait for a person, because the model was not sure enough."""

from __future__ import annotations

import click

from jurat.cli.session import Session
from jurat.cli.show import show, when
from jurat.cli.verbs import noun


@noun("case")
def case() -> None:
    """Predictions that wait for a person."""


@case.verb("list", example="jurat case list")
@click.pass_obj
def list_cases(session: Session) -> None:
    """Show the abstentions that nobody has decided yet."""
    from jurat.app.cases import open_cases

    token = session.token()
    with session.app() as app:
        found = open_cases(app, token)
    lines = [[c.prediction, c.version, c.outcome, _confidence(c.confidence), when(c.at), c.position] for c in found]
    show(session, found, ["prediction", "version", "outcome", "confidence", "since", "position"], lines, empty="no case waits for a person")


@case.verb("override", example="jurat case override prd_01k9… good --reason 'income was confirmed by phone'")
@click.argument("prediction")
@click.argument("output")
@click.option("--reason", required=True, help="Why, in words that the person concerned may read.")
@click.pass_obj
def override_case(session: Session, prediction: str, output: str, reason: str) -> None:
    """Decide one case in place of the model. OUTPUT is JSON, or text."""
    import json

    from jurat.app.cases import override

    token = session.token()
    try:
        value = json.loads(output)
    except ValueError:
        value = output
    with session.app() as app:
        done = override(app, token, prediction, value, reason)
    session.done(done)


def _confidence(value: float | None) -> str:
    return "not given" if value is None else f"{value:.3f}"
