"""Which roles a principal holds, now, and which person stands behind it. Expiry counts when read (rule 3)."""

from __future__ import annotations

from collections.abc import Sequence

from jurat.core.clock import format_at, parse_at, to_ns
from jurat.domain import rows
from jurat.domain.events import Actor
from jurat.domain.state import State
from jurat.domain.values import PrincipalType


def roles_held(state: State, principal: str, resource: str, now_ns: int, *, with_glass: bool = True) -> frozenset[str]:
    """Return the roles that a principal holds on a resource at that moment: granted, in scope, not expired.

    Args:
        with_glass: count what they hold in an emergency only. Whose word on others counts is asked without: nobody appoints themselves.
    """
    return frozenset(
        g.role
        for g in state.find(rows.Grant, principal=principal)
        if is_live(g, now_ns) and in_scope(g.scope, resource) and (with_glass or not g.break_glass)
    )


def is_live(grant: rows.Grant, now_ns: int) -> bool:
    """Whether a grant has not expired, and neither a review nor a second person's word that it waits for has run out."""
    ends_ns = end_of(grant)
    return ends_ns is None or now_ns < ends_ns


def end_of(grant: rows.Grant) -> int | None:
    """Return the moment from which a grant holds nothing; None if none is set."""
    return min((to_ns(parse_at(at)) for at in (grant.expires_at, grant.review_due, grant.confirm_by) if at), default=None)


def in_scope(scope: str, resource: str) -> bool:
    """Whether a resource lies under a grant's scope: `*`, the resource itself, or a prefix that ends in `/`."""
    return scope in ("*", resource) or (scope.endswith("/") and resource.startswith(scope))


def person_behind(state: State, principal: str) -> str | None:
    """Return the active person who answers for a principal (itself, if it is one), or None if nobody does."""
    found = state.get(rows.Principal, principal)
    if found is not None and found.type is not PrincipalType.PERSON and found.owner:
        found = state.get(rows.Principal, found.owner) if found.active else None
    return found.principal if found is not None and found.active and found.type is PrincipalType.PERSON else None


def why_suspended(state: State, principal: str, chain: Sequence[str]) -> str:
    """Return why nobody in this chain may act now, or nothing if they may. Read at every act: no job has to notice first.

    The first is an active person, everybody else is active and has a living person who answers for it.
    """
    for number, each in enumerate([*chain, principal]):
        found = state.get(rows.Principal, each)
        if found is None or not found.active:
            return f"`{each}` is deactivated" if found else f"`{each}` is not known"
        if number == 0 and found.type is not PrincipalType.PERSON:
            return f"`{each}` is no person"
        if person_behind(state, each) is None:
            return f"no active person answers for `{each}`" + (f": `{found.owner}`, who did, is deactivated" if found.owner else "")
    return ""


def people_behind(state: State, actor: Actor) -> frozenset[str]:
    """Return the persons whose act it is: who is first in the chain, and who answers for each that acts in it."""
    return frozenset((actor.chain[0], *(person_behind(state, each) or actor.chain[0] for each in (*actor.chain, actor.principal))))


def holders_of(state: State, role: str, now_ns: int) -> list[str]:
    """Return who holds a role now, for hints of the kind «ask one of these»."""
    return sorted({g.principal for g in state.find(rows.Grant, role=role) if is_live(g, now_ns)})


def expiry(now_ns: int, lifetime_s: float) -> str:
    """Return the RFC 3339 moment that lies `lifetime_s` after now."""
    return format_at(now_ns + round(lifetime_s * 1e9))
