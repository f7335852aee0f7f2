"""`jurat mlflow`: the registry that MLflow's clients know, and the guard before an MLflow server that is there already."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from jurat.cli.session import Session
from jurat.cli.show import show, show_fields, show_json, when
from jurat.cli.verbs import noun
from jurat.core.errors import Malformed


@noun("mlflow")
def mlflow() -> None:
    """MLflow: its registry API at /api/2.0/mlflow, the guard before a server of yours, runs taken over."""


@mlflow.verb("list", example="jurat mlflow list\n\njurat mlflow list --model credit")
@click.option("--model", default="", help="The versions of this model only.")
@click.pass_obj
def list_entries(session: Session, model: str) -> None:
    """Show registered models with their aliases, or one model's versions, newest first, and what stands behind each."""
    from jurat.app.registry import RegistryDesk
    from jurat.domain.registry import bound_version

    token = session.token()
    with session.app() as app:
        desk = RegistryDesk(app)
        if not model:
            found, following = desk.search_models(token, "", [], "", 1_000)
            lines = [[m.name, str(m.last_number), _aliases(m.aliases), when_ms(m.updated_ms)] for f in found if (m := f.model)]
            show(session, [f.model for f in found], ["model", "versions", "aliases", "updated"], lines, empty="no model is registered")
        else:
            asyncio.run(desk.model(token, model))
            quoted = '"' + model + '"' if "'" in model else f"'{model}'"
            versions, following = desk.search_versions(token, f"name = {quoted}", ["version_number DESC"], "", 1_000)
            with app.store.reading() as state:
                bound = {v.version.number: bound_version(state, "", model, v.version.number) for v in versions}
            value = [{"version": v.version, "aliases": v.aliases, "bound": bound[v.version.number]} for v in versions]
            lines = [
                [str(n), v.version.stage, ", ".join(v.aliases), b.version if (b := bound[n]) else "-", v.version.source]
                for v in versions
                for n in [v.version.number]
            ]
            show(session, value, ["number", "stage", "aliases", "bound to", "source"], lines, empty="it has no version")
    if following:
        session.say("there are more; ask the API for the next page")


@mlflow.verb("bind", example="jurat mlflow bind credit 3 credit@1.1.0 --file model.pkl\n\n"
             "jurat mlflow bind credit 3 credit@1.1.0 --file model.pkl --registry prod --tracking https://mlflow.example")  # fmt: skip
@click.argument("name")
@click.argument("number", type=click.IntRange(1))
@click.argument("version")
@click.option("--file", "file", required=True, type=click.Path(path_type=Path), help="The weights, as fetched from the entry's source.")
@click.option("--registry", default="", help="The name of a guard, for an entry of a guarded server.")
@click.option("--tracking", default="", help="That server's URL.")
@click.pass_obj
def bind(session: Session, name: str, number: int, version: str, file: Path, registry: str, tracking: str) -> None:
    """Say which registered version stands behind an entry: the bytes are measured now, and must be that version's weights.

    Only then can `champion`, `production*` or the stage Production name the entry, and only through that version's gates.
    """
    from jurat.app.mlflow_runs import digest_of, read_entry
    from jurat.domain.commands_registry import BindRegistryVersion

    if bool(registry) != bool(tracking):
        raise Malformed("an entry of a guarded server needs both `--registry` and `--tracking`", hint="give both, or neither")
    source, created_ms = read_entry(tracking, name, number) if tracking else ("", 0)
    command = BindRegistryVersion(
        registry=registry, name=name, number=number, version=version, weights_digest=digest_of(file), source=source, created_ms=created_ms
    )
    session.done(session.act(command))


@mlflow.verb("protect", example="jurat mlflow protect --alias champion --alias 'live*' --reason 'what the branches load'\n\n"
             "jurat mlflow protect playground --none --reason 'nobody serves it'")  # fmt: skip
@click.argument("model", default="*")
@click.option("--alias", "aliases", multiple=True, help="An alias, or the beginning of some: `production*`.")
@click.option("--none", "nothing", is_flag=True, help="Protect no alias of this one model.")
@click.option("--reason", required=True, help="Why; it is on record.")
@click.pass_obj
def protect(session: Session, model: str, aliases: tuple[str, ...], nothing: bool, reason: str) -> None:
    """Say which aliases are protected, of one model or of all; `champion` and `production*` are until you do."""
    from jurat.domain.commands_registry import ProtectRegistryAliases

    if bool(aliases) == nothing:
        raise Malformed("either some aliases are protected, or none", hint="give `--alias`, or `--none` with one model's name")
    session.done(session.act(ProtectRegistryAliases(model=model, aliases=list(aliases), reason=reason)))


@mlflow.verb("guard", example="jurat mlflow guard --upstream http://127.0.0.1:5000 --port 5001 --name prod-mlflow\n\n"
             "jurat mlflow guard --upstream https://mlflow.example --credentials mlflow.secret --json")  # fmt: skip
@click.option("--upstream", required=True, help="The MLflow server behind it.")
@click.option("--name", default="", help="What events and bindings call that server  [default: its host and port]")
@click.option("--port", default=5001, show_default=True, help="0 takes a free one.")
@click.option("--bind", default="127.0.0.1", show_default=True, help="Anything but loopback wants TLS in front.")
@click.option("--credentials", type=click.Path(path_type=Path), help="A file (0600) with what that server wants in Authorization.")
@click.pass_obj
def guard(session: Session, upstream: str, name: str, port: int, bind: str, credentials: Path | None) -> None:
    """Stand before an MLflow server until Ctrl-C: pass everything, hold what touches production. Needs a running `jurat serve`.

    Clients use the guard's URL, with their Jurat token in MLFLOW_TRACKING_TOKEN; a browser asks for it as a password.
    """
    from urllib.parse import urlsplit

    from jurat.app.wiring import attach_app
    from jurat.gateway.mlflow_serve import serve_guard
    from jurat.gateway.mlflow_upstream import check_url, read_authorization

    name = name or urlsplit(check_url(upstream)).netloc
    authorization = read_authorization(credentials) if credentials else os.environ.get("JURAT_MLFLOW_AUTHORIZATION", "")

    def ready(found: int) -> None:
        url = f"http://{bind}:{found}"
        if session.as_json:
            show_json({"url": url, "upstream": upstream, "name": name})
        else:
            show_fields(session, [("url", url), ("upstream", upstream), ("name", name)])

    with attach_app(session.workspace, application="mlflow-guard") as app:
        serve_guard(app, upstream, name, bind, port, authorization=authorization, on_ready=ready)


@mlflow.verb("import-run", example="jurat mlflow import-run 3f9a01b2c4d5 --tracking http://127.0.0.1:5000 --version credit@1.1.0")
@click.argument("run_id")
@click.option("--tracking", required=True, help="The tracking server's URL; MLFLOW_TRACKING_TOKEN is sent to it.")
@click.option("--version", default="", help="Which registered version came of the run.")
@click.pass_obj
def import_run(session: Session, run_id: str, tracking: str, version: str) -> None:
    """Take over what a tracking server says of a run: parameters, data sets, commit; its metrics are claims, never evidence."""
    from jurat.app.mlflow_runs import read_run

    session.done(session.act(read_run(tracking, run_id, version=version)))


def when_ms(at_ms: int) -> str:
    """Return a time in milliseconds for people."""
    from jurat.core.clock import format_at

    return when(format_at(at_ms * 1_000_000))


def _aliases(aliases: dict[str, int]) -> str:
    return ", ".join(f"{alias} → {number}" for alias, number in sorted(aliases.items()))
