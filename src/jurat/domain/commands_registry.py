"""What can be asked of the MLflow-shaped registry, and of the guard before somebody else's.

An unprotected alias or stage is a matter of staging; a protected one is production, and is held to its gates.
"""

from __future__ import annotations

from typing import ClassVar, Final

from jurat.domain.commands import Command
from jurat.domain.registry import bound_version, is_protected, stage_is_protected
from jurat.domain.registry_names import slug
from jurat.domain.stages import Stage, model_resource
from jurat.domain.state import State
from jurat.domain.values import ClaimedMetric, DatasetInput


class _OnEntry(Command, frozen=True, kw_only=True):
    name: str

    def resource(self, state: State) -> str:
        return model_resource(Stage.DEVELOPMENT, slug(self.name))


class CreateRegistryModel(_OnEntry, frozen=True, kw_only=True):
    permission: ClassVar[str] = "model:register"
    description: str = ""
    tags: dict[str, str] = {}  # noqa: RUF012
    deployment_job: str = ""


class ChangeRegistryModel(_OnEntry, frozen=True, kw_only=True):
    """Change what is said about a model. None leaves a thing as it is."""

    permission: ClassVar[str] = "model:write"
    description: str | None = None
    tags_set: dict[str, str] = {}  # noqa: RUF012
    tags_removed: list[str] = []  # noqa: RUF012
    deployment_job: str | None = None


class RenameRegistryModel(_OnEntry, frozen=True, kw_only=True):
    permission: ClassVar[str] = "model:write"
    new_name: str


class DeleteRegistryModel(_OnEntry, frozen=True, kw_only=True):
    permission: ClassVar[str] = "model:delete"


class CreateRegistryVersion(_OnEntry, frozen=True, kw_only=True):
    permission: ClassVar[str] = "model:register"
    source: str
    run_id: str = ""
    run_link: str = ""
    description: str = ""
    tags: dict[str, str] = {}  # noqa: RUF012
    model_id: str = ""


class ChangeRegistryVersion(_OnEntry, frozen=True, kw_only=True):
    permission: ClassVar[str] = "model:write"
    number: int
    description: str | None = None
    tags_set: dict[str, str] = {}  # noqa: RUF012
    tags_removed: list[str] = []  # noqa: RUF012


class DeleteRegistryVersion(_OnEntry, frozen=True, kw_only=True):
    permission: ClassVar[str] = "model:delete"
    number: int


class MoveRegistryAlias(Command, frozen=True, kw_only=True):
    """Let an alias name a version, or (None) nothing any more."""

    permission: ClassVar[str] = "model:promote"
    name: str
    alias: str
    number: int | None
    seen: int | None = None  # what the alias named when this was asked for
    check_seen: bool = False  # whether it must still name that

    def resource(self, state: State) -> str:
        return _moved_place(state, "", self.name, self.number, is_protected(state, self.name, self.alias))


class MoveRegistryStage(Command, frozen=True, kw_only=True):
    permission: ClassVar[str] = "model:promote"
    name: str
    number: int
    stage: str
    archive_existing: bool = False

    def resource(self, state: State) -> str:
        return _moved_place(state, "", self.name, self.number, stage_is_protected(state, self.name, self.number, self.stage))


class BindRegistryVersion(Command, frozen=True, kw_only=True):
    """Say which registered version stands behind an entry: its bytes were measured by whoever sends this, a process of ours."""

    permission: ClassVar[str] = "model:register"
    registry: str
    name: str
    number: int
    version: str  # credit@1.1.0
    weights_digest: str  # measured
    source: str = ""  # of a guarded server's entry; our own are known
    created_ms: int = 0

    def resource(self, state: State) -> str:
        return model_resource(Stage.DEVELOPMENT, self.version)


class ProtectRegistryAliases(Command, frozen=True, kw_only=True):
    permission: ClassVar[str] = "gates:apply"
    model: str  # a registered model, or `*`
    aliases: list[str]
    reason: str

    def resource(self, state: State) -> str:
        return "workspace"


class HoldRegistryAct(Command, frozen=True, kw_only=True):
    """Ask whether an act on a guarded server may be passed on. What it touches there was read by the guard just now."""

    permission: ClassVar[str] = "model:promote"
    registry: str
    act: str  # alias_set, alias_deleted, stage_moved, version_deleted, model_deleted, model_renamed
    name: str
    number: int | None = None
    alias: str = ""
    stage: str = ""
    source: str = ""  # of the version, as the guarded server says
    created_ms: int = 0
    holds: list[str] = []  # noqa: RUF012 - what of production the act would touch: `alias champion`, `version 3 in Production`
    overtaken: bool = False  # somebody else moved that alias while this waited

    def resource(self, state: State) -> str:
        return _moved_place(state, self.registry, self.name, self.number, protected=True)


class ReportRegistryAct(Command, frozen=True, kw_only=True):
    """Say how a held act went that was passed on."""

    permission: ClassVar[str] = "model:promote"
    registry: str
    act: str
    name: str
    number: int | None
    alias: str
    stage: str
    phase: str
    status: int
    intent: str

    def resource(self, state: State) -> str:
        return _moved_place(state, self.registry, self.name, self.number, protected=True)


class ImportRun(Command, frozen=True, kw_only=True):
    """Take over what another server tells of a training run: claims, and where they come from."""

    permission: ClassVar[str] = "model:register"
    run_id: str
    tracking: str
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
    version: str = ""

    def resource(self, state: State) -> str:
        return model_resource(Stage.DEVELOPMENT, self.version or f"run-{slug(self.run_id)}")


def _moved_place(state: State, registry: str, name: str, number: int | None, protected: bool) -> str:
    bound = bound_version(state, registry, name, number) if number is not None else None
    own = slug(name) + (f"@{number}" if number is not None else "")
    return model_resource(Stage.PRODUCTION if protected else Stage.STAGING, bound.version if bound else own)


# What MLflow's own REST interface carries.
BY_MLFLOW: Final[tuple[type[Command], ...]] = (
    CreateRegistryModel, ChangeRegistryModel, RenameRegistryModel, DeleteRegistryModel, CreateRegistryVersion,
    ChangeRegistryVersion, DeleteRegistryVersion, MoveRegistryAlias, MoveRegistryStage,
)  # fmt: skip
