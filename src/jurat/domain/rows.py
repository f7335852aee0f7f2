"""What holds now, one type per table of `view.*`. Rows are made by `evolve` only, and each names the event that made it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from jurat.domain.facts_keeping import Places
from jurat.domain.row import R as R
from jurat.domain.row import Row as Row
from jurat.domain.rows_access import ACCESS_ROWS as ACCESS_ROWS
from jurat.domain.rows_access import AccessRequest as AccessRequest
from jurat.domain.rows_access import AccessRulesInForce as AccessRulesInForce
from jurat.domain.rows_access import Answer as Answer
from jurat.domain.rows_access import Approval as Approval
from jurat.domain.rows_access import Deed as Deed
from jurat.domain.rows_access import Delivery as Delivery
from jurat.domain.rows_access import Glass as Glass
from jurat.domain.rows_access import Notice as Notice
from jurat.domain.rows_access import Review as Review
from jurat.domain.rows_identity import IDENTITY_ROWS as IDENTITY_ROWS
from jurat.domain.rows_identity import Group as Group
from jurat.domain.rows_identity import GroupRolesInForce as GroupRolesInForce
from jurat.domain.rows_identity import Provider as Provider
from jurat.domain.rows_identity import Session as Session
from jurat.domain.rows_identity import TokenKeys as TokenKeys
from jurat.domain.rows_identity import Trust as Trust
from jurat.domain.rows_identity import Vouch as Vouch
from jurat.domain.rows_lineage import LINEAGE_ROWS as LINEAGE_ROWS
from jurat.domain.rows_lineage import AdvisoriesInForce as AdvisoriesInForce
from jurat.domain.rows_lineage import Asset as Asset
from jurat.domain.rows_lineage import Edge as Edge
from jurat.domain.rows_lineage import ReopeningRules as ReopeningRules
from jurat.domain.rows_lineage import UpstreamChange as UpstreamChange
from jurat.domain.rows_registry import REGISTRY_ROWS as REGISTRY_ROWS
from jurat.domain.rows_registry import ImportedRun as ImportedRun
from jurat.domain.rows_registry import RegistryBinding as RegistryBinding
from jurat.domain.rows_registry import RegistryModel as RegistryModel
from jurat.domain.rows_registry import RegistryProtection as RegistryProtection
from jurat.domain.rows_registry import RegistryVersion as RegistryVersion
from jurat.domain.rows_rollout import ROLLOUT_ROWS as ROLLOUT_ROWS
from jurat.domain.rows_rollout import Rollout as Rollout
from jurat.domain.rows_rollout import Served as Served
from jurat.domain.rows_signature import SIGNATURE_ROWS as SIGNATURE_ROWS
from jurat.domain.rows_signature import Signature as Signature
from jurat.domain.rows_signature import Signer as Signer
from jurat.domain.values import Artefacts, DataSheet, Metric, PrincipalType, RiskTier


class Principal(Row, frozen=True, kw_only=True):
    principal: str
    type: PrincipalType
    owner: str | None
    name: str | None
    active: bool = True
    directory: str = ""  # the service that made this person known, and may say more of them


class Grant(Row, frozen=True, kw_only=True):
    grant: str
    principal: str
    role: str
    scope: str
    reason: str
    granted_by: str
    expires_at: str | None
    group: str = ""  # the directory's group that gives it
    granted_at: str = ""
    request: str = ""
    break_glass: str = ""
    review: str = ""  # the open review that asks for it
    review_due: str = ""  # unanswered by then, it ends; empty: no review asks, or it was answered
    confirm_by: str = ""  # without a second person's word by then, it ends; empty: it has it, or needs none
    granting_person: str = ""  # first in the chain by which `granted_by` acted


class PolicySetInForce(Row, frozen=True, kw_only=True):
    """Key `current`, and one row per digest ever in force; `shadow`: the candidate that is being tried out."""

    digest: str
    files: dict[str, str]
    schema: str


class PolicyChange(Row, frozen=True, kw_only=True):
    """A set that somebody asked to put into force, whole."""

    request: str
    digest: str
    previous: str
    files: dict[str, str]
    schema: str
    reason: str
    shown: dict[str, Any]
    shown_digest: str
    expires_at: str
    requested_by: str
    requested_at: str
    asking_person: str  # first in the chain by which `requested_by` acted
    status: str = "waiting_for_approval"  # applied | rejected
    decided_by: str = ""


class GatesInForce(Row, frozen=True, kw_only=True):
    """Key `current`, and one row per digest ever in force."""

    digest: str
    source: str


class Dataset(Row, frozen=True, kw_only=True):
    dataset: str
    collection: str
    digest: str
    rows: int
    registered_by: str
    sheet: DataSheet


class System(Row, frozen=True, kw_only=True):
    system: str
    purpose: str
    owner: str
    risk_tier: RiskTier
    affected_persons: str = ""
    environments: list[str] = []  # noqa: RUF012
    highest_tier: RiskTier | None = None  # that it ever had: what was recorded under it is kept as long; None: the present one
    earlier_owners: list[str] = []  # noqa: RUF012


class Version(Row, frozen=True, kw_only=True):
    version: str
    model: str
    system: str
    digest: str
    artefacts: Artefacts
    training_dataset: str
    author: str
    registered: str  # event id of the registration
    stage: str
    stage_since: str  # RFC 3339, from the event that moved it
    author_person: str = ""  # first in the chain by which the author acted
    references: dict[str, str] = {}  # noqa: RUF012 - artefacts that lie elsewhere: name → address
    unverified: list[str] = []  # noqa: RUF012 - those of them whose bytes nobody has read yet
    accepted: list[str] = []  # noqa: RUF012 - changes upstream that its approvals know of
    held: str = ""  # a change upstream for which nothing is served by it; empty: none
    validation_dataset: str = ""  # named at its registration to judge it by


class Evidence(Row, frozen=True, kw_only=True):
    """Key `<version>/<type>`: the latest of its type; older ones are in the ledger."""

    version: str
    type: str
    version_digest: str
    dataset: str
    measured_at: str
    metrics: list[Metric]


class Request(Row, frozen=True, kw_only=True):
    request: str
    version: str
    version_digest: str
    to_stage: str
    requested_by: str
    shown: dict[str, Any]
    shown_digest: str
    approver_roles: list[str]
    expires_at: str
    approvals: list[Approval] = []  # noqa: RUF012
    status: str = "waiting_for_approvers"  # waiting_for_approvers | rejected | used
    asking_person: str = ""  # first in the chain by which `requested_by` acted


class Endpoint(Row, frozen=True, kw_only=True):
    endpoint: str
    version: str
    version_digest: str
    stage: str
    system: str
    upstream: str
    confidence_floor: float
    requests_per_minute: int
    blocked_patterns: list[str]


class Producer(Row, frozen=True, kw_only=True):
    """Key: the number as text."""

    producer: int
    principal: str
    name: str
    classes: list[str]


class Override(Row, frozen=True, kw_only=True):
    prediction: str
    output: Any
    by: str


class EarlierTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table that promised more than the one after it: it goes on to hold for what was received until then (RFC 3339)."""

    source: str
    until: str


