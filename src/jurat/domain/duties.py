"""What one person may not do beside something else: asked when a role is granted, and again of every act.

People are meant, never accounts: whatever acts, the question is asked of the person first in the chain and of whoever
answers for what acts; what a person holds is what they and everything they answer for hold. History comes from deeds, so no
change of roles, groups or owners makes anybody forget what they did. Knows the rules in force; not how they are changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jurat.core.errors import Denied
from jurat.domain import rows
from jurat.domain.context import Context
from jurat.domain.grants import window_of
from jurat.domain.roles import in_scope, is_live, people_behind, person_behind
from jurat.domain.state import State
from jurat.domain.values import PrincipalType
from jurat.policy.accessrules import PERSON, VERSION, AccessRules, Conflict, default_access, read_access

_MOST_NAMED = 5


def rules_in_force(state: State) -> AccessRules:
    """Return the rules that were applied last; the shipped ones while none ever were."""
    row = state.get(rows.AccessRulesInForce, "current")
    return read_access(row.source if row else default_access())


def roles_of_person(state: State, person: str, now_ns: int, *, with_glass: bool = True) -> dict[str, str]:
    """Return every role that a person holds now, themselves or through anything that they answer for: role → one who holds it.

    Args:
        with_glass: count what they hold in an emergency only.
    """
    found: dict[str, str] = {}
    for principal in [person, *(row.principal for row in state.find(rows.Principal, owner=person) if row.active)]:
        for grant in state.find(rows.Grant, principal=principal):
            if is_live(grant, now_ns) and (with_glass or not grant.break_glass):
                found.setdefault(grant.role, principal)
    return found


def refuse_conflicting_grant(state: State, principal: str, role: str, now_ns: int, *, beside: Iterable[str] = ()) -> list[str]:
    """Pass if the person behind a principal may hold this role beside what they hold.

    Args:
        beside: roles that the same act grants them.
    Returns: the conflicts that will be asked for when they act, as sentences.
    Raises:
        Denied: they may not; says which roles collide, and who holds the role already.
    """
    rules, person = rules_in_force(state), person_behind(state, principal)
    held = roles_of_person(state, person, now_ns, with_glass=False) if person else {}
    for other_role in beside if person else ():
        held.setdefault(other_role, person or principal)
    watched: list[str] = []
    for duty in rules.duties_in(role):
        for conflict in rules.conflicts:
            other = conflict.against(duty)
            colliding = sorted(set(rules.duties[other].roles) & held.keys()) if other else []
            if not other or not colliding:
                continue
            if conflict.within == VERSION:
                watched.append(conflict.reason)
                continue
            where = held[colliding[0]]
            through = "" if where == person else f" through `{where}`"
            able = [p for p in people_holding(state, [role], now_ns) if p != person]
            raise _refusal(
                f"`{person}` holds `{colliding[0]}`{through}, and may not hold `{role}` beside it: {conflict.reason}",
                f"`{role}` is held by {_named(able)}" if able else f"grant `{role}` to somebody who holds none of {_listed(colliding)}",
                conflict,
            )
    return list(dict.fromkeys(watched))


def refuse_conflicting_act(state: State, command: Any, context: Context) -> None:
    """Pass if nobody behind an act has done, or holds, what excludes it.

    Raises:
        Denied: somebody has; says what, by which event, and who could do it instead.
    """
    rules = rules_in_force(state)
    duties = rules.duties_of(command.permission)
    if not duties:
        return
    people, subjects = people_behind(state, context.actor), subjects_of(state, command)
    in_emergency = window_of(state, people, context.now_ns) is not None  # what they hold besides does not stop them; what they did does
    for conflict in rules.conflicts:
        for duty in duties:
            other = conflict.against(duty)
            if other is None or (in_emergency and conflict.within == PERSON):
                continue
            for person in sorted(people):
                bar = bar_on(state, rules, conflict, other, person, subjects, context.now_ns)
                if bar is None:
                    continue
                able = [
                    p
                    for p in people_holding(state, rules.duties[duty].roles, context.now_ns, context.resource)
                    if p not in people and not is_barred(state, rules, p, command.permission, subjects, context.now_ns)
                ]
                hint = f"who could: {_named(able)}" if able else f"nobody else holds {_listed(rules.duties[duty].roles)}; ask an operator"
                raise _refusal(f"{bar}, and may not `{command.permission}` now: {conflict.reason}", hint, conflict)


def is_barred(state: State, rules: AccessRules, person: str, permission: str, subjects: Iterable[str], now_ns: int) -> bool:
    """Whether a conflict stands between a person and an act on these subjects."""
    among = list(subjects)
    return any(
        other is not None and bar_on(state, rules, conflict, other, person, among, now_ns) is not None
        for conflict in rules.conflicts
        for duty in rules.duties_of(permission)
        for other in [conflict.against(duty)]
    )


def bar_on(
    state: State, rules: AccessRules, conflict: Conflict, other: str, person: str, subjects: Iterable[str], now_ns: int
) -> str | None:
    """Return what a person did or holds that this conflict speaks of, as the beginning of a sentence; None if nothing."""
    against = rules.duties[other]
    if conflict.within == PERSON:
        held = roles_of_person(state, person, now_ns, with_glass=False)
        found = sorted(set(against.roles) & held.keys())
        if not found:
            return None
        return f"`{person}` holds `{found[0]}`" + ("" if held[found[0]] == person else f" through `{held[found[0]]}`")
    for subject in subjects:
        for deed in state.find(rows.Deed, subject=subject, person=person):
            if deed.permission in against.permissions:
                return f"`{person}` did `{deed.permission}` on `{subject}` (`{deed.as_of}`)"
    return None


def subjects_of(state: State, command: Any) -> list[str]:
    """Return the version that an act is about, and the data that it was trained on; empty if it is about none."""
    name = getattr(command, "name", "") if hasattr(command, "training_data") else getattr(command, "version", "")
    if isinstance(request := getattr(command, "request", None), str) and (found := state.get(rows.Request, request)):
        name = found.version
    if not isinstance(name, str) or "@" not in name:
        return []
    version = state.get(rows.Version, name)
    dataset = version.training_dataset if version else getattr(getattr(command, "training_data", None), "dataset", "")
    return [name, *([dataset] if dataset else [])]


def people_holding(state: State, roles: Iterable[str], now_ns: int, resource: str = "") -> list[str]:
    """Return the active people who hold one of these roles themselves, each once; on a resource, if one is given."""
    found: dict[str, None] = {}
    for role in roles:
        for grant in state.find(rows.Grant, role=role):
            holder = state.get(rows.Principal, grant.principal)
            if not is_live(grant, now_ns) or (resource and not in_scope(grant.scope, resource)):
                continue
            if holder is not None and holder.active and holder.type is PrincipalType.PERSON:
                found.setdefault(grant.principal)
    return list(found)


def _refusal(detail: str, hint: str, conflict: Conflict) -> Denied:
    return Denied(detail, hint=hint, code="separation_of_duties", reasons=[f"conflict between {conflict.name}: {conflict.reason}"])


def _named(people: list[str]) -> str:
    more = f" and {len(people) - _MOST_NAMED} more" if len(people) > _MOST_NAMED else ""
    return ", ".join(f"`{p}`" for p in people[:_MOST_NAMED]) + more


def _listed(roles: Iterable[str]) -> str:
    return " or ".join(f"`{role}`" for role in roles)
