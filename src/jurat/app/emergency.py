"""Break-glass at work: what was done in a window, its review, and the drill that measures the whole path.

What lies in a window is read from the ledger by the tag in each act's decision; a reviewer signs exactly that list, by digest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from jurat.app.admit import admit
from jurat.app.look import SeeAccess, check
from jurat.app.walk import Done, act
from jurat.app.wiring import App
from jurat.core.clock import parse_at
from jurat.core.digests import digest_json, short
from jurat.core.errors import Conflict, NotFound, Unavailable
from jurat.domain import rows
from jurat.domain.commands_access import BreakGlass, CloseGlass, ReportDrill, ReviewGlass
from jurat.domain.facts_access import DrillReported, GlassBroken
from jurat.domain.roles import in_scope, roles_held
from jurat.domain.state import State

_MOST_ACTS: Final = 10_000
_PATIENCE_S: Final = 20.0
_METHOD: Final = (
    "one process against the running store: monotonic seconds from the command to the first read in which the role was held, "
    "to the first read of each person's inbox that had the notice, and from the end to the first read in which the role was not held"
)


class WindowAct(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded act in a window."""

    event: str
    kind: str
    at: str
    principal: str
    resource: str
    effect: str
    place: str


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A window with everything that was recorded in it; `shown_digest` names exactly this list."""

    glass: rows.Glass
    acts: list[WindowAct]
    shown_digest: str


def window_with_acts(app: App, token: str, glass: str) -> Window:
    """Return a window and every recorded act of the person in it, whoever or whatever acted for them.

    Raises:
        NotFound: there is none, or none that the caller may see.
        Denied: recorded.
    """
    with app.store.reading() as state:
        row = state.get(rows.Glass, glass)
    if row is None:
        raise NotFound(f"break-glass `{glass[:60]}` does not exist", hint="`jurat glass list` shows them")
    check(app, token, SeeAccess(place=f"principals/{row.person}"))
    app.settle()
    answer = app.events.select(
        "SELECT event_id, kind, strftime(occurred_at, '%Y-%m-%dT%H:%M:%S.%fZ'), principal, resource, effect, log, idx FROM events "
        "WHERE occurred_at >= ? AND raw IS NOT NULL AND kind NOT LIKE '%.observed.v1' "
        "AND json_extract_string(decode(raw), '$.decision.break_glass') = ? ORDER BY occurred_at, log, idx",
        [parse_at(row.opened_at), glass],
        max_rows=_MOST_ACTS,
    )
    if answer.is_cut:
        raise Unavailable(f"the window has more than {_MOST_ACTS} acts", hint="read them with `jurat sql`")
    acts = [
        WindowAct(event=e, kind=kind, at=at, principal=who or "", resource=where or "", effect=effect or "", place=f"{log}#{index}")
        for e, kind, at, who, where, effect, log, index in answer.rows
    ]
    return Window(glass=row, acts=acts, shown_digest=digest_json([glass, *(a.event for a in acts)]))


def review_window(app: App, token: str, glass: str, shown_digest: str, verdict: str, comment: str) -> Done:
    """Say whether what was done in a window was right, having been shown exactly that.

    Raises:
        Conflict: something else was shown, or the window is open.
        Denied: it is one's own, or no role of the caller's reviews. Recorded.
    """
    found = window_with_acts(app, token, glass)
    if shown_digest != found.shown_digest:
        raise Conflict(
            f"window `{glass}` shows `{short(found.shown_digest)}`, you looked at `{short(shown_digest)}`",
            hint=f"look again: `jurat glass show {glass}`",
            code="shown_changed",
        )
    command = ReviewGlass(glass=glass, verdict=verdict, comment=comment, acts=len(found.acts), shown_digest=shown_digest)
    return act(app, token, command)


def drill(app: App, token: str, *, role: str, scope: str, reason: str, ticket: str) -> tuple[DrillReported, str]:
    """Walk the whole path for real, measure it, undo it, and put the times on record; return them and the event that holds them.

    Raises:
        Denied, Conflict: as for break-glass.
        Unavailable: a step did not show within 20 s; the window was closed, and nothing is reported.
    """
    with app.store.reading() as state:
        person = admit(state, state.vault, token, app.clock.now_ns()).principal
    began_s = time.monotonic()
    command = BreakGlass(principal=person, role=role, scope=scope, reason=reason, ticket=ticket, lifetime_s=120.0, drill=True)
    broken = act(app, token, command).events[0].data
    assert isinstance(broken, GlassBroken)
    try:
        to_access_s = _until(app, began_s, lambda state: _held(app, state, broken), "the role did not come")
        to_notify_s = {each: _until(app, began_s, partial(_told, broken.glass, each), "a notice did not come") for each in broken.told}
    finally:
        ended_s = time.monotonic()
        act(app, token, CloseGlass(glass=broken.glass))
    to_revoke_s = _until(app, ended_s, lambda state: not _held(app, state, broken), "the role did not go")
    report = ReportDrill(glass=broken.glass, to_access_s=to_access_s, to_notify_s=to_notify_s, to_revoke_s=to_revoke_s, method=_METHOD)
    event = act(app, token, report).events[0]
    assert isinstance(event.data, DrillReported)
    return event.data, event.id


def _until(app: App, began_s: float, is_so: Callable[[State], bool], failed: str) -> float:
    while True:
        with app.store.reading() as state:
            if is_so(state):
                return round(time.monotonic() - began_s, 6)
        if time.monotonic() - began_s > _PATIENCE_S:
            raise Unavailable(
                f"{failed} within {_PATIENCE_S:g} s", hint="see `jurat status`; the drill is not reported", code="drill_failed"
            )
        time.sleep(0.002)


def _held(app: App, state: State, broken: GlassBroken) -> bool:
    """Whether the role is held as any door would read it: by its grant, in scope, now."""
    place = broken.scope if not broken.scope.endswith(("/", "*")) else f"{broken.scope.rstrip('*')}x"
    now_ns = app.clock.now_ns()
    grant = state.get(rows.Grant, broken.grant)
    return grant is not None and in_scope(grant.scope, place) and broken.role in roles_held(state, broken.person, place, now_ns)


def _told(glass: str, who: str, state: State) -> bool:
    return any(n.about == glass for n in state.find(rows.Notice, to=who))
