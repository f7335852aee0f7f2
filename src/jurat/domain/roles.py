"""Which roles a principal holds, now, and which person stands behind it. Expiry counts when read (rule 3)."""

from __future__ import annotations

from jurat.core.clock import format_at, parse_at, to_ns
from jurat.domain import rows
from jurat.domain.events import Actor
from jurat.domain.state import State
from jurat.domain.values import PrincipalType


def roles_held(state: State, principal: str, resource: str, now_ns: int) -> frozenset[str]:
    """Return the roles that a principal holds on a resource at that moment: granted, in scope, not expired."""
    return frozenset(g.role for g in state.find(rows.Grant, principal=principal) if is_live(g, now_ns) and in_scope(g.scope, resource))


def is_live(grant: rows.Grant, now_ns: int) -> bool:
    """Whether a grant has not expired."""
    return grant.expires_at is None or now_ns < to_ns(parse_at(grant.expires_at))


def in_scope(scope: str, resource: str) -> bool:
    """Whether a resource lies under a grant's scope: `*`, the resource itself, or a prefix that ends in `/`."""
    return scope in ("*", resource) or (scope.endswith("/") and resource.startswith(scope))


def person_behind(state: State, principal: str) -> str | None:
    """Return the active person who answers for a principal (itself, if it is one), or None if nobody does."""
    found = state.get(rows.Principal, principal)
    if found is not None and found.type is not PrincipalType.PERSON and found.owner:
        found = state.get(rows.Principal, found.owner) if found.active else None
    return found.principal if found is not None and found.active and found.type is PrincipalType.PERSON else None


def people_behind(state: State, actor: Actor) -> frozenset[str]:
    """Return the persons whose act it is: who is first in the chain, and who answers for what acts."""
    return frozenset((actor.chain[0], person_behind(state, actor.principal) or actor.chain[0]))


def holders_of(state: State, role: str, now_ns: int) -> list[str]:
    """Return who holds a role now, for hints of the kind «ask one of these»."""
    return sorted({g.principal for g in state.find(rows.Grant, role=role) if is_live(g, now_ns)})


def expiry(now_ns: int, lifetime_s: float) -> str:
    """Return the RFC 3339 moment that lies `lifetime_s` after now."""
    return format_at(now_ns + round(lifetime_s * 1e9))
