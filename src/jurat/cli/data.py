"""`jurat data`: data sets, named by version and by digest."""

from __future__ import annotations

from pathlib import Path

import click

from jurat.cli.session import Session
from jurat.cli.show import brief, show
from jurat.cli.verbs import noun


@noun("data")
def data() -> None:
    """Data sets: register, read, list."""


@data.verb("list", example="jurat data list")
@click.pass_obj
def list_data(session: Session) -> None:
    """Show the data sets whose metadata you may see."""
    from jurat.app.look import look
    from jurat.cli.people import People
    from jurat.domain.rows import Dataset

    token = session.token()
    with session.app() as app:
        found = look(app, token, Dataset)
        people = People(session, app, token)
    lines = [[r.dataset, r.collection, str(r.rows), brief(r.digest), people.name(r.registered_by)] for r in found]
    show(session, found, ["data set", "collection", "rows", "digest", "registered by"], lines, empty="no data set is registered")


@data.verb("register", example="jurat data register loans@v1 loans.csv --sheet sheet.yaml")
@click.argument("dataset")
@click.argument("csv_file", metavar="CSV", type=click.Path(path_type=Path))
@click.option("--sheet", required=True, type=click.Path(path_type=Path), help="YAML or JSON: purpose, source, licence, known biases …")
@click.option("--collection", default="training", show_default=True, help="training, production, features or aggregated.")
@click.pass_obj
def register(session: Session, dataset: str, csv_file: Path, sheet: Path, collection: str) -> None:
    """Make a version of a data set known by its digest. The rows stay where they are."""
    from jurat.app.intake import read_as
    from jurat.cli.files import read_csv_facts, read_document
    from jurat.domain.commands import RegisterDataset
    from jurat.domain.values import DataSheet

    data_sheet = read_as(DataSheet, read_document(sheet), what=f"data sheet `{sheet.name}`")
    digest, count, columns = read_csv_facts(csv_file)
    command = RegisterDataset(dataset=dataset, collection=collection, digest=digest, rows=count, columns=columns, sheet=data_sheet)
    session.done(session.act(command))


@data.verb("read", example="jurat data read loans@v1 --purpose 'retrain the credit model'")
@click.argument("dataset")
@click.option("--purpose", required=True, help="What it is for; it is written down.")
@click.pass_obj
def read(session: Session, dataset: str, purpose: str) -> None:
    """Ask to read a data set, for a purpose. A yes and a no are both recorded."""
    from jurat.domain.commands import ReadData

    session.done(session.act(ReadData(dataset=dataset, purpose=purpose)))


@data.verb("recall", example="jurat data recall loans@v1 --reason 'consent was withdrawn'")
@click.argument("dataset")
@click.option("--reason", required=True, help="For those who answer for what was trained on it.")
@click.pass_obj
def recall(session: Session, dataset: str, reason: str) -> None:
    """Say that a data set must not be built on: approvals of everything that rests on it are reopened, and listed."""
    from jurat.cli.advisory import show_change
    from jurat.domain.commands_lineage import RecallDataset

    show_change(session, session.act(RecallDataset(dataset=dataset, reason=reason)).events)


@data.verb("relicense", example="jurat data relicense loans@v1 --licence 'CC BY-NC 4.0' --reason 'the publisher changed it'")
@click.argument("dataset")
@click.option("--licence", required=True, help="Under which it stands from now on.")
@click.option("--reason", required=True, help="For those who answer for what was trained on it.")
@click.pass_obj
def relicense(session: Session, dataset: str, licence: str, reason: str) -> None:
    """Say under which licence a data set stands: approvals of everything that rests on it are reopened, and listed."""
    from jurat.cli.advisory import show_change
    from jurat.domain.commands_lineage import ChangeLicence

    show_change(session, session.act(ChangeLicence(dataset=dataset, licence=licence, reason=reason)).events)
