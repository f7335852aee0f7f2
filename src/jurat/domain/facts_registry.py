"""What events of the MLflow-shaped registry say: models, versions, aliases, and which measured version stands behind one.

The law of `facts` holds here too: fields are only added, last, with a default.
"""

from __future__ import annotations

from typing import Final

from jurat.domain.values import ClaimedMetric, DatasetInput, Fact


class RegistryModelCreated(Fact, frozen=True, kw_only=True):
    name: str
    description: str
    tags: dict[str, str]
    deployment_job: str = ""


class RegistryModelChanged(Fact, frozen=True, kw_only=True):
    """What is None or empty did not change."""

    name: str
    new_name: str | None = None
    description: str | None = None
    tags_set: dict[str, str] = {}  # noqa: RUF012 - a struct copies its default
    tags_removed: list[str] = []  # noqa: RUF012
    deployment_job: str | None = None


class RegistryEntryDeleted(Fact, frozen=True, kw_only=True):
    """A model with all its versions, or, with a number, one version."""

    name: str
    number: int | None
    source: str = ""  # of the version


class RegistryVersionCreated(Fact, frozen=True, kw_only=True):
    """A version as its author names it: where it lies is a claim until it is bound to measured bytes."""

    name: str
    number: int
    source: str
    storage: str
    run_id: str
    run_link: str
    description: str
    tags: dict[str, str]
    model_id: str = ""


class RegistryVersionChanged(Fact, frozen=True, kw_only=True):
    """What is None or empty did not change."""

    name: str
    number: int
    description: str | None = None
    stage: str | None = None
    tags_set: dict[str, str] = {}  # noqa: RUF012
    tags_removed: list[str] = []  # noqa: RUF012


class RegistryAliasMoved(Fact, frozen=True, kw_only=True):
    name: str
    alias: str
    number: int | None  # None: taken away
    previous: int | None
    protected: bool
    version: str = ""  # credit@1.1.0, where one stands behind it
    version_digest: str = ""


class RegistryVersionBound(Fact, frozen=True, kw_only=True):
    """The bytes behind an entry were measured, and are the weights of this version."""

    registry: str  # empty: our own; else the name of a guarded MLflow server
    name: str
    number: int
    source: str
    created_ms: int  # when the entry was made, as its registry says: a later entry of the same number is another one
    version: str
    version_digest: str
    weights_digest: str


class RegistryProtectionApplied(Fact, frozen=True, kw_only=True):
    model: str  # a registered model, or `*`
    aliases: list[str]
    reason: str
    previous: list[str]


class RegistryActForwarded(Fact, frozen=True, kw_only=True):
    """One held act of a guarded MLflow server: said before it is passed on, and once more with its outcome."""

    registry: str
    act: str  # alias_set, alias_deleted, stage_moved
    name: str
    number: int | None
    alias: str
    stage: str
    phase: str  # intended, answered, unanswered
    status: int  # of the upstream's answer; 0 before it, or without one
    version: str = ""
    version_digest: str = ""
    intent: str = ""  # event id, in an outcome


class RunImported(Fact, frozen=True, kw_only=True):
    """A training run as another server tells it. Its metrics are claims; nothing here is evidence."""

    run_id: str
    tracking: str  # base URL of the server that was asked
    experiment_id: str
    status: str
    started_ms: int
    ended_ms: int
    params: dict[str, str]
    claimed_metrics: list[ClaimedMetric]
    tags: dict[str, str]
    datasets: list[DatasetInput]
    source_commit: str
    source_name: str
    version: str = ""  # credit@1.1.0, where it is told which one came of it


REGISTRY_FACTS: Final[dict[str, type[Fact]]] = {
    "registry_model.created.v1": RegistryModelCreated,
    "registry_model.changed.v1": RegistryModelChanged,
    "registry_entry.deleted.v1": RegistryEntryDeleted,
    "registry_version.created.v1": RegistryVersionCreated,
    "registry_version.changed.v1": RegistryVersionChanged,
    "run.imported.v1": RunImported,
    "registry_alias.moved.v1": RegistryAliasMoved,
    "registry_version.bound.v1": RegistryVersionBound,
    "registry_protection.applied.v1": RegistryProtectionApplied,
    "registry_act.forwarded.v1": RegistryActForwarded,
}
