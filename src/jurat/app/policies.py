"""Policy sets as the workspace has them: the one in force, and any that ever was."""

from __future__ import annotations

from jurat.app.look import look_at
from jurat.app.wiring import App
from jurat.domain import rows
from jurat.domain.state import State
from jurat.policy.engine import Engine
from jurat.policy.policyset import PolicySet


def load_in_force(app: App, token: str) -> PolicySet:
    """Return the set that is in force.

    Raises:
        NotFound: there is none, or the caller may not see it.
    """
    row = look_at(app, token, rows.PolicySetInForce, "current")
    return PolicySet.load(row.files, row.schema)


def engine_of(state: State, digest: str) -> Engine | None:
    """Return the engine of a set that was in force once, or None if none of that digest was."""
    row = state.get(rows.PolicySetInForce, digest)
    return Engine(PolicySet.load(row.files, row.schema)) if row is not None else None
