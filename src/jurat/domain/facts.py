"""What each kind of event says: the `data` of its envelope.

LAW: fields are only ever added, last, with a default; never renamed, removed or given another meaning. Golden bytes of
every version stay in `tests/vectors/events/`. No secret and no raw personal data has a place here: people are `prn_…`
(their names lie in the vault), inputs of predictions are salted hashes.
"""

from __future__ import annotations

from typing import Any, Final

from jurat.domain.facts_access import ACCESS_FACTS
from jurat.domain.facts_advisories import ADVISORY_FACTS
from jurat.domain.facts_credentials import CREDENTIAL_FACTS
from jurat.domain.facts_identity import IDENTITY_FACTS
from jurat.domain.facts_keeping import KEEPING_FACTS
from jurat.domain.facts_lineage import LINEAGE_FACTS
from jurat.domain.facts_people import PEOPLE_FACTS
from jurat.domain.facts_policy import POLICY_FACTS
from jurat.domain.facts_registry import REGISTRY_FACTS
from jurat.domain.facts_rollout import ROLLOUT_FACTS
from jurat.domain.facts_signature import SIGNATURE_FACTS
from jurat.domain.facts_watch import WATCH_FACTS
from jurat.domain.values import (
    Artefacts,
    Clause,
    DataSheet,
    Guardrail,
    Metric,
    PrincipalType,
    RiskTier,
    TrainingCode,
    TrainingConfig,
    TrainingData,
)
from jurat.domain.values import Fact as Fact

# --- configuration ---------------------------------------------------------------------------------------------------


class WorkspaceCreated(Fact, frozen=True, kw_only=True):
    tenant: str
    log_keys: list[dict[str, Any]]  # public keys of every log, as in keys/log-keys.json


class PrincipalRegistered(Fact, frozen=True, kw_only=True):
    principal: str
    type: PrincipalType
    owner: str | None  # the person who answers for a service, agent or process
    name: str | None  # of a service, agent or process; a person's name is in the vault


class PolicySetApplied(Fact, frozen=True, kw_only=True):
    digest: str
    files: dict[str, str]  # file name → Cedar source
    schema: str
    reason: str
    previous: str | None = None


class GatesApplied(Fact, frozen=True, kw_only=True):
    digest: str
    source: str  # the YAML, as written
    reason: str
    previous: str | None = None


class EndpointConfigured(Fact, frozen=True, kw_only=True):
    endpoint: str
    version: str  # credit@1.1.0
    version_digest: str
    stage: str
    upstream: str  # base URL of a server that speaks the Open Inference Protocol V2
    confidence_floor: float  # 0–1; below it the answer is an abstention
    requests_per_minute: int
    blocked_patterns: list[str]
    previous_version: str | None = None


class ProducerRegistered(Fact, frozen=True, kw_only=True):
    producer: int  # its number in every entry that it makes
    principal: str  # who records under that number; nobody else can
    name: str
    classes: list[str]  # retention classes that it may record in
    reason: str


# --- access ----------------------------------------------------------------------------------------------------------


class RoleGranted(Fact, frozen=True, kw_only=True, omit_defaults=True):  # what was written without the last fields stays as it was
    grant: str
    principal: str
    role: str
    scope: str  # a resource prefix such as `models/dev/`, or `*`
    reason: str
    expires_at: str | None  # None only for the bootstrap grant
    request: str = ""  # the request that it answers
    break_glass: str = ""  # the window that it lives in
    watched: list[str] = []  # noqa: RUF012 - a struct copies its default; conflicts of duties that are asked for when acting
    group: str = ""  # the directory's group that gives it
    confirm_by: str = ""  # without a second person's word by then, it ends


class RoleRevoked(Fact, frozen=True, kw_only=True):
    grant: str
    principal: str
    role: str
    reason: str


