"""What holds now in the MLflow-shaped registry. Times are milliseconds, as MLflow's clients count them."""

from __future__ import annotations

from typing import Final

from jurat.domain.row import Row
from jurat.domain.values import ClaimedMetric, DatasetInput


class RegistryModel(Row, frozen=True, kw_only=True):
    """A registered model, as MLflow's clients know one."""

    name: str
    drawn: str  # how the name looks (`registry_names.drawn`)
    description: str
    created_ms: int
    updated_ms: int
    created_by: str
    tags: dict[str, str] = {}  # noqa: RUF012
    aliases: dict[str, int] = {}  # noqa: RUF012 - alias → number of a version
    last_number: int = 0  # never given twice
    deployment_job: str = ""


class RegistryVersion(Row, frozen=True, kw_only=True):
    """Key `<name>/<number>`, the number with ten digits."""

    name: str
    number: int
    source: str
    storage: str
    run_id: str
    run_link: str
    description: str
    created_ms: int
    updated_ms: int
    created_by: str
    registered: str  # event id
    stage: str = "None"
    tags: dict[str, str] = {}  # noqa: RUF012
    model_id: str = ""


class RegistryBinding(Row, frozen=True, kw_only=True):
    """Which measured version stands behind an entry. Key `<registry>|<name>/<number>`; our own registry has no name."""

    registry: str
    name: str
    number: int
    source: str
    created_ms: int
    version: str
    version_digest: str


class RegistryProtection(Row, frozen=True, kw_only=True):
    """Which aliases of a model (or `*`) are protected."""

    model: str
    aliases: list[str]


class ImportedRun(Row, frozen=True, kw_only=True):
    run_id: str
    tracking: str
    status: str
    params: dict[str, str]
    claimed_metrics: list[ClaimedMetric]
    datasets: list[DatasetInput]
    source_commit: str
    version: str


REGISTRY_ROWS: Final[dict[str, type[Row]]] = {
    "registry_models": RegistryModel,
    "registry_versions": RegistryVersion,
    "registry_bindings": RegistryBinding,
    "registry_protection": RegistryProtection,
    "imported_runs": ImportedRun,
}
