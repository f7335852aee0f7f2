"""What can be asked for about traffic: a rollout and its steps, a roll-back; and what is handed out for a stage."""

from __future__ import annotations

from typing import ClassVar

from jurat.domain import rows
from jurat.domain.commands import Command, ReadRecords
from jurat.domain.stages import Stage, model_resource, parse_stage
from jurat.domain.state import State
from jurat.domain.values import Metric


class StartRollout(Command, frozen=True, kw_only=True):
    """Give a version traffic in the steps that the gate file declares; or, in the shadow, copies of it."""

    permission: ClassVar[str] = "model:deploy"
    endpoint: str
    version: str
    upstream: str
    reason: str
    shadow: bool = False

    def resource(self, state: State) -> str:
        found = state.get(rows.Version, self.version)
        in_shadow = self.shadow and found is not None and found.stage == Stage.STAGING
        return model_resource(Stage.STAGING if in_shadow else Stage.PRODUCTION, self.version)


class _OnRollout(Command, frozen=True, kw_only=True):
    endpoint: str

    def resource(self, state: State) -> str:
        found = state.get(rows.Rollout, self.endpoint)
        return model_resource(Stage.PRODUCTION, found.version if found else "unknown@0.0.0")


class SteerRollout(_OnRollout, frozen=True, kw_only=True):
    permission: ClassVar[str] = "model:deploy"
    act: str  # pause, resume, abort
    reason: str


class JudgeRollout(_OnRollout, frozen=True, kw_only=True):
    """Hold a step against its criteria, by what the ledger says of it: go on, wait, or take it back."""

    permission: ClassVar[str] = "rollout:judge"
    rollout: str
    step: int
    step_since: str
    metrics: list[Metric]


class RollBack(Command, frozen=True, kw_only=True):
    """Let an endpoint serve a version again that it served before, at once."""

    permission: ClassVar[str] = "model:rollback"
    endpoint: str
    version: str
    reason: str

    def resource(self, state: State) -> str:
        found = state.get(rows.Version, self.version)
        return model_resource(parse_stage(found.stage) if found else Stage.PRODUCTION, self.version)


class ShowRequest(Command, frozen=True, kw_only=True):
    """Look at what a request asks one to approve. On record, since how long people look says what their yes is worth."""

    permission: ClassVar[str] = "request:read"
    request: str

    def resource(self, state: State) -> str:
        return f"requests/{self.request}"


class ReadRequestStats(ReadRecords, frozen=True, kw_only=True):
    """Read how requests are answered: for everybody who answers some, and whoever audits that."""

    permission: ClassVar[str] = "request:read"

    def resource(self, state: State) -> str:
        return "requests/all"


class ReleaseArtefact(Command, frozen=True, kw_only=True):
    """Take a version's bytes, to be used in a stage."""

    permission: ClassVar[str] = "model:read"
    version: str
    artefact: str
    stage: str
    purpose: str

    def resource(self, state: State) -> str:
        return model_resource(parse_stage(self.stage), self.version)


class AuthorizeDeployment(Command, frozen=True, kw_only=True):
    """Ask for a word that lets somebody put exactly this version to work in a stage."""

    permission: ClassVar[str] = "model:deploy"
    version: str
    stage: str
    target: str
    lifetime_s: float

    def resource(self, state: State) -> str:
        return model_resource(parse_stage(self.stage), self.version)
