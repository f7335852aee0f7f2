"""The workspace behind AuthZEN: who asks is proved and allowed, answers come from the newest picture, and each is recorded.

One token is looked up every few seconds at most; revoking it is an event, which replaces the picture and what was remembered
with it; that a caller may ask is remembered for a second, on the same terms, and never past a grant's end. A picture that
could not be confirmed answers nobody.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from jurat.app.admit import hash_token
from jurat.app.answers_kept import AnswersKept
from jurat.app.authorize import Answer, authorize
from jurat.app.census import Indexed
from jurat.app.decision_point import Told, WholeSource, WorkspacePoint
from jurat.app.look import See, refuse
from jurat.app.serving import Picture, ServingSnapshot, next_expiry_s
from jurat.app.turned_away import TurnedAway
from jurat.app.wiring import App
from jurat.core.errors import Unauthenticated
from jurat.domain.commands import Command
from jurat.domain.decisions import DecisionRef
from jurat.domain.events import Actor
from jurat.domain.kinds import CONTROL, RetentionClass
from jurat.domain.state import State
from jurat.ledger.client import AsyncLedgerClient
from jurat.ledger.layout import LogName
from jurat.policy.engine import Decision
from jurat.web.authzen import Keep
from jurat.web.requests import presented

_OWN_REMEMBERED_S: Final = 1.0  # that a caller may ask; what they ask about is decided anew each time
_MayAsk = dict[tuple[str, tuple[str, ...]], tuple[float, DecisionRef]]  # caller and chain, under one picture; until when


class Evaluate(See, frozen=True, kw_only=True):
    """Ask what the policies say of somebody else."""

    permission = "access:evaluate"
    place: str = "workspace"


class Search(See, frozen=True, kw_only=True):
    """Ask who may, or what somebody may."""

    permission = "access:search"
    place: str = "workspace"


class DecisionDoor:
    """One process's door. Made at its start; the picture is read when somebody asks first."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._snapshot = ServingSnapshot(WholeSource(app.store), _never, app.clock)
        self._start = threading.Lock()
        self._started = False
        self._ledger: AsyncLedgerClient | None = None
        self._kept: AnswersKept | None = None
        self._connecting = asyncio.Lock()
        self._indexed: tuple[Picture, Indexed] | None = None
        self._own: _MayAsk = {}
        self._turned_away = TurnedAway(app, "authzen")

    async def admit(self, request: Request, search: bool) -> tuple[WorkspacePoint, Keep]:
        """Return what answers this caller, and what records it.

        Raises:
            Unauthenticated, Denied (recorded), Unavailable.
        """
        if not self._started:
            await run_in_threadpool(self._begin)
        picture = self._snapshot.picture()
        permission = Search() if search else Evaluate()
        state, may_ask = self._index(picture), self._own
        caller, own = await self._caller(request, picture, state, permission, may_ask)
        if search:  # who asked for a list of what others may do is on record, as often as they ask
            allowed = Decision("allow", own.policies, own.policy_set, [], [])
            await (await self._keeper()).keep(caller, Told(allowed, own), "workspace")
        point = WorkspacePoint(self._app, state, self._app.clock.now_ns())

        async def keep(told: Told, resource: str, request_id: str) -> None:
            place = told.ref.asked.resource if told.ref.asked is not None else "workspace"
            await (await self._keeper()).keep(caller, told, place, request_id)

        return point, keep

    async def close(self) -> None:
        """Record what was counted, and let go."""
        await run_in_threadpool(self._turned_away.close)
        if self._kept is not None:
            await self._kept.close()
        if self._ledger is not None:
            await self._ledger.close()
        self._snapshot.stop()

    async def _caller(
        self, request: Request, picture: Picture, state: Indexed, permission: See, may_ask: _MayAsk
    ) -> tuple[Actor, DecisionRef]:
        token = await presented(self._app, request)
        hashed = hash_token(token)
        if not self._snapshot.remembers(picture, hashed):
            await run_in_threadpool(self._snapshot.look_up, picture, hashed)
        try:
            caller = self._snapshot.caller(picture, token)
        except Unauthenticated as error:
            await run_in_threadpool(self._turned_away.note, permission, error)
            raise
        key, now_s = (caller.principal, tuple(caller.chain)), time.monotonic()
        if isinstance(permission, Evaluate) and (kept := may_ask.get(key)) is not None and now_s < kept[0]:
            return caller, kept[1]
        now_ns = self._app.clock.now_ns()
        answer = authorize(self._app, state, caller, permission, now_ns)
        if answer.refusal is not None:
            await run_in_threadpool(refuse, self._app, token, permission)
            raise answer.refusal  # the picture was older than the refusal's state, or newer: no answer either way
        if isinstance(permission, Evaluate):
            may_ask[key] = now_s + min(_OWN_REMEMBERED_S, next_expiry_s(state, caller, now_ns)), answer.decision
        return caller, answer.decision

    def _index(self, picture: Picture) -> Indexed:
        """Return the picture's state with its index: made once for each picture, since neither changes."""
        if self._indexed is None or self._indexed[0] is not picture:
            self._indexed, self._own = (picture, Indexed(picture.state)), {}
        return self._indexed[1]

    async def _keeper(self) -> AnswersKept:
        async with self._connecting:  # one for all who come first at once: what a second one counted would be lost with it
            if self._kept is None:
                self._ledger = await AsyncLedgerClient.connect(self._app.workspace.run, CONTROL.code)
                ledger, log = self._ledger, LogName(self._app.settings.tenant, RetentionClass.ACCESS)
                self._kept = AnswersKept(lambda kind, raw: ledger.put(log, kind, raw), self._app.clock)
            return self._kept

    def _begin(self) -> None:
        with self._start:
            if not self._started:
                self._snapshot.start()
                self._started = True


def public_url(app: App, request: Request) -> str:
    """Return the https URL that this is reached under from outside: `public_url` of the settings, or the host that was asked."""
    return app.settings.public_url or f"https://{request.headers.get('host', 'localhost')}"


def _never(_state: State, _caller: Actor, _command: Command, _now_ns: int) -> Answer:
    raise AssertionError("this snapshot serves no predictions")
