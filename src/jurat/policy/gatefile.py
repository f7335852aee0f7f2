"""The gate file: which conditions stand before `staging` and before `production`, as an organisation writes them.

Strict: an unknown key, type, metric, unit or role, a key written twice, an empty list, a stage without gates: each is
refused with its line and a hint. Reads the plainest YAML only: no anchors, no tags, bounded size and depth. Knows
nothing of evidence, approvals or versions; `domain` compares them with what stands here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

import msgspec
import yaml

from jurat.core.digests import digest_bytes
from jurat.core.errors import Malformed
from jurat.core.units import parse_duration_s, parse_quantity
from jurat.policy.cel import parse_cel
from jurat.policy.conditions import Condition, parse_condition
from jurat.policy.expressions import parse_expression
from jurat.policy.gatekinds import Approver as Approver
from jurat.policy.gatekinds import AutomatedTests as AutomatedTests
from jurat.policy.gatekinds import BiasCheck as BiasCheck
from jurat.policy.gatekinds import Custom as Custom
from jurat.policy.gatekinds import Documentation as Documentation
from jurat.policy.gatekinds import Gate, Measuring
from jurat.policy.gatekinds import HumanApproval as HumanApproval
from jurat.policy.gatekinds import Rollout as Rollout
from jurat.policy.gatekinds import SecurityScan as SecurityScan
from jurat.policy.gatekinds import StagingSoak as StagingSoak
from jurat.policy.gatekinds import gate_type as gate_type
from jurat.policy.metrics import METRICS, GateType
from jurat.policy.plainyaml import compose, read_mapping, read_scalar, read_sequence, reading, refuse_at, suggest

Roles = frozenset[str] | None
STAGES: Final = ("staging", "production")  # the stages that have a gate before them
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
_SHARE: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,2})?%\Z")


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
            lines += [f"    - type: {gate_type(gate)}", f"      required: {'true' if gate.required else 'false'}", *_body(gate), ""]
    return "\n".join(lines)


def _body(gate: Gate) -> list[str]:
    def listed(key: str, items: list[str]) -> list[str]:
        return [f"      {key}:", *(f"        - {item}" for item in items)] if items else []

    match gate:
        case StagingSoak():
            return [f"      duration: {gate.duration}", *listed("success_criteria", [c.text for c in gate.success_criteria])]
        case HumanApproval():
            return listed("approvers", [f"role: {approver.role}" for approver in gate.approvers])
        case Rollout():
            head = [f"      hold: {gate.hold}", f"      requests: {gate.requests}"]
            return [*listed("steps", list(gate.steps)), *head, *listed("success_criteria", [c.text for c in gate.success_criteria])]
        case Custom():
            return [f"      name: {gate.name}", *listed("checks", [e.text for e in gate.checks]),
                    *_cel(gate), *listed("policies", list(gate.policies)), *_age(gate.max_age)]  # fmt: skip
    return [*listed("checks", [c.text for c in gate.checks]), *_age(gate.max_age)]


def _cel(gate: Custom) -> list[str]:
    """Quote the expression: in one line, whatever characters it has."""
    if gate.cel is None:
        return []
    quoted: str = yaml.dump(gate.cel.text, default_style='"', width=float("inf"))
    return [f"      cel: {quoted.rstrip()}"]


def _age(written: str) -> list[str]:
    return [f"      max_age: {written}"] if written else []


def _stage(stage: str, node: yaml.Node, roles: Roles) -> tuple[Gate, ...]:
    gates: dict[str, Gate] = {}
    for item in read_sequence(node, f"`{stage}`", "gates"):
        kind = _gate_type(item)
        if kind in gates:
            raise refuse_at(item, f"`{stage}` has two gates of type `{kind}`", "put all their conditions into one")
        if kind is GateType.ROLLOUT and stage != "production":
            raise refuse_at(item, f"a `rollout` stands before `{stage}`", "traffic is shared in production: move this gate there")
        if kind is GateType.STAGING_SOAK and stage == "staging":
            raise refuse_at(item, "a `staging_soak` stands before `staging`", "a version soaks in staging: move this gate to `production`")
        read = _READERS[kind](item, roles)
        key = f"{kind} {read.name}" if isinstance(read, Custom) else str(kind)
        if key in gates:
            raise refuse_at(item, f"`{stage}` has two gates called `{key}`", "give each its own `name`")
        gates[key] = read
    if not any(gate.required for gate in gates.values() if not isinstance(gate, Rollout)):
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


def _measuring(made: type[Measuring], kind: GateType) -> Callable[[yaml.Node, Roles], Gate]:
    def read(node: yaml.Node, _: Roles) -> Gate:
        fields = _gate_fields(node, kind, "checks", optional=("max_age",))
        return made(_conditions(fields["checks"], "checks", kind), _required(fields), _duration(fields, "max_age"))

    return read


def _staging_soak(node: yaml.Node, _: Roles) -> StagingSoak:
    fields = _gate_fields(node, GateType.STAGING_SOAK, "duration", "success_criteria")
    criteria = _conditions(fields["success_criteria"], "success_criteria", GateType.STAGING_SOAK)
    return StagingSoak(_duration(fields, "duration"), criteria, _required(fields))


def _rollout(node: yaml.Node, _: Roles) -> Rollout:
    fields = _gate_fields(node, GateType.ROLLOUT, "steps", "hold", "requests", "success_criteria")
    steps: list[str] = []
    shares: list[Decimal] = []
    for item in read_sequence(fields["steps"], "`steps`", "shares"):
        written = read_scalar(item, "a share")
        if not _SHARE.match(written):
            raise refuse_at(item, f"share `{written[:40]}` is not a percentage", "write `1%` or `0.5%`: at most two decimals")
        share = parse_quantity(written).value
        if not (shares[-1] if shares else 0) < share <= 1:
            raise refuse_at(item, f"share `{written}` does not grow, or is above 100 %", "write `1%`, `10%`, `50%`, `100%`")
        steps.append(written)
        shares.append(share)
    if shares[-1] != 1:
        raise refuse_at(fields["steps"], f"the last share is `{steps[-1]}`", "a rollout ends at `100%`")
    requests = read_scalar(fields["requests"], "`requests`")
    if not re.fullmatch(r"[1-9][0-9]{0,8}", requests):
        raise refuse_at(
            fields["requests"], f"`requests` is `{requests[:40]}`, expected a whole number above 0", "nothing seen is not a pass"
        )
    criteria = _conditions(fields["success_criteria"], "success_criteria", GateType.ROLLOUT)
    return Rollout(tuple(steps), _duration(fields, "hold"), int(requests), criteria, _required(fields))


def _custom(node: yaml.Node, _: Roles) -> Custom:
    fields = _gate_fields(node, GateType.CUSTOM, "name", optional=("checks", "cel", "policies", "max_age"))
    name = _a_name(fields["name"], "`name`")
    checks = []
    for item in read_sequence(fields["checks"], "`checks`", "expressions") if "checks" in fields else []:
        written = read_scalar(item, "an expression")
        checks.append(reading(item, lambda written=written: parse_expression(written)))  # type: ignore[misc]
    policies = (
        [_a_name(each, "a policy") for each in read_sequence(fields["policies"], "`policies`", "policies")] if "policies" in fields else []
    )
    cel = None
    if "cel" in fields:
        text = read_scalar(fields["cel"], "`cel`")
        cel = reading(fields["cel"], lambda: parse_cel(text))
    if not checks and not policies and cel is None:
        raise refuse_at(node, f"the gate `{name}` checks nothing", "give it `checks:`, `cel:` or `policies:`: empty is never a pass")
    if len(set(checks)) < len(checks) or len(set(policies)) < len(policies):
        raise refuse_at(node, f"the gate `{name}` lists something twice", "delete one")
    return Custom(name, tuple(checks), tuple(policies), _required(fields), _duration(fields, "max_age"), cel)


def _a_name(node: yaml.Node, what: str) -> str:
    written = read_scalar(node, what)
    if not _NAME.match(written):
        raise refuse_at(node, f"{what} is `{written[:60]}`, which is not a name", "up to 64 of: lower-case letters, digits, `-`, `_`")
    return written


def _duration(fields: Mapping[str, yaml.Node], key: str) -> str:
    """Return a duration as it is written, without spaces; empty if the key is not there."""
    if key not in fields:
        return ""
    written = read_scalar(fields[key], f"`{key}`")
    if reading(fields[key], lambda: parse_duration_s(written)) <= 0:
        raise refuse_at(fields[key], f"`{key}` is `{written}`, expected more than nothing", "write for example `48h`")
    return "".join(written.split())


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
    GateType.AUTOMATED_TESTS: _measuring(AutomatedTests, GateType.AUTOMATED_TESTS),
    GateType.BIAS_CHECK: _measuring(BiasCheck, GateType.BIAS_CHECK),
    GateType.SECURITY_SCAN: _measuring(SecurityScan, GateType.SECURITY_SCAN),
    GateType.DOCUMENTATION: _measuring(Documentation, GateType.DOCUMENTATION),
    GateType.STAGING_SOAK: _staging_soak,
    GateType.HUMAN_APPROVAL: _human_approval,
    GateType.ROLLOUT: _rollout,
    GateType.CUSTOM: _custom,
}


def _gate_fields(node: yaml.Node, kind: GateType, *wanted: str, optional: tuple[str, ...] = ()) -> dict[str, yaml.Node]:
    fields = read_mapping(node, f"a gate of type `{kind}`", {"type", "required", *wanted, *optional})
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
