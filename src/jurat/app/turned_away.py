"""Whoever proved who they are and may not act: that they tried is on record, as every refusal is.

A token that proves nobody (unknown, expired, revoked) leaves nothing: there is nobody whose act it would be. Doors that answer
from what they remember (the gateway, enforcement points, events from outside) record the first refusal and count the others of its minute:
a suspended service that goes on asking a thousand times a second must not hold up everybody's acts.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from jurat.app.wiring import App
from jurat.core.clock import format_at
from jurat.core.errors import JuratError, Unauthenticated
from jurat.domain import rows
from jurat.domain.commands import Command
from jurat.domain.context import Context
from jurat.domain.events import Actor
from jurat.domain.facts import ActDenied, Fact
from jurat.domain.facts_credentials import CallerRefused

WINDOW_S: Final = 60.0
_MOST: Final = 10_000  # callers whose refusals are counted at once; more are recorded one by one
_log: Final = logging.getLogger("jurat.turned_away")


@contextmanager
def on_record(app: App, command: Command | None) -> Iterator[None]:
    """Put the refusal of somebody who is suspended on record, and raise it on; `event` among its fields names it.

    Args:
        command: what they wanted; None for a look at nothing in particular.
    """
    try:
        yield
    except Unauthenticated as error:
        if error.code == "suspended" and "event" not in error.fields:
            _record(app, command, error)
        raise


@dataclass
class _Window:
    """The minute after a refusal that is on record."""

    error: Unauthenticated
    ends_ns: int
    resource: str = "workspace"
    count: int = 0
    first_at: str = ""
    last_at: str = ""


class TurnedAway:
    """One door's refusals of those who are suspended: the first is recorded, the others of its minute are counted. Thread-safe."""

    def __init__(self, app: App, door: str) -> None:
        self._app, self._door = app, door
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, ...], _Window] = {}

    @contextmanager
    def noted(self, command: Command) -> Iterator[None]:
        """Note the refusal of somebody who is suspended, and raise it on. Blocks for the first of a minute."""
        try:
            yield
        except Unauthenticated as error:
            self.note(command, error)
            raise

    def note(self, command: Command, error: Unauthenticated) -> None:
        """Record or count a refusal; of whoever is not suspended, nothing. The refusal stands whether it could be recorded or not."""
        if error.code != "suspended" or "event" in error.fields:
            return
        chain = error.fields.get("chain")
        key = (str(error.fields.get("principal")), *(chain if isinstance(chain, list) else ()))
        now_ns = self._app.clock.now_ns()
        with self._lock:
            window = self._windows.get(key)
            if window is not None and now_ns < window.ends_ns:
                self._count(window, now_ns)
                return
            opened = _Window(error, now_ns + round(WINDOW_S * 1e9))
            if len(self._windows) < _MOST:
                self._windows[key] = opened
        if window is not None:  # its minute is over
            self._close(key, window)
        try:
            opened.resource = _record(self._app, command, error)
        except JuratError as failed:
            _log.error("alert: a refusal could not be recorded, and is counted: %s", failed.detail)
            with self._lock:
                self._count(opened, now_ns)
        timer = threading.Timer(WINDOW_S + 0.01, self.flush)
        timer.daemon = True
        timer.start()

    def flush(self, *, everything: bool = False) -> None:
        """Record the counts of minutes that are over, or of all; what cannot be recorded now is counted on."""
        now_ns = self._app.clock.now_ns()
        with self._lock:
            over = {key: w for key, w in self._windows.items() if everything or now_ns >= w.ends_ns}
            for key in over:
                del self._windows[key]
        for key, window in over.items():
            self._close(key, window)

    def close(self) -> None:
        """Record all counts; the process goes."""
        self.flush(everything=True)

    def _close(self, key: tuple[str, ...], window: _Window) -> None:
        if not window.count:
            return
        data = CallerRefused(
            principal=key[0], door=self._door, rule=window.error.code, count=window.count, first_at=window.first_at, last_at=window.last_at
        )
        try:
            _write(self._app, window.error, data, window.resource)
        except JuratError as failed:
            _log.error("alert: %d refusals could not be recorded, and are counted on: %s", window.count, failed.detail)
            with self._lock:
                self._windows.setdefault(key, window)

    @staticmethod
    def _count(window: _Window, now_ns: int) -> None:
        at = format_at(now_ns)
        window.count += 1
        window.first_at, window.last_at = window.first_at or at, at


def _record(app: App, command: Command | None, error: Unauthenticated) -> str:
    """Record a refusal; return what it was about."""
    with app.store.reading() as state:
        resource = command.resource(state) if command else "workspace"
    data = ActDenied(
        command=type(command).__name__ if command else "Look", permission=command.permission if command else "", by="identity",
        rule=error.code, detail=error.detail, hint=error.hint, reasons=[],
    )  # fmt: skip
    event = _write(app, error, data, resource)
    if event:
        error.fields["event"] = event
    return resource


def _write(app: App, error: Unauthenticated, data: Fact, resource: str) -> str:
    """Return the event that says so, done by whoever was refused; nothing, if the record knows no such principal."""
    principal, chain = error.fields.get("principal"), error.fields.get("chain")
    with app.store.transaction() as tx:
        found = tx.state.get(rows.Principal, str(principal))
        if found is None or not isinstance(chain, list):
            return ""
        actor = Actor(principal=found.principal, type=found.type, chain=chain)
        event = Context(actor, app.clock.now_ns(), None, resource).event(data)
        tx.record([event])
    return event.id
