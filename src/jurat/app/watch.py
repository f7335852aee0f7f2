"""Who has fallen silent: streams that promised a word each period, gave none for two, and did not say that they end.

The worker looks every few seconds and records what is new (`producer.silent.v1`), once for each silence; `jurat status` tells
what it saw last. A look reads what was recorded since the one before (`ledger.voices`), and asks for an event only of a suspect.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import msgspec

from jurat.app.timekeeper import clock_of
from jurat.app.wiring import App
from jurat.core.clock import format_at
from jurat.core.errors import JuratError, Malformed
from jurat.core.files import write_whole
from jurat.core.jsonio import dump_json, load_json
from jurat.core.statements import parse_statement
from jurat.core.workspace import Workspace
from jurat.domain.context import Context
from jurat.domain.decide_alarms import alarm
from jurat.domain.facts_watch import ProducerSilent
from jurat.ledger.layout import class_logs
from jurat.ledger.voices import Voices

_LOOK_BACK_NS: Final = 7 * 86_400 * 10**9  # who has been silent for longer is old news; `jurat log gaps` still says so
_SHORTEST_NS: Final = 10**9  # nobody is asked what it promised before it has been silent for so long
_PERIODS: Final = 2
_TOLD: Final = "SELECT raw FROM events WHERE kind = 'producer.silent.v1' AND received_ns >= ?"


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker saw last."""

    looked_at: str
    silent: list[ProducerSilent] = []


class Watch:
    """What one watcher remembers between two looks."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._voices = Voices(app.workspace.ledger, class_logs(app.settings.tenant))
        self._periods: dict[tuple[str, int], float] = {}  # by log and index of the statement that says it

    def silent_now(self) -> list[ProducerSilent]:
        """Return the streams that are silent at this moment."""
        now_ns, found = self._app.clock.now_ns(), []
        for voice in self._voices.look():
            silent_ns = now_ns - voice.last_received_ns
            if voice.stated is None or voice.is_closed or not _SHORTEST_NS < silent_ns < _LOOK_BACK_NS:
                continue
            period_s = self._period_s(voice.log, voice.stated)
            if period_s and silent_ns > _PERIODS * period_s * 1e9:
                found.append(
                    ProducerSilent(
                        log=voice.log, producer=voice.producer, epoch=voice.epoch, last_seq=voice.last_seq,
                        last_received_at=format_at(voice.last_received_ns), period_s=period_s, silent_s=round(silent_ns / 1e9, 1),
                    )
                )  # fmt: skip
        return found

    def step(self) -> list[ProducerSilent]:
        """Look, record each silence that is not on record yet, and keep what was seen for `jurat status`; return what is new.

        Raises:
            Unavailable: the workspace has no clock that could record it, or the ledger is away.
        """
        app, now_ns = self._app, self._app.clock.now_ns()
        silent = self.silent_now()
        told = _told(app, now_ns) if silent else set()
        new = [each for each in silent if _place(each) not in told]
        if new:
            with app.store.transaction() as tx:
                context = Context(clock_of(tx.state), now_ns, None, "workspace")
                for each in new:
                    event = context.event(each)
                    text = f"producer {each.producer} is silent in `{each.log}`: nothing since {each.last_received_at}"
                    about = f"{each.log}#{each.producer}.{each.epoch}"
                    tx.record([event, *alarm(tx.state, context, event, about=about, subject="silence", text=text)])
            app.settle()  # so that the next look finds it
        write_whole(watched_file(app.workspace), dump_json(Watched(looked_at=format_at(now_ns), silent=silent)), mode=0o600)
        return new

    def _period_s(self, log: str, index: int) -> float:
        """Return what a statement promises; 0 if it cannot be read: the gap report says what is wrong with it."""
        if (log, index) not in self._periods:
            rows = self._app.events.select("SELECT raw FROM events WHERE log = ? AND idx = ?", [log, index]).rows
            try:
                self._periods[log, index] = parse_statement(rows[0][0]).data.period_s if rows and rows[0][0] else 0.0
            except Malformed:
                self._periods[log, index] = 0.0
        return self._periods[log, index]


def read_watched(workspace: Workspace) -> Watched | None:
    """Return what the worker saw last; None if it never looked, or that cannot be read."""
    try:
        return load_json(watched_file(workspace).read_bytes(), Watched, what="what the watch saw")
    except (OSError, JuratError):
        return None


def watched_file(workspace: Workspace) -> Path:
    return workspace.run / "watched.json"


def _told(app: App, now_ns: int) -> set[tuple[str, int, int, str]]:
    said = [json.loads(raw)["data"] for (raw,) in app.events.select(_TOLD, [now_ns - _LOOK_BACK_NS]).rows if raw is not None]
    return {(each["log"], each["producer"], each["epoch"], each["last_received_at"]) for each in said}


def _place(silent: ProducerSilent) -> tuple[str, int, int, str]:
    return silent.log, silent.producer, silent.epoch, silent.last_received_at
