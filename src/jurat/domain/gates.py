"""Evidence against the gate file: what passes, what fails, what is not known well enough to say.

Gates add up: whoever goes to production passes the gates of staging again, with today's evidence and today's gate file.
Only evidence on this very digest counts. An approval counts only for exactly what was shown, while nothing of it changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from jurat.core.clock import parse_at, to_ns
from jurat.core.digests import digest_json, short
from jurat.core.errors import Conflict
from jurat.core.units import Dimension, format_quantity
from jurat.domain import rows
from jurat.domain.facts import GateChecked
from jurat.domain.gate_cel import cel_clause
from jurat.domain.gate_measured import condition_clause, expression_clause, policy_clause, soaking_since
from jurat.domain.gate_measured import show_metric as show_metric
from jurat.domain.gate_upstream import shown_changes, upstream_clauses
from jurat.domain.quorum import seats_filled
from jurat.domain.requests import still_said, why_closed
from jurat.domain.stages import Stage, parse_stage, stages_up_to
from jurat.domain.state import State
from jurat.domain.values import Clause
from jurat.policy.conditions import Verdict, combine
from jurat.policy.gatefile import STAGES, Custom, GateFile, HumanApproval, Rollout, StagingSoak, gate_type, parse_gates


@dataclass(frozen=True)
class GateResult:
    """A verdict with everything it rests on."""

    stage: Stage
    gate_file: str
    clauses: list[Clause]
    request: str | None = None
    approvals: list[str] = field(default_factory=list)
    required: list[bool] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """Fail if a required clause failed, pass if all of them passed; an empty list is not a pass."""
        return combine(Verdict(c.verdict) for c, needed in zip(self.clauses, self.required, strict=True) if needed).value

    @property
    def evidence(self) -> list[str]:
        return list(dict.fromkeys(event for clause in self.clauses for event in clause.evidence))

    def fact(self, version: rows.Version) -> GateChecked:
        """Return the verdict as it is recorded."""
        return GateChecked(
            version=version.version,
            version_digest=version.digest,
            stage=self.stage,
            gate_file=self.gate_file,
            verdict=self.verdict,
            clauses=self.clauses,
        )


def check_gates(
    state: State,
    version: rows.Version,
    to_stage: Stage,
    now_ns: int,
    *,
    promoters: frozenset[str] = frozenset(),
    request: str | None = None,
) -> GateResult:
    """Return how a version stands before a stage, now.

    Args:
        promoters: the persons whose act the promotion is; their own approval does not count.
        request: the request whose approvals are meant; None takes the one that stands best.
    Raises:
        Conflict: no gate file is in force, or it has no gate before that stage.
    """
    gates, digest = gates_in_force(state, to_stage)
    clauses: list[Clause] = []
    required: list[bool] = []
    used: rows.Request | None = None
    seated: list[str] = []
    for stage in stages_up_to(to_stage):
        for gate in gates.before(stage) if stage in STAGES else ():
            blocks: list[bool] = []
            match gate:
                case Rollout():  # stands on the endpoint's path, once the version is in production
                    continue
                case HumanApproval():
                    then = _approved_then(state, version, stage, gate)
                    if then is None:
                        wanted = request if stage == to_stage else None
                        then, used, seated = _approvals(state, version, stage, gate, now_ns, promoters, wanted)
                    found = [then]
                case StagingSoak():
                    measured = [condition_clause(state, version, gate, c, now_ns) for c in gate.success_criteria]
                    found = [_duration(state, version, gate, now_ns), *measured]
                case Custom():
                    asked = [policy_clause(state, version, gate, name, stage, now_ns) for name in gate.policies]
                    found = [expression_clause(state, version, gate, e, now_ns) for e in gate.checks]
                    found += [cel_clause(state, version, gate, gate.cel, now_ns)] if gate.cel else []
                    blocks = [True] * len(found) + [blocking for _, blocking in asked]
                    found += [clause for clause, _ in asked]
                case _:
                    found = [condition_clause(state, version, gate, c, now_ns) for c in gate.checks]
            clauses += found
            required += [gate.required and blocking for blocking in blocks or [True] * len(found)]
    always = upstream_clauses(state, version, used)
    return GateResult(to_stage, digest, clauses + always, used.request if used else None, seated, required + [True] * len(always))


def gates_in_force(state: State, to_stage: Stage) -> tuple[GateFile, str]:
    """Return the gate file that is in force and its digest.

    Raises:
        Conflict: there is none, or nothing stands before that stage: no gates is never a pass.
    """
    row = state.get(rows.GatesInForce, "current")
    if row is None or to_stage not in STAGES:
        what = "no gate file is in force" if row is None else f"no gate stands before `{to_stage}`"
        raise Conflict(f"{what}, and no gates is not a pass", hint="apply one: `jurat gate apply gates.yaml --reason '…'`", code="no_gates")
    # Roles were checked when the file was applied; one that vanished from the policies since has no holders, and fails there.
    return _read_once(row.source), row.digest


@lru_cache(maxsize=64)  # a file is read many times at each check, and never changes
def _read_once(source: str) -> GateFile:
    return parse_gates(source, roles=None)


def approver_roles(state: State, to_stage: Stage) -> list[str]:
    """Return the roles that must approve before a stage, one per person.

    Raises:
        Conflict: nobody has to, so there is nothing to ask for.
    """
    gates, _ = gates_in_force(state, to_stage)
    found = [a.role for gate in gates.before(to_stage) if isinstance(gate, HumanApproval) for a in gate.approvers]
    if not found:
        raise Conflict(f"no gate before `{to_stage}` asks for an approval", hint="promote directly", code="no_approval_needed")
    return found


def shown_for(state: State, version: rows.Version, to_stage: Stage, *, types: list[str] | None = None) -> dict[str, Any]:
    """Return exactly what an approver is shown; its digest is what they sign.

    Args:
        types: show these types of evidence only; None shows all that there is on this digest.
    """
    _, gate_file = gates_in_force(state, to_stage)
    evidence = [e for e in state.find(rows.Evidence, version=version.version) if e.version_digest == version.digest]
    return {
        "version": version.version,
        "version_digest": version.digest,
        "to_stage": str(to_stage),
        "gate_file": gate_file,
        "author": version.author,
        "training_dataset": version.training_dataset,
        "artefacts": {name: getattr(version.artefacts, name).digest for name in version.artefacts.__struct_fields__},
        "evidence": [
            {
                "type": e.type,
                "event": e.as_of,
                "dataset": e.dataset,
                "metrics": [
                    {"name": m.name, "group_by": m.group_by, "value": m.value, "low": m.low, "high": m.high, "n": m.n} for m in e.metrics
                ],
            }
            for e in evidence
            if types is None or e.type in types
        ],
        **shown_changes(state, version),
    }


def _duration(state: State, version: rows.Version, gate: StagingSoak, now_ns: int) -> Clause:
    started = version.stage == Stage.STAGING
    soaked_s = (now_ns - to_ns(parse_at(soaking_since(state, version)))) / 1e9 if started else 0.0
    passed = started and soaked_s >= gate.duration_s
    found = f"{format_quantity(max(soaked_s, 0.0), Dimension.DURATION)} in staging" if started else "not in staging"
    return Clause(
        gate=gate_type(gate),
        condition=f"duration {gate.duration}",
        verdict=(Verdict.PASS if passed else Verdict.NOT_ENOUGH_DATA).value,
        found=found,
        reason="" if passed else f"{found}, needs {gate.duration}",
        evidence=[version.as_of] if started else [],
    )


def _approved_then(state: State, version: rows.Version, stage: Stage, gate: HumanApproval) -> Clause | None:
    """Return that people said yes to these bytes when they went to a stage that they have reached; None if not so many as are asked now.

    What changed since is for whoever approves the next stage, and for what reopens approvals; nobody is asked the same thing twice.
    """
    if stage not in stages_up_to(parse_stage(version.stage)):
        return None
    needed = [a.role for a in gate.approvers]
    for request in state.find(rows.Request, version=version.version, to_stage=str(stage), status="used"):
        seats = seats_filled(needed, {a.person: a.roles for a in request.approvals})
        if request.version_digest == version.digest and len(seats) == len(needed):
            evidence = [a.event for a in request.approvals if a.person in seats.values()]
            condition, found = f"approved by {', '.join(needed)}", f"{len(needed)} of {len(needed)}"
            return Clause(gate=gate_type(gate), condition=condition, verdict=Verdict.PASS.value, found=found, reason="", evidence=evidence)
    return None


def _approvals(
    state: State, version: rows.Version, stage: Stage, gate: HumanApproval, now_ns: int, promoters: frozenset[str], wanted: str | None
) -> tuple[Clause, rows.Request | None, list[str]]:
    needed = [a.role for a in gate.approvers]
    best: tuple[int, rows.Request | None, list[str], str] = (0, None, [], "nobody was asked")
    for request in state.find(rows.Request, version=version.version, to_stage=str(stage)):
        if wanted is not None and request.request != wanted:
            continue
        problem = _why_void(state, version, stage, request, now_ns)
        seats: dict[int, str] = {}
        if not problem:
            place = f"requests/{request.request}"
            seats = seats_filled(needed, still_said(state, request.approvals, place, now_ns, without=promoters))
            missing = [role for seat, role in enumerate(needed) if seat not in seats]
            own = [a.person for a in request.approvals if a.person in promoters]
            problem = (
                f"{len(needed)} approvals of different people needed ({', '.join(needed)}), has {len(seats)}, open: {', '.join(missing)}"
                + (f"; the approval of `{own[0]}`, who promotes, does not count" if own else "")
                if missing
                else ""
            )
        seated = [a.event for a in request.approvals if a.person in seats.values()]
        if best[1] is None or len(seats) >= best[0]:
            best = (len(seats), request, seated, problem)
    count, used, seated, problem = best
    return (
        Clause(
            gate=gate_type(gate),
            condition=f"approved by {', '.join(needed)}",
            verdict=(Verdict.NOT_ENOUGH_DATA if problem else Verdict.PASS).value,
            found=f"{count} of {len(needed)}",
            reason=problem,
            evidence=seated,
        ),
        used if not problem else None,
        seated if not problem else [],
    )


def _why_void(state: State, version: rows.Version, stage: Stage, request: rows.Request, now_ns: int) -> str:
    """Return why a request's approvals do not count, or nothing."""
    if request.version_digest != version.digest:
        return f"request `{request.request}` is about other bytes"
    if why := why_closed(request, now_ns):
        return why
    shown = shown_for(state, version, stage, types=[e["type"] for e in request.shown["evidence"]])
    if digest_json(shown) != request.shown_digest:
        return f"what was approved in `{request.request}`, `{short(request.shown_digest)}`, has changed since"
    return ""
