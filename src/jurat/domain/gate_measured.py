"""What was measured, held against one condition: which evidence counts, how old it may be, and how it is told.

Only evidence on this very digest counts, none from the future, none that is stale, none on rows that it was trained on or that
somebody chose afterwards; the newest of what the gate may look at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from jurat.core.clock import parse_at, to_ns
from jurat.core.units import Dimension, format_quantity, parse_duration_s
from jurat.domain import rows
from jurat.domain.state import State
from jurat.domain.values import Clause, Metric
from jurat.policy.conditions import Clause as Checked
from jurat.policy.conditions import Condition, Measured, Verdict, combine
from jurat.policy.expressions import Expression
from jurat.policy.gatekinds import AutomatedTests, BiasCheck, Custom, Documentation, Gate, SecurityScan, StagingSoak, gate_type
from jurat.policy.metrics import METRICS, Scale

# Types of evidence that a gate looks at. A custom gate looks at all of them but verdicts of policies.
EVIDENCE_OF: Final[Mapping[type[Gate], tuple[str, ...]]] = {
    AutomatedTests: ("evaluation", "load_test", "robustness", "security_scan"),
    BiasCheck: ("bias_test",),
    SecurityScan: ("security_scan", "dependency_check", "model_signature"),
    Documentation: ("documentation",),
    StagingSoak: ("soak",),
}
ON_DATA: Final = ("evaluation", "bias_test", "load_test", "robustness")  # types that say how it does on rows of data
POLICY: Final = "policy:"  # type of the evidence that a policy leaves: `policy:<name>:<stage>`


def policy_evidence(name: str, stage: str) -> str:
    """Return the type of evidence that a policy's verdict before a stage is."""
    return f"{POLICY}{name}:{stage}"


class Found(msgspec.Struct, frozen=True):
    """Evidence that a condition may look at, or why there is none."""

    evidence: rows.Evidence | None
    why_not: str = ""


def soaking_since(state: State, version: rows.Version) -> str:
    """Return since when a version in staging has soaked: since it came there, or was last put to work, on whatever endpoint."""
    served = [s.since for s in state.find(rows.Served, version=version.version, stage=version.stage) if s.since]
    return max([version.stage_since, *served], key=parse_at)


def find_evidence(state: State, version: rows.Version, gate: Gate, metric: str, now_ns: int) -> Found:
    """Return the newest evidence on this digest that says something about a metric, if it is fresh enough for the gate."""
    types = EVIDENCE_OF.get(type(gate))
    usable = [
        e
        for e in state.find(rows.Evidence, version=version.version)
        if e.version_digest == version.digest  # measured on other bytes is worth nothing here
        and (e.type in types if types is not None else not e.type.startswith(POLICY))
        and any(m.name == metric for m in e.metrics)
    ]
    if not usable:
        return Found(None)
    newest = max(usable, key=lambda e: (to_ns(parse_at(e.measured_at)), e.as_of))
    at_ns, max_age = to_ns(parse_at(newest.measured_at)), getattr(gate, "max_age", "")
    if at_ns > now_ns:
        return Found(None, f"measured at {newest.measured_at}, which has not come yet")
    if isinstance(gate, StagingSoak) and (at_ns - to_ns(parse_at(soaking_since(state, version)))) / 1e9 < gate.duration_s:
        return Found(None)  # an earlier soak (the clock restarts with each deployment), or one measured before it was over
    if why := _not_held_out(state, version, newest):
        return Found(None, why)
    if max_age and (now_ns - at_ns) / 1e9 > parse_duration_s(max_age):
        return Found(None, f"stale: measured at {newest.measured_at}, may be {max_age} old")
    return Found(newest)


def _not_held_out(state: State, version: rows.Version, evidence: rows.Evidence) -> str:
    """Return why these rows say nothing: the model was trained on them, or another data set was named to judge it by; or nothing."""
    if evidence.type not in ON_DATA:
        return ""
    trained, measured = state.get(rows.Dataset, version.training_dataset), state.get(rows.Dataset, evidence.dataset)
    if evidence.dataset == version.training_dataset or (trained and measured and trained.digest == measured.digest):
        return f"measured on `{evidence.dataset}`, which it was trained on"
    named = version.validation_dataset
    if named in ("", version.training_dataset, evidence.dataset):
        return ""  # none was named, or none that could be held out: any other will do, and those who approve see which
    return f"measured on `{evidence.dataset}`, and `{named}` was named to judge it by"


def condition_clause(state: State, version: rows.Version, gate: Gate, condition: Condition, now_ns: int) -> Clause:
    """Check every value of the metric (one per protected attribute): the worst answer is the answer."""
    found = find_evidence(state, version, gate, condition.metric, now_ns)
    evidence = found.evidence
    metrics = [m for m in evidence.metrics if m.name == condition.metric] if evidence else []
    answers = check_metrics(condition, metrics, evidence.as_of if evidence else "")
    verdict = combine(a.verdict for a in answers)
    reasons = [
        (f"by {m.group_by}: " if m.group_by else "") + (m.reason or a.reason)
        for m, a in zip(metrics, answers, strict=False)
        if a.verdict is not Verdict.PASS
    ]
    return Clause(
        gate=gate_type(gate),
        condition=condition.text,
        verdict=verdict.value,
        found="; ".join(show_metric(m) for m in metrics) or "not measured",
        reason="; ".join(reasons) if metrics else found.why_not or answers[0].reason,
        evidence=[evidence.as_of] if evidence and metrics else [],
    )


