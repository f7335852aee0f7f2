"""The MLflow-shaped registry for those who may see it: what is read is found by its own indexes, what is changed walks.

What a caller may see is remembered while nothing at all has happened since (each answer carries the position of the last
event it contains), and for a second at most: then it is asked again. A refusal is recorded like any other.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, TypeVar

from jurat.app.admit import admit, hash_token
from jurat.app.authorize import authorize
from jurat.app.look import SeeMetadata, refuse
from jurat.app.wiring import App
from jurat.core.errors import Malformed, NotFound
from jurat.domain.registry import MAX_NUMBER
from jurat.domain.registry_names import STAGES, slug
from jurat.domain.registry_search import (
    MODELS,
    PROMPT_TAG,
    VERSIONS,
    Clause,
    Kind,
    asks_for_prompts,
    make_token,
    parse_filter,
    parse_order,
    read_token,
)
from jurat.domain.roles import in_scope
from jurat.domain.rows import Grant, PolicySetInForce, RegistryModel, RegistryVersion
from jurat.domain.stages import Stage, model_resource
from jurat.store.registry import Found, RegistryView
from jurat.store.registry_together import RegistryTogether

_REMEMBERED_NS: Final = 1_000_000_000
_CALLERS: Final = 4_096
_BATCH: Final = 1_000  # rows at once, while a page is being filled
_ONE_MODEL: Final = re.compile(r'Model::"|resource\s*\.\s*(name|version)\b|resource\s+has\s+"?(name|version)\b|resource\s*\[')


_F = TypeVar("_F")


class _Question(NamedTuple):
    """A search, read."""

    clauses: list[Clause]
    prompts: bool
    order: list[tuple[str, bool]]
    after: list[str | int] | None
    limit: int
    asked: Any  # what a page token is bound to

    @classmethod
    def read(cls, kind: Kind, text: str, order_by: list[str], page_token: str, limit: int | None) -> _Question:
        limit = kind.default_results if limit is None else limit
        if not 0 <= limit <= kind.most_results:
            raise Malformed(f"max_results is `{limit}`, expected 0 to {kind.most_results}", hint="ask for the next page by its token")
        clauses, order, asked = parse_filter(_storable(text), kind), parse_order(order_by, kind), [kind.name, text, order_by]
        prompts = asks_for_prompts(clauses)
        if not prompts:  # whoever does not ask for prompts gets none, however clients say so: most models have no such tag
            clauses = [clause for clause in clauses if not (clause.is_tag and clause.key == PROMPT_TAG)]
        return cls(clauses, prompts, order, read_token(page_token, asked, order), limit, asked)


@dataclass(frozen=True)
class _Sight:
    """Which models a token may see, as of a position.

    Attributes:
        scopes: the scopes of the caller's grants. Two models that lie in the same ones are seen alike, unless policies tell
            single models apart (None): then each is a kind of its own.
        decided: kind of models → whether they are seen.
    """

    position: int
    until_ns: int
    scopes: list[str] | None
    decided: dict[Any, bool] = field(default_factory=dict)

    def kind_of(self, name: str) -> Any:
        """Return what the answer for this model depends on."""
        return name if self.scopes is None else tuple(in_scope(scope, _place(name)) for scope in self.scopes)


@dataclass(frozen=True)
class VersionShown:
    """A version, and which aliases of its model name it."""

    version: RegistryVersion
    aliases: list[str]


class RegistryDesk:
    """Answers questions about the registry: single entries in an event loop, searches in threads. What it remembers is replaced,
    never changed under a reader."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._sights: dict[bytes, _Sight] = {}
        self._together = RegistryTogether(app.store)

    async def model(self, token: str, name: str, stages: Collection[str] = STAGES) -> Found:
        """Return one model, with the newest version of each stage.

        Raises:
            Unauthenticated: the token proves nobody.
            NotFound: there is none, or none that the caller may see.
        """
        found = await self._together.model(_storable(name))
        if not await self._sees(token, found.position, name) or found.model is None:
            raise NotFound(f"registered model with name `{name[:80]}` not found")
        return found._replace(latest=[version for version in found.latest if version.stage in stages])

    async def version(self, token: str, name: str, number: int) -> VersionShown:
        """Return one version."""
        found = await self._together.version(_storable(name), number if 0 < number <= MAX_NUMBER else 0)
        if not await self._sees(token, found.position, name) or found.model is None:
            raise NotFound(f"registered model with name `{name[:80]}` not found")
        if found.version is None:
            raise NotFound(f"model version (name={name[:80]}, version={number}) not found")
        return VersionShown(found.version, _named(found.model.aliases, number))

    async def by_alias(self, token: str, name: str, alias: str) -> VersionShown:
        """Return the version that an alias names.

        Raises:
            Malformed: no such alias (as MLflow has it), NotFound: no such model.
        """
        number = (await self.model(token, name)).model.aliases.get(alias)  # type: ignore[union-attr]
        if number is None:
            raise Malformed(f"registered model alias `{alias[:80]}` not found")
        return await self.version(token, name, number)

    def search_models(self, token: str, text: str, order_by: list[str], page_token: str, limit: int | None) -> tuple[list[Found], str]:
        """Return a page of the models that the caller may see, and the token of the next page, empty at the end."""

        def fetch(view: RegistryView, question: _Question, after: list[str | int] | None, count: int) -> tuple[int, list[Found]]:
            return view.models(question.clauses, question.prompts, question.order, after, count)

        return self._page(token, _Question.read(MODELS, text, order_by, page_token, limit), fetch, lambda found: found.model)

    def search_versions(
        self, token: str, text: str, order_by: list[str], page_token: str, limit: int | None
    ) -> tuple[list[VersionShown], str]:
        """Return a page of the versions that the caller may see, and the token of the next page, empty at the end."""

        def fetch(view: RegistryView, question: _Question, after: list[str | int] | None, count: int) -> tuple[int, list[RegistryVersion]]:
            return view.versions(question.clauses, question.prompts, question.order, after, count)

        question = _Question.read(VERSIONS, text, order_by, page_token, limit)
        found, following = self._page(token, question, fetch, lambda version: version)
        with self._view() as view:
            aliases = view.aliases(version.name for version in found) if found else {}
        return [VersionShown(v, _named(aliases.get(v.name, {}), v.number)) for v in found], following

    def _page(
        self,
        token: str,
        question: _Question,
        fetch: Callable[[RegistryView, _Question, list[str | int] | None, int], tuple[int, list[_F]]],
        row_of: Callable[[_F], RegistryModel | RegistryVersion | None],
    ) -> tuple[list[_F], str]:
        kept: list[_F] = []
        hidden, after, limit = "", question.after, question.limit
        while True:
            # one more than is wanted says whether there is a next page
            count = min(max(limit + 1 - len(kept), 1), _BATCH) if hidden else limit + 1
            with self._view() as view:
                position, found = fetch(view, question, after, count)
            sees = self._sees_which(token, position, {row.name for each in found if (row := row_of(each))})
            for each in found:
                row = row_of(each)
                assert row is not None
                if sees[row.name]:
                    kept.append(each)
                else:
                    hidden = row.name
            if len(found) < count or len(kept) > limit:
                break
            last = row_of(found[-1])
            after = [getattr(last, name) for name, _ in question.order]
        if hidden and not kept and question.after is None:
            refuse(self._app, token, SeeMetadata(place=_place(hidden)))
        following = ""
        if len(kept) > limit > 0:
            last = row_of(kept[limit - 1])
            following = make_token(question.asked, [getattr(last, name) for name, _ in question.order])
        return kept[:limit], following

    def _view(self) -> _Opened:
        return _Opened(self._app)

    async def _sees(self, token: str, position: int, name: str) -> bool:
        """Return whether the caller may see a model. Asks in a thread, unless what was remembered still holds."""
        sight = self._remembered(hash_token(token), position, self._app.clock.now_ns())
        if sight is not None and (seen := sight.decided.get(sight.kind_of(name))) is not None:
            return seen
        return (await asyncio.to_thread(self._sees_which, token, position, [name]))[name]

    def _remembered(self, key: bytes, position: int, now_ns: int) -> _Sight | None:
        sight = self._sights.get(key)
        return sight if sight is not None and sight.position == position and now_ns < sight.until_ns else None

    def _sees_which(self, token: str, position: int, names: Iterable[str]) -> dict[str, bool]:
        """Return for each model whether the caller may see it, by what held at that position or later."""
        key, names, now_ns = hash_token(token), set(names), self._app.clock.now_ns()
        sight = self._remembered(key, position, now_ns)
        kinds = {name: sight.kind_of(name) for name in names} if sight else {}
        if sight is None or not set(kinds.values()) <= sight.decided.keys():
            sight = self._look(token, sight, names, now_ns)
            kinds = {name: sight.kind_of(name) for name in names}
            if len(self._sights) >= _CALLERS:
                self._sights = {}
            self._sights[key] = sight
        return {name: sight.decided[kinds[name]] for name in names}

    def _look(self, token: str, sight: _Sight | None, names: set[str], now_ns: int) -> _Sight:
        with self._app.store.reading() as state:
            caller = admit(state, state.vault, token, now_ns)
            if sight is None or sight.position != state.as_of:
                scopes = {grant.scope for who in caller.chain for grant in state.find(Grant, principal=who)} - {"*"}
                policies = state.get(PolicySetInForce, "current")
                alike = policies is not None and not any(map(_tells_models_apart, policies.files.values()))
                sight = _Sight(state.as_of, now_ns + _REMEMBERED_NS, sorted(scopes) if alike else None)
            decided = dict(sight.decided)
            for name in names:
                if (kind := sight.kind_of(name)) not in decided:
                    decided[kind] = authorize(self._app, state, caller, SeeMetadata(place=_place(name)), now_ns).refusal is None
        return replace(sight, decided=decided)


class _Opened:
    """A view of the registry for the length of a block."""

    def __init__(self, app: App) -> None:
        self._connection = app.store.connection()

    def __enter__(self) -> RegistryView:
        return RegistryView(self._connection.__enter__())

    def __exit__(self, *error: object) -> None:
        self._connection.__exit__(*error)  # type: ignore[arg-type]


def _place(name: str) -> str:
    return model_resource(Stage.DEVELOPMENT, slug(name))


def _named(aliases: dict[str, int], number: int) -> list[str]:
    return sorted(alias for alias, named in aliases.items() if named == number)


def _storable(text: str) -> str:
    """Pass text that PostgreSQL can hold; nothing else can be in it."""
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise Malformed("a parameter holds NUL or half of a surrogate pair", hint="neither can be stored")
    return text


def _tells_models_apart(source: str) -> bool:
    """Whether a policy file may answer for one model otherwise than for another in the same folder; rather yes than no."""
    policies = source.split("@id(")
    return any(_ONE_MODEL.search(text) for text in policies if '"metadata:read"' in text or 'Action::"' not in text)
