"""Events of systems, assets, lineage and changes upstream → rows; and the edges that every event of the registry adds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from jurat.core.errors import Tampered
from jurat.domain import facts as registry
from jurat.domain import facts_lineage as facts
from jurat.domain import rows
from jurat.domain.events import Event
from jurat.domain.facts_advisories import AdvisoriesImported
from jurat.domain.facts_registry import RunImported
from jurat.domain.lineage import ARTEFACT, ASSET, CODE, DATA, ENDPOINT, FOREIGN, MEASURED, PACKAGE, RUN, VERSION, data_node, edge_key, node
from jurat.domain.rows import R
from jurat.domain.state import Put, State
from jurat.domain.values import Fact, RiskTier

_replace = msgspec.structs.replace
_TIERS: Final = list(RiskTier)
_OWN_NODES: Final = ("weights", "feature_definitions", "serving_configuration", "dependencies")  # code and data have better names
Link = tuple[str, str, str]  # source, relation, target


def system_changed(state: State, event: Event, data: facts.SystemChanged) -> list[Put]:
    system = _known(state, rows.System, data.system, event)
    highest = max(system.highest_tier or system.risk_tier, data.risk_tier, key=_TIERS.index)
    earlier = system.earlier_owners if data.owner == system.owner else sorted({*system.earlier_owners, system.owner})
    changed = _replace(
        system, as_of=event.id, purpose=data.purpose, owner=data.owner, risk_tier=data.risk_tier, affected_persons=data.affected_persons,
        environments=data.environments, highest_tier=highest, earlier_owners=earlier,
    )  # fmt: skip
    return [Put("systems", data.system, changed)]


def asset_registered(state: State, event: Event, data: facts.AssetRegistered) -> list[Put]:
    row = rows.Asset(
        as_of=event.id, asset=data.asset, kind=data.kind, system=data.system, digest=data.digest, size_bytes=data.size_bytes,
        description=data.description, uses=data.uses, author=data.author,
    )  # fmt: skip
    return [Put("assets", data.asset, row)]


def artefact_verified(state: State, event: Event, data: facts.ArtefactVerified) -> list[Put]:
    version = _known(state, rows.Version, data.version, event)
    left = [each for each in version.unverified if each != data.artefact]
    return [Put("versions", data.version, _replace(version, as_of=event.id, unverified=left))]


def lineage_recorded(state: State, event: Event, data: facts.LineageRecorded) -> list[Put]:
    return []  # its edges are all that it changes


def upstream_changed(state: State, event: Event, data: facts.UpstreamChanged) -> list[Put]:
    row = rows.UpstreamChange(
        as_of=event.id, change=data.change, cause=data.cause, node=data.node, reason=data.reason, in_production=data.in_production,
        package=data.package, affected_range=data.affected_range, advisory=data.advisory, at=event.at,
    )  # fmt: skip
    puts = [Put("upstream_changes", data.change, row)]
    if data.cause == "licence":
        dataset = _known(state, rows.Dataset, data.node.partition(":")[2], event)
        sheet = _replace(dataset.sheet, licence=data.licence)
        puts.append(Put("datasets", dataset.dataset, _replace(dataset, as_of=event.id, sheet=sheet)))
    return puts


def advisories_imported(_state: State, event: Event, data: AdvisoriesImported) -> list[Put]:
    row = rows.AdvisoriesInForce(as_of=event.id, digest=data.digest, advisories=data.advisories, newest=data.newest, at=event.at)
    return [Put("advisories", "current", row)]


def approvals_reopened(state: State, event: Event, data: facts.ApprovalsReopened) -> list[Put]:
    if not data.held:
        return []
    version = _known(state, rows.Version, data.affected.version, event)
    return [Put("versions", version.version, _replace(version, as_of=event.id, held=data.change))]


def rules_applied(state: State, event: Event, data: facts.ReopeningRulesApplied) -> list[Put]:
    return [Put("reopening_rules", "current", rows.ReopeningRules(as_of=event.id, rules=data.rules))]


def version_reaffirmed(state: State, event: Event, data: facts.VersionReaffirmed) -> list[Put]:
    version = _known(state, rows.Version, data.version, event)
    request = _known(state, rows.Request, data.request, event)
    accepted = sorted({*version.accepted, *data.changes})
    return [
        Put("versions", data.version, _replace(version, as_of=event.id, accepted=accepted, held="")),
        Put("requests", data.request, _replace(request, as_of=event.id, status="used")),
    ]


def upstream_cleared(state: State, event: Event, data: facts.UpstreamCleared) -> list[Put]:
    freed = [
        Put("versions", version.version, _replace(version, as_of=event.id, held=""))
        for version in state.find(rows.Version, held=data.change)
    ]
    return [Put("upstream_changes", data.change, None), *freed]


def edges_of(state: State, event: Event) -> list[Put]:
    """Return the edges that an event adds to the graph; known ones stay as they are."""
    data = event.data
    tell = _LINKS.get(type(data))
    if tell is None:
        return []
    claimed = isinstance(data, facts.LineageRecorded | RunImported)
    puts = []
    for source, relation, target in dict.fromkeys(tell(state, data)):
        key = edge_key(source, relation, target)
        earlier = state.get(rows.Edge, key)
        if earlier is None or (earlier.claimed and not claimed):  # our own word outweighs a claim
            puts.append(Put("edges", key, rows.Edge(as_of=event.id, source=source, relation=relation, target=target, claimed=claimed)))
    return puts


def _of_version(state: State, data: registry.VersionRegistered) -> Iterable[Link]:
    here = node(VERSION, data.version)
    yield node(DATA, data.training_data.dataset), "trained_on", here
    yield _code(data.training_code.git_repo, data.training_code.git_commit), "code", here
    for name in _OWN_NODES:
        yield node(ARTEFACT, getattr(data.artefacts, name).digest), name, here
    for pin in data.packages:
        yield node(PACKAGE, pin.partition("==")[0]), "release", node(PACKAGE, pin)
        yield node(PACKAGE, pin), "package", here
    for run in data.runs:
        yield run, "made", here


def _of_evidence(state: State, data: registry.EvidenceMeasured) -> Iterable[Link]:
    if data.type != "soak":
        yield node(DATA, data.dataset), MEASURED, node(VERSION, data.version)


def _of_endpoint(state: State, data: registry.EndpointConfigured) -> Iterable[Link]:
    yield node(VERSION, data.version), "serves", node(ENDPOINT, data.endpoint)


def _of_asset(state: State, data: facts.AssetRegistered) -> Iterable[Link]:
    here = node(ASSET, data.asset)
    yield node(ARTEFACT, data.digest), "content", here
    for used in data.uses:
        yield used, "uses", here


def _of_lineage(state: State, data: facts.LineageRecorded) -> Iterable[Link]:
    for each in data.inputs:
        yield each.node, "read_by", data.run
    for each in data.outputs:
        yield data.run, "wrote", each.node


def _of_run(state: State, data: RunImported) -> Iterable[Link]:
    here = node(RUN, f"mlflow:{data.run_id}")
    for each in data.datasets:
        yield _mlflow_data(state, each.name, each.digest), "read_by", here
    if data.source_commit:
        yield _code(data.source_name or "unknown", data.source_commit), "code", here
    if data.version:
        yield here, "made", node(VERSION, data.version)


def _mlflow_data(state: State, name: str, digest: str) -> str:
    """Return a run's data set as one of ours where its digest says so: MLflow's own short digests never do."""
    if digest.startswith("sha256:"):
        return data_node(state, "mlflow", name, digest)
    return node(FOREIGN, f"mlflow/{name}#{digest}"[:400])


def _code(repository: str, commit: str) -> str:
    return node(CODE, f"{repository[:400]}@{commit}")


def _known(state: State, row: type[R], key: str, event: Event) -> R:
    found = state.get(row, key)
    if found is None:
        raise Tampered(f"event `{event.id}` ({event.kind.name}) speaks of `{key}`, which no earlier event made")
    return found


LINEAGE_CHANGES: Final[dict[type[Fact], Callable[[State, Event, Any], list[Put]]]] = {
    facts.SystemChanged: system_changed,
    facts.AssetRegistered: asset_registered,
    facts.ArtefactVerified: artefact_verified,
    facts.LineageRecorded: lineage_recorded,
    facts.UpstreamChanged: upstream_changed,
    facts.ApprovalsReopened: approvals_reopened,
    facts.ReopeningRulesApplied: rules_applied,
    facts.VersionReaffirmed: version_reaffirmed,
    facts.UpstreamCleared: upstream_cleared,
    AdvisoriesImported: advisories_imported,
}
_LINKS: Final[dict[type[Fact], Callable[[State, Any], Iterable[Link]]]] = {
    registry.VersionRegistered: _of_version,
    registry.EvidenceMeasured: _of_evidence,
    registry.EndpointConfigured: _of_endpoint,
    facts.AssetRegistered: _of_asset,
    facts.LineageRecorded: _of_lineage,
    RunImported: _of_run,
}
