"""What can be asked for. Imperative names; each knows the permission that it needs and the resource that it touches.

A command carries no identity and no time: those are proved and read by the walk.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from jurat.domain import rows
from jurat.domain.descriptions import check_name, check_version
from jurat.domain.stages import Stage, model_resource, parse_stage
from jurat.domain.state import State
from jurat.domain.values import Artefacts, DataSheet, Metric, PrincipalType, RiskTier, TrainingCode, TrainingConfig, TrainingData


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all commands."""

    permission: ClassVar[str]

    def resource(self, state: State) -> str:
        """Return the place in the resource tree that is touched, such as `models/prod/credit@1.1.0`."""
        raise TypeError(f"{type(self).__name__} does not say what it touches")


# --- access ----------------------------------------------------------------------------------------------------------


class RegisterPrincipal(Command, frozen=True, kw_only=True):
    """Make someone or something known. `name` and `email` of a person go to the vault, never into the ledger."""

    permission: ClassVar[str] = "principal:register"
    type: PrincipalType
    name: str
    email: str = ""
    owner: str | None = None

    def resource(self, state: State) -> str:
        return "principals/new"


class GrantRole(Command, frozen=True, kw_only=True):
    permission: ClassVar[str] = "role:grant"
    principal: str
    role: str
    reason: str
    expires_at: str
    scope: str = "*"

    def resource(self, state: State) -> str:
        return f"principals/{self.principal}"


class RevokeRole(Command, frozen=True, kw_only=True):
    permission: ClassVar[str] = "role:revoke"
    grant: str
    reason: str

    def resource(self, state: State) -> str:
        found = state.get(rows.Grant, self.grant)
        return f"principals/{found.principal if found else 'unknown'}"


class IssueToken(Command, frozen=True, kw_only=True):
    """Hand out an access token; it is shown once, and only its hash is kept (in the vault)."""

    permission: ClassVar[str] = "token:issue"
    principal: str
    lifetime_s: float
    on_behalf_of: str | None = None  # the person first in the chain, for an agent or a process

    def resource(self, state: State) -> str:
        return f"principals/{self.principal}"


class RevokeToken(Command, frozen=True, kw_only=True):
    permission: ClassVar[str] = "token:revoke"
    token: str
    principal: str
    reason: str

    def resource(self, state: State) -> str:
        return f"principals/{self.principal}"


class ApplyGates(Command, frozen=True, kw_only=True):
    permission: ClassVar[str] = "gates:apply"
    source: str
    reason: str

    def resource(self, state: State) -> str:
        return "workspace"


class RegisterProducer(Command, frozen=True, kw_only=True):
    """Give a service a number of its own, under which it may record events in these classes."""

    permission: ClassVar[str] = "producer:register"
    principal: str
    name: str
    classes: list[str]
    reason: str

    def resource(self, state: State) -> str:
        return "workspace"


class ReadData(Command, frozen=True, kw_only=True):
    permission: ClassVar[str] = "data:read"
    dataset: str
    purpose: str

    def resource(self, state: State) -> str:
        found = state.get(rows.Dataset, self.dataset)
        return f"data/{found.collection if found else 'production'}/{self.dataset}"


class ReadRecords(Command, frozen=True, kw_only=True):
    """Read the ledger: the question that is asked becomes a record of its own."""

    permission: ClassVar[str] = "records:read"
    question: str
    subject: str
    as_of: dict[str, int]

    def resource(self, state: State) -> str:
        return "workspace"


# --- models ----------------------------------------------------------------------------------------------------------


class RegisterDataset(Command, frozen=True, kw_only=True):
    permission: ClassVar[str] = "data:register"
    dataset: str
    collection: str
    digest: str
    rows: int
    columns: list[str]
    sheet: DataSheet

    def resource(self, state: State) -> str:
        return f"data/{self.collection}/{self.dataset}"


class RegisterSystem(Command, frozen=True, kw_only=True):
    permission: ClassVar[str] = "system:register"
    system: str
    purpose: str
    owner: str
    risk_tier: RiskTier
    affected_persons: str
    environments: list[str] = []

    def resource(self, state: State) -> str:
        return f"systems/{self.system}"


