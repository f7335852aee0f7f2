"""What time does by itself: ends that are written down, reminders, reviews that fall due. One step, asked for by the worker's clock.

Nothing holds any longer because this did not run: expiry, due dates and windows count when they are read. It writes down what
is so already, and tells people in time. It acts as the workspace's own process `clock`, which an operator answers for.
"""

from __future__ import annotations

from typing import Final

import msgspec

from jurat.app.walk import act_as
from jurat.app.wiring import App
from jurat.core.clock import parse_at, to_ns
from jurat.core.errors import Conflict, Unavailable
from jurat.domain import rows
from jurat.domain.commands import Command
from jurat.domain.commands_access import EndExpired, RunReviews
from jurat.domain.decide_review import review_is_due, turn_of
from jurat.domain.events import Actor
from jurat.domain.grants import past_end
from jurat.domain.roles import person_behind
from jurat.domain.state import State
from jurat.domain.values import PrincipalType

CLOCK: Final = "clock"


class Ticked(msgspec.Struct, frozen=True, kw_only=True):
    """What one step left, as event ids."""

    ended: list[str]
    reviews: list[str]
    opened: list[str]


def clock_of(state: State) -> Actor:
    """Return the workspace's clock as it acts.

    Raises:
        Unavailable: this workspace has none, or nobody answers for it.
    """
    found = [p for p in state.find(rows.Principal, name=CLOCK) if p.type is PrincipalType.PROCESS and p.active]
    owner = person_behind(state, found[0].principal) if len(found) == 1 else None
    if owner is None:
        raise Unavailable(
            "this workspace has no clock of its own that a person answers for",
            hint="ask an operator to register the process `clock`, with the role `clock`; `jurat init` does",
            code="no_clock",
        )
    return Actor(principal=found[0].principal, type=PrincipalType.PROCESS, chain=[owner, found[0].principal])


def tick(app: App) -> Ticked:
    """Write down what has ended, remind, close reviews, and open the one that falls due. Harmless to run at any time, by anybody's clock.

    Raises:
        Unavailable: the workspace has no clock.
    """
    with app.store.reading() as state:
        now_ns = app.clock.now_ns()
        windows = [g for g in state.find(rows.Glass, closed_at="") if now_ns >= to_ns(parse_at(g.expires_at))]
        has_ended = bool(past_end(state, now_ns) or windows)
        has_reviews = any(turn_of(state, review, now_ns) is not None for review in state.find(rows.Review, status="open"))
        is_due = review_is_due(state, now_ns)
        actor = clock_of(state) if has_ended or has_reviews or is_due else None
    if actor is None:
        return Ticked(ended=[], reviews=[], opened=[])
    ended = _do(app, actor, EndExpired()) if has_ended else []
    reviews = _do(app, actor, RunReviews()) if has_reviews else []
    opened: list[str] = []
    if is_due:
        from jurat.app.reviews import open_review_as  # reads the ledger: not needed for anything else here

        opened = open_review_as(app, actor, "the regular review")
    return Ticked(ended=ended, reviews=reviews, opened=opened)


def _do(app: App, actor: Actor, command: Command) -> list[str]:
    try:
        return [event.id for event in act_as(app, actor, command).events]
    except Conflict as error:
        if error.code != "unchanged":  # somebody else's clock, or a person, was there first
            raise
        return []
