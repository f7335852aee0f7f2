"""What events of the registry's own growth and of lineage say: systems changed, assets, references read, what rests on what.

The law of `facts` holds here too: fields are only added, last, with a default.
"""

from __future__ import annotations

from typing import Final

import msgspec

from jurat.domain.values import Fact, RiskTier


class SystemChanged(Fact, frozen=True, kw_only=True):
    """All that holds of a system from now on, and which of it is new."""

    system: str
    purpose: str
    owner: str
    risk_tier: RiskTier
    affected_persons: str
    environments: list[str]
    changed: list[str]
    previous_owner: str
    previous_tier: RiskTier
    reason: str


class AssetRegistered(Fact, frozen=True, kw_only=True):
    """A prompt, an agent, guardrail settings or a feature schema, versioned as models are: the same name never means other bytes."""

    asset: str  # prompt/greeting@1.0.0
    kind: str
    system: str
    digest: str
    size_bytes: int
    description: str
    uses: list[str]  # lineage nodes that it rests on
    author: str


class ArtefactVerified(Fact, frozen=True, kw_only=True):
    """The bytes behind a reference were read by Jurat, and have the digest that the version is registered with."""

    version: str
    version_digest: str
    artefact: str  # weights, training_code, …
    digest: str
    source: str
    size_bytes: int


class LineageData(msgspec.Struct, frozen=True, kw_only=True):
    """One input or output of a job, as its producer names it, and the node that it is here."""

    namespace: str
    name: str
    node: str
    digest: str = ""  # sha256, where the producer tells one


class LineageRecorded(Fact, frozen=True, kw_only=True):
    """What a pipeline says of one run of a job (OpenLineage): its word, not ours."""

    run: str  # run:openlineage:<id>
    job: str  # namespace/name
    state: str  # START, RUNNING, COMPLETE, ABORT, FAIL, OTHER
    at: str  # as the producer says
    producer: str
    inputs: list[LineageData]
    outputs: list[LineageData]
    body_digest: str  # of the whole event, as it came


class Affected(msgspec.Struct, frozen=True, kw_only=True):
    """One version that rests on what changed, and the approvals that it was given before."""

    version: str
    version_digest: str
    stage: str
    owner: str  # of its system
    requests: list[str]
    approvals: list[str]  # event ids
    endpoints: list[str]


class UpstreamChanged(Fact, frozen=True, kw_only=True):
    """Something that versions rest on is not what it was when they were approved."""

    change: str
    cause: str  # recalled, licence, advisory
    node: str
    reason: str
    in_production: str  # hold, warn: by the rules in force
    licence: str = ""  # of a data set from now on
    previous_licence: str = ""
    package: str = ""
    affected_range: str = ""  # >=1.0,<1.5.1
    advisory: str = ""  # GHSA-…, CVE-…
    unreadable: list[str] = []  # noqa: RUF012 - a struct copies its default; live versions whose packages nobody knows


class ApprovalsReopened(Fact, frozen=True, kw_only=True):
    """What was approved for this version no longer counts, until people have approved it again, knowing of the change."""

    change: str
    affected: Affected
    held: bool  # nothing is served by it until then


class ReopeningRulesApplied(Fact, frozen=True, kw_only=True):
    """What happens to versions in production when something upstream changes: cause → hold or warn."""

    rules: dict[str, str]
    reason: str


class VersionReaffirmed(Fact, frozen=True, kw_only=True):
    """People approved a version again, having been shown what changed."""

    version: str
    version_digest: str
    request: str
    approvals: list[str]  # event ids
    changes: list[str]


class UpstreamCleared(Fact, frozen=True, kw_only=True):
    """A change upstream was taken back: it was a mistake, or is mended."""

    change: str
    reason: str


LINEAGE_FACTS: Final[dict[str, type[Fact]]] = {
    "system.changed.v1": SystemChanged,
    "asset.registered.v1": AssetRegistered,
    "artefact.verified.v1": ArtefactVerified,
    "lineage.recorded.v1": LineageRecorded,
    "upstream.changed.v1": UpstreamChanged,
    "approvals.reopened.v1": ApprovalsReopened,
    "reopening_rules.applied.v1": ReopeningRulesApplied,
    "version.reaffirmed.v1": VersionReaffirmed,
    "upstream.cleared.v1": UpstreamCleared,
}
