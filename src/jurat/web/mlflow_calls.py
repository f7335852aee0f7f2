"""The calls of MLflow's registry API: what each takes, what it does here, and what it answers. One table, at the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from starlette.concurrency import run_in_threadpool

from jurat.app.registry import RegistryDesk, VersionShown
from jurat.app.walk import Done, act
from jurat.app.wiring import App
from jurat.core.errors import Malformed
from jurat.domain import commands_registry as commands
from jurat.domain.commands import Command
from jurat.domain.evolve_registry import version_made_by
from jurat.domain.registry_names import STAGES, canonical_stage
from jurat.domain.rows import RegistryModel, RegistryVersion
from jurat.store.registry import Found

_MAX_LIST: Final = 1_000


class Parameters:
    """What a client sent, asked for by name and type. Each question raises `Malformed` where the answer would be no answer."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given

    def text(self, name: str) -> str:
        """Return a text that must be there and not be empty."""
        found = self.maybe(name)
        if not found:
            raise Malformed(f"missing value for required parameter `{name}`", hint="see the API docs for the parameters of this call")
        return found

    def maybe(self, name: str) -> str:
        """Return a text, empty if it is not there."""
        found = self._given.get(name)
        if found is None:
            return ""
        if not isinstance(found, str):
            raise Malformed(f"invalid value for parameter `{name}`: expected a string, got `{str(found)[:40]}`")
        if "\0" in found or any("\ud800" <= c <= "\udfff" for c in found):
            raise Malformed(f"parameter `{name}` holds NUL or half of a surrogate pair", hint="neither can be stored")
        return found

    def version(self) -> int:
        """Return the number of a version: a string of digits, as MLflow writes it, or a number."""
        found = self._given.get("version")
        if isinstance(found, int) and not isinstance(found, bool):
            return found
        text = self.text("version").strip()
        if not text.removeprefix("-").isascii() or not text.removeprefix("-").isdigit() or len(text) > 18:
            raise Malformed(f"parameter `version` must be an integer, got `{text[:40]}`")
        return int(text)

    def flag(self, name: str) -> bool:
        found = self._given.get(name, False)
        if not isinstance(found, bool):
            raise Malformed(f"invalid value for parameter `{name}`: expected true or false, got `{str(found)[:40]}`")
        return found

    def limit(self) -> int | None:
        """Return `max_results`, None if it is not there."""
        found = self._given.get("max_results")
        text = str(found)
        if found is None:
            return None
        if isinstance(found, bool) or not text.isascii() or not text.removeprefix("-").isdigit() or len(text) > 18:
            raise Malformed(f"invalid value for parameter `max_results`: expected a number, got `{text[:40]}`")
        return int(text)

    def texts(self, name: str) -> list[str]:
        found = self._given.get(name)
        found = [] if found is None else found
        if not isinstance(found, list) or len(found) > _MAX_LIST or not all(isinstance(each, str) for each in found):
            raise Malformed(f"invalid value for parameter `{name}`: expected a list of strings")
        return found

    def tags(self) -> dict[str, str]:
        """Return `tags`: a list of keys and values; of one key twice, the last one counts, as in MLflow."""
        found = self._given.get("tags")
        found = [] if found is None else found
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise Malformed("invalid value for parameter `tags`: expected a list of objects with `key` and `value`")
        each = [Parameters(one) for one in found]
        return {one.text("key"): one.maybe("value") for one in each}


Answer = Callable[[App, RegistryDesk, str, Parameters], Awaitable[Any]]


class Call(NamedTuple):
    """One call: what it does, and which of its query parameters are lists."""

    answer: Answer
    lists: frozenset[str] = frozenset()


def _show_model(found: Found) -> dict[str, Any]:
    model = found.model
    assert model is not None
    latest = sorted(found.latest, key=lambda v: STAGES.index(v.stage))
    return {
        "name": model.name,
        "creation_timestamp": model.created_ms,
        "last_updated_timestamp": model.updated_ms,
        "user_id": model.created_by,
        "description": model.description,
        "latest_versions": [_show_version(v, _named(model, v)) for v in latest],
        "tags": _show_tags(model.tags),
        "aliases": [{"alias": alias, "version": str(number)} for alias, number in sorted(model.aliases.items())],
        **({"deployment_job_id": model.deployment_job} if model.deployment_job else {}),
    }


