"""`jurat asset`: prompts, agents, guardrail settings and feature schemas, versioned as models are."""

from __future__ import annotations

from pathlib import Path

import click

from jurat.cli.session import Session
from jurat.cli.show import brief, show, show_fields, show_json
from jurat.cli.verbs import noun
from jurat.core.errors import Malformed


@noun("asset")
def asset() -> None:
    """Prompts, agents, guardrail settings, feature schemas: versioned like models."""


@asset.verb("list", example="jurat asset list\njurat asset list --kind prompt")
@click.option("--kind", default=None, help="Only prompt, agent, guardrails or feature_schema.")
@click.pass_obj
def list_assets(session: Session, kind: str | None) -> None:
    """Show the assets that you may see."""
    from jurat.app.look import look
    from jurat.cli.people import People
    from jurat.domain.rows import Asset

    token = session.token()
    with session.app() as app:
        found = look(app, token, Asset, {"kind": kind} if kind else {})
        people = People(session, app, token)
    lines = [[r.asset, brief(r.digest), r.system, people.name(r.author), r.description] for r in found]
    show(session, found, ["asset", "digest", "system", "author", "description"], lines, empty="no asset is registered")


@asset.verb("show", example="jurat asset show prompt/greeting@1.0.0")
@click.argument("name")
@click.pass_obj
def show_asset(session: Session, name: str) -> None:
    """Show one version of an asset, and what it uses."""
    from jurat.app.look import look_at
    from jurat.domain.rows import Asset

    token = session.token()
    with session.app() as app:
        found = look_at(app, token, Asset, name)
    if session.as_json:
        show_json(found)
        return
    show_fields(
        session,
        [
            ("asset", found.asset), ("digest", found.digest), ("size", f"{found.size_bytes} bytes"), ("system", found.system),
            ("uses", ", ".join(found.uses) or "nothing"), ("description", found.description), ("event", found.as_of),
        ],
    )  # fmt: skip


@asset.verb(
    "register",
    example="jurat asset register prompt/greeting@1.0.0 greeting.txt --system support\n"
    "jurat asset register agent/helper@2.0.0 agent.yaml --system support --uses asset:prompt/greeting@1.0.0 --uses version:router@1.4.0",
)
@click.argument("name", metavar="KIND/NAME@VERSION")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--system", required=True, help="The AI system that it belongs to.")
@click.option("--uses", multiple=True, help="What it rests on: `version:…`, `asset:…`, `data:…`.")
@click.option("--description", default="", help="One sentence for people.")
@click.pass_obj
def register(session: Session, name: str, file: Path, system: str, uses: tuple[str, ...], description: str) -> None:
    """Keep a file under its digest, and register it as an immutable version."""
    from jurat.app.artefacts import open_artefact
    from jurat.app.look import known
    from jurat.app.walk import act
    from jurat.domain.commands_lineage import RegisterAsset

    kind, slash, rest = name.partition("/")
    called, bar, version = rest.partition("@")
    if not slash or not bar:
        raise Malformed(f"`{name[:80]}` is not `kind/name@version`", hint="write it like `prompt/greeting@1.0.0`")
    token = session.token()
    with session.app() as app:
        known(app, token)
        with open_artefact(file) as opened:
            digest = app.artefacts.put(opened)
            size_bytes = opened.tell()
        command = RegisterAsset(
            kind=kind,
            name=called,
            version=version,
            system=system,
            digest=digest,
            size_bytes=size_bytes,
            description=description,
            uses=list(uses),
        )
        done = act(app, token, command)
    session.done(done)
