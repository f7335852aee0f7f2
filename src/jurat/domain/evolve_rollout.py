"""What events about traffic change: the rollout of an endpoint, and what it ever served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from jurat.core.errors import Tampered
from jurat.domain import facts_rollout as facts
from jurat.domain import rows
from jurat.domain.events import Event
from jurat.domain.rows_rollout import PAUSED, RUNNING
from jurat.domain.state import Put, State
from jurat.domain.values import Fact


def started(state: State, event: Event, data: facts.RolloutStarted) -> list[Put]:
    row = rows.Rollout(
        as_of=event.id, rollout=data.rollout, endpoint=data.endpoint, version=data.version, version_digest=data.version_digest,
        from_version=data.from_version, upstream=data.upstream, steps_bp=data.steps_bp, hold_s=data.hold_s, requests=data.requests,
        criteria=data.criteria, shadow=data.shadow, started_by=event.actor.principal, step=0, step_since=event.at, status=RUNNING,
        reason=data.reason,
    )  # fmt: skip
    return [Put("rollouts", data.endpoint, row)]


def moved(state: State, event: Event, data: facts.RolloutMoved) -> list[Put]:
    row = _known(state, data.endpoint, data.rollout, event)
    status = PAUSED if data.act == "paused" else RUNNING
    since = row.step_since if data.act == "paused" else event.at  # the clock of a step begins anew when it goes on
    moved = msgspec.structs.replace(
        row, as_of=event.id, step=data.step, step_since=since, status=status, reason=data.reason, clauses=data.clauses
    )
    return [Put("rollouts", data.endpoint, moved)]


def ended(state: State, event: Event, data: facts.RolloutEnded) -> list[Put]:
    row = _known(state, data.endpoint, data.rollout, event)
    return [Put("rollouts", data.endpoint, msgspec.structs.replace(
        row, as_of=event.id, status=data.outcome, reason=data.reason, clauses=data.clauses))]  # fmt: skip


def served_by(state: State, endpoint: rows.Endpoint, at: str) -> Put:
    """Return the memory of how an endpoint served a version. Other limits for the same server are no new beginning."""
    before, served = state.get(rows.Endpoint, endpoint.endpoint), state.get(rows.Served, f"{endpoint.endpoint}/{endpoint.version}")
    stayed = before is not None and (before.version, before.upstream) == (endpoint.version, endpoint.upstream)
    row = rows.Served(
        as_of=endpoint.as_of, endpoint=endpoint.endpoint, version=endpoint.version, version_digest=endpoint.version_digest,
        stage=endpoint.stage, upstream=endpoint.upstream, confidence_floor=endpoint.confidence_floor,
        requests_per_minute=endpoint.requests_per_minute, blocked_patterns=endpoint.blocked_patterns,
        since=served.since if stayed and served is not None else at,
    )  # fmt: skip
    return Put("served", f"{endpoint.endpoint}/{endpoint.version}", row)


def _known(state: State, endpoint: str, rollout: str, event: Event) -> rows.Rollout:
    row = state.get(rows.Rollout, endpoint)
    if row is None or row.rollout != rollout:
        raise Tampered(f"event `{event.id}` ({event.kind.name}) speaks of `{rollout}`, which no earlier event made")
    return row


ROLLOUT_CHANGES: Final[dict[type[Fact], Callable[[State, Event, Any], list[Put]]]] = {
    facts.RolloutStarted: started,
    facts.RolloutMoved: moved,
    facts.RolloutEnded: ended,
}