def _show_version(version: RegistryVersion, aliases: list[str]) -> dict[str, Any]:
    return {
        "name": version.name,
        "version": str(version.number),
        "creation_timestamp": version.created_ms,
        "last_updated_timestamp": version.updated_ms,
        "user_id": version.created_by,
        "current_stage": version.stage,
        "description": version.description,
        "source": version.source,
        "run_id": version.run_id,
        "status": "READY",
        "run_link": version.run_link,
        "tags": _show_tags(version.tags),
        "aliases": aliases,
        **({"model_id": version.model_id} if version.model_id else {}),
    }


def _show_tags(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in sorted(tags.items())]


def _named(model: RegistryModel, version: RegistryVersion) -> list[str]:
    return sorted(alias for alias, number in model.aliases.items() if number == version.number)


async def _one_model(desk: RegistryDesk, token: str, name: str) -> dict[str, Any]:
    return {"registered_model": _show_model(await desk.model(token, name))}


def _one_version(shown: VersionShown) -> dict[str, Any]:
    return {"model_version": _show_version(shown.version, shown.aliases)}


async def _act(app: App, token: str, command: Command) -> Done:
    return await run_in_threadpool(act, app, token, command)


async def create_model(app: App, desk: RegistryDesk, token: str, given: Parameters) -> Any:
    name = given.text("name")
    command = commands.CreateRegistryModel(
        name=name, description=given.maybe("description"), tags=given.tags(), deployment_job=given.maybe("deployment_job_id")
    )
    await _act(app, token, command)
    return await _one_model(desk, token, name)


async def rename_model(app: App, desk: RegistryDesk, token: str, given: Parameters) -> Any:
    new_name = given.text("new_name")
    await _act(app, token, commands.RenameRegistryModel(name=given.text("name"), new_name=new_name))
    return await _one_model(desk, token, new_name)


async def update_model(app: App, desk: RegistryDesk, token: str, given: Parameters) -> Any:
    name, job = given.text("name"), given.maybe("deployment_job_id")
    await _act(app, token, commands.ChangeRegistryModel(name=name, description=given.maybe("description"), deployment_job=job or None))
    return await _one_model(desk, token, name)


async def delete_model(app: App, desk: RegistryDesk, token: str, given: Parameters) -> Any:
    await _act(app, token, commands.DeleteRegistryModel(name=given.text("name")))
    return {}


async def get_model(app: App, desk: RegistryDesk, token: str, given: Parameters) -> Any:
    return await _one_model(desk, token, given.text("name"))


def _search(given: Parameters) -> tuple[str, list[str], str, int | None]:
    return given.maybe("filter"), given.texts("order_by"), given.maybe("page_token"), given.limit()


async def search_models(app: App, desk: RegistryDesk, token: str, given: Parameters) -> Any:
    found, following = await run_in_threadpool(desk.search_models, token, *_search(given))
    return {"registered_models": [_show_model(each) for each in found], **({"next_page_token": following} if following else {})}


async def get_latest_versions(app: App, desk: RegistryDesk, token: str, given: Parameters) -> Any:
    stages = [canonical_stage(stage) for stage in given.texts("stages")]
    found = await desk.model(token, given.text("name"), stages or STAGES)
    assert found.model is not None
    return {"model_versions": [_show_version(each, _named(found.model, each)) for each in found.latest]}


async def set_model_tag(app: App, desk: RegistryDesk, token: str, given: Parameters) -> Any:
    tags = {given.text("key"): given.maybe("value")}
    await _act(app, token, commands.ChangeRegistryModel(name=given.text("name"), tags_set=tags))
    return {}


async def delete_model_tag(app: App, desk: RegistryDesk, token: str, given: Parameters) -> Any:
    await _act(app, token, commands.ChangeRegistryModel(name=given.text("name"), tags_removed=[given.text("key")]))
    return {}


async def set_alias(app: App, desk: RegistryDesk, token: str, given: Parameters) -> Any:
    name, alias, number = given.text("name"), given.text("alias"), given.version()
    model = (await desk.model(token, name)).model
    assert model is not None
    # Of two clients that move it at the same time, one must learn that it named something else by now.
    await _act(
        app, token, commands.MoveRegistryAlias(name=name, alias=alias, number=number, seen=model.aliases.get(alias), check_seen=True)
    )
    return {}


async def delete_alias(app: App, desk: RegistryDesk, token: str, given: Parameters) -> Any:
    await _act(app, token, commands.MoveRegistryAlias(name=given.text("name"), alias=given.text("alias"), number=None))
    return {}


async def get_alias(app: App, desk: RegistryDesk, token: str, given: Parameters) -> Any:
    return _one_version(await desk.by_alias(token, given.text("name"), given.text("alias")))


