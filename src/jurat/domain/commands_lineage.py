"""What can be asked for about systems, assets, references, lineage, and changes of what versions rest on."""

from __future__ import annotations

from typing import ClassVar

from jurat.domain import rows
from jurat.domain.commands import Command, _OnVersion
from jurat.domain.descriptions import check_name, check_version
from jurat.domain.stages import Stage, model_resource
from jurat.domain.state import State
from jurat.domain.values import RiskTier


class ChangeSystem(Command, frozen=True, kw_only=True):
    """Change what is known of a system; what is left out stays as it is."""

    permission: ClassVar[str] = "system:register"
    system: str
    reason: str
    purpose: str | None = None
    owner: str | None = None
    risk_tier: RiskTier | None = None
    affected_persons: str | None = None
    environments: list[str] | None = None

    def resource(self, state: State) -> str:
        return f"systems/{self.system}"


class RegisterAsset(Command, frozen=True, kw_only=True):
    """Make a prompt, an agent, guardrail settings or a feature schema known, by name, version and bytes."""

    permission: ClassVar[str] = "model:register"
    kind: str
    name: str
    version: str
    system: str
    digest: str
    size_bytes: int = 0
    description: str = ""
    uses: list[str] = []  # noqa: RUF012 - a struct copies its default

    @property
    def asset(self) -> str:
        return f"{self.kind}/{self.name}@{self.version}"

    def resource(self, state: State) -> str:
        check_name(self.name, what="asset")  # before anybody is asked: no place is called by what is no name
        check_version(self.version)
        return asset_place(self.asset)


class RecordVerification(_OnVersion, frozen=True, kw_only=True):
    """Say that the bytes behind a reference were read here, and are those of the digest."""

    permission: ClassVar[str] = "evidence:record"
    artefact: str
    digest: str
    source: str
    size_bytes: int


class RecordLineage(Command, frozen=True, kw_only=True):
    """Take over what a pipeline says of a run: one OpenLineage event, read already."""

    permission: ClassVar[str] = "lineage:record"
    run_id: str
    job: str
    state: str
    at: str
    producer: str
    inputs: list[dict[str, str]]  # namespace, name, digest
    outputs: list[dict[str, str]]
    body_digest: str

    def resource(self, state: State) -> str:
        return "workspace"


class _OnDataset(Command, frozen=True, kw_only=True):
    dataset: str
    reason: str

    def resource(self, state: State) -> str:
        found = state.get(rows.Dataset, self.dataset)
        return f"data/{found.collection if found else 'production'}/{self.dataset}"


class RecallDataset(_OnDataset, frozen=True, kw_only=True):
    """Say that a data set must not be built on: it is wrong, or was never ours to use."""

    permission: ClassVar[str] = "data:recall"


class ChangeLicence(_OnDataset, frozen=True, kw_only=True):
    """Say under which licence a data set stands from now on."""

    permission: ClassVar[str] = "data:recall"
    licence: str


class AddAdvisory(Command, frozen=True, kw_only=True):
    """Say that these versions of a package have a known flaw."""

    permission: ClassVar[str] = "advisory:add"
    package: str
    affected_range: str
    advisory: str
    reason: str

    def resource(self, state: State) -> str:
        return "workspace"


class ImportAdvisories(Command, frozen=True, kw_only=True):
    """Hold versions against this collection of advisories from now on."""

    permission: ClassVar[str] = "advisory:add"
    digest: str
    source_digest: str
    previous: str  # the collection that this one continues
    advisories: int
    added: int
    changed: int
    withdrawn: int
    other: int
    newest: str
    reason: str

    def resource(self, state: State) -> str:
        return "workspace"


class ClearChange(Command, frozen=True, kw_only=True):
    """Take a change upstream back: it was a mistake, or is mended."""

    permission: ClassVar[str] = "advisory:add"
    change: str
    reason: str

    def resource(self, state: State) -> str:
        return "workspace"


class ApplyReopeningRules(Command, frozen=True, kw_only=True):
    permission: ClassVar[str] = "gates:apply"
    rules: dict[str, str]
    reason: str

    def resource(self, state: State) -> str:
        return "workspace"


class Reaffirm(_OnVersion, frozen=True, kw_only=True):
    """Let a version's approvals count again, by people who were shown what changed."""

    permission: ClassVar[str] = "model:promote"
    request: str


def asset_place(asset: str) -> str:
    """Return an asset's place in the resource tree: what may be done to it is what may be done to a model in development."""
    return model_resource(Stage.DEVELOPMENT, asset.replace("/", "."))