class TokenIssued(Fact, frozen=True, kw_only=True, omit_defaults=True):  # what was issued before these fields keeps its bytes
    token: str
    principal: str
    chain: list[str]
    expires_at: str
    audience: list[str] = []  # noqa: RUF012 - doors that it opens; empty: every door
    jkt: str = ""  # thumbprint of the key that must come with it; empty: whoever has it may use it
    session: str = ""  # with which it ends
    form: str = "opaque"  # or `jwt`
    how: str = ""  # what it was given for: `refresh`, `exchange`, `workload`, …
    hands: list[str] = []  # noqa: RUF012 - who else made it, or what it came of: it is in two hands
    root: str = ""  # what it came of that somebody may vouch for: a passkey, a linked account, an activated token
    idle_s: float = 0.0  # how long it lives unused; 0: however long


class TokenRevoked(Fact, frozen=True, kw_only=True):
    token: str
    principal: str
    reason: str


class ActDenied(Fact, frozen=True, kw_only=True):
    command: str
    permission: str
    by: str  # `policy`, `rule`, or `identity`: who they are was proved, and they are suspended
    rule: str  # a stable name, such as `no_self_approval`
    detail: str
    hint: str
    reasons: list[str]
    clauses: list[Clause] = []  # noqa: RUF012 - a struct copies its default


class DataRead(Fact, frozen=True, kw_only=True):
    dataset: str
    dataset_digest: str
    purpose: str


class RecordsRead(Fact, frozen=True, kw_only=True):
    question: str
    subject: str
    as_of: dict[str, int]


# --- training --------------------------------------------------------------------------------------------------------


class DatasetRegistered(Fact, frozen=True, kw_only=True):
    dataset: str  # german-credit@v1-2026-11-25
    collection: str  # `training` or `production`
    digest: str
    rows: int
    columns: list[str]
    sheet: DataSheet


class EvidenceMeasured(Fact, frozen=True, kw_only=True):
    type: str  # `evaluation`, `bias_test`, `soak`
    version: str
    version_digest: str
    dataset: str  # the data that it was measured on; for a soak: the log
    dataset_digest: str
    metrics: list[Metric]
    method: str
    environment: dict[str, str]
    duration_s: float


class ArtefactScanned(Fact, frozen=True, kw_only=True):
    artefact_digest: str
    verdict: str  # `clean` or `refused`
    format: str
    reasons: list[str]
    size_bytes: int


# --- deployment ------------------------------------------------------------------------------------------------------


class SystemRegistered(Fact, frozen=True, kw_only=True, omit_defaults=True):  # what was written without the last field stays as it was
    system: str
    purpose: str
    owner: str
    risk_tier: RiskTier
    affected_persons: str
    environments: list[str] = []  # noqa: RUF012


class VersionRegistered(Fact, frozen=True, kw_only=True, omit_defaults=True):  # likewise
    version: str  # credit@1.1.0
    model: str
    system: str
    digest: str  # digest_json(artefacts)
    artefacts: Artefacts
    training_data: TrainingData
    training_code: TrainingCode
    training_config: TrainingConfig
    claimed_metrics: dict[str, float]  # what the author says; never evidence
    validation_dataset: str
    author: str
    references: dict[str, str] = {}  # noqa: RUF012 - artefacts that lie elsewhere: name → address
    packages: list[str] = []  # noqa: RUF012 - what the lock pins, `name==version`
    runs: list[str] = []  # noqa: RUF012 - lineage nodes of the runs that made it
    training_command: list[str] = []  # noqa: RUF012 - argv that trains it again, in the root of the repository
    output: str = ""  # where that leaves the weights
    uncommitted: list[str] = []  # noqa: RUF012 - files that were not as the commit has them


class GateChecked(Fact, frozen=True, kw_only=True):
    version: str
    version_digest: str
    stage: str
    gate_file: str
    verdict: str
    clauses: list[Clause]


class PromotionRequested(Fact, frozen=True, kw_only=True):
    request: str
    version: str
    version_digest: str
    to_stage: str
    shown: dict[str, Any]  # exactly what approvers are shown
    shown_digest: str
    approver_roles: list[str]
    expires_at: str


class RequestApproved(Fact, frozen=True, kw_only=True):
    request: str
    version: str
    shown_digest: str
    roles: list[str]  # the approver roles that this person holds
    comment: str


class RequestRejected(Fact, frozen=True, kw_only=True):
    request: str
    version: str
    shown_digest: str
    comment: str


