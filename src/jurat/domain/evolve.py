"""Event → rows. The only way that state changes, here and in a rebuild; pure, total and forgiving of nothing.

Observations (predictions, reads, denials, tokens) change no row: the ledger alone keeps them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from jurat.core.errors import Tampered
from jurat.domain import evolve_identity as identity
from jurat.domain import evolve_keeping as keeping
from jurat.domain import evolve_people as people
from jurat.domain import evolve_policy as policy
from jurat.domain import facts, facts_identity, facts_keeping, facts_people, facts_policy, rows
from jurat.domain.events import Event
from jurat.domain.evolve_access import ACCESS_CHANGES, answered_by_grant, deeds_of
from jurat.domain.evolve_credentials import CREDENTIAL_CHANGES
from jurat.domain.evolve_lineage import LINEAGE_CHANGES, edges_of
from jurat.domain.evolve_registry import REGISTRY_CHANGES
from jurat.domain.evolve_rollout import ROLLOUT_CHANGES, served_by
from jurat.domain.evolve_signature import SIGNATURE_CHANGES
from jurat.domain.rows import R
from jurat.domain.stages import Stage
from jurat.domain.state import Put, State


def evolve(state: State, event: Event) -> list[Put]:
    """Return the changes of state that an event causes.

    Raises:
        Tampered: the event speaks of something that no earlier event made.
    """
    change = CHANGES.get(type(event.data))
    return [*change(state, event, event.data), *deeds_of(state, event), *edges_of(state, event)] if change else []


def evidence_key(version: str, evidence_type: str) -> str:
    """Return the key of the latest evidence of one type on one version."""
    return f"{version}/{evidence_type}"


def _principal_registered(state: State, event: Event, data: facts.PrincipalRegistered) -> list[Put]:
    row = rows.Principal(as_of=event.id, principal=data.principal, type=data.type, owner=data.owner, name=data.name)
    return [Put("principals", data.principal, row)]


def _role_granted(state: State, event: Event, data: facts.RoleGranted) -> list[Put]:
    row = rows.Grant(
        as_of=event.id, grant=data.grant, principal=data.principal, role=data.role, scope=data.scope,
        reason=data.reason, granted_by=event.actor.principal, expires_at=data.expires_at, group=data.group, granted_at=event.at,
        request=data.request, break_glass=data.break_glass, confirm_by=data.confirm_by, granting_person=event.actor.chain[0],
    )  # fmt: skip
    return [Put("grants", data.grant, row), *answered_by_grant(state, event, data)]


def _role_revoked(state: State, event: Event, data: facts.RoleRevoked) -> list[Put]:
    return [Put("grants", data.grant, None)]


def _policy_set_applied(state: State, event: Event, data: facts.PolicySetApplied) -> list[Put]:
    row = rows.PolicySetInForce(as_of=event.id, digest=data.digest, files=data.files, schema=data.schema)
    shadow = state.get(rows.PolicySetInForce, "shadow")
    ended = [Put("policy_sets", "shadow", None)] if shadow and shadow.digest == data.digest else []  # nothing left to try out
    return [Put("policy_sets", "current", row), Put("policy_sets", data.digest, row), *ended]


def _gates_applied(state: State, event: Event, data: facts.GatesApplied) -> list[Put]:
    row = rows.GatesInForce(as_of=event.id, digest=data.digest, source=data.source)
    return [Put("gate_files", "current", row), Put("gate_files", data.digest, row)]


def _dataset_registered(state: State, event: Event, data: facts.DatasetRegistered) -> list[Put]:
    row = rows.Dataset(
        as_of=event.id, dataset=data.dataset, collection=data.collection, digest=data.digest,
        rows=data.rows, registered_by=event.actor.principal, sheet=data.sheet,
    )  # fmt: skip
    return [Put("datasets", data.dataset, row)]


def _system_registered(state: State, event: Event, data: facts.SystemRegistered) -> list[Put]:
    row = rows.System(
        as_of=event.id, system=data.system, purpose=data.purpose, owner=data.owner, risk_tier=data.risk_tier,
        affected_persons=data.affected_persons, environments=data.environments,
    )  # fmt: skip
    return [Put("systems", data.system, row)]


def _version_registered(state: State, event: Event, data: facts.VersionRegistered) -> list[Put]:
    row = rows.Version(
        as_of=event.id, version=data.version, model=data.model, system=data.system, digest=data.digest, artefacts=data.artefacts,
        training_dataset=data.training_data.dataset, author=data.author, registered=event.id,
        stage=Stage.DEVELOPMENT, stage_since=event.at, author_person=event.actor.chain[0],
        references=data.references, unverified=sorted(data.references), validation_dataset=data.validation_dataset,
    )  # fmt: skip
    return [Put("versions", data.version, row)]


def _evidence_measured(state: State, event: Event, data: facts.EvidenceMeasured) -> list[Put]:
    row = rows.Evidence(
        as_of=event.id, version=data.version, type=data.type, version_digest=data.version_digest,
        dataset=data.dataset, measured_at=event.at, metrics=data.metrics,
    )  # fmt: skip
    return [Put("evidence", evidence_key(data.version, data.type), row)]


def _promotion_requested(state: State, event: Event, data: facts.PromotionRequested) -> list[Put]:
    row = rows.Request(
        as_of=event.id, request=data.request, version=data.version, version_digest=data.version_digest, to_stage=data.to_stage,
        requested_by=event.actor.principal, shown=data.shown, shown_digest=data.shown_digest,
        approver_roles=data.approver_roles, expires_at=data.expires_at, asking_person=event.actor.chain[0],
    )  # fmt: skip
    return [Put("requests", data.request, row)]


def _request_approved(state: State, event: Event, data: facts.RequestApproved) -> list[Put]:
    request = _known(state, rows.Request, data.request, event)
    approval = rows.Approval(event=event.id, principal=event.actor.principal, person=event.actor.chain[0], roles=data.roles, at=event.at)
    return [Put("requests", data.request, msgspec.structs.replace(request, as_of=event.id, approvals=[*request.approvals, approval]))]


def _request_rejected(state: State, event: Event, data: facts.RequestRejected) -> list[Put]:
    request = _known(state, rows.Request, data.request, event)
    return [Put("requests", data.request, msgspec.structs.replace(request, as_of=event.id, status="rejected"))]


def _version_promoted(state: State, event: Event, data: facts.VersionPromoted) -> list[Put]:
    version = _known(state, rows.Version, data.version, event)
    moved = msgspec.structs.replace(version, as_of=event.id, stage=data.to_stage, stage_since=event.at)
    if data.request is None:
        return [Put("versions", data.version, moved)]
    request = _known(state, rows.Request, data.request, event)
    moved = msgspec.structs.replace(moved, accepted=sorted({*version.accepted, *request.shown.get("upstream_changes", {})}))
    return [
        Put("versions", data.version, moved),
        Put("requests", data.request, msgspec.structs.replace(request, as_of=event.id, status="used")),
    ]


def _version_retired(state: State, event: Event, data: facts.VersionRetired) -> list[Put]:
    version = _known(state, rows.Version, data.version, event)
    return [Put("versions", data.version, msgspec.structs.replace(version, as_of=event.id, stage=Stage.RETIRED, stage_since=event.at))]


def _endpoint_configured(state: State, event: Event, data: facts.EndpointConfigured) -> list[Put]:
    version = _known(state, rows.Version, data.version, event)
    row = rows.Endpoint(
        as_of=event.id, endpoint=data.endpoint, version=data.version, version_digest=data.version_digest, stage=data.stage,
        system=version.system, upstream=data.upstream, confidence_floor=data.confidence_floor,
        requests_per_minute=data.requests_per_minute, blocked_patterns=data.blocked_patterns,
    )  # fmt: skip
    return [Put("endpoints", data.endpoint, row), served_by(state, row, event.at)]


def _producer_registered(state: State, event: Event, data: facts.ProducerRegistered) -> list[Put]:
    row = rows.Producer(as_of=event.id, producer=data.producer, principal=data.principal, name=data.name, classes=data.classes)
    return [Put("producers", str(data.producer), row)]


def _prediction_overridden(state: State, event: Event, data: facts.PredictionOverridden) -> list[Put]:
    row = rows.Override(as_of=event.id, prediction=data.prediction, output=data.output, by=event.actor.principal)
    return [Put("overrides", data.prediction, row)]


def _known(state: State, row: type[R], key: str, event: Event) -> R:
    found = state.get(row, key)
    if found is None:
        raise Tampered(f"event `{event.id}` ({event.kind.name}) speaks of `{key}`, which no earlier event made")
    return found


CHANGES: Final[dict[type[facts.Fact], Callable[[State, Event, Any], list[Put]]]] = {
    facts.PrincipalRegistered: _principal_registered,
    facts.RoleGranted: _role_granted,
    facts.RoleRevoked: _role_revoked,
    facts.PolicySetApplied: _policy_set_applied,
    facts.GatesApplied: _gates_applied,
    facts.DatasetRegistered: _dataset_registered,
    facts.SystemRegistered: _system_registered,
    facts.VersionRegistered: _version_registered,
    facts.EvidenceMeasured: _evidence_measured,
    facts.PromotionRequested: _promotion_requested,
    facts.RequestApproved: _request_approved,
    facts.RequestRejected: _request_rejected,
    facts.VersionPromoted: _version_promoted,
    facts.VersionRetired: _version_retired,
    facts.EndpointConfigured: _endpoint_configured,
    facts.ProducerRegistered: _producer_registered,
    facts.PredictionOverridden: _prediction_overridden,
    facts_policy.PolicyChangeRequested: policy.change_requested,
    facts_policy.PolicyChangeApproved: policy.change_approved,
    facts_policy.PolicyChangeRejected: policy.change_rejected,
    facts_policy.PolicyShadowSet: policy.shadow_set,
    facts_keeping.RetentionApplied: keeping.retention_applied,
    facts_keeping.ShorteningRequested: keeping.shortening_requested,
    facts_keeping.ShorteningApproved: keeping.shortening_approved,
    facts_keeping.ShorteningRejected: keeping.shortening_rejected,
    facts_keeping.HoldPlaced: keeping.hold_placed,
    facts_keeping.HoldReleased: keeping.hold_released,
    facts_keeping.ErasureRequested: keeping.erasure_requested,
    facts_keeping.ErasureApproved: keeping.erasure_approved,
    facts_keeping.ErasureRejected: keeping.erasure_rejected,
    facts_keeping.ErasureStarted: keeping.erasure_started,
    facts_keeping.EventsErased: keeping.events_erased,
    **REGISTRY_CHANGES,
    **ROLLOUT_CHANGES,
    **SIGNATURE_CHANGES,
    **LINEAGE_CHANGES,
    facts_identity.SessionOpened: identity.session_opened,
    facts_identity.SessionEnded: identity.session_ended,
    facts_identity.TokenKeysRotated: identity.token_keys_rotated,
    facts_identity.ProviderRegistered: identity.provider_registered,
    facts_identity.ProviderRemoved: identity.provider_removed,
    facts_identity.TrustDeclared: identity.trust_declared,
    facts_identity.TrustEnded: identity.trust_ended,
    facts_people.PrincipalDeactivated: people.principal_deactivated,
    facts_people.PrincipalReactivated: people.principal_reactivated,
    facts_people.OwnershipTransferred: people.ownership_transferred,
    facts_people.PersonDescribed: people.person_described,
    facts_people.GroupDefined: people.group_defined,
    facts_people.GroupRemoved: people.group_removed,
    facts_people.GroupRolesApplied: people.group_roles_applied,
    **ACCESS_CHANGES,
    **CREDENTIAL_CHANGES,
}