class RegisterVersion(Command, frozen=True, kw_only=True):
    permission: ClassVar[str] = "model:register"
    model: str
    version: str  # semantic version, 1.1.0
    system: str
    artefacts: Artefacts
    training_data: TrainingData
    training_code: TrainingCode
    training_config: TrainingConfig
    claimed_metrics: dict[str, float]
    validation_dataset: str
    references: dict[str, str] = {}  # artefacts that lie elsewhere: name → address
    packages: list[str] = []  # what the lock pins, `name==version`
    runs: list[str] = []  # lineage nodes of the runs that made it
    training_command: list[str] = []  # argv that trains it again, in the root of the repository
    output: str = ""  # where that leaves the weights
    uncommitted: list[str] = []  # files that were not as the commit has them

    @property
    def name(self) -> str:
        return f"{self.model}@{self.version}"

    def resource(self, state: State) -> str:
        check_name(self.model, what="model")  # before anybody is asked: no place is called by what is no name
        check_version(self.version)
        return model_resource(Stage.DEVELOPMENT, self.name)


class _OnVersion(Command, frozen=True, kw_only=True):
    version: str  # credit@1.1.0

    def resource(self, state: State) -> str:
        found = state.get(rows.Version, self.version)
        return model_resource(parse_stage(found.stage) if found else Stage.DEVELOPMENT, self.version)


class RecordScan(_OnVersion, frozen=True, kw_only=True):
    permission: ClassVar[str] = "evidence:record"
    artefact_digest: str
    verdict: str
    format: str
    reasons: list[str]
    size_bytes: int


class RecordEvidence(_OnVersion, frozen=True, kw_only=True):
    permission: ClassVar[str] = "evidence:record"
    type: str
    version_digest: str
    dataset: str
    dataset_digest: str
    metrics: list[Metric]
    method: str
    environment: dict[str, str]
    duration_s: float
    scan: str | None = None  # event id of the scan before it


class CheckGate(_OnVersion, frozen=True, kw_only=True):
    permission: ClassVar[str] = "gate:check"
    stage: str

    def resource(self, state: State) -> str:
        return model_resource(parse_stage(self.stage), self.version)


class Promote(_OnVersion, frozen=True, kw_only=True):
    """Move a version to its next stage, if every gate on the way passes now."""

    permission: ClassVar[str] = "model:promote"
    to_stage: str
    request: str | None = None

    def resource(self, state: State) -> str:
        return model_resource(parse_stage(self.to_stage), self.version)


class RetireVersion(_OnVersion, frozen=True, kw_only=True):
    permission: ClassVar[str] = "model:retire"
    reason: str


class ConfigureEndpoint(Command, frozen=True, kw_only=True):
    permission: ClassVar[str] = "endpoint:configure"
    endpoint: str
    version: str
    upstream: str
    confidence_floor: float
    requests_per_minute: int = 60_000
    blocked_patterns: list[str] = []

    def resource(self, state: State) -> str:
        return f"endpoints/{self.endpoint}"


class OverridePrediction(Command, frozen=True, kw_only=True):
    """Decide a case in place of the model. What the model said is read from the ledger, never taken from the caller."""

    permission: ClassVar[str] = "prediction:override"
    prediction: str
    output: Any
    reason: str
    endpoint: str
    version: str
    model_output: Any
    event: str  # the prediction's event

    def resource(self, state: State) -> str:
        return f"endpoints/{self.endpoint}"


# --- requests --------------------------------------------------------------------------------------------------------


class RequestPromotion(_OnVersion, frozen=True, kw_only=True):
    """Ask the people whom the gate names to approve exactly this."""

    permission: ClassVar[str] = "request:open"
    to_stage: str
    lifetime_s: float

    def resource(self, state: State) -> str:
        return model_resource(parse_stage(self.to_stage), self.version)


class _OnRequest(Command, frozen=True, kw_only=True):
    request: str
    shown_digest: str  # of what the approver was shown; another one voids the act
    comment: str = ""

    def resource(self, state: State) -> str:
        return f"requests/{self.request}"


class Approve(_OnRequest, frozen=True, kw_only=True):
    permission: ClassVar[str] = "request:approve"


class Reject(_OnRequest, frozen=True, kw_only=True):
    permission: ClassVar[str] = "request:reject"
