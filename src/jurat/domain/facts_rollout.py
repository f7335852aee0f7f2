"""What events say of traffic: rollouts, roll-backs, what came into effect where, answers in the shadow; and of what was handed out.

LAW: as in `facts.py`: fields are only ever added, last, with a default.
"""

from __future__ import annotations

from typing import Any

from jurat.domain.values import Clause, Fact


class RolloutStarted(Fact, frozen=True, kw_only=True):
    rollout: str
    endpoint: str
    version: str  # the new one
    version_digest: str
    from_version: str  # that serves now, and goes on to if anything is wrong
    from_digest: str
    upstream: str  # where the new one listens
    steps_bp: list[int]  # shares in hundredths of a percent; of a shadow: [0]
    hold_s: float
    requests: int
    criteria: list[str]
    gate_file: str
    shadow: bool  # the new one is asked too, and its answers go nowhere but on record
    reason: str


class RolloutMoved(Fact, frozen=True, kw_only=True):
    rollout: str
    endpoint: str
    act: str  # `advanced`, `paused`, `resumed`
    step: int  # counted from 0
    share_bp: int
    reason: str
    clauses: list[Clause]  # what the step was judged by; empty for a person's act


class RolloutEnded(Fact, frozen=True, kw_only=True):
    rollout: str
    endpoint: str
    version: str
    outcome: str  # `completed`, `rolled_back`, `aborted`
    automatic: bool
    share_bp: int  # that it had got
    reason: str
    clauses: list[Clause]


class EndpointRolledBack(Fact, frozen=True, kw_only=True):
    endpoint: str
    version: str  # that serves from now on
    version_digest: str
    from_version: str
    rollout: str  # that ended with it, if one ran
    reason: str


class RoutingInEffect(Fact, frozen=True, kw_only=True):
    """A gateway serves by what an act decided, so many milliseconds after it."""

    endpoint: str
    version: str
    share_bp: int  # of a rollout's new version; 0 if none runs
    event: str  # the act's
    took_ms: float


class PredictionShadowed(Fact, frozen=True, kw_only=True):
    """What a version in the shadow answered to a case that another one answered. Nobody was given it."""

    prediction: str
    rollout: str
    endpoint: str
    version: str
    version_digest: str
    output: Any
    confidence: float | None
    latency_ms: float
    failure: str  # why there is no answer; empty: there is one
    segment: str


class RequestShown(Fact, frozen=True, kw_only=True):
    """A person was shown what a request asks them to approve."""

    request: str
    shown_digest: str


class ArtefactReleased(Fact, frozen=True, kw_only=True):
    """The bytes of a version were handed out, for a stage whose gates it passed."""

    version: str
    version_digest: str
    artefact: str  # `weights`, …
    artefact_digest: str
    stage: str
    purpose: str


class DeploymentAuthorized(Fact, frozen=True, kw_only=True):
    """Whoever holds this signed word may put exactly this version to work in this stage, until then."""

    deployment: str
    version: str
    version_digest: str
    stage: str
    target: str
    expires_at: str


ROLLOUT_FACTS: dict[str, type[Fact]] = {
    "rollout.started.v1": RolloutStarted,
    "rollout.moved.v1": RolloutMoved,
    "rollout.ended.v1": RolloutEnded,
    "endpoint.rolled_back.v1": EndpointRolledBack,
    "routing.in_effect.v1": RoutingInEffect,
    "prediction.shadowed.v1": PredictionShadowed,
    "request.shown.v1": RequestShown,
    "artefact.released.v1": ArtefactReleased,
    "deployment.authorized.v1": DeploymentAuthorized,
}
