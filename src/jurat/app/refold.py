"""State folded again from the ledger: to compare with what the database says, or to put in its place."""

from __future__ import annotations

from collections.abc import Iterator

from jurat.app.look import CheckLedger, check
from jurat.app.wiring import App
from jurat.domain.events import Event, decode_event
from jurat.domain.evolve import evolve
from jurat.domain.state import MemoryState
from jurat.store.connect import attach_database
from jurat.store.rebuild import STATE_KINDS, Difference, compare, rebuild
from jurat.store.store import Store


def compare_state(app: App, token: str) -> list[Difference]:
    """Return every row that differs from what the ledger says; none if all is well.

    Raises:
        Denied: the caller may not verify the ledger. Recorded.
        Tampered: the ledger itself is not whole.
    """
    check(app, token, CheckLedger(place="workspace"))
    return differences(app)


def differences(app: App) -> list[Difference]:
    """Return the same to the workspace's own clock, which nobody asked. Acts wait while it compares."""
    app.settle()
    with _owner(app) as store:
        return compare(store, _events(app))


def rebuild_state(app: App, token: str) -> int:
    """Put what the ledger says in the place of what the database says; return how many rows there are now."""
    check(app, token, CheckLedger(place="workspace"))
    app.settle()
    with _owner(app) as store:
        return rebuild(store, _events(app))


def fold_in(app: App, *, dry: bool = False) -> tuple[MemoryState, int]:
    """Return what the ledger says holds now, and of how many events; put it into the database, unless it is only looked at."""
    state, count = MemoryState(), 0
    for event in _events(app):
        state.apply(evolve(state, event))
        count += 1
    if not dry:
        with _owner(app) as store:
            rebuild(store, _events(app))
    return state, count


def _owner(app: App) -> Store:
    return Store.open(attach_database(app.workspace).dsn("owner"), application="rebuild")


def _events(app: App) -> Iterator[Event]:
    """Yield the events that change state, in the order in which the ledger received them, over all logs."""
    stored = sorted(app.events.scan(kinds=STATE_KINDS), key=lambda e: (e.received_ns, e.log, e.index))
    for each in stored:
        yield decode_event(each.raw)
