"""Where a grant can reach, who must say yes to it, and when it ends. Pure answers; the law that uses them is `decide_grants`'.

A scope is `*`, one resource, or a branch that ends in `/`. One that can match nothing is a misprint that nobody would notice,
so it is refused: every root and folder must exist, and a single thing must be known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from jurat.core.clock import parse_at, to_ns
from jurat.core.errors import Denied, Malformed
from jurat.domain import rows
from jurat.domain.context import Context
from jurat.domain.kinds import RetentionClass
from jurat.domain.roles import in_scope, is_live
from jurat.domain.rows import Row
from jurat.domain.state import State
from jurat.policy.accessrules import ANY, AccessRules, ApprovalRule
from jurat.policy.resources import parse_resource

# What a name under a root must be, where the state can tell.
_KNOWN: Final[dict[str, type[Row]]] = {
    "models": rows.Version, "data": rows.Dataset, "endpoints": rows.Endpoint, "systems": rows.System, "requests": rows.Request,
    "principals": rows.Principal,
}  # fmt: skip
_FOLDERS: Final = {"models": "Models", "data": "Data", "infrastructure": "Infrastructure"}


def check_scope(state: State, scope: str, *, exists: bool = True) -> None:
    """Pass if a scope can match something.

    Args:
        exists: a single thing must be known already.
    Raises:
        Malformed: it cannot; code `empty_scope`.
    """
    if scope == ANY:
        return
    branch = scope.endswith("/")
    root, _, rest = scope.removesuffix("/").partition("/")
    folder, _, name = rest.partition("/") if root in _FOLDERS else ("", "", rest)
    known = folders_in(state, root)
    if branch and (not rest or (root in _FOLDERS and not name)):
        parse_resource(f"{root}/{folder}/x" if root in _FOLDERS and folder else f"{root}/dev/x" if root in _FOLDERS else f"{root}/x")
        fits = not folder or not known or folder in known
    elif branch:
        fits = False
    else:
        parts = parse_resource(scope)
        fits = not parts.folder or not known or parts.folder[1] in known
        if fits and exists:
            fits = _exists(state, root, name)
    if not fits:
        what = (
            f"there is no folder `{folder[:40]}` under `{root}`" if folder and known and folder not in known else "there is no such thing"
        )
        raise Malformed(
            f"scope `{scope[:80]}` matches nothing: {what}",
            hint=f"folders there: {', '.join(sorted(known))}"
            if known
            else "give `*`, a branch such as `models/prod/`, or a thing that is known",
            code="empty_scope",
        )


def folders_in(state: State, root: str) -> frozenset[str]:
    """Return the folders under a root, as the schema in force declares them; none for a root without folders."""
    current = state.get(rows.PolicySetInForce, "current")
    found = re.search(rf"entity\s+{_FOLDERS[root]}\s+enum\s*\[([^\]]*)\]", current.schema) if current and root in _FOLDERS else None
    return frozenset(re.findall(r'"([^"]+)"', found[1])) if found else frozenset()


def scope_within(inner: str, outer: str) -> bool:
    """Whether everything under one scope lies under another."""
    return outer == ANY or inner == outer or (outer.endswith("/") and inner != ANY and inner.startswith(outer))


def refuse_beyond_own_scope(state: State, rules: AccessRules, context: Context, role: str, scope: str) -> None:
    """Pass if whoever grants may grant that far: no further than the grants that let them grant at all.

    Raises:
        Denied: it reaches further.
    """
    granting = {each for duty in rules.duties_of("role:grant") for each in rules.duties[duty].roles}
    for principal in dict.fromkeys([context.actor.principal, *(context.actor.chain if context.actor.type == "agent" else [])]):
        own = [g for g in state.find(rows.Grant, principal=principal) if is_live(g, context.now_ns) and in_scope(g.scope, context.resource)]
        letting = [g for g in own if g.role in granting]
        # Without a granting role among them we cannot say which one let them in: then each must reach that far.
        if letting and any(scope_within(scope, g.scope) for g in letting):
            continue
        if not letting and own and all(scope_within(scope, g.scope) for g in own):
            continue
        reach = ", ".join(f"`{g.scope}`" for g in letting or own) or "nothing"
        raise Denied(
            f"`{principal}` may grant within {reach}, and `{role}` on `{scope[:80]}` reaches further",
            hint="narrow the scope, or ask an operator whose own grant reaches that far",
            code="beyond_own_scope",
        )


def approval_rule(rules: AccessRules, role: str, scope: str) -> ApprovalRule | None:
    """Return the first rule that fits a role in a scope.

    A wish that reaches further than a rule's scope does not fit it, and is not waved through by a narrower one either: a rule also
    fits when the wish covers its scope, so that asking for more never takes fewer people.
    """
    for rule in rules.approvals:
        if (rule.roles == (ANY,) or role in rule.roles) and (scope_within(scope, rule.scope) or scope_within(rule.scope, scope)):
            return rule
    return None


def past_end(state: State, now_ns: int) -> list[rows.Grant]:
    """Return the grants whose time is over and that no clock has written down yet. They hold nothing: see `roles_held`."""
    return [g for g in state.find(rows.Grant) if (until := given_until(g)) and now_ns >= to_ns(parse_at(until))]


def given_until(grant: rows.Grant) -> str:
    """Return when a grant ends by itself, whatever a review says: at its end, or when nobody confirmed it; empty: never."""
    return min((at for at in (grant.expires_at, grant.confirm_by) if at), key=lambda at: to_ns(parse_at(at)), default="")


def review_bar(state: State, person: str) -> rows.Glass | None:
    """Return the break-glass of a person that nobody else has looked at yet; drills are not looked at."""
    return next((g for g in state.find(rows.Glass, person=person) if not g.drill and not g.verdict), None)


def review_overdue(state: State, person: str | None, now_ns: int) -> str:
    """Return why a person is locked until audit requirements are complete; empty if they are."""
    for glass in state.find(rows.Glass, person=person) if person else ():
        if not glass.drill and not glass.verdict and glass.review_due and now_ns >= to_ns(parse_at(glass.review_due)):
            return f"the review of break-glass `{glass.glass}` was due at {glass.review_due}"
    return ""


def window_of(state: State, people: Iterable[str], now_ns: int) -> rows.Glass | None:
    """Return the break-glass window that any of these people is in now."""
    for person in people:
        for glass in state.find(rows.Glass, person=person, closed_at=""):
            if now_ns < to_ns(parse_at(glass.expires_at)):
                return glass
    return None


def _exists(state: State, root: str, name: str) -> bool:
    if root == "models" and state.get(rows.RegistryModel, name) is not None:
        return True  # as MLflow's clients know it
    if root in _KNOWN:
        return state.get(_KNOWN[root], name) is not None
    return root != "ledger" or name in set(RetentionClass)
