"""A short honest history to fold: a system, a version, evidence, a request, two approvals, a promotion, an endpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from jurat.core.clock import FixedClock, format_at
from jurat.core.ids import new_id
from jurat.domain import facts
from jurat.domain.events import Actor, Event
from jurat.domain.values import Artefact, Artefacts, Metric, PrincipalType, RiskTier, TrainingCode, TrainingConfig, TrainingData

CLOCK = FixedClock(1_764_100_000_000_000_000)
ALICE, BOB, CAROL = sorted(new_id("prn", CLOCK) for _ in range(3))


def digest(text: str) -> str:
    """Return a digest that stands for some bytes."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def event(data: facts.Fact, *, by: str = ALICE, resource: str = "workspace") -> Event:
    """Return the fact in an envelope of its own moment."""
    CLOCK.advance(0.001)
    actor = Actor(principal=by, type=PrincipalType.PERSON, chain=[by])
    return Event(id=new_id("evt", CLOCK), at=format_at(CLOCK.now_ns()), actor=actor, resource=resource, data=data)


def principal(who: str) -> Event:
    return event(facts.PrincipalRegistered(principal=who, type=PrincipalType.PERSON, owner=None, name=None))


def grant(name: str, who: str = ALICE, role: str = "ml_engineer") -> Event:
    return event(facts.RoleGranted(grant=name, principal=who, role=role, scope="*", reason="needed", expires_at=None))


def revoke(name: str, who: str = ALICE) -> Event:
    return event(facts.RoleRevoked(grant=name, principal=who, role="ml_engineer", reason="left"))


def override(prediction: str, output: object = "good") -> Event:
    return event(
        facts.PredictionOverridden(prediction=prediction, version="credit@1.1.0", model_output="bad", output=output, reason="new papers")
    )


def denied(command: str = "PromoteVersion") -> Event:
    return event(
        facts.ActDenied(command=command, permission="model:promote", by="rule", rule="no_self_approval", detail="no", hint="", reasons=[])
    )


def version_registered(version: str = "credit@1.1.0") -> Event:
    artefacts = Artefacts(
        **{
            part: Artefact(version=f"{part}:1.0.0", digest=digest(version + part))
            for part in ("weights", "training_code", "training_data", "feature_definitions", "serving_configuration", "dependencies")
        }
    )
    return event(
        facts.VersionRegistered(
            version=version,
            model="credit",
            system="lending",
            digest=digest(version),
            artefacts=artefacts,
            training_data=TrainingData(dataset="german@1", dataset_digest=digest("data"), row_count=400, feature_columns=["age", "sum"]),
            training_code=TrainingCode(git_repo="example.org/credit", git_commit="0" * 40, git_branch="main"),
            training_config=TrainingConfig(hyperparameters={"depth": 3, "rate": 0.1}, training_duration_s=1.5, hardware="2 cores"),
            claimed_metrics={"accuracy": 0.9},
            validation_dataset="german@1",
            author=ALICE,
        )
    )


def story() -> Iterator[Event]:
    """Yield a history that touches tables of all kinds, across four logs."""
    yield principal(ALICE)
    yield principal(BOB)
    yield grant("grt_1", BOB)
    yield event(
        facts.SystemRegistered(system="lending", purpose="loans", owner=ALICE, risk_tier=RiskTier.HIGH, affected_persons="applicants")
    )
    yield version_registered()
    yield event(
        facts.EvidenceMeasured(
            type="evaluation",
            version="credit@1.1.0",
            version_digest=digest("credit@1.1.0"),
            dataset="german@1",
            dataset_digest=digest("data"),
            metrics=[
                Metric(name="accuracy", value=0.75, low=0.7, high=0.8, n=300),
                Metric(name="soak", value=None, reason="none"),
            ],
            method="held out",
            environment={"python": "3.11"},
            duration_s=2.25,
        )
    )
    yield event(
        facts.PromotionRequested(
            request="req_1",
            version="credit@1.1.0",
            version_digest=digest("credit@1.1.0"),
            to_stage="staging",
            shown={"accuracy": 0.75, "n": 300, "notes": ["ä", "\u2028"], "deep": {"x": None}},
            shown_digest=digest("shown"),
            approver_roles=["ml_lead"],
            expires_at="2026-12-25T00:00:00.000000Z",
        )
    )
    yield denied()
    for who in (BOB, CAROL):
        yield event(
            facts.RequestApproved(request="req_1", version="credit@1.1.0", shown_digest=digest("shown"), roles=["ml_lead"], comment=""),
            by=who,
        )
    yield event(
        facts.VersionPromoted(
            version="credit@1.1.0",
            version_digest=digest("credit@1.1.0"),
            from_stage="development",
            to_stage="staging",
            gate_check="evt_x",
            request="req_1",
            approvals=["evt_a", "evt_b"],
        )
    )
    yield event(
        facts.EndpointConfigured(
            endpoint="credit",
            version="credit@1.1.0",
            version_digest=digest("credit@1.1.0"),
            stage="staging",
            upstream="http://127.0.0.1:1",
            confidence_floor=0.6,
            requests_per_minute=600,
            blocked_patterns=[],
        )
    )
    yield override("prd_1", {"approved": True, "score": 0.25})
    yield grant("grt_2", CAROL)
    yield revoke("grt_1", BOB)
