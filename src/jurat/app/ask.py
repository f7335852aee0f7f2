"""Why? One prediction, back to everything it rests on: what happened, why, and who was responsible.

Each line names the event that it was read from and that event's place in the ledger, so each can be proved alone. The
asking is an act itself: authorized, and recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from jurat.app.graph import Recorded, behind, recorded
from jurat.app.walk import act
from jurat.app.wiring import App
from jurat.core.digests import short
from jurat.core.errors import NotFound
from jurat.core.ids import check_id
from jurat.domain import commands, facts, rows
from jurat.domain.gates import show_metric
from jurat.domain.values import Guardrail

WHAT, WHY, WHO = "what happened", "why", "who was responsible"


class Line(msgspec.Struct, frozen=True):
    """One thing that is known, and the event it is known from."""

    question: str
    about: str
    text: str
    event: str
    position: str


class Story(msgspec.Struct, frozen=True):
    """Everything behind one prediction, in the order in which a person asks."""

    prediction: str
    outcome: str
    lines: list[Line]
    as_of: dict[str, int]


def why(app: App, token: str, prediction: str) -> Story:
    """Return what stands behind a prediction.

    Raises:
        Malformed: not a prediction's id.
        Denied: the caller may not read the ledger; that was recorded.
        NotFound: the ledger has no such prediction.
        Tampered: what the prediction rests on is not all there.
    """
    check_id("prd", prediction)
    as_of = app.events.as_of()
    act(app, token, commands.ReadRecords(question="why", subject=prediction, as_of=as_of))
    app.settle()
    own = [recorded(stored) for stored in app.events.find_prediction(prediction)]
    # a failure outweighs an answer: its receipt may have come too late for the answer to leave
    ends = [r for r in own if isinstance(r.event.data, facts.PredictionMade | facts.PredictionFailed)]
    made = min(ends, key=lambda r: isinstance(r.event.data, facts.PredictionMade), default=None)
    if made is None:
        raise NotFound(f"prediction `{prediction}` is not in the ledger", hint="its id is in the answer's header `jurat-prediction-id`")
    chain = {r.event.id: r for r in [*own, *behind(app.events, made)]}
    decided = _policy_sets(app, chain.values())
    found = sorted([*chain.values(), *decided], key=lambda r: (r.event.at, r.position))
    lines = [line for recorded_event in found for line in _lines(recorded_event)]
    order = [WHAT, WHY, WHO]
    rank = {name: number for number, name in enumerate(_ORDER)}
    lines.sort(key=lambda line: (order.index(line.question), rank.get(line.about, len(rank))))
    overridden = any(isinstance(r.event.data, facts.PredictionOverridden) for r in own)
    data = made.event.data
    outcome = "overridden by a person" if overridden else data.outcome if isinstance(data, facts.PredictionMade) else "failed"
    return Story(prediction, outcome, lines, as_of)


def _policy_sets(app: App, chain: Iterable[Recorded]) -> list[Recorded]:
    """Return the events that put those policy sets into force by which the acts of the chain were decided."""
    digests = {r.event.decision.policy_set for r in chain if r.event.decision}
    with app.store.reading() as state:
        named = [state.get(rows.PolicySetInForce, digest) for digest in digests]
    stored = [app.events.find(row.as_of) for row in named if row is not None]
    found = [recorded(s) for s in stored if s is not None]
    # the row only said where to look: what counts is that the event itself names the digest
    return [r for r in found if isinstance(r.event.data, facts.PolicySetApplied) and r.event.data.digest in digests]


_ORDER: Final = [
    "request", "answer", "guardrails", "failure", "override", "model version", "training data", "data", "code", "configuration",
    "artefacts", "scan", "measured", "gate", "approval asked", "approval", "promotion", "policy", "asked by", "decided by policy", "author",
    "data registered by", "measured by", "approved by", "promoted by", "served by", "overridden by", "policies applied by",
]  # fmt: skip

Say = tuple[str, str, str]  # question, about, text


def _lines(found: Recorded) -> list[Line]:
    say = _SAY.get(type(found.event.data))
    said = say(found, found.event.data) if say else []
    return [Line(question, about, text, found.event.id, found.position) for question, about, text in said]


def _request(found: Recorded, data: facts.PredictionRequested) -> list[Say]:
    return [(WHAT, "request", f"{found.event.at}: endpoint `{data.endpoint}` was asked; input {short(data.input_hash)}… (salted)")]


def _answer(found: Recorded, data: facts.PredictionMade) -> list[Say]:
    confidence = "no confidence given" if data.confidence is None else f"confidence {data.confidence:.3f}"
    decision = found.event.decision
    return [
        (WHAT, "answer", f"{_plain(data.output)}, {confidence}, {data.outcome}, {data.latency_ms:.1f} ms"),
        (WHAT, "guardrails", _guardrails(data.guardrails)),
        (WHO, "asked by", " → ".join(found.event.actor.chain) + f" ({found.event.actor.type})"),
        *([(WHO, "decided by policy", f"{', '.join(decision.policies)} of set {short(decision.policy_set)}")] if decision else []),
    ]


def _failure(found: Recorded, data: facts.PredictionFailed) -> list[Say]:
    return [(WHAT, "failure", data.reason), (WHAT, "guardrails", _guardrails(data.guardrails))]


def _override(found: Recorded, data: facts.PredictionOverridden) -> list[Say]:
    return [
        (WHAT, "override", f"{_plain(data.output)} in place of {_plain(data.model_output)}: {data.reason}"),
        (WHO, "overridden by", found.event.actor.principal),
    ]


def _version(found: Recorded, data: facts.VersionRegistered) -> list[Say]:
    training, code, config = data.training_data, data.training_code, data.training_config
    artefacts = ", ".join(f"{name} {short(getattr(data.artefacts, name).digest)}" for name in data.artefacts.__struct_fields__)
    return [
        (WHY, "model version", f"{data.version}, digest {short(data.digest)}, system `{data.system}`"),
        (WHY, "training data", f"{training.dataset}, {training.row_count} rows, {len(training.feature_columns)} feature columns"),
        (WHY, "code", f"{code.git_repo}@{code.git_commit[:12]} ({code.git_branch})"),
        (WHY, "configuration", f"{config.hyperparameters.get('estimator', '?')}, {config.training_duration_s:.2f} s on {config.hardware}"),
        (WHY, "artefacts", artefacts),
        (WHO, "author", data.author),
    ]


def _dataset(found: Recorded, data: facts.DatasetRegistered) -> list[Say]:
    return [
        (WHY, "data", f"{data.dataset}, digest {short(data.digest)}, {data.rows} rows, {data.sheet.source}"),
        (WHO, "data registered by", f"{found.event.actor.principal} ({data.dataset})"),
    ]


def _scan(found: Recorded, data: facts.ArtefactScanned) -> list[Say]:
    return [(WHY, "scan", f"weights {short(data.artefact_digest)} {data.verdict} ({data.format})")]


def _evidence(found: Recorded, data: facts.EvidenceMeasured) -> list[Say]:
    listed = data.type != "segments"  # one figure a group and rate: they are in the event, and in the card
    metrics = ", ".join(f"{m.name} {show_metric(m)}" for m in data.metrics) if listed else f"{len(data.metrics)} rates of groups"
    return [
        (WHY, "measured", f"{data.type} on {data.dataset}: {metrics}"),
        (WHO, "measured by", " → ".join(found.event.actor.chain) + f" ({data.type})"),
    ]


def _gate(found: Recorded, data: facts.GateChecked) -> list[Say]:
    passed = sum(clause.verdict == "pass" for clause in data.clauses)
    return [(WHY, "gate", f"{data.stage}: {data.verdict}, {passed} of {len(data.clauses)} conditions, gate file {short(data.gate_file)}")]


def _asked(found: Recorded, data: facts.PromotionRequested) -> list[Say]:
    return [(WHY, "approval asked", f"{data.request}: {data.version} to {data.to_stage}, shown {short(data.shown_digest)}")]


def _approval(found: Recorded, data: facts.RequestApproved) -> list[Say]:
    return [
        (WHY, "approval", f"as {' and '.join(data.roles)}, of exactly {short(data.shown_digest)}: {data.comment or 'no comment'}"),
        (WHO, "approved by", f"{found.event.actor.principal} ({', '.join(data.roles)})"),
    ]


def _promotion(found: Recorded, data: facts.VersionPromoted) -> list[Say]:
    return [
        (WHY, "promotion", f"{data.from_stage} → {data.to_stage} at {found.event.at}"),
        (WHO, "promoted by", f"{found.event.actor.principal} (to {data.to_stage})"),
    ]


def _endpoint(found: Recorded, data: facts.EndpointConfigured) -> list[Say]:
    return [(WHO, "served by", f"{found.event.actor.principal} configured `{data.endpoint}`, confidence floor {data.confidence_floor:g}")]


def _policies(found: Recorded, data: facts.PolicySetApplied) -> list[Say]:
    return [
        (WHY, "policy", f"set {short(data.digest)}, {len(data.files)} files, in force since {found.event.at}"),
        (WHO, "policies applied by", found.event.actor.principal),
    ]


def _guardrails(guardrails: list[Guardrail]) -> str:
    return ", ".join(f"{g.name} {g.status}" + (f" ({g.reason})" if g.reason else "") for g in guardrails) or "none"


def _plain(value: object) -> str:
    return "nothing" if value is None else str(value)


_SAY: Final[dict[type[facts.Fact], Callable[[Recorded, Any], list[Say]]]] = {
    facts.PredictionRequested: _request,
    facts.PredictionMade: _answer,
    facts.PredictionFailed: _failure,
    facts.PredictionOverridden: _override,
    facts.VersionRegistered: _version,
    facts.DatasetRegistered: _dataset,
    facts.ArtefactScanned: _scan,
    facts.EvidenceMeasured: _evidence,
    facts.GateChecked: _gate,
    facts.PromotionRequested: _asked,
    facts.RequestApproved: _approval,
    facts.VersionPromoted: _promotion,
    facts.EndpointConfigured: _endpoint,
    facts.PolicySetApplied: _policies,
}
