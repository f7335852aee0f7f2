"""Reads of the registry that wait at the same time are answered by one statement. For an event loop; no thread lies in their way.

While one statement is under way, others that are asked for wait for the next one. So each statement begins after every question
that it answers: a read sees whatever was done before it was asked for, as it would by a connection of its own. What a statement
costs (a round trip, two wake-ups, the driver) is shared by those who wait. Knows rows and positions; who may see them is not its business.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple

import psycopg

from jurat.core.errors import JuratError, Unavailable
from jurat.domain.registry import version_key
from jurat.domain.registry_names import STAGES
from jurat.store.failures import database_errors
from jurat.store.registry import HEAD, LATEST, Found, FoundVersion, read_model, read_version, read_versions
from jurat.store.store import Store

_MOST_AT_ONCE: Final = 256
_PATIENCE_S: Final = 10.0
_HEAD_LINE, _MODEL, _OWNER, _VERSION = range(4)
_QUERY: Final = (
    f"SELECT {_HEAD_LINE}, {HEAD}, NULL, NULL, NULL "
    f"UNION ALL SELECT {_MODEL}, 0, m.key, m.row::text, {LATEST} FROM view.registry_models m WHERE m.key = ANY(%(models)s) "
    f"UNION ALL SELECT {_OWNER}, 0, m.key, m.row::text, NULL FROM view.registry_models m WHERE m.key = ANY(%(owners)s) "
    f"UNION ALL SELECT {_VERSION}, 0, v.key, v.row::text, NULL FROM view.registry_versions v WHERE v.key = ANY(%(versions)s)"
).encode()


class _Wanted(NamedTuple):
    """A model with its newest versions, or one version (`number`) with its model."""

    name: str
    number: int | None
    answer: asyncio.Future[Any]


class RegistryTogether:
    """The registry for one event loop. Has a connection of its own, made when somebody asks first; the store closes it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._waiting: list[_Wanted] = []
        self._work: asyncio.Task[None] | None = None

    async def model(self, name: str) -> Found:
        """Return one model and its newest version in each stage.

        Raises:
            Unavailable: the database is away.
        """
        found: Found = await self._ask(name, None)
        return found

    async def version(self, name: str, number: int) -> FoundVersion:
        """Return one version and its model.

        Raises:
            Unavailable: the database is away.
        """
        found: FoundVersion = await self._ask(name, number)
        return found

    async def _ask(self, name: str, number: int | None) -> Any:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a connection and its futures belong to one loop
            self._loop, self._work, self._waiting = loop, None, []
            self._let_go()
        wanted = _Wanted(name, number, loop.create_future())
        self._waiting.append(wanted)
        if self._work is None:
            self._work = loop.create_task(self._answer())
        return await wanted.answer

    async def _answer(self) -> None:
        """Answer until nobody waits. Whatever happens, nobody is left waiting."""
        asked: list[_Wanted] = []
        try:
            while self._waiting:
                asked, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
                try:
                    found = await self._fetch(asked)
                except JuratError as error:
                    _tell(asked, error)
                    continue
                for each in asked:
                    try:
                        answer = found.of(each)
                    except JuratError as error:  # a row that nobody can read: its asker hears of it, and nobody else
                        _tell([each], error)
                    else:
                        if not each.answer.done():  # else its asker has left
                            each.answer.set_result(answer)
        finally:
            self._work = None
            _tell([*asked, *self._waiting], Unavailable("the registry was not read: the door is closing", hint="try again in a moment"))
            self._waiting = []

    async def _fetch(self, asked: list[_Wanted]) -> _Lines:
        values = {
            "models": [each.name for each in asked if each.number is None],
            "owners": [each.name for each in asked if each.number is not None],
            "versions": [version_key(each.name, each.number) for each in asked if each.number is not None],
            "stages": list(STAGES),
        }
        with database_errors():
            try:
                return await self._execute(values)
            except (psycopg.OperationalError, psycopg.InterfaceError):  # a server that went away and came back: reading twice is reading
                self._let_go()
                return await self._execute(values)

    async def _execute(self, values: dict[str, list[str]]) -> _Lines:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                if self._connection is None:
                    self._connection = await self._store.connect_alone()
                cursor = await self._connection.execute(_QUERY, values, prepare=True)
                return _Lines(await cursor.fetchall())
        except TimeoutError:
            self._let_go()  # its answer may still come, and must not be taken for another's
            raise Unavailable("the database took too long to answer", hint="try again in a moment", code="database_busy") from None
        except asyncio.CancelledError:
            self._let_go()
            raise

    def _let_go(self) -> None:
        if self._connection is not None:
            self._store.close_alone(self._connection)
            self._connection = None


def _tell(asked: list[_Wanted], error: JuratError) -> None:
    for each in asked:
        if not each.answer.done():
            each.answer.set_exception(error)


class _Lines:
    """What one statement found, by name."""

    def __init__(self, lines: list[tuple[Any, ...]]) -> None:
        self._position = 0
        self._texts: dict[tuple[int, str], tuple[str, str | None]] = {}
        for kind, position, key, row, latest in lines:
            if kind == _HEAD_LINE:
                self._position = position
            else:
                self._texts[kind, key] = (row, latest)

    def of(self, wanted: _Wanted) -> Found | FoundVersion:
        if wanted.number is None:
            text, latest = self._texts.get((_MODEL, wanted.name), (None, None))
            return Found(self._position, read_model(text) if text else None, read_versions(latest) if latest else [])
        owner, _ = self._texts.get((_OWNER, wanted.name), (None, None))
        text, _ = self._texts.get((_VERSION, version_key(wanted.name, wanted.number)), (None, None))
        return FoundVersion(self._position, read_model(owner) if owner else None, read_version(text) if text else None)
