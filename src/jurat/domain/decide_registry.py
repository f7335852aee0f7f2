"""The law on what is said in the MLflow-shaped registry: models, versions, tags, descriptions. Nothing here reaches production."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote, urlsplit

from jurat.core.errors import Conflict, Malformed, NotFound
from jurat.domain import commands_registry as commands
from jurat.domain import facts_registry as facts
from jurat.domain import rows
from jurat.domain.context import Context
from jurat.domain.events import Event
from jurat.domain.registry import MAX_NUMBER, in_production, is_protected, known_entry, known_model
from jurat.domain.registry_names import MAX_SOURCE, check_model_name, check_tag_key, check_tags, check_text, drawn
from jurat.domain.state import State

_MAX_ID: Final = 500


def create_model(state: State, command: commands.CreateRegistryModel, context: Context) -> list[Event]:
    _check_free(state, command.name)
    check_tags(command.tags)
    check_text(command.description, what="the description")
    data = facts.RegistryModelCreated(
        name=command.name, description=command.description, tags=command.tags, deployment_job=command.deployment_job
    )
    return [context.event(data)]


def change_model(state: State, command: commands.ChangeRegistryModel, context: Context) -> list[Event]:
    model = known_model(state, command.name)
    _check_change(command.description, command.tags_set, command.tags_removed)
    data = facts.RegistryModelChanged(
        name=model.name, description=command.description, tags_set=command.tags_set, tags_removed=command.tags_removed,
        deployment_job=command.deployment_job,
    )  # fmt: skip
    return [context.event(data, because=[model.as_of])]


def rename_model(state: State, command: commands.RenameRegistryModel, context: Context) -> list[Event]:
    """A name in production stays: whoever loads by it would find nothing, or something else."""
    model = known_model(state, command.name)
    if command.new_name == model.name:
        raise Conflict(f"registered model `{model.name[:80]}` is called so already", code="name_taken")
    _check_free(state, command.new_name, renamed=model.name)
    refuse_in_production(in_production(state, model), f"registered model `{model.name}` cannot be renamed")
    if wrong := [alias for alias in model.aliases if is_protected(state, command.new_name, alias)]:
        raise Conflict(
            f"registered model `{model.name}` cannot become `{command.new_name}`: there, alias `{wrong[0]}` is protected",
            hint=f"take alias `{wrong[0]}` away first, and set it again after the renaming, through its gates",
            code="in_production",
        )
    return [context.event(facts.RegistryModelChanged(name=model.name, new_name=command.new_name), because=[model.as_of])]


def delete_model(state: State, command: commands.DeleteRegistryModel, context: Context) -> list[Event]:
    model = known_model(state, command.name)
    refuse_in_production(in_production(state, model), f"registered model `{model.name}` cannot be deleted")
    return [context.event(facts.RegistryEntryDeleted(name=model.name, number=None), because=[model.as_of])]


def create_version(state: State, command: commands.CreateRegistryVersion, context: Context) -> list[Event]:
    """A version is numbered by us, never twice; where its bytes lie is its author's claim."""
    model = known_model(state, command.name)
    check_tags(command.tags)
    check_text(command.description, what="the description")
    for what, text in (("run_id", command.run_id), ("run_link", command.run_link), ("model_id", command.model_id)):
        check_text(text, what=f"`{what}`", most=_MAX_ID)
    if model.last_number >= MAX_NUMBER:
        raise Conflict(f"registered model `{model.name}` has no number left", code="numbers_used_up")
    data = facts.RegistryVersionCreated(
        name=model.name, number=model.last_number + 1, source=command.source, storage=_storage(state, command.source, command.run_id),
        run_id=command.run_id, run_link=command.run_link, description=command.description, tags=command.tags, model_id=command.model_id,
    )  # fmt: skip
    return [context.event(data, because=[model.as_of])]


