"""Kill means kill: when a token ends, what is open by it is closed, and how long that took is on record.

A door holds each connection under the hash of the token of its latest request. A thread looks ten times a second whether anything
happened (the outbox moved), and once a second anyway, whether the tokens that are held still admit anybody; the connections of one
that does not are aborted, whatever is under way on them, and an event says how many and how soon.
A connection of a proxy carries many people's requests one after the other: it is the latest one's, and nobody else's is cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, Protocol

from jurat.app.admit import hash_token, why_not_admitted
from jurat.app.wiring import App
from jurat.core.clock import to_ns
from jurat.core.errors import JuratError
from jurat.domain import rows
from jurat.domain.context import Context
from jurat.domain.events import Actor
from jurat.domain.facts_identity import ConnectionsCut
from jurat.store.vault import KnownToken

POLL_S: Final = 0.1
ANYWAY_S: Final = 1.0
HOLD: Final = "jurat.hold"  # in the ASGI scope: what a door calls with the token that was presented
_log: Final = logging.getLogger("jurat.connections")


class Open(Protocol):
    """An open connection."""

    def abort(self) -> None:
        """Close it now, whatever is under way. Called in the event loop."""
        ...


class Connections:
    """What is open in one door, by token. `hold` and `release` in its event loop; `start` and `stop` from anywhere."""

    def __init__(self, app: App, door: str) -> None:
        self._app, self._door = app, door
        self._held: dict[Open, bytes] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="connections", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def hold(self, connection: Open, token: str) -> None:
        """Remember that the latest request on a connection came with that token."""
        self._loop = self._loop or asyncio.get_running_loop()
        with self._lock:
            self._held[connection] = hash_token(token)

    def release(self, connection: Open) -> None:
        """Forget a connection that is closed."""
        with self._lock:
            self._held.pop(connection, None)

    def look(self) -> int:
        """Cut what must be cut; return how many connections that were."""
        with self._lock:
            held = set(self._held.values())
        if not held:
            return 0
        now_ns = self._app.clock.now_ns()
        with self._app.store.reading() as state:
            known = {each: state.vault.find_token(each) for each in held}
            ended = {each: (token, why) for each, token in known.items() if token and (why := why_not_admitted(state, token, now_ns))}
            types = {token.principal: state.get(rows.Principal, token.principal) for token, _ in ended.values()}
        count = 0
        for each, (token, why) in ended.items():
            cut = self._cut(each)
            row = types[token.principal]
            if cut and row is not None:
                self._record(token, Actor(principal=token.principal, type=row.type, chain=token.chain), cut, why)
            count += cut
        return count

    def _cut(self, token_hash: bytes) -> int:
        with self._lock:
            found = [connection for connection, held in self._held.items() if held == token_hash]
            for connection in found:
                del self._held[connection]
        if found and self._loop is not None:
            done: Future[None] = Future()
            self._loop.call_soon_threadsafe(_abort_all, found, done)
            done.result(timeout=5.0)
        return len(found)

    def _record(self, token: KnownToken, actor: Actor, cut: int, why: str) -> None:
        now_ns = self._app.clock.now_ns()
        ended_ns = min(to_ns(moment) for moment in (token.revoked_at, token.expires_at) if moment is not None)
        took_ms = round(max(0, now_ns - ended_ns) / 1e6, 3) if ended_ns <= now_ns else 0.0
        context = Context(actor, now_ns, None, f"principals/{token.principal}")
        fact = ConnectionsCut(
            door=self._door, token=token.token_id, session=token.session, principal=token.principal, connections=cut, took_ms=took_ms,
            reason=why,
        )  # fmt: skip
        with self._app.store.transaction() as tx:
            tx.record([context.event(fact)])

    def _follow(self) -> None:
        seen, looked_s = -1, 0.0
        while not self._stopping.wait(POLL_S):
            with self._lock:
                if not self._held:
                    continue
            try:
                with self._app.store.reading() as state:
                    position = state.as_of
                if position != seen or time.monotonic() - looked_s > ANYWAY_S:
                    self.look()
                    seen, looked_s = position, time.monotonic()
            except JuratError as error:  # the database is away: what is held is looked at as soon as it is back
                _log.warning("open connections could not be looked at: %s", error.detail)
            except Exception:
                _log.exception("open connections could not be looked at")


def held_protocol(protocol: type[Any], connections: Connections) -> type[Any]:
    """Return a server's protocol class that offers each request a way to hold its connection, and lets go when it is closed."""

    class Held(protocol):  # type: ignore[misc]
        def on_message_begin(self) -> None:
            super().on_message_begin()
            self.scope[HOLD] = self._hold

        def connection_lost(self, exc: Exception | None) -> None:
            connections.release(self)
            super().connection_lost(exc)

        def _hold(self, token: str) -> None:
            connections.hold(self, token)

        def abort(self) -> None:
            self.transport.abort()

    return Held


def hold(scope: Any, token: str) -> None:
    """Hold the connection of a request, where its server offers that."""
    held: Callable[[str], None] | None = scope.get(HOLD)
    if held is not None:
        held(token)


def _abort_all(found: list[Open], done: Future[None]) -> None:
    for connection in found:
        with contextlib.suppress(Exception):
            connection.abort()
    done.set_result(None)
