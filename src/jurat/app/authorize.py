"""May they? Roles, resource and context become one decision, with its reasons. No policy, an error, no answer: no."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from jurat.app.attributes import attributes_of, standing_of, surroundings_of
from jurat.app.wiring import App
from jurat.core.clock import FixedClock
from jurat.core.errors import Denied, NotFound
from jurat.core.ids import new_id
from jurat.domain import rows
from jurat.domain.commands import Command
from jurat.domain.decisions import DecisionRef, decided
from jurat.domain.events import Actor
from jurat.domain.grants import window_of
from jurat.domain.roles import holders_of, people_behind, person_behind, roles_held
from jurat.domain.state import State
from jurat.domain.values import PrincipalType
from jurat.policy.engine import Decision, Engine, Request
from jurat.policy.explain import explain
from jurat.policy.values import Value

_log: Final = logging.getLogger("jurat.policy")


@dataclass(frozen=True)
class Answer:
    """The decision as it is recorded, and the refusal to raise if it is a no."""

    resource: str
    decision: DecisionRef
    refusal: Denied | None
    known_roles: frozenset[str]


def authorize(app: App, state: State, caller: Actor, command: Command, now_ns: int, *, own_process: bool = False) -> Answer:
    """Return whether `caller` may do what `command` asks, by the policy set that is in force in `state`.

    Args:
        own_process: a process of Jurat's own, whose rights are its own whoever asked it.
    """
    resource, permission = command.resource(state), command.permission
    engine = app.engine(state)
    if engine is None:
        nothing = DecisionRef(effect="deny", policies=[], policy_set="")
        return Answer(resource, nothing, _denied(caller, permission, resource, ["no policy set is in force"], "apply one"), frozenset())
    surroundings = surroundings_of(command, engine.policy_set, app.settings.environment, now_ns)
    asked = [
        question(state, who, permission, resource, now_ns, surroundings)
        for who in ([caller.principal] if own_process else whose_rights(state, caller))
    ]
    decision = engine.decide_chain(asked)
    if decision.errors:  # a fault of ours or of a policy, never of the asker: somebody has to look
        _log.error("alert: `%s` on `%s` could not be decided and was denied: %s", permission, resource, "; ".join(decision.errors))
    shadow = app.shadow(state)
    beside = shadow.decide_chain(asked) if shadow else None
    window = window_of(state, people_behind(state, caller), now_ns)
    tag = window.glass if window else ""
    ref = decided(decision, asked, id=new_id("dec", FixedClock(now_ns)), shadow=beside, break_glass=tag)
    refusal = None
    if not decision.is_allowed:
        refusal = _denied(caller, permission, resource, decision.reasons + decision.errors, _advice(engine, asked, decision, state, now_ns))
    return Answer(resource, ref, refusal, engine.policy_set.roles)


def whose_rights(state: State, caller: Actor) -> list[str]:
    """Return whose rights an act needs: the caller's own, and once an agent is in the chain, everybody's up to the last agent.

    So an agent never has more rights than its person, and does not get them by asking a process to act for it either.
    """
    hops = [state.get(rows.Principal, each) for each in caller.chain]
    agents = [number for number, hop in enumerate(hops) if hop is not None and hop.type is PrincipalType.AGENT]
    return list(dict.fromkeys([*(caller.chain[: agents[-1] + 1] if agents else ()), caller.principal]))


def question(state: State, principal: str, permission: str, resource: str, now_ns: int, surroundings: Mapping[str, Value]) -> Request:
    """Return the question for the policy engine: who with which roles, what, where, in which surroundings.

    Raises:
        NotFound: the principal is not known.
    """
    found = state.get(rows.Principal, principal)
    if found is None:
        raise NotFound(f"principal `{principal[:60]}` is not known here")
    return Request(
        principal_id=principal,
        principal_type=str(found.type),
        roles=roles_held(state, principal, resource, now_ns),
        action=permission,
        resource=resource,
        attributes=attributes_of(state, permission, resource, now_ns, frozenset({principal, person_behind(state, principal) or principal})),
        context=surroundings,
        standing=standing_of(state, principal, now_ns),
    )


def _advice(engine: Engine, asked: list[Request], decision: Decision, state: State, now_ns: int) -> str:
    """Return what would have made it pass, and who could do it instead."""
    advice = []
    for request in asked:
        explained = explain(engine, request)
        advice.append(explained.hint)
        able = {role: [h for h in holders_of(state, role, now_ns) if h != request.principal_id] for role in explained.roles}
        advice += [f"`{role}` is held by {', '.join(f'`{h}`' for h in held[:3])}" for role, held in able.items() if held]
    return "; ".join(dict.fromkeys(filter(None, advice)))


def _denied(caller: Actor, permission: str, resource: str, reasons: list[str], hint: str) -> Denied:
    why = f": {'; '.join(reasons)}" if reasons else ""
    return Denied(f"`{caller.principal}` may not `{permission}` on `{resource}`{why}", hint=hint, code="policy_denied", reasons=reasons)