async def create_version(app: App, desk: RegistryDesk, token: str, given: Parameters) -> Any:
    name = given.text("name")
    command = commands.CreateRegistryVersion(
        name=name, source=given.text("source"), run_id=given.maybe("run_id"), run_link=given.maybe("run_link"),
        description=given.maybe("description"), tags=given.tags(), model_id=given.maybe("model_id"),
    )  # fmt: skip
    done = await _act(app, token, command)
    return _one_version(VersionShown(version_made_by(done.events[0]), []))  # as it was made; no alias names a number before it is given


async def update_version(app: App, desk: RegistryDesk, token: str, given: Parameters) -> Any:
    name, number = given.text("name"), given.version()
    await _act(app, token, commands.ChangeRegistryVersion(name=name, number=number, description=given.maybe("description")))
    return _one_version(await desk.version(token, name, number))


async def transition_stage(app: App, desk: RegistryDesk, token: str, given: Parameters) -> Any:
    name, number, stage = given.text("name"), given.version(), canonical_stage(given.text("stage"))
    archive = given.flag("archive_existing_versions")
    await _act(app, token, commands.MoveRegistryStage(name=name, number=number, stage=stage, archive_existing=archive))
    return _one_version(await desk.version(token, name, number))


async def delete_version(app: App, desk: RegistryDesk, token: str, given: Parameters) -> Any:
    await _act(app, token, commands.DeleteRegistryVersion(name=given.text("name"), number=given.version()))
    return {}


async def get_version(app: App, desk: RegistryDesk, token: str, given: Parameters) -> Any:
    return _one_version(await desk.version(token, given.text("name"), given.version()))


async def search_versions(app: App, desk: RegistryDesk, token: str, given: Parameters) -> Any:
    found, following = await run_in_threadpool(desk.search_versions, token, *_search(given))
    return {"model_versions": [_show_version(e.version, e.aliases) for e in found], **({"next_page_token": following} if following else {})}


async def get_download_uri(app: App, desk: RegistryDesk, token: str, given: Parameters) -> Any:
    return {"artifact_uri": (await desk.version(token, given.text("name"), given.version())).version.storage}


async def set_version_tag(app: App, desk: RegistryDesk, token: str, given: Parameters) -> Any:
    tags = {given.text("key"): given.maybe("value")}
    await _act(app, token, commands.ChangeRegistryVersion(name=given.text("name"), number=given.version(), tags_set=tags))
    return {}


async def delete_version_tag(app: App, desk: RegistryDesk, token: str, given: Parameters) -> Any:
    gone = [given.text("key")]
    await _act(app, token, commands.ChangeRegistryVersion(name=given.text("name"), number=given.version(), tags_removed=gone))
    return {}


_ORDERED: Final = frozenset({"order_by"})
_STAGED: Final = frozenset({"stages"})
CALLS: Final[dict[tuple[str, str], Call]] = {
    ("POST", "registered-models/create"): Call(create_model),
    ("POST", "registered-models/rename"): Call(rename_model),
    ("PATCH", "registered-models/update"): Call(update_model),
    ("DELETE", "registered-models/delete"): Call(delete_model),
    ("GET", "registered-models/get"): Call(get_model),
    ("GET", "registered-models/search"): Call(search_models, _ORDERED),
    ("POST", "registered-models/get-latest-versions"): Call(get_latest_versions),
    ("GET", "registered-models/get-latest-versions"): Call(get_latest_versions, _STAGED),
    ("POST", "registered-models/set-tag"): Call(set_model_tag),
    ("DELETE", "registered-models/delete-tag"): Call(delete_model_tag),
    ("POST", "registered-models/alias"): Call(set_alias),
    ("DELETE", "registered-models/alias"): Call(delete_alias),
    ("GET", "registered-models/alias"): Call(get_alias),
    ("POST", "model-versions/create"): Call(create_version),
    ("PATCH", "model-versions/update"): Call(update_version),
    ("POST", "model-versions/transition-stage"): Call(transition_stage),
    ("DELETE", "model-versions/delete"): Call(delete_version),
    ("GET", "model-versions/get"): Call(get_version),
    ("GET", "model-versions/search"): Call(search_versions, _ORDERED),
    ("GET", "model-versions/get-download-uri"): Call(get_download_uri),
    ("POST", "model-versions/set-tag"): Call(set_version_tag),
    ("DELETE", "model-versions/delete-tag"): Call(delete_version_tag),
}
