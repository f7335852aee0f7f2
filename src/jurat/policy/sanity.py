"""Whether a policy set can be meant, beyond being valid: asked of the set itself, by decisions, not by how it is written.

    no role, and nobody without a role, may do everything
    somebody could still change the policies, and somebody else say yes to it

Nothing here knows who holds which role.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from jurat.core.errors import Malformed
from jurat.policy.engine import Engine, Request
from jurat.policy.policyset import PolicySet
from jurat.policy.resources import SAMPLES
from jurat.policy.slices import PRINCIPAL_TYPES
from jurat.policy.values import Value

# Everything that a condition could ask for, told: whoever is allowed with all of this is allowed by the rules as such.
_TOLD: Final[dict[str, Value]] = {"purpose": "debugging", "reason": "a reason"}
_STATE: Final[dict[str, dict[str, Value]]] = {"Model": {"gates_green": True}}


def check_meaning(policy_set: PolicySet) -> None:
    """Pass if the set can be meant.

    Raises:
        Malformed: a role may do everything, or nobody could change the policies any more.
    """
    engine = Engine(policy_set)
    questions = list(_questions(engine))
    for role in ("", *sorted(policy_set.roles)):
        if questions and all(_may(engine, role, action, place) for action, place in questions):
            who = f"role `{role}` gives everything" if role else "everything is permitted to everyone"
            raise Malformed(
                f"{who}: every act on every resource",
                hint="name the acts and the resources; whoever may do everything is checked by nobody",
                code="policy_too_wide",
            )
    if {"policy:apply", "policy:approve"} <= policy_set.actions:
        askers = [role for role in sorted(policy_set.roles) if _may(engine, role, "policy:apply", "workspace")]
        approvers = [role for role in sorted(policy_set.roles) if _may(engine, role, "policy:approve", "workspace")]
        for action, able in (("policy:apply", askers), ("policy:approve", approvers)):
            if not able:
                raise Malformed(
                    f"no role could `{action}` any more: the policies could never be changed again",
                    hint="keep a role that asks for changes, and one that approves them",
                    code="policy_lockout",
                )


def _questions(engine: Engine) -> Iterator[tuple[str, str]]:
    """Yield each action with each kind of place that the schema has it done at."""
    for action in sorted(engine.policy_set.actions):
        for places in SAMPLES.values():
            for place in places:
                if not engine.decide(Request("prn_somebody", "person", frozenset(), action, place, context=_TOLD)).errors:
                    yield action, place


def _may(engine: Engine, role: str, action: str, place: str) -> bool:
    """Whether anybody of any type may, with that role alone."""
    kind = next(kind for kind, places in SAMPLES.items() if place in places)
    roles = frozenset({role} if role else ())
    return any(
        engine.decide(Request("prn_somebody", each, roles, action, place, _STATE.get(kind, {}), _TOLD)).is_allowed
        for each in PRINCIPAL_TYPES
    )
