"""`jurat endpoint`: where predictions are served, and under which guardrails."""

from __future__ import annotations

import click

from jurat.cli.session import Session
from jurat.cli.show import brief, show
from jurat.cli.verbs import noun


@noun("endpoint")
def endpoint() -> None:
    """Where predictions are served, and under which guardrails."""


@endpoint.verb("list", example="jurat endpoint list")
@click.pass_obj
def list_endpoints(session: Session) -> None:
    """Show the endpoints that you may see."""
    from jurat.app.look import look
    from jurat.domain.rows import Endpoint

    token = session.token()
    with session.app() as app:
        found = look(app, token, Endpoint)
    lines = [
        [
            r.endpoint, r.version, brief(r.version_digest), r.stage, f"{r.confidence_floor:g}", str(r.requests_per_minute),
            str(len(r.blocked_patterns)), r.upstream,
        ]
        for r in found
    ]  # fmt: skip
    titles = ["endpoint", "version", "digest", "stage", "floor", "per minute", "patterns", "upstream"]
    show(session, found, titles, lines, empty="no endpoint is configured")


@endpoint.verb("configure", example="jurat endpoint configure credit credit@1.1.0 http://127.0.0.1:9000 --floor 0.6")
@click.argument("name")
@click.argument("version")
@click.argument("upstream")
@click.option("--floor", required=True, type=float, help="Confidence from 0 to 1; below it a person decides.")
@click.option("--per-minute", default=60_000, show_default=True, type=int, help="Requests of one caller.")
@click.option("--block", multiple=True, metavar="REGEX", help="Withhold an answer that matches (RE2).")
@click.pass_obj
def configure(session: Session, name: str, version: str, upstream: str, floor: float, per_minute: int, block: tuple[str, ...]) -> None:
    """Point an endpoint at a server that speaks the Open Inference Protocol V2."""
    from jurat.domain.commands import ConfigureEndpoint

    command = ConfigureEndpoint(
        endpoint=name,
        version=version,
        upstream=upstream,
        confidence_floor=floor,
        requests_per_minute=per_minute,
        blocked_patterns=list(block),
    )
    session.done(session.act(command))