class VersionPromoted(Fact, frozen=True, kw_only=True):
    version: str
    version_digest: str
    from_stage: str
    to_stage: str
    gate_check: str  # event id
    request: str | None
    approvals: list[str]  # event ids


class VersionRetired(Fact, frozen=True, kw_only=True):
    version: str
    version_digest: str
    from_stage: str
    reason: str


# --- inference and errors --------------------------------------------------------------------------------------------


class PredictionRequested(Fact, frozen=True, kw_only=True):
    prediction: str
    endpoint: str
    version: str
    version_digest: str
    input_hash: str  # sha256 over input_salt ‖ canonical inputs: the inputs themselves are never recorded
    guardrails: list[Guardrail]
    input_salt: str = ""  # 16 random bytes in hex, fresh for each prediction; erased with the event


class PredictionMade(Fact, frozen=True, kw_only=True, omit_defaults=True):  # what was written without the last field stays as it was
    prediction: str
    endpoint: str
    version: str
    version_digest: str
    input_hash: str
    output: Any  # all that the model said; None when it was blocked
    confidence: float | None  # None: the model gives none, and its endpoint has no floor
    outcome: str  # released, abstained, blocked
    latency_ms: float
    guardrails: list[Guardrail]
    input_salt: str = ""
    segment: str = ""  # a group that the caller says the case belongs to, such as `sex=female`; the caller's word


class PredictionOverridden(Fact, frozen=True, kw_only=True):
    prediction: str
    version: str
    model_output: Any
    output: Any
    reason: str


class PredictionFailed(Fact, frozen=True, kw_only=True):
    prediction: str
    endpoint: str
    version: str
    version_digest: str
    reason: str
    guardrails: list[Guardrail]


class GuardrailFailed(Fact, frozen=True, kw_only=True):
    endpoint: str
    guardrail: str
    status: str
    reason: str
    version: str = ""


class EventRejected(Fact, frozen=True, kw_only=True):
    producer: str
    reason: str
    commitment: str


FACTS: Final[dict[str, type[Fact]]] = {
    "workspace.created.v1": WorkspaceCreated,
    "principal.registered.v1": PrincipalRegistered,
    "policy_set.applied.v1": PolicySetApplied,
    "gates.applied.v1": GatesApplied,
    "endpoint.configured.v1": EndpointConfigured,
    "producer.registered.v1": ProducerRegistered,
    "role.granted.v1": RoleGranted,
    "role.revoked.v1": RoleRevoked,
    "token.issued.v1": TokenIssued,
    "token.revoked.v1": TokenRevoked,
    "act.denied.v1": ActDenied,
    "data.read.v1": DataRead,
    "records.read.v1": RecordsRead,
    "dataset.registered.v1": DatasetRegistered,
    "evidence.measured.v1": EvidenceMeasured,
    "artefact.scanned.v1": ArtefactScanned,
    "system.registered.v1": SystemRegistered,
    "version.registered.v1": VersionRegistered,
    "gate.checked.v1": GateChecked,
    "promotion.requested.v1": PromotionRequested,
    "request.approved.v1": RequestApproved,
    "request.rejected.v1": RequestRejected,
    "version.promoted.v1": VersionPromoted,
    "version.retired.v1": VersionRetired,
    "prediction.requested.v1": PredictionRequested,
    "prediction.made.v1": PredictionMade,
    "prediction.overridden.v1": PredictionOverridden,
    "prediction.failed.v1": PredictionFailed,
    "guardrail.failed.v1": GuardrailFailed,
    "event.rejected.v1": EventRejected,
    **KEEPING_FACTS,
    **POLICY_FACTS,
    **REGISTRY_FACTS,
    **LINEAGE_FACTS,
    **IDENTITY_FACTS,
    **PEOPLE_FACTS,
    **ACCESS_FACTS,
    **WATCH_FACTS,
    **ROLLOUT_FACTS,
    **SIGNATURE_FACTS,
    **ADVISORY_FACTS,
    **CREDENTIAL_FACTS,
}
KIND_OF: Final = {fact: name for name, fact in FACTS.items()}
