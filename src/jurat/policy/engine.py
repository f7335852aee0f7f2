"""Decisions: may this principal do this to that? Allow or deny, the policies that decided, and the reasons.

Deny is the answer to everything that is not a clean allow: no policy permits it, one forbids it, one could not be
evaluated, or the question itself makes no sense. Nothing here raises; nothing here is decided from memory of an earlier
decision. Knows nothing of grants, tokens or events: who holds which role *now* is the asker's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import cedarpy
import msgspec

from jurat.core.errors import Malformed
from jurat.policy.cedar import CedarAnswer, ask_cedar
from jurat.policy.policyset import Policy, PolicySet
from jurat.policy.slices import Entity, Slices, principal_entity, resource_entity
from jurat.policy.values import Value, pack_values


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
    standing: Mapping[str, Value] = field(default_factory=dict)  # of the principal, from our own records: review_overdue, …


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


class Engine:
    """Asks one policy set. Immutable, and safe to use from several threads (decisions hold the GIL all the same)."""

    def __init__(self, policy_set: PolicySet) -> None:
        self.policy_set = policy_set
        self._slices = Slices(policy_set.schema, has_action_groups=policy_set.has_action_groups)

    def decide(self, request: Request) -> Decision:
        """Return allow only if a policy permits it, none forbids it, and none failed to be evaluated."""
        try:
            found = self._ask(request, self.policy_set.by_action.get(request.action, self.policy_set.handle))
            return self._answer(found, lambda: _nobody_permits(request))
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

    def ask(self, principal: Entity, action: str, resource: Entity, context: Mapping[str, Value]) -> Decision:
        """Return the decision on entities of any type that the schema knows: for sets that are not about this house's tree."""
        try:
            policies = self.policy_set.by_action.get(action, self.policy_set.handle)
            found = self._put(principal, action, resource, context, policies)
            return self._answer(found, lambda: f"no policy permits `{action}` on `{resource.id}` to `{principal.type} {principal.id}`")
        except Malformed as error:
            return self._deny([error.detail])
        except (ValueError, TypeError) as error:
            return self._deny([f"the question cannot be put to the policies: {error}"])

    def satisfied(self, request: Request, policies: cedarpy.PolicySet) -> list[str]:
        """Return the `@id` of those of `policies` that hold for a question. For explanations, never for decisions."""
        return sorted(self._ask(request, policies).diagnostics.id_annotations_by_reason.values())

    def _ask(self, request: Request, policies: cedarpy.PolicySet) -> CedarAnswer:
        known = request.roles & self.policy_set.roles  # a role that no policy speaks of changes no answer
        principal = principal_entity(request.principal_type, request.principal_id, known, pack_values(request.standing))
        resource = resource_entity(request.resource, pack_values(request.attributes))
        return self._put(principal, request.action, resource, request.context, policies)

    def _put(
        self, principal: Entity, action: str, resource: Entity, context: Mapping[str, Value], policies: cedarpy.PolicySet
    ) -> CedarAnswer:
        entities = self._slices.of(principal, resource)
        return ask_cedar(principal.uid, action, resource.uid, pack_values(context), policies, entities, self.policy_set.schema)

    def _answer(self, found: CedarAnswer, nobody: Callable[[], str]) -> Decision:
        names = found.diagnostics.id_annotations_by_reason
        errors = [self._name_policies(error) for error in found.diagnostics.errors]
        if found.decision == "NoDecision" and not errors:
            errors = ["the policy engine gave no decision and no reason"]
        if errors:  # INVARIANT: any error denies. Cedar skips a `forbid` that fails and may still say allow.
            return self._deny(errors)
        deciding = [self.policy_set.policies[name] for name in sorted(names.values())]
        if len(deciding) != len(found.diagnostics.reason):
            return self._deny(["a policy without a name decided"])
        allowed = found.decision == "Allow" and bool(deciding)
        reasons = [_reason(policy) for policy in deciding] or [_printable(nobody())]
        return Decision("allow" if allowed else "deny", [policy.id for policy in deciding], self.policy_set.digest, reasons, [])

    def _deny(self, errors: list[str]) -> Decision:
        why = ["the question could not be answered, so the answer is no"]
        return Decision("deny", [], self.policy_set.digest, why, [_printable(error) for error in errors])

    def _name_policies(self, error: str) -> str:
        """Return an error of Cedar's with our names for its `policy0`, `policy1`, …: they number the policies in order."""
        names = list(self.policy_set.policies)
        return re.sub(r"\bpolicy(\d+)\b", lambda found: names[int(found[1])] if int(found[1]) < len(names) else found[0], error)


def _reason(policy: Policy) -> str:
    return policy.reason or f"policy `{policy.id}` {policy.effect}s it"


def _nobody_permits(request: Request) -> str:
    whose = f"role {', '.join(f'`{role}`' for role in sorted(request.roles))}" if request.roles else "somebody without a role"
    return f"no policy permits `{request.action}` on `{request.resource}` to {whose}"


def _printable(text: str) -> str:
    """Return text that can be recorded whatever the asker put into the question."""
    return text.encode("utf-8", "backslashreplace").decode()
