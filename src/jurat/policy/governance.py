"""Policies written in Python: the base class, two that are shipped, and what they are told of a registration.

A policy is any object with `name`, `severity` (`warning` or `blocking`) and `evaluate(registration)`, which returns
`{"passed": bool, "message": str | None}`; it need not inherit from anything here. It is found by its entry point in the group
`jurat.policies`. What is not known is not told: a look at a measurement that nobody made raises `NotKnown`, which ends the
policy without an answer, and no answer is never a pass. Knows nothing of processes, evidence or gates.

Example:
    # pyproject.toml:  [project.entry-points."jurat.policies"]
    #                  require-owner = "bank.policies:RequireOwner"
    class RequireOwner(GovernancePolicy):
        def __init__(self):
            super().__init__("require-owner", "blocking")

        def evaluate(self, registration):
            return {"passed": registration["created_by"].startswith("prn_"), "message": "nobody answers for it"}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

GROUP: Final = "jurat.policies"  # of entry points
SEVERITIES: Final = ("warning", "blocking")
_MAX_MESSAGE: Final = 500


class NotKnown(LookupError):
    """A policy looked at something that nobody measured or wrote down."""


class Known(dict[str, Any]):
    """A registration as policies see it: what is known, by key; a look at what is not known raises, whatever default was offered."""

    def __init__(self, known: Mapping[str, Any], unknown: Iterable[str] = ()) -> None:
        super().__init__({key: Known(value) if isinstance(value, Mapping) else value for key, value in known.items()})
        self._unknown = frozenset(unknown)

    def __getitem__(self, key: str) -> Any:
        self._refuse(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self._refuse(key)
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self._refuse(key)
        return super().__contains__(key)

    def _refuse(self, key: object) -> None:
        if key in self._unknown:
            raise NotKnown(f"`{key}` is not known of this version")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy said."""

    severity: str  # `blocking` whenever it is not clearly `warning`
    passed: bool | None  # None: no answer
    message: str
    name: str = ""  # as the policy calls itself


class GovernancePolicy:
    """Base class of policies, for those who like one."""

    def __init__(self, name: str, severity: str) -> None:
        self.name = name
        self.severity = severity  # "warning", "blocking"

    def evaluate(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Return `{"passed": bool, "message": str | None}`."""
        raise NotImplementedError


class RequireModelCard(GovernancePolicy):
    """All production models must have documentation."""

    def __init__(self) -> None:
        super().__init__("require-model-card", "blocking")

    def evaluate(self, context: Mapping[str, Any]) -> dict[str, Any]:
        if context["environment"] != "production":
            return {"passed": True}
        has_card = bool(context["model_card_url"])
        return {"passed": has_card, "message": None if has_card else "production models require a model card"}


class BiasThreshold(GovernancePolicy):
    """Models must meet bias thresholds before deployment: in both directions, and never by having measured nothing."""

    def __init__(self, max_disparity: float = 0.1) -> None:
        super().__init__("bias-threshold", "blocking")
        self.max_disparity = max_disparity

    def evaluate(self, context: Mapping[str, Any]) -> dict[str, Any]:
        metrics: Mapping[str, float] = context["bias_metrics"]
        over = [f"{group}: {abs(gap):.2%} > {self.max_disparity:.2%}" for group, gap in metrics.items() if abs(gap) > self.max_disparity]
        return {"passed": bool(metrics) and not over, "message": "; ".join(over) or (None if metrics else "no gap was measured")}


def ask(policy: Any, registration: Known) -> Answer:
    """Return what a policy says of a registration. Whatever it does, only a clear `True` is a pass.

    Args:
        policy: an object, or a class that is made without arguments.
    """
    severity = "blocking"
    try:
        made = policy() if isinstance(policy, type) else policy
        said_severity, name = made.severity, str(made.name)[:100]
        if said_severity not in SEVERITIES:
            return Answer(severity=severity, passed=None, message=f"its severity is none of {', '.join(SEVERITIES)}", name=name)
        severity = said_severity
        said = made.evaluate(registration)
        passed, message = said["passed"], said.get("message")
    except NotKnown as error:
        return Answer(severity=severity, passed=None, message=str(error.args[0])[:_MAX_MESSAGE])
    except Exception as error:  # whatever a policy raises, it gave no answer; what the exception says may quote anything
        return Answer(severity=severity, passed=None, message=f"the policy ended with {type(error).__name__}")
    if passed is not True and passed is not False:
        return Answer(severity=severity, passed=None, message=f"`passed` is a {type(passed).__name__}, expected True or False", name=name)
    shown = message if isinstance(message, str) else ""
    return Answer(severity=severity, passed=passed, message=shown[:_MAX_MESSAGE] or ("" if passed else "it gave no message"), name=name)
