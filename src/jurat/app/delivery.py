"""Notices on their way out of the house: what is to be sent, when it is tried again, and how it ended.

The worker carries (`worker.delivery`); here is what it knows. A notice goes by every way that is configured, at least once, each
time under its own id, until it arrived, was refused for good, was given up, or its person took note of it. How that ended is an
event (`delivery.ended.v1`). How often it was tried is kept in `run/deliveries.json`, so that a restart does not begin again; if
that file is lost, it does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from jurat.app.look import known, look
from jurat.app.timekeeper import clock_of
from jurat.app.wiring import App
from jurat.core.clock import format_at, parse_at, to_ns
from jurat.core.errors import JuratError
from jurat.core.files import write_whole
from jurat.core.jsonio import dump_json, load_json
from jurat.core.workspace import Workspace
from jurat.domain import rows
from jurat.domain.context import Context
from jurat.domain.facts_access import DeliveryEnded
from jurat.store.store import Snapshot

MAIL: Final = "mail"
# Seconds from one try to the next. In all a little over three days, the span that the Standard Webhooks specification advises.
AGAIN_AFTER_S: Final = (5, 30, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
_OLD_NEWS_NS: Final = 4 * 86_400 * 10**9  # what lay in an inbox for so long before there was a way out stays there
_LONGEST_WHY: Final = 200


class Outcome(StrEnum):
    """How one try went."""

    DELIVERED = "delivered"
    REFUSED = "refused"  # for good: nothing changes by asking again
    AWAY = "away"  # or wrong for the moment: it is tried again


class Letter(NamedTuple):
    """A notice that is to go by one way. `address`: a person's mailbox, for mail; it is shown and recorded nowhere."""

    notice: rows.Notice
    way: str
    address: str = ""


class Tried(NamedTuple):
    """What came of one try. `why` holds no secret and nothing that the other side wrote."""

    letter: Letter
    outcome: Outcome
    why: str = ""


class Tries(msgspec.Struct, frozen=True, kw_only=True):
    """How often a letter was tried, when it is tried next (Unix ns), and why the last try came to nothing."""

    count: int
    next_ns: int
    why: str


_UNTRIED: Final = Tries(count=0, next_ns=0, why="")


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """How one way stands, as `jurat status` says it."""

    way: str
    waiting: int = 0
    oldest_at: str = ""  # of the notices that wait
    without_address: int = 0  # notices of people of whom no address is known
    said: str = ""  # why the last try failed; empty: it went well, or nothing was tried


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """How the sending of one notice by one way stands. `at`: when it ended, or is tried again; empty: at once."""

    notice: str
    to: str
    way: str
    state: str  # delivered | failed | waiting
    tries: int
    at: str
    why: str


