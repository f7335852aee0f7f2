"""The law on data sets, systems, versions, evidence and stages."""

from __future__ import annotations

import math
import re
from typing import Final

from jurat.core.digests import check_digest, digest_json, short
from jurat.core.errors import Conflict, Malformed, NotFound
from jurat.domain import commands, facts, rows
from jurat.domain.context import Context
from jurat.domain.descriptions import check_environments, check_more, check_version
from jurat.domain.descriptions import check_name as check_name
from jurat.domain.events import Event
from jurat.domain.gate_measured import POLICY
from jurat.domain.gates import check_gates
from jurat.domain.roles import people_behind
from jurat.domain.stages import Stage, next_stage, parse_stage
from jurat.domain.state import State
from jurat.domain.traffic import refuse_past_rollout
from jurat.domain.upstreams import parse_upstream
from jurat.domain.values import Metric, PrincipalType
from jurat.guard.filters import Filter

_COLLECTIONS: Final = ("training", "production", "features", "aggregated")


def register_dataset(state: State, command: commands.RegisterDataset, context: Context) -> list[Event]:
    """A version of a data set is its bytes: the same name never means other bytes."""
    name, bar, version = command.dataset.partition("@")
    check_name(name, what="data set")
    if not bar or not version:
        raise Malformed(f"data set `{command.dataset[:80]}` has no version", hint="name it `<name>@<version>`, such as `german-credit@v1`")
    check_name(version, what="data set version")
    check_digest(command.digest, what="data set digest")
    if command.collection not in _COLLECTIONS:
        raise Malformed(f"collection `{command.collection[:40]}` is unknown", hint=f"one of {', '.join(_COLLECTIONS)}")
    if command.rows <= 0 or not command.columns:
        raise Malformed("a data set has rows and columns", hint="an empty data set proves nothing; check the file")
    _refuse_second(state.get(rows.Dataset, command.dataset), command.dataset, command.digest)
    data = facts.DatasetRegistered(
        dataset=command.dataset, collection=command.collection, digest=command.digest,
        rows=command.rows, columns=command.columns, sheet=command.sheet,
    )  # fmt: skip
    return [context.event(data)]


def register_system(state: State, command: commands.RegisterSystem, context: Context) -> list[Event]:
    """A system is a use of AI, with a purpose, a risk tier and a person who owns it."""
    check_name(command.system, what="system")
    if state.get(rows.System, command.system) is not None:
        raise Conflict(f"system `{command.system}` exists already", code="already_registered")
    owner = state.get(rows.Principal, command.owner)
    if owner is None or owner.type is not PrincipalType.PERSON or not owner.active:
        raise Conflict(f"a system is owned by an active person, `{command.owner[:60]}` is none", code="owner_required")
    if not command.purpose.strip():
        raise Malformed("a system needs a purpose")
    data = facts.SystemRegistered(
        system=command.system, purpose=command.purpose, owner=command.owner,
        risk_tier=command.risk_tier, affected_persons=command.affected_persons, environments=check_environments(command.environments),
    )  # fmt: skip
    return [context.event(data)]


def register_version(state: State, command: commands.RegisterVersion, context: Context) -> list[Event]:
    """A version is named by a semantic version and by the digest of its six artefacts; it never changes."""
    check_name(command.model, what="model")
    check_version(command.version)
    system = state.get(rows.System, command.system)
    if system is None:
        raise NotFound(f"system `{command.system[:80]}` is not registered", hint="register it first: `jurat system register`")
    artefacts = {name: getattr(command.artefacts, name) for name in command.artefacts.__struct_fields__}
    for name, artefact in artefacts.items():
        check_digest(artefact.digest, what=f"digest of artefact `{name}`")
        if not artefact.version:
            raise Malformed(f"artefact `{name}` has no version")
    dataset = _registered_data(state, command.training_data.dataset, command.training_data.dataset_digest)
    if command.artefacts.training_data.digest != dataset.digest:
        raise Conflict(f"artefact `training_data` is not `{dataset.dataset}`: the digests differ", code="digest_mismatch")
    if command.training_data.row_count <= 0 or not command.training_data.feature_columns:
        raise Malformed("training data has a row count and feature columns")
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", command.training_code.git_commit):
        raise Malformed(f"`{command.training_code.git_commit[:70]}` is not a whole git commit id")
    bad = [name for name, value in command.claimed_metrics.items() if not math.isfinite(value)]
    if bad:
        raise Malformed(f"claimed metric `{bad[0]}` is not a finite number")
    check_more(command)
    digest = digest_json(command.artefacts)
    _refuse_second(state.get(rows.Version, command.name), command.name, digest)
    data = facts.VersionRegistered(
        version=command.name, model=command.model, system=command.system, digest=digest, artefacts=command.artefacts,
        training_data=command.training_data, training_code=command.training_code, training_config=command.training_config,
        claimed_metrics=command.claimed_metrics, validation_dataset=command.validation_dataset, author=context.actor.principal,
        references=command.references, packages=sorted(set(command.packages)), runs=sorted(set(command.runs)),
        training_command=command.training_command, output=command.output, uncommitted=command.uncommitted,
    )  # fmt: skip
    return [context.event(data, because=[dataset.as_of, system.as_of])]


