"""The gate file: which conditions stand before `staging` and before `production`, as an organisation writes them.

Strict: an unknown key, type, metric, unit or role, a key written twice, an empty list, a stage without gates: each is
refused with its line and a hint. Reads the plainest YAML only: no anchors, no tags, bounded size and depth. Knows
nothing of evidence, approvals or versions; `domain` compares them with what stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import yaml

from jurat.core.digests import digest_bytes
from jurat.core.errors import Malformed
from jurat.core.units import parse_duration_s
from jurat.policy.conditions import Condition, parse_condition
from jurat.policy.metrics import METRICS, GateType
from jurat.policy.plainyaml import compose, read_mapping, read_scalar, read_sequence, reading, refuse_at, suggest

Roles = frozenset[str] | None
STAGES: Final = ("staging", "production")  # the stages that have a gate before them


class AutomatedTests(msgspec.Struct, frozen=True, tag="automated_tests"):
    """Measured on a held-out data set: every check must pass."""

    checks: tuple[Condition, ...]
    required: bool = True


class BiasCheck(msgspec.Struct, frozen=True, tag="bias_check"):
    """Measured per protected group: every check must pass, for every protected attribute."""

    checks: tuple[Condition, ...]
    required: bool = True


class StagingSoak(msgspec.Struct, frozen=True, tag="staging_soak"):
    """The version has served in staging for this long, and every criterion held over that time."""

    duration: str  # as written: `48h`
    success_criteria: tuple[Condition, ...]
    required: bool = True

    @property
    def duration_s(self) -> float:
        return parse_duration_s(self.duration)


class Approver(msgspec.Struct, frozen=True):
    """One approval is needed from somebody who holds this role; each approver is another person."""

    role: str


class HumanApproval(msgspec.Struct, frozen=True, tag="human_approval"):
    """As many different people as there are approvers here have said yes to exactly this digest."""

    approvers: tuple[Approver, ...]
    required: bool = True


Gate = AutomatedTests | BiasCheck | StagingSoak | HumanApproval


class GateFile(msgspec.Struct, frozen=True):
    """All gates, by stage. Never empty: each stage of `STAGES` has at least one required gate."""

    staging: tuple[Gate, ...]
    production: tuple[Gate, ...]

    @property
    def digest(self) -> str:
        """The digest of what the file means: comments, order of keys and white space do not count."""
        return digest_bytes(format_gates(self).encode())

    def before(self, stage: str) -> tuple[Gate, ...]:
        """Return the gates before a stage, in the file's order.

        Raises:
            Malformed: no gate stands before a stage of that name. (Never an empty answer: empty would look like a pass.)
        """
        if stage not in STAGES:
            raise Malformed(f"stage `{stage}` has no gates", hint=f"stages with gates: {', '.join(STAGES)}", code="unknown_stage")
        return self.staging if stage == "staging" else self.production


def parse_gates(text: str, *, roles: frozenset[str] | None) -> GateFile:
    """Return the gates in a gate file.

    Args:
        text: YAML, at most 64 KiB.
        roles: the roles that the policy set knows; an approver's role must be one of them. None only for a file that was
            checked when it was applied: a role that vanished since has no holders, and nobody can fill its place.

    Raises:
        Malformed: as this module says; `line` among its fields is the line, counted from 1.
    """
    document = compose(text)
    root = read_mapping(document, "the file", {"deployment_gates"})
    if "deployment_gates" not in root:
        raise refuse_at(
            document, "the file has no `deployment_gates`", "begin it with `deployment_gates:`, then `staging:` and `production:`"
        )
    stages = read_mapping(root["deployment_gates"], "`deployment_gates`", set(STAGES))
    for stage in STAGES:
        if stage not in stages:
            raise refuse_at(root["deployment_gates"], f"stage `{stage}` has no gates", f"add `{stage}:` with at least one gate under it")
    read = {stage: _stage(stage, stages[stage], roles) for stage in STAGES}
    return GateFile(staging=read["staging"], production=read["production"])


def format_gates(gates: GateFile) -> str:
    """Return the file in its one spelling. `parse_gates` reads the same gates from it."""
    lines = ["deployment_gates:"]
    for stage in STAGES:
        lines.append(f"  {stage}:")
        for gate in gates.before(stage):
            lines += [f"    - type: {gate_type(gate)}", f"      required: {'true' if gate.required else 'false'}"]
            if isinstance(gate, StagingSoak):
                lines += [f"      duration: {gate.duration}", "      success_criteria:"]
                lines += [f"        - {condition.text}" for condition in gate.success_criteria]
            elif isinstance(gate, HumanApproval):
                lines += ["      approvers:", *(f"        - role: {approver.role}" for approver in gate.approvers)]
            else:
                lines += ["      checks:", *(f"        - {condition.text}" for condition in gate.checks)]
            lines.append("")
    return "\n".join(lines)


def gate_type(gate: Gate) -> GateType:
    """Return the type of a gate as the file names it."""
    return _TYPE_OF[type(gate)]


def _stage(stage: str, node: yaml.Node, roles: Roles) -> tuple[Gate, ...]:
    gates: dict[GateType, Gate] = {}
    for item in read_sequence(node, f"`{stage}`", "gates"):
        kind = _gate_type(item)
        if kind in gates:
            raise refuse_at(item, f"`{stage}` has two gates of type `{kind}`", "put all their conditions into one")
        if kind is GateType.STAGING_SOAK and stage == "staging":
            raise refuse_at(item, "a `staging_soak` stands before `staging`", "a version soaks in staging: move this gate to `production`")
        gates[kind] = _READERS[kind](item, roles)
    if not any(gate.required for gate in gates.values()):
        raise refuse_at(
            node, f"no gate of `{stage}` is required", "a stage whose gates are all optional has none: set one to `required: true`"
        )
    return tuple(gates.values())


def _gate_type(node: yaml.Node) -> GateType:
    fields = read_mapping(node, "a gate", None)
    if "type" not in fields:
        raise refuse_at(node, "a gate has no `type`", f"types: {', '.join(GateType)}")
    written = read_scalar(fields["type"], "`type`")
    if written not in set(GateType):
        raise refuse_at(fields["type"], f"gate type `{written[:60]}` is unknown", suggest(written, GateType, "types"))
    return GateType(written)


def _automated_tests(node: yaml.Node, _: Roles) -> AutomatedTests:
    fields = _gate_fields(node, GateType.AUTOMATED_TESTS, "checks")
    return AutomatedTests(_conditions(fields["checks"], "checks", GateType.AUTOMATED_TESTS), _required(fields))


def _bias_check(node: yaml.Node, _: Roles) -> BiasCheck:
    fields = _gate_fields(node, GateType.BIAS_CHECK, "checks")
    return BiasCheck(_conditions(fields["checks"], "checks", GateType.BIAS_CHECK), _required(fields))


def _staging_soak(node: yaml.Node, _: Roles) -> StagingSoak:
    fields = _gate_fields(node, GateType.STAGING_SOAK, "duration", "success_criteria")
    written = read_scalar(fields["duration"], "`duration`")
    duration_s = reading(fields["duration"], lambda: parse_duration_s(written))
    if duration_s <= 0:
        raise refuse_at(fields["duration"], f"`duration` is `{written}`, expected more than nothing", "write for example `48h`")
    criteria = _conditions(fields["success_criteria"], "success_criteria", GateType.STAGING_SOAK)
    return StagingSoak("".join(written.split()), criteria, _required(fields))


def _human_approval(node: yaml.Node, roles: Roles) -> HumanApproval:
    fields = _gate_fields(node, GateType.HUMAN_APPROVAL, "approvers")
    approvers: list[Approver] = []
    for item in read_sequence(fields["approvers"], "`approvers`", "approvers"):
        entry = read_mapping(item, "an approver", {"role"})
        if "role" not in entry:
            raise refuse_at(item, "an approver has no `role`", "write `- role: ml_lead`")
        role = read_scalar(entry["role"], "`role`")
        if roles is not None and role not in roles:
            raise refuse_at(entry["role"], f"role `{role[:60]}` is unknown: no policy speaks of it", suggest(role, roles, "roles"))
        if Approver(role) in approvers:
            raise refuse_at(entry["role"], f"role `{role}` is listed twice", "each approver is named once; use two roles to ask two people")
        approvers.append(Approver(role))
    return HumanApproval(tuple(approvers), _required(fields))


_READERS: Final[dict[GateType, Callable[[yaml.Node, Roles], Gate]]] = {
    GateType.AUTOMATED_TESTS: _automated_tests,
    GateType.BIAS_CHECK: _bias_check,
    GateType.STAGING_SOAK: _staging_soak,
    GateType.HUMAN_APPROVAL: _human_approval,
}
_TYPE_OF: Final[dict[type[Gate], GateType]] = {
    AutomatedTests: GateType.AUTOMATED_TESTS,
    BiasCheck: GateType.BIAS_CHECK,
    StagingSoak: GateType.STAGING_SOAK,
    HumanApproval: GateType.HUMAN_APPROVAL,
}


def _gate_fields(node: yaml.Node, kind: GateType, *wanted: str) -> dict[str, yaml.Node]:
    fields = read_mapping(node, f"a gate of type `{kind}`", {"type", "required", *wanted})
    for key in wanted:
        if key not in fields:
            raise refuse_at(node, f"a gate of type `{kind}` has no `{key}`", f"it needs {' and '.join(f'`{name}`' for name in wanted)}")
    return fields


def _conditions(node: yaml.Node, key: str, kind: GateType) -> tuple[Condition, ...]:
    found: list[Condition] = []
    for item in read_sequence(node, f"`{key}`", "conditions"):
        written = read_scalar(item, "a condition")
        condition = reading(item, lambda written=written: parse_condition(written))  # type: ignore[misc]
        can_measure = METRICS[condition.metric].gates
        if kind not in can_measure:
            raise refuse_at(
                item,
                f"a gate of type `{kind}` cannot measure `{condition.metric}`",
                f"put it into a gate of type {' or '.join(f'`{gate}`' for gate in sorted(can_measure))}",
            )
        if condition in found:
            raise refuse_at(item, f"condition `{condition.text}` is written twice", "delete one")
        found.append(condition)
    return tuple(found)


def _required(fields: Mapping[str, yaml.Node]) -> bool:
    if "required" not in fields:
        return True
    written = read_scalar(fields["required"], "`required`")
    if written not in ("true", "false"):
        raise refuse_at(fields["required"], f"`required` is `{written[:60]}`, expected `true` or `false`", "leave it out to mean `true`")
    return written == "true"