def expression_clause(state: State, version: rows.Version, gate: Custom, expression: Expression, now_ns: int) -> Clause:
    """Check an expression of a custom gate; what it rests on is told condition by condition."""
    clauses = {c: condition_clause(state, version, gate, c, now_ns) for c in expression.conditions}
    verdict = expression.check(lambda c: Checked(Verdict(clauses[c].verdict), c.text, None, clauses[c].reason))
    bad = [f"{c.text}: {clause.reason}" for c, clause in clauses.items() if clause.verdict != Verdict.PASS]
    return Clause(
        gate=f"{gate_type(gate)} {gate.name}",
        condition=expression.text,
        verdict=verdict.value,
        found="; ".join(f"{c.metric} {clause.found}" for c, clause in clauses.items()),
        reason="" if verdict is Verdict.PASS else "; ".join(bad),
        evidence=list(dict.fromkeys(e for clause in clauses.values() for e in clause.evidence)),
    )


def changed_since(state: State, version: rows.Version, answer: rows.Evidence) -> list[str]:
    """Return what a policy's answer could not know: evidence that is newer, and the system if it changed."""
    ours = [e for e in state.find(rows.Evidence, version=version.version) if e.version_digest == version.digest]
    newer = sorted(e.type for e in ours if not e.type.startswith(POLICY) and parse_at(e.measured_at) > parse_at(answer.measured_at))
    system = state.get(rows.System, version.system)
    return newer + ([f"system {system.system}"] if system and system.as_of > answer.as_of else [])  # ids of events sort by time


def policy_clause(state: State, version: rows.Version, gate: Custom, policy: str, stage: str, now_ns: int) -> tuple[Clause, bool]:
    """Return how a policy written in Python stands, and whether it blocks; one that nobody ran blocks.

    Its verdict is about what was known then: it is stale as soon as anything else was measured on the version, or its system changed.
    """
    kind = policy_evidence(policy, stage)
    ours = [e for e in state.find(rows.Evidence, version=version.version) if e.version_digest == version.digest]
    found = next((e for e in ours if e.type == kind), None)
    metrics = {m.name: m for m in found.metrics} if found else {}
    passed, blocking = metrics.get("policy_passed"), metrics.get("policy_blocking")
    why, verdict = "", Verdict.NOT_ENOUGH_DATA
    newer = changed_since(state, version, found) if found else []
    if found is None or passed is None or blocking is None:
        why = f"policy `{policy}` was not asked before `{stage}`: `jurat gate check` asks it"
    elif newer:
        why = f"stale: {', '.join(newer)} was measured or changed since; `jurat gate check` asks it again"
    elif gate.max_age and (now_ns - to_ns(parse_at(found.measured_at))) / 1e9 > parse_duration_s(gate.max_age):
        why = f"stale: asked at {found.measured_at}, may be {gate.max_age} old"
    elif passed.value is None:
        why = passed.reason
    else:
        verdict, why = (Verdict.PASS, "") if passed.value == 1.0 else (Verdict.FAIL, passed.reason)
    is_fresh = not newer and found is not None and blocking is not None
    blocks = not is_fresh or blocking is None or blocking.value != 0.0
    shown = {Verdict.PASS: "passed", Verdict.FAIL: "did not pass"}.get(verdict, "no answer")
    clause = Clause(
        gate=f"{gate_type(gate)} {gate.name}",
        condition=f"policy {policy}" + ("" if blocks else " (warning)"),
        verdict=verdict.value,
        found=shown,
        reason=why,
        evidence=[found.as_of] if found else [],
    )
    return clause, blocks


def check_metrics(condition: Condition, metrics: list[Metric], source: str) -> list[Checked]:
    """Return a condition's answer for each of these values; one that says `not measured` if there are none."""
    return [condition.check(as_measured(m, source)) for m in metrics] or [condition.check(None)]


def show_metric(metric: Metric) -> str:
    """Return a metric for people: `0.062 [0.00, 0.14] by sex`."""
    declared = METRICS.get(metric.name)
    scale = declared.dimension if declared else Scale.RATIO
    if metric.value is None:
        text = "unknown"
    elif scale is Scale.FLAG:
        text = "yes" if metric.value else "no"
    elif scale is Scale.COUNT:
        text = f"{metric.value:.0f}"
    else:
        dimension = {Scale.DURATION: Dimension.DURATION, Scale.SIZE: Dimension.SIZE}.get(scale, Dimension.RATIO)
        shown = [format_quantity(x, dimension) for x in (metric.value, metric.low, metric.high) if x is not None]
        text = shown[0] + (f" [{shown[1]}, {shown[2]}]" if len(shown) == 3 else "")
    return text + (f" by {metric.group_by}" if metric.group_by else "")


def as_measured(metric: Metric, source: str) -> Measured:
    """Return a metric of evidence as conditions take it."""
    is_flag = metric.name in METRICS and METRICS[metric.name].dimension is Scale.FLAG
    # A flag is yes or no: 0.7 of one is a fault of the measurement, and not a yes.
    value = bool(metric.value) if is_flag and metric.value in (0.0, 1.0) else metric.value
    return Measured(value=value, low=metric.low, high=metric.high, sample_size=metric.n, source=source)
