"""Decisions: may this principal do this to that? Allow or deny, the policies that decided, and the reasons.

Deny is the answer to everything that is not a clean allow: no policy permits it, one forbids it, one could not be
evaluated, or the question itself makes no sense. Nothing here raises; nothing here is decided from memory of an earlier
decision. Knows nothing of grants, tokens or events: who holds which role *now* is the asker's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, Literal

import cedarpy
import msgspec

from jurat.core.errors import Malformed
from jurat.policy.policyset import Policy, PolicySet
from jurat.policy.resources import parse_resource
from jurat.policy.values import Value, pack_values

_PRINCIPAL_TYPES: Final = {"person": "Person", "service": "Service", "agent": "Agent", "process": "Process"}
_SLICES_KEPT: Final = 4096
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Request:
    """One question. Role names are those granted and in force at the time of asking."""

    principal_id: str
    principal_type: str  # person, service, agent, process
    roles: frozenset[str]
    action: str  # model:promote
    resource: str  # models/prod/churn@2.3.1
    attributes: Mapping[str, Value] = field(default_factory=dict)  # of the resource, from our own records: risk_tier, owner, …
    context: Mapping[str, Value] = field(default_factory=dict)  # of the act: purpose, reason, via, at


class Decision(msgspec.Struct, frozen=True):
    """The answer, as it is recorded.

    Attributes:
        policies: `@id` of the policies that decided, sorted; empty when no policy permitted it.
        policy_set: digest of the set that was asked.
        reasons: one sentence each, for people.
        errors: why the question could not be answered as asked; never empty on such a deny. It is a fault of ours: alert.
    """

    effect: Literal["allow", "deny"]
    policies: list[str]
    policy_set: str
    reasons: list[str]
    errors: list[str]

    @property
    def is_allowed(self) -> bool:
        return self.effect == "allow"


class Explanation(msgspec.Struct, frozen=True):
    """What would have made it pass, and whom to ask.

    Attributes:
        forbidden_by: `@id` of the policies that forbid it; no role helps against these.
        unmet: `@id` of the permits whose role, act and resource fit, and whose conditions do not hold.
        roles: each of these roles, alone and beside those held, would have been enough.
        hint: one sentence of advice.
    """

    decision: Decision
    forbidden_by: list[str]
    unmet: list[str]
    roles: list[str]
    hint: str


class Engine:
    """Asks one policy set. Immutable, and safe to use from several threads (decisions hold the GIL all the same)."""

    def __init__(self, policy_set: PolicySet) -> None:
        self.policy_set = policy_set
        self._slice = lru_cache(maxsize=_SLICES_KEPT)(self._build_slice)  # parsed entities, not decisions

    def decide(self, request: Request) -> Decision:
        """Return allow only if a policy permits it, none forbids it, and none failed to be evaluated."""
        try:
            return self._answer(request, self._ask(request, self.policy_set.by_action.get(request.action, self.policy_set.handle)))
        except Malformed as error:
            return self._deny([error.detail])
        except (ValueError, TypeError) as error:  # text that is not Unicode, and whatever else Cedar cannot read
            return self._deny([f"the question cannot be put to the policies: {error}"])

    def decide_chain(self, requests: Sequence[Request]) -> Decision:
        """Return allow only if every hop of a chain may do the same act itself: rights are the intersection.

        Args:
            requests: the person first, then whoever acts for them, each with their own roles.
        """
        if not requests:
            return self._deny(["the chain is empty: nobody acts"])
        if len({(request.action, request.resource) for request in requests}) != 1:
            return self._deny(["the hops of the chain ask for different acts"])
        hops = [(request, self.decide(request)) for request in requests]
        refused = [hop for hop in hops if not hop[1].is_allowed]
        speaking = refused or hops
        name = len(hops) > 1
        return Decision(
            effect="deny" if refused else "allow",
            policies=sorted({policy for _, decision in speaking for policy in decision.policies}),
            policy_set=self.policy_set.digest,
            reasons=[
                f"{request.principal_type} `{request.principal_id}`: {reason}" if name else reason
                for request, decision in speaking
                for reason in decision.reasons
            ],
            errors=[error for _, decision in speaking for error in decision.errors],
        )

    def explain(self, request: Request) -> Explanation:
        """Return the decision and, where it is a deny, what stood in the way and what would have opened it."""
        decision = self.decide(request)
        if decision.is_allowed or decision.errors:
            return Explanation(
                decision, [], [], [], "" if decision.is_allowed else "ask an operator to look at the errors of this decision"
            )
        if decision.policies:
            hints = [self.policy_set.policies[name].hint for name in decision.policies]
            return Explanation(decision, decision.policies, [], [], "; ".join(filter(None, hints)) or "no role helps: a rule forbids it")
        unmet = self._unmet(request)
        roles = [
            role
            for role in sorted(self.policy_set.roles - request.roles)
            if self.decide(replace(request, roles=request.roles | {role})).is_allowed
        ]
        advice = [self.policy_set.policies[name].hint or f"meet the conditions of policy `{name}`" for name in unmet]
        if roles:
            advice.append(f"ask an operator to grant {' or '.join(f'`{role}`' for role in roles)}, or somebody who holds it to do this")
        return Explanation(decision, [], unmet, roles, "; ".join(advice) or "no role of this policy set permits it, to anyone")

    def _unmet(self, request: Request) -> list[str]:
        """Return the permits that would hold if it were not for their conditions."""
        return sorted(self._ask(request, self.policy_set.permits_unconditioned).diagnostics.id_annotations_by_reason.values())

    def _ask(self, request: Request, policies: cedarpy.PolicySet) -> cedarpy.AuthzResult:
        principal, resource, entities = self._slice(
            request.principal_type,
            request.principal_id,
            request.roles & self.policy_set.roles,  # a role that no policy speaks of changes no answer
            request.resource,
            pack_values(request.attributes),
        )
        question = {
            "principal": principal,
            "action": {"type": "Action", "id": request.action},
            "resource": resource,
            "context": pack_values(request.context),
        }
        return cedarpy.is_authorized(question, policies, entities, self.policy_set.schema)

    def _answer(self, request: Request, result: cedarpy.AuthzResult) -> Decision:
        names = result.diagnostics.id_annotations_by_reason
        errors = [self._name_policies(error) for error in result.diagnostics.errors]
        if result.decision is cedarpy.Decision.NoDecision and not errors:
            errors = ["the policy engine gave no decision and no reason"]
        if errors:  # INVARIANT: any error denies. Cedar skips a `forbid` that fails and may still say allow.
            return self._deny(errors)
        deciding = [self.policy_set.policies[name] for name in sorted(names.values())]
        if len(deciding) != len(result.diagnostics.reasons):
            return self._deny(["a policy without a name decided"])
        allowed = result.decision is cedarpy.Decision.Allow and bool(deciding)
        reasons = [_reason(policy) for policy in deciding] or [_printable(_nobody_permits(request))]
        return Decision("allow" if allowed else "deny", [policy.id for policy in deciding], self.policy_set.digest, reasons, [])

    def _deny(self, errors: list[str]) -> Decision:
        why = ["the question could not be answered, so the answer is no"]
        return Decision("deny", [], self.policy_set.digest, why, [_printable(error) for error in errors])

    def _name_policies(self, error: str) -> str:
        """Return an error of Cedar's with our names for its `policy0`, `policy1`, …: they number the policies in order."""
        names = list(self.policy_set.policies)
        return re.sub(r"\bpolicy(\d+)\b", lambda found: names[int(found[1])] if int(found[1]) < len(names) else found[0], error)

    def _build_slice(
        self, principal_type: str, principal_id: str, roles: frozenset[str], path: str, attributes: str
    ) -> tuple[dict[str, str], dict[str, str], cedarpy.Entities]:
        """Return principal, resource and both as parsed entities, checked against the schema. Both are always in the slice.

        Raises:
            Malformed: the principal, the resource or an attribute does not fit the schema.
        """
        if principal_type not in _PRINCIPAL_TYPES or not principal_id:
            raise Malformed(f"principal `{principal_id[:80]}` of type `{principal_type[:40]}` is none of {', '.join(_PRINCIPAL_TYPES)}")
        parts = parse_resource(path)
        given = msgspec.json.decode(attributes, type=dict[str, object])
        own = {key: text for key, text in (("name", parts.name), ("version", parts.version)) if text and parts.entity_type != "Workspace"}
        if given.keys() & {"name", "version"}:
            raise Malformed("attributes `name` and `version` come from the path, and cannot be given beside it")
        principal = {"type": _PRINCIPAL_TYPES[principal_type], "id": principal_id}
        resource = {"type": parts.entity_type, "id": path}
        folder = [{"type": parts.folder[0], "id": parts.folder[1]}] if parts.folder else []
        entities = [
            {"uid": principal, "attrs": {"id": principal_id}, "parents": [{"type": "Role", "id": role} for role in sorted(roles)]},
            {"uid": resource, "attrs": {**given, **own}, "parents": folder},
        ]
        try:
            return principal, resource, cedarpy.Entities.from_json_str(msgspec.json.encode(entities).decode(), self.policy_set.schema)
        except ValueError as error:
            raise Malformed(f"`{path}` and its attributes do not fit the policies' schema: {error}") from error


def _reason(policy: Policy) -> str:
    return policy.reason or f"policy `{policy.id}` {policy.effect}s it"


def _nobody_permits(request: Request) -> str:
    whose = f"role {', '.join(f'`{role}`' for role in sorted(request.roles))}" if request.roles else "somebody without a role"
    return f"no policy permits `{request.action}` on `{request.resource}` to {whose}"


def _printable(text: str) -> str:
    """Return text that can be recorded whatever the asker put into the question."""
    return text.encode("utf-8", "backslashreplace").decode()
