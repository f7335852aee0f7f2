"""`jurat model`: versions: registered with their lineage, measured, promoted through gates, retired. More verbs join at its end."""

from __future__ import annotations

from pathlib import Path

import click

from jurat.cli.session import Session
from jurat.cli.show import brief, paint, show, show_fields, show_json, show_table, when
from jurat.cli.verbs import noun


@noun("model")
def model() -> None:
    """Model versions: register, measure, promote, retire."""


@model.verb("list", example="jurat model list --stage production")
@click.option("--stage", default=None, help="Only those in this stage.")
@click.pass_obj
def list_models(session: Session, stage: str | None) -> None:
    """Show the versions that you may see, and where each one is in its life."""
    from jurat.app.look import look
    from jurat.cli.people import People
    from jurat.domain.rows import Version

    token = session.token()
    with session.app() as app:
        found = look(app, token, Version, {"stage": stage} if stage else {})
        people = People(session, app, token)
    lines = [[r.version, r.stage, when(r.stage_since), brief(r.digest), r.system, people.name(r.author)] for r in found]
    show(session, found, ["version", "stage", "since", "digest", "system", "author"], lines, empty="no version is registered")


@model.verb("show", example="jurat model show credit@1.1.0")
@click.argument("version")
@click.pass_obj
def show_model(session: Session, version: str) -> None:
    """Show a version: its six artefacts, where it is, and what was measured on it."""
    from jurat.app.look import look, look_at
    from jurat.cli.people import People
    from jurat.domain.gates import show_metric
    from jurat.domain.rows import Evidence, Version

    token = session.token()
    with session.app() as app:
        found = look_at(app, token, Version, version)
        evidence = look(app, token, Evidence, {"version": version})
        people = People(session, app, token)
    if session.as_json:
        show_json({"version": found, "evidence": evidence})
        return
    show_fields(
        session,
        [
            ("version", found.version), ("digest", found.digest), ("stage", f"{found.stage} since {when(found.stage_since)}"),
            ("system", found.system), ("author", people.name(found.author)), ("training data", found.training_dataset),
            ("registered", found.registered),
        ],
    )  # fmt: skip
    click.echo()
    parts = {name: getattr(found.artefacts, name) for name in found.artefacts.__struct_fields__}
    show_table(session, ["artefact", "version", "digest"], [[name, a.version, brief(a.digest)] for name, a in parts.items()], empty="")
    click.echo()
    lines = [[e.type, m.name, show_metric(m), str(m.n), e.dataset, e.as_of] for e in evidence for m in e.metrics]
    show_table(session, ["evidence", "metric", "found", "n", "measured on", "event"], lines, empty="nothing was measured on it")


@model.verb("evaluate", example="jurat model evaluate credit@1.1.0 --data holdout.csv --dataset german-credit@v1")
@click.argument("version")
@click.option("--data", "csv_file", required=True, type=click.Path(path_type=Path), help="Held-out rows, as CSV.")
@click.option("--dataset", required=True, help="The registered data set whose bytes these are.")
@click.pass_obj
def evaluate(session: Session, version: str, csv_file: Path, dataset: str) -> None:
    """Measure a version here, in a process of its own: accuracy, latency, memory, fairness gaps. Claims are not evidence."""
    from jurat.app.evaluate import evaluate as measure
    from jurat.domain.facts import EvidenceMeasured
    from jurat.domain.gates import show_metric

    token = session.token()
    session.say("measuring")
    with session.app() as app:
        done = measure(app, token, version, csv_file, dataset)
    measured = [(event.id, event.data) for event in done.events if isinstance(event.data, EvidenceMeasured)]
    if session.as_json:
        show_json([{"event": event, "type": fact.type, "metrics": fact.metrics} for event, fact in measured])
        return
    lines = [[fact.type, m.name, show_metric(m), str(m.n), m.reason, event] for event, fact in measured for m in fact.metrics]
    show_table(session, ["evidence", "metric", "found", "n", "why not", "event"], lines, empty="nothing could be measured")


@model.verb("soak", example="jurat model soak credit@1.1.0")
@click.argument("version")
@click.pass_obj
def soak(session: Session, version: str) -> None:
    """Record how a version has done in staging, from the ledger's own predictions."""
    from jurat.app.soak import record_soak

    token = session.token()
    with session.app() as app:
        done = record_soak(app, token, version)
    session.done(done)


@model.verb("promote", example="jurat model promote credit@1.1.0 staging")
@click.argument("version")
@click.argument("stage")
@click.option("--request", default=None, help="The request whose approvals are meant; by default the one that stands best.")
@click.pass_obj
def promote(session: Session, version: str, stage: str, request: str | None) -> None:
    """Move a version to its next stage, if every gate on the way passes now."""
    from jurat.domain.commands import Promote
    from jurat.domain.facts import VersionPromoted

    done = session.act(Promote(version=version, to_stage=stage, request=request))
    fact = done.events[-1].data
    assert isinstance(fact, VersionPromoted)
    if session.as_json:
        session.done(done)
        return
    show_fields(
        session,
        [
            ("version", f"{fact.version} {brief(fact.version_digest)}"), ("from", fact.from_stage), ("to", paint(fact.to_stage)),
            ("gates", fact.gate_check), ("request", fact.request or "none needed"),
            ("approvals", ", ".join(fact.approvals) or "none needed"),
            ("event", done.events[-1].id),
        ],
    )  # fmt: skip


@model.verb("retire", example="jurat model retire credit@1.0.0 --reason 'replaced by 1.1.0'")
@click.argument("version")
@click.option("--reason", required=True)
@click.pass_obj
def retire(session: Session, version: str, reason: str) -> None:
    """Take a version out of service, for good."""
    from jurat.domain.commands import RetireVersion

    session.done(session.act(RetireVersion(version=version, reason=reason)))


from jurat.cli import model_history as _model_history  # noqa: E402, F401 - its verbs join the noun above
from jurat.cli import model_register as _model_register  # noqa: E402, F401
from jurat.cli import model_signature as _model_signature  # noqa: E402, F401


@model.verb("fetch", example="jurat model fetch credit@1.1.0 weights model.pkl --for production --purpose 'deploy to cluster-eu-1'")
@click.argument("version")
@click.argument("artefact")
@click.argument("to", type=click.Path(path_type=Path))
@click.option("--for", "stage", required=True, metavar="STAGE", help="What for: its gates must pass.")
@click.option("--purpose", required=True, help="Why.")
@click.pass_obj
def fetch(session: Session, version: str, artefact: str, to: Path, stage: str, purpose: str) -> None:
    """Copy an artefact of a version, such as its `weights`, to a new file. For production only what passed its gates; on record."""
    from jurat.app.release import fetch_artefact

    token = session.token()
    with session.app() as app:
        session.done(fetch_artefact(app, token, version, artefact, stage, purpose, to))


@model.verb("authorize", example="jurat model authorize credit@1.1.0 production cluster-eu-1/credit --for 10min")
@click.argument("version")
@click.argument("stage")
@click.argument("target")
@click.option("--for", "lifetime", default="10min", show_default=True, metavar="DURATION", help="How long it holds, up to 15min.")
@click.pass_obj
def authorize(session: Session, version: str, stage: str, target: str, lifetime: str) -> None:
    """Give a signed word that exactly this version may be put to work in a stage, at a target. Shown once; on record."""
    from jurat.app.release import authorize_deployment
    from jurat.core.units import parse_duration_s

    token = session.token()
    with session.app() as app:
        session.done(authorize_deployment(app, token, version, stage, target, parse_duration_s(lifetime)))