class Deliveries(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker knew last. `tries`: of every letter that waits, by `<notice>/<way>`; none yet: count 0."""

    looked_at: str
    ways: list[Way]
    tries: dict[str, Tries] = {}


class Outbound:
    """The letters of one workspace, and what has been tried.

    Args:
        ways: by name; every notice goes by each of them.
    """

    def __init__(self, workspace: Workspace, ways: Sequence[str]) -> None:
        self._workspace, self._ways = workspace, ways
        kept = read_deliveries(workspace)
        self._tries = {key: tries for key, tries in kept.tries.items() if tries.count} if kept else {}
        self._said = {each.way: each.said for each in kept.ways} if kept else {}
        self._letters: dict[str, list[Letter]] = {}
        self._without: dict[str, int] = {}
        self._as_of = -1
        self._written = b""

    def due(self, app: App) -> dict[str, list[Letter]]:
        """Return, by way, the letters that are to be tried now, the oldest first; keep for `jurat status` what waits."""
        now_ns = app.clock.now_ns()
        with app.store.reading() as state:
            if state.as_of != self._as_of:  # or nothing has happened that could add a letter, or take one away
                self._look(state, now_ns)
        there = {_key(each) for letters in self._letters.values() for each in letters}
        self._tries = {key: tries for key, tries in self._tries.items() if key in there}
        self._keep(now_ns)
        return {way: [each for each in letters if self._is_due(each, now_ns)] for way, letters in self._letters.items()}

    def take(self, app: App, tried: Sequence[Tried]) -> list[DeliveryEnded]:
        """Remember what was tried, record what has ended, and return that. If it raises, nothing was: it can be taken again.

        Raises:
            Unavailable: the workspace has no clock that could record it, or the database is away.
        """
        now_ns = app.clock.now_ns()
        later: dict[str, Tries] = {}
        ends: list[tuple[rows.Notice, DeliveryEnded]] = []
        for each in tried:
            key, notice = _key(each.letter), each.letter.notice
            count = self._tries[key].count + 1 if key in self._tries else 1
            if each.outcome is Outcome.AWAY and count <= len(AGAIN_AFTER_S):
                later[key] = Tries(count=count, next_ns=now_ns + AGAIN_AFTER_S[count - 1] * 10**9, why=each.why[:_LONGEST_WHY])
                continue
            after_s = round((now_ns - to_ns(parse_at(notice.at))) / 1e9, 3)
            outcome = "delivered" if each.outcome is Outcome.DELIVERED else "failed"
            ends.append((notice, DeliveryEnded(
                notice=notice.notice, to=notice.to, way=each.letter.way, outcome=outcome, tries=count, after_s=after_s,
                why=each.why[:_LONGEST_WHY],
            )))  # fmt: skip
        if ends:
            with app.store.transaction() as tx:
                context = Context(clock_of(tx.state), now_ns, None, "workspace")
                ends = [(notice, end) for notice, end in ends if tx.state.get(rows.Delivery, f"{end.notice}/{end.way}") is None]
                if ends:
                    tx.record([context.event(end, because=[n.as_of], resource=f"principals/{n.to}") for n, end in ends])
        self._tries |= later
        self._said |= {each.letter.way: each.why[:_LONGEST_WHY] for each in tried}
        return [end for _, end in ends]

    def say(self, way: str, why: str) -> None:
        """Keep why nothing can go by a way at the moment: its secret is not there. No letter counts as tried."""
        self._said[way] = why[:_LONGEST_WHY]

    def _look(self, state: Snapshot, now_ns: int) -> None:
        waiting = list(_waiting(state, now_ns, self._tries))
        ended = {(each.notice, each.way) for each in state.find(rows.Delivery)}
        self._letters, self._without = {}, {}
        for way in self._ways:
            left = [each for each in waiting if (each.notice, way) not in ended]
            self._letters[way] = _letters(way, state, left)
            self._without[way] = len(left) - len(self._letters[way])
        self._as_of = state.as_of

    def _is_due(self, letter: Letter, now_ns: int) -> bool:
        tries = self._tries.get(_key(letter))
        return tries is None or tries.next_ns <= now_ns

    def _keep(self, now_ns: int) -> None:
        """Write what is known, if it is something else than before: a worker with nothing to do leaves the disk alone."""
        ways = [
            Way(
                way=way, waiting=len(letters), oldest_at=letters[0].notice.at if letters else "",
                without_address=self._without[way], said=self._said.get(way, ""),
            )
            for way, letters in self._letters.items()
        ]  # fmt: skip
        keys = [_key(each) for letters in self._letters.values() for each in letters]
        tries = {key: self._tries.get(key, _UNTRIED) for key in keys}
        content = dump_json([ways, tries])
        if content != self._written:
            found = Deliveries(looked_at=format_at(now_ns), ways=ways, tries=tries)
            write_whole(deliveries_file(self._workspace), dump_json(found), mode=0o600)
            self._written = content


def read_deliveries(workspace: Workspace) -> Deliveries | None:
    """Return what the worker knew last; None if it never looked, or that cannot be read."""
    try:
        return load_json(deliveries_file(workspace).read_bytes(), Deliveries, what="what is on its way")
    except (OSError, JuratError):
        return None


def deliveries_seen(app: App, token: str, *, everybody: bool) -> list[Sent]:
    """Return how the caller's unseen notices were sent on, or with `everybody` all whose inbox the caller may read.

    Raises:
        Unauthenticated: the token proves nobody.
        Denied: there are some, and the caller may see none of them.
    """
    whose = {} if everybody else {"to": known(app, token).principal}
    notices = {each.notice: each for each in look(app, token, rows.Notice, whose)}
    found = [
        Sent(notice=each.notice, to=each.to, way=each.way, state=each.outcome, tries=each.tries, at=each.at, why=each.why)
        for each in look(app, token, rows.Delivery, whose)
    ]
    ended, kept = {(each.notice, each.way) for each in found}, read_deliveries(app.workspace)
    for key, tries in kept.tries.items() if kept else ():
        name, _, way = key.partition("/")
        if (notice := notices.get(name)) is not None and (name, way) not in ended:
            again = format_at(tries.next_ns) if tries.count else ""
            found.append(Sent(notice=name, to=notice.to, way=way, state="waiting", tries=tries.count, at=again, why=tries.why))
    return sorted(found, key=lambda each: (each.notice, each.way))


def deliveries_file(workspace: Workspace) -> Path:
    return workspace.run / "deliveries.json"


def _waiting(state: Snapshot, now_ns: int, tries: Mapping[str, Tries]) -> Iterator[rows.Notice]:
    """Return the notices that nobody took note of, the oldest first, without those that were old before there was a way."""
    tried = {key.partition("/")[0] for key in tries}
    for notice in sorted(state.find(rows.Notice), key=lambda each: (each.at, each.notice)):
        if notice.notice in tried or now_ns - to_ns(parse_at(notice.at)) < _OLD_NEWS_NS:
            yield notice


def _letters(way: str, state: Snapshot, notices: Sequence[rows.Notice]) -> list[Letter]:
    """Return the letters of a way. By mail, only to active people of whom an address is known."""
    if way != MAIL:
        return [Letter(each, way) for each in notices]
    addresses = state.vault.addresses_of({each.to for each in notices})
    active = {who for who in addresses if (found := state.get(rows.Principal, who)) is not None and found.active}
    return [Letter(each, way, addresses[each.to]) for each in notices if each.to in active]


def _key(letter: Letter) -> str:
    return f"{letter.notice.notice}/{letter.way}"
