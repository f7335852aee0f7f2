"""How people answer what they are asked to approve, in the open: how fast after they were shown it, and how often they say no.

One table for promotions, access, policies, retention and erasures: whoever says yes to everything, or faster than one can read, is
seen here by everybody who answers requests. A yes without a look on record is counted as one; it may have been read elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec

from jurat.app.look import known, look_at
from jurat.app.walk import act
from jurat.app.wiring import App
from jurat.core.clock import from_ns
from jurat.domain import rows
from jurat.domain.commands_rollout import ReadRequestStats, ShowRequest
from jurat.domain.requests import is_open
from jurat.domain.roles import roles_held

TOO_FAST_S: Final = 5.0
ENOUGH_TO_TELL: Final = 10  # answers after which always saying yes means something
YES: Final = (
    "request.approved.v1",
    "access.approved.v1",
    "policy_change.approved.v1",
    "retention.shortening_approved.v1",
    "erasure.approved.v1",
)
NO: Final = (
    "request.rejected.v1",
    "access.rejected.v1",
    "policy_change.rejected.v1",
    "retention.shortening_rejected.v1",
    "erasure.rejected.v1",
)
SHOWN: Final = "request.shown.v1"
_ASKED: Final = f"""
    SELECT kind, json_extract_string(decode(raw), '$.actor.chain[0]'), json_extract_string(decode(raw), '$.data.request'), occurred_at
    FROM events WHERE raw IS NOT NULL AND occurred_at >= ? AND kind IN ({", ".join(f"'{kind}'" for kind in (*YES, *NO, SHOWN))})
    ORDER BY occurred_at, log, idx
"""


class Answering(msgspec.Struct, kw_only=True):
    """How one person answers."""

    person: str
    yes: int = 0
    no: int = 0
    unseen: int = 0  # a yes without a look on record
    too_fast: int = 0  # a yes under 5 s after the look
    seconds: list[float] = msgspec.field(default_factory=list)  # from the last look to the yes

    @property
    def median_s(self) -> float | None:
        ordered = sorted(self.seconds)
        return ordered[len(ordered) // 2] if ordered else None

    @property
    def signs(self) -> list[str]:
        """What a reader should look at."""
        found = []
        if self.too_fast:
            found.append(f"{self.too_fast} under {TOO_FAST_S:g} s after it was shown")
        if self.unseen:
            found.append(f"{self.unseen} without a look on record")
        if self.no == 0 and self.yes >= ENOUGH_TO_TELL:
            found.append(f"yes to all {self.yes}")
        return found


def show_request(app: App, token: str, request: str) -> rows.Request:
    """Return what a request asks one to approve. For whoever may be counted as its approver, the look is put on record.

    Raises:
        NotFound: there is no such request that the caller may see.
    """
    found = look_at(app, token, rows.Request, request)
    caller = known(app, token)
    with app.store.reading() as state:
        held = roles_held(state, caller.principal, f"requests/{request}", app.clock.now_ns())
    if is_open(found, app.clock.now_ns()) and held & set(found.approver_roles):
        act(app, token, ShowRequest(request=request))
    return found


def request_stats(app: App, token: str, *, last_s: float) -> list[Answering]:
    """Return how people answered requests in the last so many seconds, whoever says yes most first.

    Raises:
        Denied: the caller may not read requests; recorded.
    """
    app.settle()
    act(app, token, ReadRequestStats(question="how requests are answered", subject=f"the last {last_s:g} s", as_of=app.events.as_of()))
    since = from_ns(app.clock.now_ns() - round(last_s * 1e9))
    return count_answers(app.events.select(_ASKED, [since]).rows)


def count_answers(lines: Iterable[tuple[Any, ...]]) -> list[Answering]:
    """Return how each person answers, from lines of kind, person, request, time, in the order of time."""
    people: dict[str, Answering] = {}
    looked: dict[tuple[str, str], datetime] = {}
    for kind, person, request, at in lines:
        if kind == SHOWN:
            looked[person, request] = at
            continue
        found = people.setdefault(person, Answering(person=person))
        if kind in NO:
            found.no += 1
            continue
        found.yes += 1
        seen = looked.get((person, request))
        if seen is None:
            found.unseen += 1
            continue
        took_s = (at - seen).total_seconds()
        found.seconds.append(took_s)
        found.too_fast += took_s < TOO_FAST_S
    return sorted(people.values(), key=lambda each: (-each.yes, each.person))
