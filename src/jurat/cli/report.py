"""`jurat report`: what the ledger's own predictions say about a model over a time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from jurat.cli.session import Session
from jurat.cli.show import show_json
from jurat.cli.verbs import noun
from jurat.core.errors import Malformed


@noun("report")
def report() -> None:
    """Reports counted from the ledger."""


@report.verb("performance", example="jurat report performance --model credit --from 2026-11-01 --to 2026-12-01 --by day\n"
             "jurat report performance --model credit --from 2026-11-01 --to 2026-12-01 --format html --out november.html")  # fmt: skip
@click.option("--model", required=True, help="All of its versions.")
@click.option("--from", "since", required=True, help="A day or an RFC 3339 time, inclusive; UTC unless it says otherwise.")
@click.option("--to", "until", required=True, help="The same, exclusive.")
@click.option("--by", default="version", show_default=True, help="version, endpoint, caller or day.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["markdown", "html", "json"]),
    default="markdown",
    show_default=True,
    help="The form of the report.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Write it into a file, whole or not at all.")
@click.pass_obj
def performance(session: Session, model: str, since: str, until: str, by: str, form: str, out: Path | None) -> None:
    """Tell how a model did, by segment: answers, errors, abstentions, overrides, latency, confidence. The question is recorded."""
    from jurat.app.performance_report import as_html, as_markdown, report_performance
    from jurat.core.files import write_whole
    from jurat.core.jsonio import dump_json

    begin, end = _time(since, "--from"), _time(until, "--to")
    token = session.token()
    with session.app() as app:
        found = report_performance(app, token, model, begin, end, by)
    if form == "json" or (session.as_json and out is None):
        text = dump_json(found).decode() + "\n"
        if out is None:
            show_json(found)
            return
    else:
        text = as_html(found) if form == "html" else as_markdown(found)
    if out is None:
        click.echo(text, nl=False)
        return
    write_whole(out, text.encode())
    session.say(f"written to {out}")


def _time(text: str, option: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Malformed(f"`{option}` is `{text[:40]}`, expected a day or a time", hint="such as `2026-11-01`") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
