"""The law on what reaches production through MLflow's words: aliases, stages, what is bound; here and on guarded servers.

A protected alias and the stage Production may only name an entry behind which a measured version stands, and that version
must be in production, or go there in this very act: through every gate, on approvals of different people.
"""

from __future__ import annotations

import math
from typing import Final

from jurat.core.digests import check_digest, short
from jurat.core.errors import Conflict, Malformed
from jurat.domain import commands, facts_registry, rows
from jurat.domain import commands_registry as asked
from jurat.domain.context import Context
from jurat.domain.decide_models import known_version, promote
from jurat.domain.decide_registry import refuse_in_production
from jurat.domain.events import Event
from jurat.domain.registry import bound_version, is_protected, known_entry, known_model, protected_patterns
from jurat.domain.registry_names import PRODUCTION, canonical_stage, check_alias, check_model_name, check_patterns
from jurat.domain.stages import Stage
from jurat.domain.state import State

_ARCHIVABLE: Final = ("Staging", PRODUCTION)
_HELD: Final = ("alias_set", "alias_deleted", "stage_moved")
_MAX_CLAIMS: Final = 2_000


def move_alias(state: State, command: asked.MoveRegistryAlias, context: Context) -> list[Event]:
    model = known_model(state, command.name)
    if command.number is not None:
        check_alias(command.alias)
        known_entry(state, command.name, command.number)
    previous = model.aliases.get(command.alias)
    if command.check_seen and previous != command.seen and previous != command.number:
        raise Conflict(
            f"alias `{command.alias}` of `{model.name}` was moved by somebody else just now: it named {_number(command.seen)}, "
            f"now {_number(previous)}",
            hint="look at it again, then decide",
            code="alias_moved",
        )
    protected = is_protected(state, model.name, command.alias)
    events: list[Event] = []
    version: rows.Version | None = None
    if protected and command.number is not None:
        version, events = _through_gates(state, "", model.name, command.number, f"alias `{command.alias}`", context)
    data = facts_registry.RegistryAliasMoved(
        name=model.name, alias=command.alias, number=command.number, previous=previous, protected=protected,
        version=version.version if version else "", version_digest=version.digest if version else "",
    )  # fmt: skip
    return [*events, context.event(data, because=[model.as_of, *[e.id for e in events]])]


def move_stage(state: State, command: asked.MoveRegistryStage, context: Context) -> list[Event]:
    stage = canonical_stage(command.stage)
    if command.archive_existing and stage not in _ARCHIVABLE:
        raise Malformed(
            f"existing versions cannot be archived by a move to `{stage}`, which is not an active stage",
            hint=f"active stages: {', '.join(_ARCHIVABLE)}",
        )
    entry = known_entry(state, command.name, command.number)
    events: list[Event] = []
    if stage == PRODUCTION:
        _, events = _through_gates(state, "", entry.name, entry.number, f"stage `{PRODUCTION}`", context)
    elif stage == "Staging":
        events = _to_staging(state, entry, context)
    others = state.find(rows.RegistryVersion, name=entry.name, stage=stage) if command.archive_existing else []
    moved = [(e.number, "Archived") for e in others if e.number != entry.number] + [(entry.number, stage)]
    causes = [entry.as_of, *[e.id for e in events]]
    return events + [
        context.event(facts_registry.RegistryVersionChanged(name=entry.name, number=number, stage=to), because=causes)
        for number, to in moved
    ]


def bind_version(state: State, command: asked.BindRegistryVersion, context: Context) -> list[Event]:
    """The measured bytes must be the weights of the version that is said to stand behind the entry."""
    version = known_version(state, command.version)
    check_digest(command.weights_digest, what="measured digest")
    source, created_ms = command.source, command.created_ms
    if not command.registry:
        entry = known_entry(state, command.name, command.number)
        source, created_ms = entry.storage, entry.created_ms
    elif command.number < 1 or not source or created_ms <= 0:
        raise Malformed("an entry of a guarded server has a number, a source and a time", hint="`jurat mlflow bind` asks that server")
    if command.weights_digest != version.artefacts.weights.digest:
        raise Conflict(
            f"the bytes of version `{command.number}` of `{command.name}`, `{short(command.weights_digest)}`, are not the weights of "
            f"`{version.version}`, `{short(version.artefacts.weights.digest)}`",
            hint="register what these bytes really are as a version of its own",
            code="digest_mismatch",
        )
    earlier = bound_version(state, command.registry, command.name, command.number)
    if earlier is not None and earlier.created_ms == created_ms and earlier.source == source:
        same = earlier.version == version.version
        raise Conflict(
            f"version `{command.number}` of `{command.name}` is bound to `{earlier.version}` already",
            hint="nothing to do" if same else "an entry never changes: register the bytes again, as a new one",
            code="already_registered" if same else "version_is_immutable",
        )
    data = facts_registry.RegistryVersionBound(
        registry=command.registry, name=command.name, number=command.number, source=source, created_ms=created_ms,
        version=version.version, version_digest=version.digest, weights_digest=command.weights_digest,
    )  # fmt: skip
    return [context.event(data, because=[version.registered])]


def protect_aliases(state: State, command: asked.ProtectRegistryAliases, context: Context) -> list[Event]:
    if command.model != "*":
        check_model_name(command.model)
    check_patterns(command.aliases)
    if not command.aliases and command.model == "*":
        raise Malformed("no alias of any model would be protected", hint="name some; a single model may be exempted by its name")
    if not command.reason.strip():
        raise Malformed("a change of what is protected needs a reason")
    data = facts_registry.RegistryProtectionApplied(
        model=command.model, aliases=command.aliases, reason=command.reason, previous=protected_patterns(state, command.model)
    )
    return [context.event(data)]


