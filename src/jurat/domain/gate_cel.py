"""A custom gate's CEL expression, held against what is known of a version: the same evidence that conditions see, and facts of its system.

A name without a believable value, whatever stands around it, is not enough data. Knows nothing of the language (`policy.cel`).
"""

from __future__ import annotations

from collections.abc import Sequence

from jurat.domain import rows
from jurat.domain.gate_measured import as_measured, find_evidence, show_metric
from jurat.domain.state import State
from jurat.domain.values import Clause
from jurat.policy.cel import EVIDENCE, Cel, Value, variable
from jurat.policy.conditions import Verdict
from jurat.policy.gatekinds import Custom, gate_type


def cel_clause(state: State, version: rows.Version, gate: Custom, expression: Cel, now_ns: int) -> Clause:
    """Return how the expression stands: a pass only if every name in it has a value and it is true for each of them."""
    choices: dict[str, Sequence[Value]] = {}
    found: list[str] = []
    missing: list[str] = []
    evidence: list[str] = []
    for name in expression.metrics:
        answer = find_evidence(state, version, gate, name, now_ns)
        metrics = [m for m in answer.evidence.metrics if m.name == name] if answer.evidence else []
        read = [variable(name, as_measured(m, "")) for m in metrics]
        believed = [value for value, _ in read if value is not None]
        missing += [
            (f"`{name}` by {m.group_by}: " if m.group_by else "") + (m.reason or why)
            for m, (value, why) in zip(metrics, read, strict=True)
            if value is None
        ]
        if not metrics:
            missing.append(f"`{name}`: {answer.why_not}" if answer.why_not else variable(name, None)[1])
        choices[EVIDENCE + name] = believed
        found.append(f"{name} " + ("; ".join(show_metric(m) for m in metrics) or "not measured"))
        evidence += [answer.evidence.as_of] if answer.evidence else []
    facts = _facts(state, version)
    for name in expression.facts:
        if value := facts.get(name):
            choices[name] = [value]
        else:
            missing.append(f"`{name}` is not declared")
        shown = facts.get(name) or "not declared"
        found.append(f"{name} {', '.join(shown) if isinstance(shown, list) else shown}")
    verdict, why = (Verdict.NOT_ENOUGH_DATA, "; ".join(missing)) if missing else expression.check(choices)
    return Clause(
        gate=f"{gate_type(gate)} {gate.name}",
        condition=f"cel {expression.text}",
        verdict=verdict.value,
        found="; ".join(found),
        reason=why,
        evidence=list(dict.fromkeys(evidence)),
    )


def _facts(state: State, version: rows.Version) -> dict[str, str | list[str]]:
    """Return what is declared; an empty text or list is nothing declared."""
    system = state.get(rows.System, version.system)
    known: dict[str, str | list[str]] = {"version.semver": version.version.partition("@")[2], "version.stage": str(version.stage)}
    if system is not None:
        known |= {
            "system.risk_tier": str(system.risk_tier), "system.purpose": system.purpose, "system.environments": list(system.environments),
        }  # fmt: skip
    return known
