"""What the policies were asked, and what they said: enough to ask again, whatever has changed since.

A decision is recorded with the attributes that were told, not with names to look up: roles end, owners change, and the
same question must get the same answer in a year. The question is written once, on the first event of its act; the
others, and later uses of a remembered answer, carry its id and digest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from jurat.core.clock import parse_at
from jurat.core.digests import digest_json
from jurat.policy.engine import Decision, Request
from jurat.policy.values import plain_values, values_of


class Hop(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One principal of the chain whose rights the act needed, with the roles held at that moment."""

    principal: str
    type: str
    roles: list[str]
    standing: dict[str, Any] = {}


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A question as the policies got it. The time of asking (`at`) is the event's own."""

    hops: list[Hop]
    action: str
    resource: str
    attributes: dict[str, Any] = {}
    context: dict[str, Any] = {}


class Shadow(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate set would have said. It decided nothing."""

    effect: str
    policies: list[str]
    policy_set: str


class DecisionRef(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the policy engine said: effect, the ids of the policies that decided, the digest of the set.

    Attributes:
        id: of this answer, `dec_…`; empty in events from before decisions had one.
        asked_digest: of the question, whether or not it is written here.
        asked: the question; None where an earlier event of the same id carries it.
        errors: why the question could not be answered; never empty on such a deny. A fault of ours: alert.
        shadow: beside it, the answer of the candidate that is being tried out.
        break_glass: the window that a person behind the act was in, whether the act needed it or not.
    """

    effect: str
    policies: list[str]
    policy_set: str
    id: str = ""
    asked_digest: str = ""
    asked: Asked | None = None
    errors: list[str] = []
    shadow: Shadow | None = None
    break_glass: str = ""

    def without_question(self) -> DecisionRef:
        """Return the same answer by name only, for further events that rest on it."""
        return msgspec.structs.replace(self, asked=None)


def decided(
    decision: Decision,
    requests: Sequence[Request],
    *,
    id: str,  # noqa: A002
    shadow: Decision | None = None,
    break_glass: str = "",
) -> DecisionRef:
    """Return an answer as it is recorded, with its question."""
    asked = as_asked(requests)
    beside = Shadow(effect=shadow.effect, policies=shadow.policies, policy_set=shadow.policy_set) if shadow else None
    return DecisionRef(
        effect=decision.effect, policies=decision.policies, policy_set=decision.policy_set, id=id, asked_digest=digest_json(asked),
        asked=asked, errors=decision.errors, shadow=beside, break_glass=break_glass,
    )  # fmt: skip


def as_asked(requests: Sequence[Request]) -> Asked:
    """Return a chain's questions as they are recorded. They differ in who asks only."""
    first = requests[0]
    return Asked(
        hops=[
            Hop(principal=r.principal_id, type=r.principal_type, roles=sorted(r.roles), standing=plain_values(r.standing)) for r in requests
        ],
        action=first.action,
        resource=first.resource,
        attributes=plain_values(first.attributes),
        context=plain_values({name: value for name, value in first.context.items() if name != "at"}),
    )


def as_requests(asked: Asked, at: str) -> list[Request]:
    """Return the chain's questions again, to be asked of any set.

    Args:
        at: the time of the event that carries the question.
    """
    context = values_of(asked.context) | {"at": parse_at(at)}
    attributes = values_of(asked.attributes)
    return [
        Request(hop.principal, hop.type, frozenset(hop.roles), asked.action, asked.resource, attributes, context, values_of(hop.standing))
        for hop in asked.hops
    ]