def hold_act(state: State, command: asked.HoldRegistryAct, context: Context) -> list[Event]:
    """An act on a guarded server that touches production: its intent is on record before it is passed on."""
    if command.overtaken:
        raise Conflict(
            f"alias `{command.alias}` of `{command.name}` on `{command.registry}` was moved by somebody else just now",
            hint="look at it again, then decide", code="alias_moved",
        )  # fmt: skip
    if command.act not in _HELD:
        refuse_in_production(command.holds or ["what it touches is not known"], f"`{command.name}` on `{command.registry}`: {command.act}")
    events: list[Event] = []
    version: rows.Version | None = None
    to_production = command.act == "alias_set" or (command.act == "stage_moved" and command.stage == PRODUCTION)
    if to_production:
        if command.number is None:
            raise Malformed("an alias or a stage names a version, got none")
        what = f"alias `{command.alias}`" if command.act == "alias_set" else f"stage `{PRODUCTION}`"
        version, events = _through_gates(
            state, command.registry, command.name, command.number, what, context, entry=(command.source, command.created_ms)
        )
    data = facts_registry.RegistryActForwarded(
        registry=command.registry, act=command.act, name=command.name, number=command.number, alias=command.alias, stage=command.stage,
        phase="intended", status=0, version=version.version if version else "", version_digest=version.digest if version else "",
    )  # fmt: skip
    return [*events, context.event(data, because=[e.id for e in events])]


def report_act(state: State, command: asked.ReportRegistryAct, context: Context) -> list[Event]:
    data = facts_registry.RegistryActForwarded(
        registry=command.registry, act=command.act, name=command.name, number=command.number, alias=command.alias, stage=command.stage,
        phase=command.phase, status=command.status, intent=command.intent,
    )  # fmt: skip
    return [context.event(data, because=[command.intent])]


def import_run(state: State, command: asked.ImportRun, context: Context) -> list[Event]:
    """What another server says of a run is on record as that server's word."""
    because = [known_version(state, command.version).registered] if command.version else []
    if not command.run_id or len(command.run_id) > 100:
        raise Malformed(f"run id `{command.run_id[:60]}` is none")
    for what, many in (("params", command.params), ("metrics", command.claimed_metrics), ("tags", command.tags)):
        if len(many) > _MAX_CLAIMS:
            raise Malformed(f"run `{command.run_id}` has {len(many)} {what}, expected at most {_MAX_CLAIMS}")
    if bad := [m.key for m in command.claimed_metrics if m.value is not None and not math.isfinite(m.value)]:
        raise Malformed(f"metric `{bad[0][:60]}` of run `{command.run_id}` is not a finite number")
    earlier = state.get(rows.ImportedRun, command.run_id)
    if earlier is not None and earlier.status == "FINISHED" and earlier.version == command.version:
        raise Conflict(f"run `{command.run_id}` was imported already, finished as it is", hint="nothing to do", code="already_registered")
    fields = {name: getattr(command, name) for name in command.__struct_fields__}
    return [context.event(facts_registry.RunImported(**fields), because=because)]


def _through_gates(
    state: State, registry: str, name: str, number: int, what: str, context: Context, entry: tuple[str, int] | None = None
) -> tuple[rows.Version, list[Event]]:
    """Return the version behind an entry, and the events that bring it to production, if it is not there yet.

    Args:
        entry: source and time of the entry now, where its registry is not ours; one that was made anew is not the one that was bound.
    Raises:
        Conflict: nothing measured stands behind it, or a gate is not passed.
    """
    binding = bound_version(state, registry, name, number)
    where = f" --registry {registry}" if registry else ""
    if binding is None or (entry is not None and entry != (binding.source, binding.created_ms)):
        raise Conflict(
            f"{what} of `{name}` may not name version `{number}`: no measured bytes stand behind it, its digest is unknown",
            hint=f"register it (`jurat model register`), then say so: `jurat mlflow bind {name} {number} <model>@<version>{where}`",
            code="digest_unknown",
        )
    version = known_version(state, binding.version)
    if version.held:
        raise Conflict(
            f"{what} of `{name}` may not name version `{number}`: `{version.version}` behind it is held, something that it rests on "
            f"changed (`{version.held}`)",
            hint=f"choose another, or have it approved again: `jurat model reaffirm {version.version}`",
            code="version_held",
        )
    if version.stage == Stage.PRODUCTION:
        return version, []
    if version.stage != Stage.STAGING:
        raise Conflict(
            f"{what} of `{name}` may not name version `{number}`: `{version.version}` behind it is in `{version.stage}`",
            hint=f"it goes through staging first: `jurat model promote {version.version} staging`"
            if version.stage != Stage.RETIRED
            else "it was retired; choose another version",
            code="stage_too_low",
        )
    try:
        command = commands.Promote(version=version.version, to_stage=Stage.PRODUCTION)
        return version, promote(state, command, context)
    except Conflict as error:
        if error.code != "gate_not_passed":
            raise
        raise Conflict(
            f"{what} of `{name}` may not name version `{number}` yet: {error.detail}",
            hint=f"{error.hint}; ask for sign-off with `jurat request open {version.version} production`, then set it again",
            code=error.code,
            **error.fields,
        ) from error


def _to_staging(state: State, entry: rows.RegistryVersion, context: Context) -> list[Event]:
    """A measured version is in one stage, whoever names it: `Staging` moves it there, through its gates. Others have a label only."""
    binding = bound_version(state, "", entry.name, entry.number)
    version = known_version(state, binding.version) if binding else None
    if version is None or version.stage not in (Stage.EXPERIMENT, Stage.DEVELOPMENT):
        return []
    return promote(state, commands.Promote(version=version.version, to_stage=Stage.STAGING), context)


def _number(number: int | None) -> str:
    return "nothing" if number is None else f"version `{number}`"
