"""What policies may know of principals, resources and acts, from our own records and the clock; never from the caller.

The one exception is what an act says of itself: its purpose, its reason. They are recorded with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from jurat.core.clock import from_ns
from jurat.core.errors import Conflict
from jurat.domain import rows
from jurat.domain.commands import Command
from jurat.domain.gates import check_gates
from jurat.domain.grants import review_overdue
from jurat.domain.roles import person_behind
from jurat.domain.stages import Stage, parse_stage
from jurat.domain.state import State
from jurat.policy.policyset import PolicySet
from jurat.policy.policytree import ANYTHING
from jurat.policy.values import Value

# What is asked of a principal: the attribute, and what answers. None leaves it out.
Standing = Callable[[State, str, int], Value | None]
STANDING: Final[dict[str, Standing]] = {"review_overdue": lambda state, who, now_ns: bool(review_overdue(state, who, now_ns)) or None}
_MOVES: Final = frozenset({"alias:move", "model:deploy", "model:promote", "model:rollback"})
_HISTORY: Final = frozenset({"staging_soak", "human_approval"})  # of a version that is there already: it was, and they were


def standing_of(state: State, principal: str, now_ns: int) -> dict[str, Value]:
    """Return how a principal stands: `review_overdue`, for themselves or for the person who answers for them."""
    found: dict[str, Value] = {}
    for name, ask in STANDING.items():
        for who in dict.fromkeys((principal, person_behind(state, principal) or principal)):
            value = ask(state, who, now_ns)
            if value is not None and name not in found:
                found[name] = value
    return found


def surroundings_of(command: Command, policy_set: PolicySet, environment: str, now_ns: int) -> dict[str, Value]:
    """Return what policies may ask of the act: its purpose and reason, where and when."""
    said = ("purpose", "reason")
    found: dict[str, Value] = {name: text for name in said if isinstance(text := getattr(command, name, None), str)}
    return found | clockwork(policy_set, environment, now_ns)


def clockwork(policy_set: PolicySet, environment: str, now_ns: int) -> dict[str, Value]:
    """Return where and when, as far as the policies ask for it."""
    reads = policy_set.reads
    everything = ("context", ANYTHING) in reads
    found: dict[str, Value] = {}
    if environment and (everything or ("context", "environment") in reads):
        found["environment"] = environment
    if everything or ("context", "at") in reads:
        found["at"] = from_ns(now_ns)
    return found


def attributes_of(state: State, action: str, resource: str, now_ns: int, people: frozenset[str] = frozenset()) -> dict[str, Value]:
    """Return what is known of a resource.

    Args:
        people: whose act it is; their own approval does not make a gate green.
    """
    root, _, rest = resource.partition("/")
    folder, _, name = rest.rpartition("/")
    if root == "requests":
        request = state.get(rows.Request, name)
        version = state.get(rows.Version, request.version) if request else None
        return {"requested_by": request.requested_by, "authored_by": version.author} if request and version else {}
    if root == "data":
        dataset = state.get(rows.Dataset, name)
        return {"owner": dataset.registered_by, "personal": bool(dataset.sheet.sensitive_columns)} if dataset else {}
    if root == "models":
        model = state.get(rows.Version, name)
        if model is None:
            return {}
        found: dict[str, Value] = {"author": model.author, **_of_system(state, model.system), "system": model.system}
        if action in _MOVES:
            found["gates_green"] = _gates_are_green(state, model, folder, now_ns, people)
        return found
    if root == "endpoints":
        endpoint = state.get(rows.Endpoint, name)
        return _of_system(state, endpoint.system) if endpoint else {}
    return _of_system(state, name) if root == "systems" else {}


def _of_system(state: State, name: str) -> dict[str, Value]:
    system = state.get(rows.System, name)
    return {"risk_tier": str(system.risk_tier), "owner": system.owner} if system else {}


def _gates_are_green(state: State, version: rows.Version, folder: str, now_ns: int, people: frozenset[str]) -> bool:
    """Whether every gate before a stage passes now. A version that is there already has soaked and was approved."""
    to_stage = {"staging": Stage.STAGING, "prod": Stage.PRODUCTION}.get(folder)
    if to_stage is None:
        return False
    try:
        result = check_gates(state, version, to_stage, now_ns, promoters=people)
    except Conflict:
        return False  # no gates is never a pass
    order = list(Stage)
    is_there = parse_stage(version.stage) is not Stage.RETIRED and order.index(parse_stage(version.stage)) >= order.index(to_stage)
    judged = [
        clause.verdict == "pass"
        for clause, needed in zip(result.clauses, result.required, strict=True)
        if needed and not (is_there and clause.gate in _HISTORY)
    ]
    return bool(judged) and all(judged)