class RetentionInForce(Row, frozen=True, kw_only=True):
    """Key `current`, and one row per digest ever in force."""

    digest: str
    source: str
    earlier: list[EarlierTable] = []  # noqa: RUF012


class Shortening(Row, frozen=True, kw_only=True):
    """A request to keep something for a shorter time."""

    request: str
    digest: str
    source: str
    previous: str
    less: str
    reason: str
    shown_digest: str
    expires_at: str
    requested_by: str
    requested_at: str
    status: str = "waiting_for_approval"  # approved | rejected
    decided_by: str = ""
    asking_person: str = ""  # first in the chain by which `requested_by` acted


class Hold(Row, frozen=True, kw_only=True):
    """A live hold; a released one has no row."""

    hold: str
    systems: list[str]
    subject: str
    received_from: str
    received_until: str
    reason: str
    legal_basis: str
    placed_by: str


class Erasure(Row, frozen=True, kw_only=True):
    request: str
    selector: str
    reference: str
    person: str
    events: Places
    count: int
    kept: dict[str, int]
    reason: str
    legal_basis: str
    retention: str
    shown_digest: str
    expires_at: str
    requested_by: str
    requested_at: str
    status: str = "waiting_for_approval"  # approved | rejected | started | done
    decided_by: str = ""
    approved: str = ""  # event id of the approval
    certificate: str = ""  # event id of `events.erased.v1`
    asking_person: str = ""  # first in the chain by which `requested_by` acted


ROWS: Final[dict[str, type[Row]]] = {
    "principals": Principal,
    "grants": Grant,
    "policy_sets": PolicySetInForce,
    "policy_changes": PolicyChange,
    "gate_files": GatesInForce,
    "datasets": Dataset,
    "systems": System,
    "versions": Version,
    "evidence": Evidence,
    "requests": Request,
    "endpoints": Endpoint,
    "producers": Producer,
    "overrides": Override,
    "retention_tables": RetentionInForce,
    "shortenings": Shortening,
    "holds": Hold,
    "erasures": Erasure,
    **REGISTRY_ROWS,
    **LINEAGE_ROWS,
    **ROLLOUT_ROWS,
    **SIGNATURE_ROWS,
    **IDENTITY_ROWS,
    **ACCESS_ROWS,
    "groups": Group,
    "group_roles": GroupRolesInForce,
}
TABLE_OF: Final = {row: table for table, row in ROWS.items()}