def record_scan(state: State, command: commands.RecordScan, context: Context) -> list[Event]:
    version = known_version(state, command.version)
    if command.artefact_digest != version.artefacts.weights.digest:
        raise Conflict(f"the scanned bytes are not the weights of `{version.version}`: the digests differ", code="digest_mismatch")
    data = facts.ArtefactScanned(
        artefact_digest=command.artefact_digest, verdict=command.verdict, format=command.format,
        reasons=command.reasons, size_bytes=command.size_bytes,
    )  # fmt: skip
    scanned = context.event(data, because=[version.registered])
    # What a scan found is evidence on this version, for the gates; a scan is about the artefacts, and needs no data set.
    is_clean = command.verdict == "clean"
    found = Metric(name="no_critical_findings", value=float(is_clean), n=1, reason="" if is_clean else "; ".join(command.reasons)[:300])
    evidence = facts.EvidenceMeasured(
        type="security_scan", version=version.version, version_digest=version.digest, dataset=f"artefact:{command.artefact_digest}",
        dataset_digest=command.artefact_digest, metrics=[found], method="two scanners, before anything loads it",
        environment={}, duration_s=0.0,
    )  # fmt: skip
    return [scanned, context.event(evidence, because=[scanned.id])]


def record_evidence(state: State, command: commands.RecordEvidence, context: Context) -> list[Event]:
    """What is measured, bound to the version's digest, is evidence; a claim never becomes any."""
    version = known_version(state, command.version)
    if command.version_digest != version.digest:
        raise Conflict(
            f"measured digest `{short(command.version_digest)}` is not the digest of `{version.version}`, `{short(version.digest)}`",
            hint="measure the registered artefact again",
            code="digest_mismatch",
        )
    if not command.metrics:
        raise Malformed("evidence without a metric is no evidence")
    because = [version.registered, *([command.scan] if command.scan else [])]
    if command.type == "dependency_check":
        because.append(_collection(state, command.dataset_digest).as_of)
    elif command.type != "soak" and not command.type.startswith(POLICY):
        because.append(_registered_data(state, command.dataset, command.dataset_digest).as_of)
    for metric in command.metrics:
        if metric.value is None and not metric.reason:
            raise Malformed(f"metric `{metric.name}` has neither a value nor a reason why not")
        if any(x is not None and not math.isfinite(x) for x in (metric.value, metric.low, metric.high)):
            raise Malformed(f"metric `{metric.name}` is not a finite number")
    data = facts.EvidenceMeasured(
        type=command.type, version=version.version, version_digest=version.digest, dataset=command.dataset,
        dataset_digest=command.dataset_digest, metrics=command.metrics, method=command.method,
        environment=command.environment, duration_s=command.duration_s,
    )  # fmt: skip
    return [context.event(data, because=because)]


def _collection(state: State, digest: str) -> rows.AdvisoriesInForce:
    found = state.get(rows.AdvisoriesInForce, "current")
    if found is None or found.digest != digest:
        raise Conflict("other advisories were imported meanwhile", hint="check again: `jurat advisory check`", code="digest_mismatch")
    return found


def check_gate(state: State, command: commands.CheckGate, context: Context) -> list[Event]:
    version = known_version(state, command.version)
    result = check_gates(state, version, parse_stage(command.stage), context.now_ns)
    return [context.event(result.fact(version), because=result.evidence)]


