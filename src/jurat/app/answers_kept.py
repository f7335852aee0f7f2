"""Every answer of the decision point becomes an event; equal allows of low risk are counted for a minute, and nothing else is.

A deny, an answer on something of high risk, an act that changes something, and the first of equal allows are durable before
they are told. Of the others the count is: at the end of their minute, or when the process is told to stop. A process that is
killed loses the counts of that minute, never an answer of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from jurat.app.decision_point import Told
from jurat.core.clock import Clock, format_at
from jurat.core.errors import JuratError
from jurat.core.ids import new_id
from jurat.domain.events import Actor, Event, encode_event
from jurat.domain.facts_policy import AccessDecided
from jurat.domain.kinds import kind_named

WINDOW_S: Final = 60.0
_LOOKS: Final = frozenset({"read", "see", "use", "request", "search", "evaluate", "verify", "list"})  # verbs that change nothing
_KIND: Final = kind_named("access.decided.v1").code
_MOST_WINDOWS: Final = 50_000

Put = Callable[[int, bytes], Awaitable[object]]
_Key = tuple[str, str, str]  # who asked, the digest of what, which policies answered


@dataclass
class _Window:
    caller: Actor
    told: Told
    resource: str
    ends_ns: int
    repeats: int = 0
    first_at: str = ""
    last_at: str = ""


class AnswersKept:
    """Records answers. For one event loop."""

    def __init__(self, put: Put, clock: Clock) -> None:
        self._put, self._clock = put, clock
        self._windows: dict[_Key, _Window] = {}
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    async def keep(self, caller: Actor, told: Told, resource: str, request_id: str = "") -> None:
        """Return once the answer is recorded, or counted where that is enough.

        Raises:
            Unavailable: the record could not be written; then the answer must not be told.
        """
        now_ns = self._clock.now_ns()
        at = format_at(now_ns)
        if not _may_be_counted(told):
            await self._record(caller, told, resource, 1, at, at, request_id)
            return
        key = (caller.principal, told.ref.asked_digest, told.ref.policy_set)
        window = self._windows.get(key)
        if window is not None and now_ns < window.ends_ns:
            window.repeats += 1
            window.first_at, window.last_at = window.first_at or at, at
            return
        if window is not None:  # its minute is over: this one's count only, nobody waits for everybody's
            await self._close_window(key, window)
        elif len(self._windows) >= _MOST_WINDOWS:
            await self.flush(everything=True)
        await self._record(caller, told, resource, 1, at, at, request_id)
        self._windows.setdefault(key, _Window(caller, told, resource, now_ns + round(WINDOW_S * 1e9)))  # the same was asked meanwhile
        if self._task is None:
            self._task = asyncio.create_task(self._clockwork())

    async def flush(self, *, everything: bool = False) -> None:
        """Record the counts of minutes that are over, or of all."""
        now_ns = self._clock.now_ns()
        for key, window in list(self._windows.items()):
            if everything or now_ns >= window.ends_ns:
                await self._close_window(key, window)

    async def _close_window(self, key: _Key, window: _Window) -> None:
        """Record the count of one window, unless somebody else does already; what cannot be recorded is counted on."""
        if self._windows.get(key) is not window:
            return
        del self._windows[key]  # first: what comes meanwhile begins anew
        if not window.repeats:
            return
        try:
            await self._record(window.caller, window.told, window.resource, window.repeats, window.first_at, window.last_at)
        except JuratError:
            anew = self._windows.setdefault(key, window)
            if anew is not window:
                anew.repeats, anew.first_at = anew.repeats + window.repeats, window.first_at
                anew.last_at = anew.last_at or window.last_at
            raise

    async def close(self) -> None:
        """Record all counts; the process goes."""
        self._closing.set()
        if self._task is not None:
            await self._task  # not cancelled: a count that it is just recording would be lost, or told twice
        with contextlib.suppress(JuratError):
            await self.flush(everything=True)

    async def _clockwork(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), 1.0)
            with contextlib.suppress(JuratError):  # the next second tries again; what is counted is still there
                await self.flush()

    async def _record(
        self, caller: Actor, told: Told, resource: str, count: int, first_at: str, last_at: str, request_id: str = ""
    ) -> None:
        data = AccessDecided(asked_by=caller.principal, count=count, first_at=first_at, last_at=last_at, request_id=request_id)
        event = Event(id=new_id("evt", self._clock), at=last_at, actor=caller, resource=resource, decision=told.ref, data=data)
        await self._put(_KIND, encode_event(event))


def _may_be_counted(told: Told) -> bool:
    asked = told.ref.asked
    return told.decision.is_allowed and not told.is_high_risk and asked is not None and asked.action.rpartition(":")[2] in _LOOKS
