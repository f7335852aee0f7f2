"""A small world for the law: people, roles, a system, a data set, a version, a gate file. In memory; time moves by hand."""

from __future__ import annotations

from typing import Any

from jurat.core.clock import format_at
from jurat.domain import commands, facts, rows
from jurat.domain.commands import Command
from jurat.domain.context import Context
from jurat.domain.decide import decide
from jurat.domain.events import Actor, Event
from jurat.domain.evolve import evolve
from jurat.domain.state import MemoryState
from jurat.domain.values import Artefact, Artefacts, DataSheet, Metric, PrincipalType, RiskTier, TrainingCode, TrainingConfig, TrainingData

START_NS = 1_764_100_000_000_000_000
HELD_OUT = "loans-test@v1"
ROLES = frozenset({"data_scientist", "ml_engineer", "ml_lead", "product_owner", "operator", "compliance_officer", "auditor"})
GATES = """
deployment_gates:
  staging:
    - type: automated_tests
      required: true
      checks:
        - accuracy >= 0.85
        - latency_p99 <= 100ms
    - type: bias_check
      required: true
      checks:
        - demographic_parity_difference <= 0.1
  production:
    - type: staging_soak
      required: true
      duration: 48h
      success_criteria:
        - error_rate <= 0.1%
        - no_critical_alerts
    - type: human_approval
      required: true
      approvers:
        - role: ml_lead
        - role: product_owner
"""


def digest(letter: str) -> str:
    return "sha256:" + letter * 64


class Law:
    """Commands are decided and their events applied; who acts is named by handle."""

    def __init__(self) -> None:
        self.state = MemoryState()
        self.now_ns = START_NS
        self.events: list[Event] = []
        self.principals: dict[str, tuple[str, PrincipalType, list[str]]] = {}
        self.hands: dict[str, list[str]] = {}  # who else made what somebody acts by
        for handle in ("olga", "ada", "ben", "cleo", "dan"):
            self.add(handle, PrincipalType.PERSON)
        for handle, role in (
            ("olga", "operator"),
            ("cleo", "ml_lead"),
            ("cleo", "product_owner"),
            ("dan", "product_owner"),
            ("ada", "ml_lead"),
            ("ben", "ml_lead"),
        ):
            self.grant(handle, role)

    def add(self, handle: str, kind: PrincipalType, owner: str | None = None) -> str:
        """Make a principal known; an owned one acts with its owner first in the chain."""
        owner_id = self.principals[owner][0] if owner else None
        name = handle if kind is not PrincipalType.PERSON else None
        event = self.context("olga" if self.principals else handle).event(
            facts.PrincipalRegistered(principal=f"prn_{handle}", type=kind, owner=owner_id, name=name)
        )
        self.apply([event])
        chain = [owner_id, f"prn_{handle}"] if owner_id else [f"prn_{handle}"]
        self.principals[handle] = (f"prn_{handle}", kind, chain)
        return f"prn_{handle}"

    def grant(self, handle: str, role: str, *, lifetime_s: float = 86_400.0 * 30) -> None:
        context = self.context("olga")
        expires_at = format_at(self.now_ns + round(lifetime_s * 1e9))
        fact = facts.RoleGranted(
            grant=context.fresh("grt"), principal=f"prn_{handle}", role=role, scope="*", reason="test", expires_at=expires_at
        )
        self.apply([context.event(fact)])

    def context(self, handle: str, resource: str = "workspace") -> Context:
        principal, kind, chain = self.principals.get(handle, (f"prn_{handle}", PrincipalType.PERSON, [f"prn_{handle}"]))
        actor = Actor(principal=principal, type=kind, chain=chain, hands=self.hands.get(handle, []))
        return Context(actor, self.now_ns, None, resource, ROLES)

    def do(self, handle: str, command: Command) -> list[Event]:
        """Decide and apply; a refusal changes nothing."""
        events = decide(self.state, command, self.context(handle, command.resource(self.state)))
        self.apply(events)
        return events

    def apply(self, events: list[Event]) -> None:
        for event in events:
            self.state.apply(evolve(self.state, event))
        self.events += events
        self.now_ns += 1_000_000

    def wait(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)

    # --- a registered, measured version

    def apply_gates(self, source: str = GATES) -> None:
        self.do("olga", commands.ApplyGates(source=source, reason="test"))

    def register(self, version: str = "1.0.0", weights: str = "a", by: str = "ada") -> rows.Version:
        if self.state.get(rows.Dataset, "loans@v1") is None:
            self.do("ada", dataset())
            self.do("ada", dataset(HELD_OUT, "6"))
            self.do(
                "dan",
                commands.RegisterSystem(
                    system="credit", purpose="p", owner="prn_dan", risk_tier=RiskTier.HIGH, affected_persons="applicants"
                ),
            )
        self.do(by, version_command(version, weights))
        found = self.state.get(rows.Version, f"churn@{version}")
        assert found is not None
        return found

    def measure(self, version: rows.Version, kind: str = "evaluation", *, version_digest: str = "", **metrics: float | None) -> list[Event]:
        return self.do(
            "ben",
            commands.RecordEvidence(
                version=version.version,
                type=kind,
                version_digest=version_digest or version.digest,
                dataset=HELD_OUT,
                dataset_digest=digest("6"),
                metrics=[Metric(name=n, value=v, n=500, reason="" if v is not None else "not measured") for n, v in metrics.items()],
                method="test",
                environment={},
                duration_s=1.0,
            ),
        )

    def good(self, version: rows.Version) -> None:
        self.measure(version, "evaluation", accuracy=0.9, latency_p99=0.05)
        self.measure(version, "bias_test", demographic_parity_difference=0.05)

    def to_staging(self, version: rows.Version) -> None:
        self.good(version)
        self.do("ben", commands.Promote(version=version.version, to_stage="staging"))

    def soak(self, version: rows.Version) -> None:
        self.wait(48 * 3600 + 1)
        self.measure(version, "soak", error_rate=0.0, no_critical_alerts=1.0)

    def request(self, version: rows.Version, by: str = "ben", lifetime_s: float = 7 * 86_400.0) -> rows.Request:
        events = self.do(by, commands.RequestPromotion(version=version.version, to_stage="production", lifetime_s=lifetime_s))
        fact: Any = events[0].data
        found = self.state.get(rows.Request, fact.request)
        assert found is not None
        return found

    def approve(self, handle: str, request: rows.Request, shown: str = "") -> list[Event]:
        return self.do(handle, commands.Approve(request=request.request, shown_digest=shown or request.shown_digest, comment="seen"))


