"""`jurat card`: model cards and data sheets, made from the record and checked against it."""

from __future__ import annotations

from pathlib import Path

import click

from jurat.cli.session import Session
from jurat.cli.show import show_fields, show_json
from jurat.cli.verbs import noun
from jurat.core.errors import Malformed, NotFound


@noun("card")
def card() -> None:
    """Model cards and data sheets: each number with the event that says so."""


@card.verb("make", example="jurat card make credit@1.1.0\njurat card make credit@1.1.0 --format html --out credit.html")
@click.argument("version")
@click.option(
    "--format", "form", default="markdown", show_default=True, help="markdown (Hugging Face), html, json or cyclonedx (1.7 ML-BOM)."
)
@click.option("--out", type=click.Path(path_type=Path), help="Write it into a file, whole or not at all.")
@click.pass_obj
def make(session: Session, version: str, form: str, out: Path | None) -> None:
    """Make the card of a version from what is on record. What nobody measured is `unknown`."""
    from jurat.app.card import make_card, render

    token = session.token()
    with session.app() as app:
        text = render(make_card(app, token, version), form)
    _give(session, text, out)


@card.verb("sheet", example="jurat card sheet german-credit@v1 --format croissant --out german-credit.json")
@click.argument("dataset")
@click.option("--format", "form", default="markdown", show_default=True, help="markdown (Hugging Face), html, json or croissant.")
@click.option("--out", type=click.Path(path_type=Path), help="Write it into a file, whole or not at all.")
@click.pass_obj
def sheet(session: Session, dataset: str, form: str, out: Path | None) -> None:
    """Make the sheet of a data set from its registration."""
    from jurat.app.card import make_sheet, render

    token = session.token()
    with session.app() as app:
        text = render(make_sheet(app, token, dataset), form)
    _give(session, text, out)


@card.verb("check", example="jurat card check credit.html")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def check(session: Session, file: Path) -> None:
    """Fail (exit 4) if a card says anything that the record does not say now: an edited number, or one measured anew since."""
    from jurat.app.card import MAX_CARD_BYTES, check_card, refuse_differences

    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_CARD_BYTES + 1)
        text = raw.decode()
    except FileNotFoundError:
        raise NotFound(f"`{file}` is not there") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Malformed(f"`{file}` cannot be read as text: {type(error).__name__}") from error
    if len(raw) > MAX_CARD_BYTES:
        raise Malformed(f"`{file}` has more than {MAX_CARD_BYTES:,} bytes: no card is that long")
    token = session.token()
    with session.app() as app:
        subject, differences = check_card(app, token, text)
    refuse_differences(subject, differences)
    if session.as_json:
        show_json({"card": subject, "true": True})
    else:
        show_fields(session, [("card", subject), ("says", "what the record says")])


@card.verb("record", example="jurat card record credit@1.1.0")
@click.argument("version")
@click.pass_obj
def record(session: Session, version: str) -> None:
    """Put on record how complete a version's card and data sheet are: what a gate of type `documentation` reads."""
    from jurat.app.card import record_documentation

    token = session.token()
    with session.app() as app:
        done = record_documentation(app, token, version)
    session.done(done)


def _give(session: Session, text: str, out: Path | None) -> None:
    from jurat.core.files import write_whole

    if out is None:
        click.echo(text, nl=False)
        return
    write_whole(out, text.encode())
    session.say(f"written to {out}")
