"""Policies written in Python, asked: each in a process of its own, bounded in time and memory, and its answer recorded as evidence.

An answer is about what was known then. Whatever goes wrong (not installed, too slow, too large, no clear answer) is recorded as no
answer, which no gate passes. Policies run as the same user: install only what you would run yourself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec

from jurat.app.evaluator import evaluator_for
from jurat.app.policy_child import Order, Said
from jurat.app.walk import Done, act_as
from jurat.app.wiring import App
from jurat.core.digests import digest_json
from jurat.core.errors import JuratError
from jurat.core.jsonio import dump_json, load_json
from jurat.domain import commands, rows
from jurat.domain.gate_measured import changed_since, policy_evidence
from jurat.domain.gates import gates_in_force
from jurat.domain.stages import Stage, stages_up_to
from jurat.domain.state import State
from jurat.domain.values import Metric
from jurat.policy.gatefile import STAGES, Custom
from jurat.policy.governance import Answer

WALL_S: Final = 5.0
_PROCESSOR_S: Final = 2
_ADDRESS_SPACE_BYTES: Final = 512 * 2**20
_MAX_ANSWER_BYTES: Final = 64 * 1024
_AT_ONCE: Final = 4
_ENVIRONMENTS: Final = {Stage.STAGING: "staging", Stage.PRODUCTION: "production"}


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """What policies are told of a version: what is known, and the names of what is not."""

    known: dict[str, Any]
    unknown: list[str]


def policies_to_ask(state: State, version: rows.Version, to_stage: Stage) -> list[tuple[str, Stage]]:
    """Return the policies on the way to a stage that were not asked since anything else was measured or changed: name and stage."""
    gates, _ = gates_in_force(state, to_stage)
    ours = [e for e in state.find(rows.Evidence, version=version.version) if e.version_digest == version.digest]
    answers = [e for e in ours if any(m.value is not None for m in e.metrics if m.name == "policy_passed")]
    fresh = {e.type for e in answers if not changed_since(state, version, e)}
    wanted = [
        (name, stage)
        for stage in stages_up_to(to_stage)
        for gate in (gates.before(stage) if stage in STAGES else ())
        if isinstance(gate, Custom)
        for name in gate.policies
    ]
    return [(name, stage) for name, stage in dict.fromkeys(wanted) if policy_evidence(name, stage) not in fresh]


def ask_policies(app: App, token: str, version: rows.Version, wanted: list[tuple[str, Stage]]) -> list[Done]:
    """Ask these policies about a version, and record each answer as evidence.

    Raises:
        Unauthenticated, Denied: as the walk; Unavailable: the workspace has no evaluator.
    """
    evaluator = evaluator_for(app, token)
    with app.store.reading() as state:
        told = {stage: registration_of(state, version, stage) for _, stage in wanted}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = list(pool.map(lambda each: run_policy(each[0], told[each[1]]), wanted))
    done = []
    for (name, stage), (said, took_s) in zip(wanted, answers, strict=True):
        answer = said.answer
        passed = None if answer.passed is None else float(answer.passed)
        digest = digest_json(told[stage])
        command = commands.RecordEvidence(
            version=version.version, version_digest=version.digest, type=policy_evidence(name, stage),
            dataset=f"registration:{digest}", dataset_digest=digest,
            metrics=[
                Metric(name="policy_passed", value=passed, n=1, reason=answer.message or ("" if passed else "it gave no answer")),
                Metric(name="policy_blocking", value=float(answer.severity != "warning"), n=1),
            ],
            method="a policy written in Python, in a process of its own",
            environment={
                "policy": name, "stage": str(stage), "code": said.code, "code_digest": said.code_digest,
                "distribution": said.distribution, "network": said.network,
            },
            duration_s=round(took_s, 3),
        )  # fmt: skip
        done.append(act_as(app, evaluator, command))
    return done


def registration_of(state: State, version: rows.Version, stage: Stage) -> Registration:
    """Return what is told of a version. Gaps are told by their size, whichever side is ahead; an empty text is not told at all."""
    ours = {e.type: e for e in state.find(rows.Evidence, version=version.version) if e.version_digest == version.digest}
    dataset_id, _, dataset_version = version.training_dataset.partition("@")
    approvers = [a.person for r in state.find(rows.Request, version=version.version) if r.status != "rejected" for a in r.approvals]
    order = list(Stage)
    reached = order.index(Stage(version.stage))
    known: dict[str, Any] = {
        "environment": _ENVIRONMENTS.get(stage, "development"), "model_id": version.model, "version": version.version.partition("@")[2],
        "digest": version.digest, "system": version.system, "stage": version.stage, "created_by": version.author,
        "training_data": {"dataset_id": dataset_id, "dataset_version": dataset_version},
        "approved_for_staging": reached >= order.index(Stage.STAGING) and version.stage != Stage.RETIRED,
        "approved_for_production": version.stage == Stage.PRODUCTION, "approvers": list(dict.fromkeys(approvers)), "model_card_url": None,
    }  # fmt: skip
    system = state.get(rows.System, version.system)
    if system is not None:
        known["risk_tier"] = str(system.risk_tier)
    card = ours.get("documentation")
    if card is not None and any(m.name == "model_card_complete" and m.value == 1.0 for m in card.metrics):
        known["model_card_url"] = f"jurat:cards/{version.version}#{card.as_of}"
    unknown = []
    for key, kind, bars in (("metrics", "evaluation", False), ("bias_metrics", "bias_test", True)):
        metrics = ours[kind].metrics if kind in ours else []
        if not metrics or any(m.value is None for m in metrics):
            unknown.append(key)  # nothing, or not all of it, was measured: there is nothing to pass on
            continue
        known[key] = {
            m.name + (f" by {m.group_by}" if m.group_by else ""): abs(m.value) if bars else m.value for m in metrics if m.value is not None
        }
    return Registration(known=known, unknown=unknown)


def run_policy(name: str, told: Registration, *, wall_s: float = WALL_S) -> tuple[Said, float]:
    """Return what a policy says, and how many seconds it took. Never raises for what the policy does.

    Nothing is left running; where the kernel allows no namespaces, nothing but what the policy hid in a session of its own.
    """
    order = Order(
        policy=name, registration=told.known, unknown=told.unknown, address_space_bytes=_ADDRESS_SPACE_BYTES, processor_s=_PROCESSOR_S
    )
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="jurat-policy-") as empty:
        kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ}
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "jurat.app.policy_child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, cwd=empty, env={**kept, "LANG": "C.UTF-8", "HOME": empty}, start_new_session=True,
        )  # fmt: skip
        try:
            raw, _ = child.communicate(dump_json(order), timeout=wall_s)
            said = _read(name, raw, child.returncode)
        except subprocess.TimeoutExpired:
            said = _no_answer(f"policy `{name}` took longer than {wall_s:g} s and was stopped")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
    return said, time.monotonic() - began


def _read(name: str, raw: bytes, exit_code: int) -> Said:
    if exit_code in (-signal.SIGXCPU, -signal.SIGKILL, 128 + signal.SIGXCPU, 128 + signal.SIGKILL):
        return _no_answer(f"policy `{name}` used more than {_PROCESSOR_S} s of processor time and was stopped")
    if exit_code != 0 or not raw or len(raw) > _MAX_ANSWER_BYTES:
        return _no_answer(f"policy `{name}` ended without an answer (exit code {exit_code})")
    try:
        return load_json(raw, Said, what="the policy's answer")
    except JuratError:
        return _no_answer(f"policy `{name}` gave an answer that cannot be read")


def _no_answer(why: str) -> Said:
    return Said(answer=Answer(severity="blocking", passed=None, message=why))
