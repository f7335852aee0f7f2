"""Events of the MLflow-shaped registry → rows. Times are those of the events, in milliseconds as MLflow's clients count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from jurat.core.clock import parse_at, to_ns
from jurat.core.errors import Tampered
from jurat.domain import facts_registry as facts
from jurat.domain import rows
from jurat.domain.events import Event
from jurat.domain.registry import binding_key, version_key
from jurat.domain.registry_names import drawn
from jurat.domain.rows import R
from jurat.domain.state import Put, State

_replace = msgspec.structs.replace


def model_created(state: State, event: Event, data: facts.RegistryModelCreated) -> list[Put]:
    row = rows.RegistryModel(
        as_of=event.id, name=data.name, drawn=drawn(data.name), description=data.description, tags=data.tags,
        deployment_job=data.deployment_job, created_ms=_ms(event), updated_ms=_ms(event), created_by=event.actor.principal,
    )  # fmt: skip
    return [Put("registry_models", data.name, row)]


def model_changed(state: State, event: Event, data: facts.RegistryModelChanged) -> list[Put]:
    model = _known(state, rows.RegistryModel, data.name, event)
    touches = data.description is not None or data.new_name is not None or data.deployment_job is not None
    name = model.name if data.new_name is None else data.new_name
    changed = _replace(
        model, as_of=event.id, name=name, drawn=drawn(name),
        description=model.description if data.description is None else data.description,
        deployment_job=model.deployment_job if data.deployment_job is None else data.deployment_job,
        tags=_tags(model.tags, data.tags_set, data.tags_removed), updated_ms=_ms(event) if touches else model.updated_ms,
    )  # fmt: skip
    puts = [Put("registry_models", name, changed)]
    if data.new_name is not None and data.new_name != data.name:
        puts = [Put("registry_models", data.name, None), *puts]
        for entry in state.find(rows.RegistryVersion, name=data.name):
            moved = _replace(entry, as_of=event.id, name=name, updated_ms=_ms(event))
            puts += [
                Put("registry_versions", version_key(data.name, entry.number), None),
                Put("registry_versions", version_key(name, entry.number), moved),
            ]
        for binding in state.find(rows.RegistryBinding, registry="", name=data.name):
            puts += [
                Put("registry_bindings", binding_key("", data.name, binding.number), None),
                Put("registry_bindings", binding_key("", name, binding.number), _replace(binding, as_of=event.id, name=name)),
            ]
    return puts


def entry_deleted(state: State, event: Event, data: facts.RegistryEntryDeleted) -> list[Put]:
    """With an entry goes what stood behind it: the next one of that name and number is another one."""
    model = _known(state, rows.RegistryModel, data.name, event)
    if data.number is not None:
        aliases = {alias: number for alias, number in model.aliases.items() if number != data.number}
        return [
            Put("registry_versions", version_key(data.name, data.number), None),
            Put("registry_bindings", binding_key("", data.name, data.number), None),
            Put("registry_models", data.name, _replace(model, as_of=event.id, aliases=aliases, updated_ms=_ms(event))),
        ]
    puts = [Put("registry_models", data.name, None)]
    puts += [Put("registry_versions", version_key(data.name, e.number), None) for e in state.find(rows.RegistryVersion, name=data.name)]
    bindings = state.find(rows.RegistryBinding, registry="", name=data.name)
    return puts + [Put("registry_bindings", binding_key("", data.name, b.number), None) for b in bindings]


def version_created(state: State, event: Event, data: facts.RegistryVersionCreated) -> list[Put]:
    model = _known(state, rows.RegistryModel, data.name, event)
    return [
        Put("registry_versions", version_key(data.name, data.number), version_made_by(event)),
        Put("registry_models", data.name, _replace(model, as_of=event.id, last_number=data.number, updated_ms=_ms(event))),
    ]


def version_made_by(event: Event) -> rows.RegistryVersion:
    """Return the version that a `registry_version.created` event made, as it was then."""
    data = event.data
    assert isinstance(data, facts.RegistryVersionCreated)
    return rows.RegistryVersion(
        as_of=event.id, name=data.name, number=data.number, source=data.source, storage=data.storage, run_id=data.run_id,
        run_link=data.run_link, description=data.description, tags=data.tags, model_id=data.model_id,
        created_ms=_ms(event), updated_ms=_ms(event), created_by=event.actor.principal, registered=event.id,
    )  # fmt: skip


def version_changed(state: State, event: Event, data: facts.RegistryVersionChanged) -> list[Put]:
    key = version_key(data.name, data.number)
    entry = _known(state, rows.RegistryVersion, key, event)
    touches = data.description is not None or data.stage is not None
    changed = _replace(
        entry, as_of=event.id, stage=entry.stage if data.stage is None else data.stage,
        description=entry.description if data.description is None else data.description,
        tags=_tags(entry.tags, data.tags_set, data.tags_removed), updated_ms=_ms(event) if touches else entry.updated_ms,
    )  # fmt: skip
    puts = [Put("registry_versions", key, changed)]
    if data.stage is not None:
        model = _known(state, rows.RegistryModel, data.name, event)
        puts.append(Put("registry_models", data.name, _replace(model, as_of=event.id, updated_ms=_ms(event))))
    return puts


def alias_moved(state: State, event: Event, data: facts.RegistryAliasMoved) -> list[Put]:
    model = _known(state, rows.RegistryModel, data.name, event)
    aliases = {alias: number for alias, number in model.aliases.items() if alias != data.alias}
    if data.number is not None:
        aliases[data.alias] = data.number
    return [Put("registry_models", data.name, _replace(model, as_of=event.id, aliases=aliases))]


def version_bound(state: State, event: Event, data: facts.RegistryVersionBound) -> list[Put]:
    row = rows.RegistryBinding(
        as_of=event.id, registry=data.registry, name=data.name, number=data.number, source=data.source, created_ms=data.created_ms,
        version=data.version, version_digest=data.version_digest,
    )  # fmt: skip
    return [Put("registry_bindings", binding_key(data.registry, data.name, data.number), row)]


def protection_applied(state: State, event: Event, data: facts.RegistryProtectionApplied) -> list[Put]:
    return [Put("registry_protection", data.model, rows.RegistryProtection(as_of=event.id, model=data.model, aliases=data.aliases))]


def run_imported(state: State, event: Event, data: facts.RunImported) -> list[Put]:
    row = rows.ImportedRun(
        as_of=event.id, run_id=data.run_id, tracking=data.tracking, status=data.status, params=data.params,
        claimed_metrics=data.claimed_metrics, datasets=data.datasets, source_commit=data.source_commit, version=data.version,
    )  # fmt: skip
    return [Put("imported_runs", data.run_id, row)]


def _ms(event: Event) -> int:
    return to_ns(parse_at(event.at)) // 1_000_000


def _tags(tags: dict[str, str], more: dict[str, str], gone: list[str]) -> dict[str, str]:
    return {key: value for key, value in {**tags, **more}.items() if key not in gone}


def _known(state: State, row: type[R], key: str, event: Event) -> R:
    found = state.get(row, key)
    if found is None:
        raise Tampered(f"event `{event.id}` ({event.kind.name}) speaks of `{key}`, which no earlier event made")
    return found


REGISTRY_CHANGES: Final[dict[Any, Callable[[State, Event, Any], list[Put]]]] = {
    facts.RegistryModelCreated: model_created,
    facts.RegistryModelChanged: model_changed,
    facts.RegistryEntryDeleted: entry_deleted,
    facts.RegistryVersionCreated: version_created,
    facts.RegistryVersionChanged: version_changed,
    facts.RegistryAliasMoved: alias_moved,
    facts.RegistryVersionBound: version_bound,
    facts.RegistryProtectionApplied: protection_applied,
    facts.RunImported: run_imported,
}