def change_version(state: State, command: commands.ChangeRegistryVersion, context: Context) -> list[Event]:
    entry = known_entry(state, command.name, command.number)
    _check_change(command.description, command.tags_set, command.tags_removed)
    data = facts.RegistryVersionChanged(
        name=entry.name, number=entry.number, description=command.description, tags_set=command.tags_set, tags_removed=command.tags_removed
    )
    return [context.event(data, because=[entry.as_of])]


def delete_version(state: State, command: commands.DeleteRegistryVersion, context: Context) -> list[Event]:
    entry = known_entry(state, command.name, command.number)
    model = known_model(state, command.name)
    refuse_in_production(in_production(state, model, entry), f"version `{entry.number}` of `{entry.name}` cannot be deleted")
    return [context.event(facts.RegistryEntryDeleted(name=entry.name, number=entry.number, source=entry.source), because=[entry.as_of])]


def refuse_in_production(holds: list[str], what: str) -> None:
    if holds:
        raise Conflict(
            f"{what}: {'; '.join(holds)}",
            hint="let another version take its place first, or take it out of production: somebody who may promote there can",
            code="in_production",
        )


def _check_free(state: State, name: str, renamed: str = "") -> None:
    check_model_name(name)
    if state.get(rows.RegistryModel, name) is not None:
        raise Conflict(
            f"registered model `{name[:80]}` exists already", hint="names are taken for ever or until deleted", code="name_taken"
        )
    alike = [m.name for m in state.find(rows.RegistryModel, drawn=drawn(name)) if m.name != renamed]
    if alike or (drawn(name) != name and not drawn(name).isascii() and any(c.isascii() and c.isalpha() for c in name)):
        what = f"`{alike[0]}`, which exists" if alike else "a name in one alphabet"
        raise Malformed(
            f"model name `{name[:80]}` is drawn like {what}: some of its letters are of another alphabet",
            hint="people could not tell them apart; write it in one alphabet",
        )


def _check_change(description: str | None, tags_set: dict[str, str], tags_removed: list[str]) -> None:
    check_tags(tags_set)
    for key in tags_removed:
        check_tag_key(key)
    check_text(description or "", what="the description")


def _storage(state: State, source: str, run_id: str) -> str:
    """Return where the bytes of a source lie, as far as the registry knows.

    Raises:
        Malformed: no URI, a path of the client's own machine, or one that climbs.
        NotFound: it names another version, which does not exist.
    """
    if not source:
        raise Malformed("a version needs a source", hint="send the parameter `source`: the URI of its artefacts")
    check_text(source, what="`source`", most=MAX_SOURCE)
    try:
        parts = urlsplit(source)
    except ValueError as error:
        raise Malformed(f"`source` `{source[:80]}` is not a URI") from error
    if parts.scheme in ("", "file") or len(parts.scheme) == 1:
        raise Malformed(
            f"invalid model version source `{source[:80]}`: a local path means nothing to others",
            hint="log the model to a tracking server or an object store first, and register that URI",
        )
    # decoded until nothing changes: what climbs out of its folder does so for whoever decodes most
    path, previous = parts.path, ""
    while path != previous:
        previous, path = path, unquote(path)
    if any(part == ".." for part in path.replace("\\", "/").split("/")) or "\0" in path or parts.fragment or "\n" in source:
        raise Malformed(f"invalid model version source `{source[:80]}`: it climbs out of its folder, or has a part that is none")
    if parts.scheme == "runs" and (not run_id or parts.path.strip("/").split("/")[0] != run_id):
        raise Malformed(
            f"invalid model version source `{source[:80]}`: it is not of run `{run_id[:40]}`", hint="send that run's id as `run_id`"
        )
    if parts.scheme == "models":
        name, _, number = parts.path.strip("/").partition("/")
        if not number and name.startswith("m-"):
            return source  # a logged model of a tracking server: that server knows where it lies
        if not number.isdigit():
            raise NotFound(f"`source` `{source[:80]}` names no version", hint="write `models:/<name>/<version>`")
        return known_entry(state, unquote(name), int(number[:12])).storage
    return source
