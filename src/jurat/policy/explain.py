"""After a deny: what stood in the way, the smallest change that would have opened it, and whom to ask.

Everything said here comes from decisions made again with something changed; nothing here grants. Knows no principals and
no holders of roles: whom to ask by name is the asker's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Final

import msgspec

from jurat.policy.engine import Decision, Engine, Request
from jurat.policy.policytree import read_by
from jurat.policy.values import Value

_MOST_CHANGES: Final = 2  # at once: more is not advice any more
_MOST_TRIES: Final = 4_000


class Change(msgspec.Struct, frozen=True):
    """One thing that is otherwise. `what`: `role`, `context`, `resource` or `principal`; `name` and `value` of it."""

    what: str
    name: str
    value: str

    def __str__(self) -> str:
        if self.what == "role":
            return f"the role `{self.name}`"
        if self.what == "context":
            return f"`{self.name}` given" + (f" as `{self.value}`" if self.value else "")
        return f"`{self.name}` of the {self.what} being `{self.value}`"


class Explanation(msgspec.Struct, frozen=True):
    """What would have made it pass, and whom to ask.

    Attributes:
        forbidden_by: `@id` of the policies that forbid it; no role helps against these.
        unmet: `@id` of the permits whose role, act and resource fit, and whose conditions do not hold.
        roles: each of these roles, alone and beside those held, would have been enough.
        changes: the smallest sets of changes, each of which would have been enough; empty if none of two was found.
        hint: one sentence of advice.
    """

    decision: Decision
    forbidden_by: list[str]
    unmet: list[str]
    roles: list[str]
    changes: list[list[Change]]
    hint: str


def explain(engine: Engine, request: Request) -> Explanation:
    """Return the decision and, where it is a deny, what stood in the way and what would have opened it."""
    decision, policy_set = engine.decide(request), engine.policy_set
    if decision.is_allowed or decision.errors:
        hint = "" if decision.is_allowed else "ask an operator to look at the errors of this decision"
        return Explanation(decision, [], [], [], [], hint)
    if decision.policies:
        hints = [policy_set.policies[name].hint for name in decision.policies]
        return Explanation(
            decision, decision.policies, [], [], [], "; ".join(dict.fromkeys(filter(None, hints))) or "no role helps: a rule forbids it"
        )
    unmet = engine.satisfied(request, policy_set.permits_unconditioned)
    roles = [
        role
        for role in sorted(policy_set.roles - request.roles)
        if engine.decide(replace(request, roles=request.roles | {role})).is_allowed
    ]
    advice = [policy_set.policies[name].hint or f"meet the conditions of policy `{name}`" for name in unmet]
    if roles:
        advice.append(f"ask an operator to grant {' or '.join(f'`{role}`' for role in roles)}, or somebody who holds it to do this")
    return Explanation(decision, [], unmet, roles, [], "; ".join(advice) or "no role of this policy set permits it, to anyone")


def explain_fully(engine: Engine, request: Request) -> Explanation:
    """Return the same with the smallest changes: some hundreds of decisions, for those who ask why."""
    found = explain(engine, request)
    if found.decision.is_allowed or found.decision.errors:
        return found
    changes = smallest_changes(engine, request)
    hint = found.hint
    if changes:
        hint = f"it would be allowed with {' and '.join(map(str, changes[0]))}" + (f"; {found.hint}" if found.hint else "")
    return msgspec.structs.replace(found, changes=changes, hint=hint)


def smallest_changes(engine: Engine, request: Request) -> list[list[Change]]:
    """Return every set of changes of the smallest size, up to two, that turns a deny into an allow."""
    candidates = list(_candidates(engine, request))
    tries = 0
    for size in range(1, _MOST_CHANGES + 1):
        found: list[list[Change]] = []
        for chosen in combinations(candidates, size):
            if len({(change.what, change.name) for change in chosen}) < size:
                continue  # one thing cannot have two values
            tries += 1
            if tries > _MOST_TRIES:
                return found
            if engine.decide(changed(request, chosen)).is_allowed:
                found.append(list(chosen))
        if found:
            return found
    return []


def changed(request: Request, changes: tuple[Change, ...] | list[Change]) -> Request:
    """Return the question with the changes made."""
    roles, context = set(request.roles), dict(request.context)
    attributes, standing = dict(request.attributes), dict(request.standing)
    for change in changes:
        if change.what == "role":
            roles.add(change.name)
            continue
        into = {"context": context, "resource": attributes, "principal": standing}[change.what]
        into[change.name] = change.value == "true" if change.value in ("true", "false") else change.value or "given"
    return replace(request, roles=frozenset(roles), context=context, attributes=attributes, standing=standing)


def _candidates(engine: Engine, request: Request) -> Iterator[Change]:
    for role in sorted(engine.policy_set.roles - request.roles):
        yield Change("role", role, "")
    told: dict[str, Mapping[str, Value]] = {"context": request.context, "resource": request.attributes, "principal": request.standing}
    for what, name, value in sorted(read_by(engine.policy_set.tree, request.action)):
        if name not in ("id", "name", "version", "at") and told[what].get(name) != value:
            yield Change(what, name, value)
