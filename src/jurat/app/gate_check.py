"""A gate, checked for a person or a pipeline: policies in Python are asked first, the verdict is recorded, what is missing is told."""

from __future__ import annotations

import msgspec

from jurat.app.look import known, look_at
from jurat.app.python_policies import ask_policies, policies_to_ask
from jurat.app.walk import act
from jurat.app.wiring import App
from jurat.domain import commands, rows
from jurat.domain.decide_models import known_version
from jurat.domain.facts import GateChecked
from jurat.domain.gate_preview import Step, afterwards, missing_steps
from jurat.domain.gates import GateResult, check_gates
from jurat.domain.stages import parse_stage
from jurat.domain.values import Clause


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict and everything it rests on."""

    version: str
    version_digest: str
    stage: str
    gate_file: str
    verdict: str
    clauses: list[Clause]
    required: list[bool]
    missing: list[Step]
    then: str  # what comes after the promotion
    event: str = ""  # of the record; empty in a preview


def check_gate(app: App, token: str, version_name: str, stage: str) -> Checked:
    """Check a version against the gates before a stage, and record the verdict.

    Raises:
        Denied: the caller may not check this gate; nothing was asked of anybody.
        NotFound, Conflict, Malformed: no such version, no gates there, no such stage.
    """
    command = commands.CheckGate(version=version_name, stage=stage)
    known(app, token)
    with app.store.reading() as state:
        version = known_version(state, version_name)
        wanted = policies_to_ask(state, version, parse_stage(stage))
    if wanted:
        act(app, token, command)  # may this person ask? and: how it stood before
        ask_policies(app, token, version, wanted)
    done = act(app, token, command)
    fact = done.events[0].data
    assert isinstance(fact, GateChecked)
    found = _look(app, version_name, stage)
    return msgspec.structs.replace(found, verdict=fact.verdict, clauses=fact.clauses, gate_file=fact.gate_file, event=done.events[0].id)


def preview_gate(app: App, token: str, version_name: str, stage: str) -> Checked:
    """Return how a version stands before a stage, without recording anything and without asking policies.

    Raises:
        NotFound: there is no such version that the caller may see.
    """
    look_at(app, token, rows.Version, version_name)
    return _look(app, version_name, stage)


def _look(app: App, version_name: str, stage: str) -> Checked:
    to_stage, now_ns = parse_stage(stage), app.clock.now_ns()
    with app.store.reading() as state:
        version = known_version(state, version_name)
        result: GateResult = check_gates(state, version, to_stage, now_ns)
        return Checked(
            version=version.version, version_digest=version.digest, stage=str(to_stage), gate_file=result.gate_file,
            verdict=result.verdict, clauses=result.clauses, required=result.required,
            missing=missing_steps(state, version, to_stage, result, now_ns), then=afterwards(state, to_stage),
        )  # fmt: skip
