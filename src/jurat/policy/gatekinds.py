"""What a gate can be: one frozen shape per type of gate. `gatefile` reads them, `domain` holds evidence against them."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from jurat.core.units import parse_duration_s
from jurat.policy.cel import Cel
from jurat.policy.conditions import Condition
from jurat.policy.expressions import Expression
from jurat.policy.metrics import GateType


class AutomatedTests(msgspec.Struct, frozen=True, tag="automated_tests"):
    """Measured on a held-out data set: every check must pass."""

    checks: tuple[Condition, ...]
    required: bool = True
    max_age: str = ""  # as written: evidence that is older is stale; empty: it does not age


class BiasCheck(msgspec.Struct, frozen=True, tag="bias_check"):
    """Measured per protected group: every check must pass, for every protected attribute."""

    checks: tuple[Condition, ...]
    required: bool = True
    max_age: str = ""


class SecurityScan(msgspec.Struct, frozen=True, tag="security_scan"):
    """What scanners said of the artefacts and dependencies of this very version."""

    checks: tuple[Condition, ...]
    required: bool = True
    max_age: str = ""


class Documentation(msgspec.Struct, frozen=True, tag="documentation"):
    """The documents that say what the version is, checked against the evidence that they speak of."""

    checks: tuple[Condition, ...]
    required: bool = True
    max_age: str = ""


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


class Rollout(msgspec.Struct, frozen=True, tag="rollout"):
    """Traffic comes in steps. Stands on the endpoint's path, after the promotion: a version in production takes over from another
    one step by step, each held so long, seen by so many requests, and only while every criterion holds.
    """

    steps: tuple[str, ...]  # shares as written, growing, the last one 100%
    hold: str  # at least so long at each step, as written
    requests: int  # at least so many requests by the new version at each step
    success_criteria: tuple[Condition, ...]
    required: bool = True

    @property
    def hold_s(self) -> float:
        return parse_duration_s(self.hold)

    @property
    def basis_points(self) -> list[int]:
        """The shares in hundredths of a percent."""
        return [int(Decimal(step.rstrip("%")) * 100) for step in self.steps]


class Custom(msgspec.Struct, frozen=True, tag="custom"):
    """The organisation's own gate: conditions joined, an expression in CEL, and policies in Python, found by their entry point."""

    name: str
    checks: tuple[Expression, ...] = ()
    policies: tuple[str, ...] = ()
    required: bool = True
    max_age: str = ""
    cel: Cel | None = None


Measuring = AutomatedTests | BiasCheck | SecurityScan | Documentation
Gate = Measuring | StagingSoak | HumanApproval | Rollout | Custom

TYPE_OF: Final[dict[type[Gate], GateType]] = {
    AutomatedTests: GateType.AUTOMATED_TESTS,
    BiasCheck: GateType.BIAS_CHECK,
    SecurityScan: GateType.SECURITY_SCAN,
    Documentation: GateType.DOCUMENTATION,
    StagingSoak: GateType.STAGING_SOAK,
    HumanApproval: GateType.HUMAN_APPROVAL,
    Rollout: GateType.ROLLOUT,
    Custom: GateType.CUSTOM,
}


def gate_type(gate: Gate) -> GateType:
    """Return the type of a gate as the file names it."""
    return TYPE_OF[type(gate)]
