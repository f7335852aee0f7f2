"""What is still missing before a stage, and who can do it: the unmet conditions, each with the next step and the people for it.

Pure, from what holds now. Says nothing that the gate would not say; a step that is listed here is not an act.
"""

from __future__ import annotations

import msgspec

from jurat.core.clock import parse_at, to_ns
from jurat.core.units import Dimension, format_quantity
from jurat.domain import rows
from jurat.domain.gate_measured import soaking_since
from jurat.domain.gates import GateResult, gates_in_force
from jurat.domain.quorum import seats_filled
from jurat.domain.requests import is_open
from jurat.domain.roles import holders_of, person_behind
from jurat.domain.stages import Stage, stages_up_to
from jurat.domain.state import State
from jurat.domain.values import Clause
from jurat.policy.gatefile import STAGES, HumanApproval, Rollout, StagingSoak


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is missing."""

    gate: str
    condition: str
    verdict: str
    why: str
    do: str  # what to type
    who: list[str]  # roles that can, or principals; empty: whoever may check this gate
    blocking: bool


_MEASURE = "jurat model evaluate {version} --data FILE --dataset {dataset}"
_DO = {
    "automated_tests": _MEASURE,
    "bias_check": _MEASURE,
    "security_scan": _MEASURE,
    "documentation": "jurat card record {version}",
    "staging_soak": "jurat model soak {version}",
}


def missing_steps(state: State, version: rows.Version, to_stage: Stage, result: GateResult, now_ns: int) -> list[Step]:
    """Return what stands between a version and a stage, in the order in which it can be done."""
    steps: list[Step] = []
    here = Stage(version.stage)
    between = [stage for stage in stages_up_to(to_stage) if list(Stage).index(stage) > list(Stage).index(here)]
    for clause, required in zip(result.clauses, result.required, strict=True):
        if clause.verdict != "pass":
            steps.append(_step(state, version, to_stage, clause, required, now_ns))
    for stage in between[:-1]:
        steps.append(
            Step(
                gate="stage", condition=f"is in {stage}", verdict="not_enough_data", why=f"it is in `{here}`, one stage at a time",
                do=f"jurat model promote {version.version} {stage}", who=["ml_engineer"], blocking=True,
            )
        )  # fmt: skip
    return sorted(steps, key=lambda step: not step.blocking)


def afterwards(state: State, to_stage: Stage) -> str:
    """Return what comes after the promotion, in words; empty if nothing does."""
    if to_stage not in STAGES:
        return ""
    gates, _ = gates_in_force(state, to_stage)
    found = [gate for gate in gates.before(to_stage) if isinstance(gate, Rollout)]
    return f"traffic in steps: {' → '.join(found[0].steps)}, at least {found[0].hold} each (`jurat rollout start`)" if found else ""


def _step(state: State, version: rows.Version, to_stage: Stage, clause: Clause, required: bool, now_ns: int) -> Step:
    kind = clause.gate.partition(" ")[0]
    held_out = version.validation_dataset if version.validation_dataset != version.training_dataset else ""
    names = {"version": version.version, "dataset": held_out or "NAME"}
    do, who, why = _DO.get(kind, "").format(**names), list[str](), clause.reason or clause.found
    if kind == "staging_soak" and clause.condition.startswith("duration "):
        do, why = _until(state, version, to_stage, clause, now_ns)
    elif kind == "custom":
        is_policy = clause.condition.startswith("policy ")
        do = f"jurat gate check {version.version} {to_stage}" if is_policy else _MEASURE.format(**names)
        if clause.reason.startswith("`system."):  # of an expression in CEL: all else that it names is there
            do = f"jurat system change {version.system} --reason '…'"
    elif kind == "human_approval":
        do, who = _approve(state, version, clause, now_ns)
    return Step(
        gate=clause.gate,
        condition=clause.condition,
        verdict=clause.verdict,
        why=why,
        do=do or "ask an operator",
        who=who,
        blocking=required,
    )


def _until(state: State, version: rows.Version, to_stage: Stage, clause: Clause, now_ns: int) -> tuple[str, str]:
    gates, _ = gates_in_force(state, to_stage)
    soak = next(g for stage in STAGES for g in gates.before(stage) if isinstance(g, StagingSoak))
    if version.stage != Stage.STAGING:
        return f"jurat model promote {version.version} staging", clause.reason
    left_s = soak.duration_s - (now_ns - to_ns(parse_at(soaking_since(state, version)))) / 1e9
    return f"wait {format_quantity(max(left_s, 0.0), Dimension.DURATION)}", clause.reason


def _approve(state: State, version: rows.Version, clause: Clause, now_ns: int) -> tuple[str, list[str]]:
    """Return what to type, and who may say yes: holders of the open seats who neither made, asked nor answered already."""
    needed = clause.condition.removeprefix("approved by ").split(", ")
    waiting = [r for r in state.find(rows.Request, version=version.version) if r.version_digest == version.digest and is_open(r, now_ns)]
    if not waiting:
        return f"jurat request open {version.version} {_stage_of(state, needed)}", []
    request = waiting[-1]
    seats = seats_filled(needed, {a.person: a.roles for a in request.approvals})
    out = {version.author, version.author_person, request.requested_by, request.asking_person, *(a.person for a in request.approvals)}
    open_roles = [role for seat, role in enumerate(needed) if seat not in seats]
    able = [p for role in open_roles for p in holders_of(state, role, now_ns) if p not in out and person_behind(state, p) not in out]
    return f"jurat request show {request.request}", list(dict.fromkeys(able)) or [f"nobody holds {role}" for role in open_roles]


def _stage_of(state: State, needed: list[str]) -> str:
    gates, _ = gates_in_force(state, Stage.PRODUCTION)
    for stage in STAGES:
        for gate in gates.before(stage):
            if isinstance(gate, HumanApproval) and [a.role for a in gate.approvers] == needed:
                return stage
    return STAGES[-1]
