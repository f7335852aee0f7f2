"""The law on what leaves: what an approver is shown, a version's bytes, and the word that lets somebody deploy it.

The gates stand here too: bytes for production and the word to deploy there are given for a version that is in production, while
its measured gates pass; what was history then (soak, approvals) is not asked again.
"""

from __future__ import annotations

from typing import Final

from jurat.core.errors import Conflict, Malformed, NotFound
from jurat.domain import commands_rollout as commands
from jurat.domain import facts_rollout as facts
from jurat.domain import rows
from jurat.domain.context import Context
from jurat.domain.decide_models import known_version
from jurat.domain.events import Event
from jurat.domain.gates import GateResult, check_gates
from jurat.domain.roles import expiry
from jurat.domain.stages import Stage, parse_stage
from jurat.domain.state import State
from jurat.domain.values import Artefact

LONGEST_S: Final = 900.0
_HISTORY: Final = ("staging_soak", "human_approval")
_GUARDED: Final = (Stage.STAGING, Stage.PRODUCTION)


def show_request(state: State, command: commands.ShowRequest, context: Context) -> list[Event]:
    request = state.get(rows.Request, command.request)
    if request is None:
        raise NotFound(f"request `{command.request[:60]}` does not exist")
    data = facts.RequestShown(request=request.request, shown_digest=request.shown_digest)
    return [context.event(data, because=[request.as_of])]


def release_artefact(state: State, command: commands.ReleaseArtefact, context: Context) -> list[Event]:
    """Bytes for a guarded stage are those of a version that is there, and still green."""
    version = known_version(state, command.version)
    parts = version.artefacts.__struct_fields__
    if command.artefact not in parts:
        raise Malformed(f"`{command.artefact[:40]}` is no artefact of a version", hint=f"one of {', '.join(parts)}")
    _needs_green(state, version, parse_stage(command.stage), context.now_ns)
    artefact: Artefact = getattr(version.artefacts, command.artefact)
    data = facts.ArtefactReleased(
        version=version.version, version_digest=version.digest, artefact=command.artefact, artefact_digest=artefact.digest,
        stage=command.stage, purpose=command.purpose,
    )  # fmt: skip
    return [context.event(data, because=[version.as_of])]


def authorize_deployment(state: State, command: commands.AuthorizeDeployment, context: Context) -> list[Event]:
    version = known_version(state, command.version)
    stage = parse_stage(command.stage)
    if stage not in _GUARDED:
        raise Malformed(f"nothing is deployed to `{stage}`", hint="one of staging, production")
    if not 0 < command.lifetime_s <= LONGEST_S:
        raise Malformed(f"a word to deploy lives up to {LONGEST_S:g} s, got {command.lifetime_s:g}", hint="ask again when you deploy")
    if not command.target.strip() or len(command.target) > 200:
        raise Malformed("a word to deploy names where to, in up to 200 characters", hint="such as `cluster-eu-1/credit`")
    _needs_green(state, version, stage, context.now_ns)
    data = facts.DeploymentAuthorized(
        deployment=context.fresh("dep"), version=version.version, version_digest=version.digest, stage=stage, target=command.target,
        expires_at=expiry(context.now_ns, command.lifetime_s),
    )  # fmt: skip
    return [context.event(data, because=[version.as_of])]


def _needs_green(state: State, version: rows.Version, stage: Stage, now_ns: int) -> None:
    if stage not in _GUARDED:
        return
    if version.stage != stage:
        raise Conflict(
            f"version `{version.version}` is in `{version.stage}`, not in `{stage}`",
            hint=f"`jurat gate preview {version.version} {stage}` shows what is missing",
            code="stage_gate",
        )
    result: GateResult = check_gates(state, version, stage, now_ns)
    unmet = [
        c for c, needed in zip(result.clauses, result.required, strict=True) if needed and c.gate not in _HISTORY and c.verdict != "pass"
    ]
    if unmet:
        raise Conflict(
            f"version `{version.version}` is in `{stage}`, and its gates do not pass now: "
            + "; ".join(f"`{c.condition}` ({c.reason or c.found})" for c in unmet),
            hint=f"see `jurat gate check {version.version} {stage}`",
            code="gate_not_passed",
            clauses=result.clauses,
        )
