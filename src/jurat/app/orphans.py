"""Bytes that nothing speaks of: left by a registration that was killed or refused between keeping them and recording them.

Whoever registers keeps the bytes first, so what was written lately is spared: it may be about to be registered. What goes is on
record before it goes; a run that is killed is run again.
"""

from __future__ import annotations

from typing import Final

import msgspec

from jurat.app.artefact_store import Lying
from jurat.app.look import See, check
from jurat.app.walk import act
from jurat.app.wiring import App
from jurat.core.errors import Malformed
from jurat.domain import commands_keeping as commands
from jurat.domain.decide_artefacts import registered_digests

LEAST_AGE_S: Final = 3_600.0
_AT_ONCE: Final = 1_000  # digests in one event


class MayClean(See, frozen=True, kw_only=True):
    """What would go is shown to whoever may take it away."""

    permission = "retention:run"


class Orphan(msgspec.Struct, frozen=True, kw_only=True):
    """`why`: `orphan` (whole, and registered by nothing), `unfinished`, or `copy` (of what lies in the object store)."""

    name: str
    why: str
    size_bytes: int
    age_s: float
    is_elsewhere: bool


class Orphans(msgspec.Struct, frozen=True, kw_only=True):
    """What may go, and how much was looked at. `spared`: what nothing speaks of, but is too young to judge."""

    found: list[Orphan]
    looked_at: int
    spared: int
    size_bytes: int


class Cleaned(msgspec.Struct, frozen=True, kw_only=True):
    """What went. `kept`: what was written or registered again meanwhile."""

    removed: int
    freed_bytes: int
    kept: int
    events: list[str]


def find_orphans(app: App, token: str, *, older_than_s: float, copies: bool = False) -> Orphans:
    """Return what nothing speaks of and was not written for that long. Nothing goes.

    Args:
        copies: also what the workspace keeps of what lies in the object store.

    Raises:
        Denied: the caller may not take anything away; recorded.
        Malformed: less than an hour: a registration may be under way.
    """
    _check_age(older_than_s)
    check(app, token, MayClean(place="workspace"))
    found, looked_at, spared = _look(app, older_than_s, copies=copies)
    now_ns = app.clock.now_ns()
    shown = [
        Orphan(
            name=each.name, why=why, size_bytes=each.size_bytes, age_s=(now_ns - each.written_ns) / 1e9, is_elsewhere=each.is_elsewhere
        )
        for each, why in found
    ]  # fmt: skip
    return Orphans(found=shown, looked_at=looked_at, spared=spared, size_bytes=sum(each.size_bytes for each in shown))


def clean_artefacts(app: App, token: str, *, older_than_s: float, copies: bool = False) -> Cleaned:
    """Take away what nothing speaks of and was not written for that long: recorded first.

    Raises:
        Denied: the caller may not; recorded.
        Conflict: somebody registered one of them just now; recorded, and of that lot nothing went.
        Malformed: less than an hour.
    """
    _check_age(older_than_s)
    check(app, token, MayClean(place="workspace"))
    found, _, _ = _look(app, older_than_s, copies=copies)
    removed = freed = 0
    events: list[str] = []
    for start in range(0, len(found), _AT_ONCE):
        lot = found[start : start + _AT_ONCE]
        command = commands.CleanArtefacts(
            digests=sorted({each.digest for each, why in lot if why == "orphan"}),
            unfinished=sum(why == "unfinished" for _, why in lot),
            copies=sum(why == "copy" for _, why in lot),
            size_bytes=sum(each.size_bytes for each, _ in lot),
        )
        events += [event.id for event in act(app, token, command).events]
        for each, _ in lot:
            if app.artefacts.remove(each):
                removed, freed = removed + 1, freed + each.size_bytes
    return Cleaned(removed=removed, freed_bytes=freed, kept=len(found) - removed, events=events)


def _look(app: App, older_than_s: float, *, copies: bool) -> tuple[list[tuple[Lying, str]], int, int]:
    lying = list(app.artefacts.list())  # before the rows: what is registered in between is then seen as registered
    with app.store.reading() as state:
        registered = registered_digests(state)
    elsewhere = {each.digest for each in lying if each.is_elsewhere}
    before_ns = app.clock.now_ns() - round(older_than_s * 1e9)
    found, spared = [], 0
    for each in lying:
        why = _why(each, registered, elsewhere if copies else set())
        if why and each.written_ns < before_ns:
            found.append((each, why))
        elif why:
            spared += 1
    return sorted(found), len(lying), spared


def _why(lying: Lying, registered: set[str], elsewhere: set[str]) -> str:
    if not lying.digest:  # a name of somebody else's in a shared bucket is none of ours
        return "unfinished" if not lying.is_elsewhere and lying.name.startswith(".") and lying.name.endswith(".tmp") else ""
    if lying.digest not in registered:
        return "orphan"
    return "copy" if not lying.is_elsewhere and lying.digest in elsewhere else ""


def _check_age(older_than_s: float) -> None:
    if not older_than_s >= LEAST_AGE_S:
        raise Malformed(
            f"`{older_than_s:g}` seconds is too young to judge, expected {LEAST_AGE_S:g} or more",
            hint="whoever registers keeps the bytes first: give them an hour",
        )
