"""Intents without an outcome: a prediction that was asked for, or a held act that was about to be passed on, and nothing after it.

Whoever wrote the intent was killed, or lost the ledger, in between. The worker looks every few seconds at what is old enough to
have an outcome, records what is new (`intents.orphaned.v1`), tells the people who can look, and keeps it for `jurat status`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from jurat.app.soak import ANSWERED_WITHIN_S
from jurat.app.timekeeper import clock_of
from jurat.app.wiring import App
from jurat.core.clock import format_at, to_ns
from jurat.core.errors import JuratError
from jurat.core.files import write_whole
from jurat.core.jsonio import dump_json, load_json
from jurat.core.workspace import Workspace
from jurat.domain.context import Context
from jurat.domain.decide_alarms import alarm
from jurat.domain.events import Event
from jurat.domain.facts_watch import IntentsOrphaned
from jurat.domain.state import State

PREDICTION, REGISTRY_ACT = "prediction", "registry_act"
_OLD_ENOUGH_NS: Final = round((ANSWERED_WITHIN_S + 5.0) * 1e9)
_LOOK_BACK_NS: Final = 7 * 86_400 * 10**9
_AT_ONCE: Final = 500  # intents in one event
_MOST_SHOWN: Final = 20
_ASKED: Final = """
    SELECT resource, prediction, occurred_at FROM events
    WHERE kind = 'prediction.requested.v1' AND received_ns > ? AND received_ns <= ? AND prediction NOT IN (
        SELECT prediction FROM events WHERE kind IN ('prediction.made.v1', 'prediction.failed.v1') AND received_ns > ?
           AND prediction IS NOT NULL)
    ORDER BY resource, received_ns
"""
_ASKED_KINDS: Final = ["prediction.requested.v1", "prediction.made.v1", "prediction.failed.v1"]
_ACTS: Final = """
    SELECT event_id, occurred_at, received_ns, raw FROM events
    WHERE kind = 'registry_act.forwarded.v1' AND received_ns > ? AND raw IS NOT NULL
"""
_TOLD: Final = "SELECT raw FROM events WHERE kind = 'intents.orphaned.v1' AND received_ns >= ? AND raw IS NOT NULL"


class Orphaned(msgspec.Struct, frozen=True, kw_only=True):
    """Intents of one sort about one thing that got no outcome, as `jurat status` says it."""

    sort: str
    about: str
    count: int
    first_at: str
    last_at: str
    event: str


class IntentsSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker saw last. `looked_until_ns`: what the ledger received up to then was looked at."""

    looked_until_ns: int
    orphaned: list[Orphaned] = []


def watch_intents(app: App) -> list[Orphaned]:
    """Look at what has become old enough, record and tell what got no outcome, and return what is new.

    Harmless to run at any time, and by two at once: what is on record already is not recorded again.

    Raises:
        Unavailable: the workspace has no clock that could record it, or the ledger is away.
    """
    now_ns = app.clock.now_ns()
    seen = read_intents(app.workspace)
    since_ns = max(seen.looked_until_ns if seen else 0, now_ns - _LOOK_BACK_NS)
    until_ns = max(now_ns - _OLD_ENOUGH_NS, since_ns)
    found = [*_predictions(app, since_ns, until_ns), *_registry_acts(app, since_ns, until_ns)]
    new = _record(app, found, now_ns) if found else []
    shown = [*new, *(seen.orphaned if seen else [])][:_MOST_SHOWN]
    write_whole(intents_file(app.workspace), dump_json(IntentsSeen(looked_until_ns=until_ns, orphaned=shown)), mode=0o600)
    return new


def read_intents(workspace: Workspace) -> IntentsSeen | None:
    """Return what the worker saw last; None if it never looked, or that cannot be read."""
    try:
        return load_json(intents_file(workspace).read_bytes(), IntentsSeen, what="what became of intents")
    except (OSError, JuratError):
        return None


def intents_file(workspace: Workspace) -> Path:
    return workspace.run / "intents.json"


def _predictions(app: App, since_ns: int, until_ns: int) -> Iterator[IntentsOrphaned]:
    by_place: dict[str, list[tuple[str, str]]] = {}
    for resource, prediction, at in app.events.select(_ASKED, [since_ns, until_ns, since_ns], kinds=_ASKED_KINDS).rows:
        by_place.setdefault(str(resource), []).append((str(prediction), _at(at)))
    for resource, intents in by_place.items():
        yield from _facts(PREDICTION, resource, intents)


def _registry_acts(app: App, since_ns: int, until_ns: int) -> Iterator[IntentsOrphaned]:
    intended: dict[str, tuple[str, str]] = {}
    done: set[str] = set()
    for event, at, received_ns, raw in app.events.select(_ACTS, [since_ns], kinds=["registry_act.forwarded.v1"]).rows:
        data = _data(raw)
        if data["phase"] != "intended":
            done.add(data["intent"])
        elif received_ns <= until_ns:
            intended[str(event)] = (f"registry/{data['registry']}/{data['name']}", _at(at))
    by_place: dict[str, list[tuple[str, str]]] = {}
    for event, (place, at) in intended.items():
        if event not in done:
            by_place.setdefault(place, []).append((event, at))
    for place, intents in by_place.items():
        yield from _facts(REGISTRY_ACT, place, intents)


def _facts(sort: str, about: str, intents: list[tuple[str, str]]) -> Iterator[IntentsOrphaned]:
    for start in range(0, len(intents), _AT_ONCE):
        lot = intents[start : start + _AT_ONCE]
        times = sorted(at for _, at in lot)
        yield IntentsOrphaned(sort=sort, about=about, intents=[each for each, _ in lot], first_at=times[0], last_at=times[-1])


def _record(app: App, found: list[IntentsOrphaned], now_ns: int) -> list[Orphaned]:
    told = {
        each
        for (raw,) in app.events.select(_TOLD, [now_ns - _LOOK_BACK_NS], kinds=["intents.orphaned.v1"]).rows
        for each in _data(raw)["intents"]
    }
    new: list[Orphaned] = []
    with app.store.transaction() as tx:
        context = Context(clock_of(tx.state), now_ns, None, "workspace")
        for fact in found:
            left = [each for each in fact.intents if each not in told]
            if not left:
                continue
            event = context.event(msgspec.structs.replace(fact, intents=left))
            tx.record([event, *_tell(tx.state, context, event, len(left), fact)])
            new.append(
                Orphaned(
                    sort=fact.sort, about=fact.about, count=len(left), first_at=fact.first_at, last_at=fact.last_at, event=event.id
                )
            )  # fmt: skip
    if new:
        app.settle()  # so that the next look finds it
    return new


def _tell(state: State, context: Context, event: Event, count: int, fact: IntentsOrphaned) -> list[Event]:
    what = "predictions were asked for" if fact.sort == PREDICTION else "acts were about to be passed on"
    text = f"{count} {what} at `{fact.about}` up to {fact.last_at}, without an outcome: who served it was killed, or lost the ledger"
    return alarm(state, context, event, about=fact.about, subject="intent", text=text)


def _data(raw: Any) -> dict[str, Any]:
    found: dict[str, Any] = load_json(bytes(raw), dict[str, Any], what="event")["data"]
    return found


def _at(value: Any) -> str:
    return format_at(to_ns(value))