def promote(state: State, command: commands.Promote, context: Context) -> list[Event]:
    """One stage at a time, and only while every gate on the way passes; who promotes does not count as approver."""
    version = known_version(state, command.version)
    to_stage, here = parse_stage(command.to_stage), parse_stage(version.stage)
    if next_stage(here) is not to_stage:
        allowed = next_stage(here)
        raise Conflict(
            f"version `{version.version}` is in `{here}` and cannot go to `{to_stage}` directly",
            hint=f"the next stage is `{allowed}`" if allowed else "it has no next stage",
            code="stage_skipped",
        )
    result = check_gates(state, version, to_stage, context.now_ns, promoters=people_behind(state, context.actor), request=command.request)
    if result.verdict != "pass":
        unmet = [c for c in result.clauses if c.verdict != "pass"]
        raise Conflict(
            f"version `{version.version}` may not go to `{to_stage}`, {len(unmet)} of {len(result.clauses)} conditions are not met: "
            + "; ".join(f"`{c.condition}` ({c.reason or c.found})" for c in unmet),
            hint=f"see what is missing with `jurat gate check {version.version} {to_stage}`",
            code="gate_not_passed",
            clauses=result.clauses,
        )
    checked = context.event(result.fact(version), because=result.evidence)
    data = facts.VersionPromoted(
        version=version.version, version_digest=version.digest, from_stage=here, to_stage=to_stage,
        gate_check=checked.id, request=result.request, approvals=result.approvals,
    )  # fmt: skip
    return [checked, context.event(data, because=[checked.id, *result.approvals])]


def retire_version(state: State, command: commands.RetireVersion, context: Context) -> list[Event]:
    version = known_version(state, command.version)
    if version.stage == Stage.RETIRED:
        raise Conflict(f"version `{version.version}` is retired already", code="unchanged")
    data = facts.VersionRetired(version=version.version, version_digest=version.digest, from_stage=version.stage, reason=command.reason)
    return [context.event(data, because=[version.as_of])]


def configure_endpoint(state: State, command: commands.ConfigureEndpoint, context: Context) -> list[Event]:
    """An endpoint serves a version that has reached staging or production, and nothing else."""
    check_name(command.endpoint, what="endpoint")
    version = known_version(state, command.version)
    if version.stage not in (Stage.STAGING, Stage.PRODUCTION):
        raise Conflict(
            f"version `{version.version}` is in `{version.stage}`; an endpoint serves `staging` or `production`",
            hint="promote it first",
            code="stage_too_low",
        )
    parse_upstream(command.upstream)
    Filter(command.blocked_patterns)
    if not 0 <= command.confidence_floor <= 1:
        raise Malformed(f"confidence floor `{command.confidence_floor}` is outside 0 to 1")
    if command.requests_per_minute <= 0:
        raise Malformed("requests per minute must be above 0", hint="to close an endpoint, retire its version")
    current = state.get(rows.Endpoint, command.endpoint)
    refuse_past_rollout(state, current, version)
    data = facts.EndpointConfigured(
        endpoint=command.endpoint, version=version.version, version_digest=version.digest, stage=version.stage,
        upstream=command.upstream, confidence_floor=command.confidence_floor, requests_per_minute=command.requests_per_minute,
        blocked_patterns=command.blocked_patterns, previous_version=current.version if current else None,
    )  # fmt: skip
    return [context.event(data, because=[version.as_of])]


def override_prediction(state: State, command: commands.OverridePrediction, context: Context) -> list[Event]:
    """A person decides in place of the model, once, with a reason."""
    if context.actor.type is not PrincipalType.PERSON:
        raise Conflict("only a person may decide in place of a model", code="person_required")
    if not command.reason.strip():
        raise Malformed("deciding in place of the model needs a reason")
    earlier = state.get(rows.Override, command.prediction)
    if earlier is not None:
        raise Conflict(f"prediction `{command.prediction}` was decided by a person already", code="already_decided")
    data = facts.PredictionOverridden(
        prediction=command.prediction,
        version=command.version,
        model_output=command.model_output,
        output=command.output,
        reason=command.reason,
    )
    return [context.event(data, because=[command.event])]


def known_version(state: State, version: str) -> rows.Version:
    """Return the registered version of that name.

    Raises:
        NotFound: there is none.
    """
    found = state.get(rows.Version, version)
    if found is None:
        raise NotFound(f"version `{version[:80]}` is not registered", hint="`jurat model list` shows what is")
    return found


def _registered_data(state: State, dataset: str, digest: str) -> rows.Dataset:
    found = state.get(rows.Dataset, dataset)
    if found is None:
        raise NotFound(f"data set `{dataset[:80]}` is not registered", hint="register it first: `jurat data register`")
    if found.digest != digest:
        raise Conflict(f"these are not the bytes registered as `{dataset}`: the digests differ", code="digest_mismatch")
    return found


def _refuse_second(earlier: rows.Dataset | rows.Version | None, name: str, digest: str) -> None:
    if earlier is None:
        return
    if earlier.digest == digest:
        raise Conflict(f"`{name}` is registered already, with these very bytes", hint="nothing to do", code="already_registered")
    raise Conflict(
        f"`{name}` is registered with digest `{short(earlier.digest)}`, these bytes have `{short(digest)}`",
        hint="a version never changes: give the new bytes a new version",
        code="version_is_immutable",
    )
