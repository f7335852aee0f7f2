"""The gate on the path of traffic: whether an endpoint may be pointed at a version directly, or by a rollout only."""

from __future__ import annotations

from jurat.core.errors import Conflict
from jurat.domain import rows
from jurat.domain.gates import gates_in_force
from jurat.domain.stages import Stage
from jurat.domain.state import State
from jurat.policy.gatefile import Rollout


def declared_rollout(state: State) -> tuple[Rollout | None, str]:
    """Return the rollout that the gate file in force declares before production, if it does, and the file's digest."""
    gates, digest = gates_in_force(state, Stage.PRODUCTION)
    return next((gate for gate in gates.production if isinstance(gate, Rollout)), None), digest


def refuse_past_rollout(state: State, endpoint: rows.Endpoint | None, version: rows.Version) -> None:
    """Pass if an endpoint may be pointed at a version directly: the gate on the path of the traffic.

    Raises:
        Conflict: a rollout runs there, or the gate file demands one before another version takes over in production.
    """
    if endpoint is None:
        return
    running = state.get(rows.Rollout, endpoint.endpoint)
    if running is not None and running.is_live:
        raise Conflict(
            f"a rollout of `{running.version}` runs on endpoint `{endpoint.endpoint}`",
            hint=f"end it first: `jurat rollout abort {endpoint.endpoint} --reason '…'`",
            code="rollout_running",
        )
    # Whatever it points at just now: to go by way of a version in staging is no way around.
    others = [s for s in state.find(rows.Served, endpoint=endpoint.endpoint, stage=str(Stage.PRODUCTION)) if s.version != version.version]
    if endpoint.version == version.version or not others or version.stage != Stage.PRODUCTION:
        return
    if state.get(rows.GatesInForce, "current") is None:
        return
    gate, _ = declared_rollout(state)
    if gate is not None and gate.required:
        raise Conflict(
            f"`{version.version}` takes over from `{others[-1].version}` on endpoint `{endpoint.endpoint}` by a rollout, not at once",
            hint=f"`jurat rollout start {endpoint.endpoint} {version.version} UPSTREAM`; back to an earlier one: `jurat rollout back`",
            code="rollout_required",
        )