def dataset(name: str = "loans@v1", letter: str = "d") -> commands.RegisterDataset:
    sheet = DataSheet(
        purpose="p", source="s", collection_method="m", licence="CC0", known_biases=[], sensitive_columns=["sex"], label="y",
        favourable_outcome="good",
    )  # fmt: skip
    return commands.RegisterDataset(dataset=name, collection="training", digest=digest(letter), rows=10, columns=["x"], sheet=sheet)


def version_command(version: str = "1.0.0", weights: str = "a", **changes: Any) -> commands.RegisterVersion:
    def part(letter: str) -> Artefact:
        return Artefact(version="1", digest=digest(letter))

    fields: dict[str, Any] = {
        "model": "churn",
        "version": version,
        "system": "credit",
        "artefacts": Artefacts(
            weights=part(weights), training_code=part("b"), training_data=part("d"), feature_definitions=part("e"),
            serving_configuration=part("f"), dependencies=part("0"),
        ),
        "training_data": TrainingData(dataset="loans@v1", dataset_digest=digest("d"), row_count=10, feature_columns=["x"]),
        "training_code": TrainingCode(git_repo="example.org/r", git_commit="1" * 40, git_branch="main"),
        "training_config": TrainingConfig(hyperparameters={"c": 1}, training_duration_s=1.0, hardware="cpu"),
        "claimed_metrics": {"accuracy": 0.99},
        "validation_dataset": HELD_OUT,
    }  # fmt: skip
    return commands.RegisterVersion(**{**fields, **changes})
