"""May they? Roles, resource and context become one decision, with its reasons. No policy, an error, no answer: no."""

from __future__ import annotations

from dataclasses import dataclass

from jurat.app.wiring import App
from jurat.core.errors import Denied, NotFound
from jurat.domain import rows
from jurat.domain.commands import Command
from jurat.domain.events import Actor, DecisionRef
from jurat.domain.roles import holders_of, roles_held
from jurat.domain.state import State
from jurat.domain.values import PrincipalType
from jurat.policy.engine import Decision, Engine, Request


@dataclass(frozen=True)
class Answer:
    """The decision as it is recorded, and the refusal to raise if it is a no."""

    resource: str
    decision: DecisionRef
    refusal: Denied | None
    known_roles: frozenset[str]


def authorize(app: App, state: State, caller: Actor, command: Command, now_ns: int) -> Answer:
    """Return whether `caller` may do what `command` asks, by the policy set that is in force in `state`."""
    resource, permission = command.resource(state), command.permission
    engine = app.engine(state)
    if engine is None:
        nothing = DecisionRef(effect="deny", policies=[], policy_set="")
        return Answer(resource, nothing, _denied(caller, permission, resource, ["no policy set is in force"], "apply one"), frozenset())
    asked = [question(state, who, permission, resource, now_ns, _surroundings(command)) for who in whose_rights(caller)]
    decision = engine.decide_chain(asked)
    ref = DecisionRef(effect=decision.effect, policies=decision.policies, policy_set=decision.policy_set)
    refusal = None
    if not decision.is_allowed:
        refusal = _denied(caller, permission, resource, decision.reasons + decision.errors, _advice(engine, asked, decision, state, now_ns))
    return Answer(resource, ref, refusal, engine.policy_set.roles)


def whose_rights(caller: Actor) -> list[str]:
    """Return whose rights an act needs: the caller's own, and for an agent its person's as well (the intersection)."""
    return list(caller.chain) if caller.type is PrincipalType.AGENT else [caller.principal]


def question(state: State, principal: str, permission: str, resource: str, now_ns: int, surroundings: dict[str, str]) -> Request:
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
        attributes=_attributes(state, resource),
        context=surroundings,
    )


def _surroundings(command: Command) -> dict[str, str]:
    """What policies may ask of the act itself: its purpose, its reason."""
    return {name: text for name in ("purpose", "reason") if isinstance(text := getattr(command, name, None), str)}


def _attributes(state: State, resource: str) -> dict[str, str]:
    """What policies may ask of the resource, from our own records; never from the caller."""
    root, _, rest = resource.partition("/")
    name = rest.rpartition("/")[2]
    system: rows.System | None = None
    if root == "requests":
        request = state.get(rows.Request, name)
        version = state.get(rows.Version, request.version) if request else None
        return {"requested_by": request.requested_by, "authored_by": version.author} if request and version else {}
    if root == "models" and (model := state.get(rows.Version, name)):
        system = state.get(rows.System, model.system)
    elif root == "endpoints" and (endpoint := state.get(rows.Endpoint, name)):
        system = state.get(rows.System, endpoint.system)
    elif root == "systems":
        system = state.get(rows.System, name)
    found = {"risk_tier": str(system.risk_tier), "owner": system.owner} if system else {}
    return {**found, "system": system.system} if system and root == "models" else found


def _advice(engine: Engine, asked: list[Request], decision: Decision, state: State, now_ns: int) -> str:
    """Return what would have made it pass, and who could do it instead."""
    advice = []
    for request in asked:
        explained = engine.explain(request)
        advice.append(explained.hint)
        able = {role: [h for h in holders_of(state, role, now_ns) if h != request.principal_id] for role in explained.roles}
        advice += [f"`{role}` is held by {', '.join(f'`{h}`' for h in held[:3])}" for role, held in able.items() if held]
    return "; ".join(dict.fromkeys(filter(None, advice)))


def _denied(caller: Actor, permission: str, resource: str, reasons: list[str], hint: str) -> Denied:
    why = f": {'; '.join(reasons)}" if reasons else ""
    return Denied(f"`{caller.principal}` may not `{permission}` on `{resource}`{why}", hint=hint, code="policy_denied", reasons=reasons)
