"""Counting answers: whatever happens at the same time, each answer is told of once, and no asker fails for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from jurat.app.answers_kept import WINDOW_S, AnswersKept
from jurat.app.decision_point import Told
from jurat.core.clock import FixedClock
from jurat.core.errors import Unavailable
from jurat.domain.decisions import Asked, DecisionRef, Hop
from jurat.domain.events import Actor, decode_event
from jurat.domain.facts_policy import AccessDecided
from jurat.domain.values import PrincipalType
from jurat.policy.engine import Decision

START_NS = 1_764_000_000_000_000_000
PEP = Actor(principal="prn_pep", type=PrincipalType.SERVICE, chain=["prn_pep"])


def told(number: int) -> Told:
    asked = Asked(hops=[Hop(principal="prn_a", type="person", roles=[])], action="data:read", resource=f"data/training/d{number}@v1")
    ref = DecisionRef(effect="allow", policies=["p"], policy_set="s", id="dec_1", asked_digest=f"sha256:{number}", asked=asked)
    return Told(Decision("allow", ["p"], "s", [], []), ref)


class Ledger:
    """Takes records, each a little later: counts wait while `gate` is closed."""

    def __init__(self) -> None:
        self.clock = FixedClock(START_NS)
        self.gate = asyncio.Event()
        self.gate.set()
        self.away, self.puts = False, 0
        self.counts: list[int] = []
        self.kept = AnswersKept(self.put, self.clock)

    async def put(self, _kind: int, raw: bytes) -> None:
        data = decode_event(raw).data
        assert isinstance(data, AccessDecided)
        self.puts += 1
        for _ in range(5 * self.puts):  # the later it comes, the longer it takes
            await asyncio.sleep(0)
        if data.count > 1:
            await self.gate.wait()
        if self.away:
            raise Unavailable("the ledger is away")
        self.counts.append(data.count)

    async def ask(self, number: int = 1, times: int = 1) -> None:
        for _ in range(times):
            await self.kept.keep(PEP, told(number), f"data/training/d{number}@v1")

    def end_the_minute(self) -> None:
        self.clock.advance(WINDOW_S + 1)


def played(play: Callable[[Ledger], Awaitable[None]]) -> Ledger:
    async def run() -> Ledger:
        ledger = Ledger()
        await play(ledger)
        await ledger.kept.close()
        return ledger

    return asyncio.run(run())


def test_two_that_end_the_same_minutes_at_once_fail_nobody_and_count_once() -> None:
    async def play(ledger: Ledger) -> None:
        for number in range(5):
            await ledger.ask(number, times=4)
        ledger.end_the_minute()
        await asyncio.gather(ledger.kept.flush(), ledger.kept.flush(), *(ledger.ask(number) for number in range(5)))

    assert sum(played(play).counts) == 5 * 4 + 5


def test_the_same_question_asked_at_once_when_it_is_new_loses_no_count() -> None:
    async def play(ledger: Ledger) -> None:
        first, second = asyncio.create_task(ledger.ask()), asyncio.create_task(ledger.ask())
        await first
        assert not second.done()
        await ledger.ask(times=3)
        await second
        await ledger.ask(times=3)

    assert sum(played(play).counts) == 8


def test_a_count_that_cannot_be_recorded_is_counted_on_beside_what_came_meanwhile() -> None:
    async def play(ledger: Ledger) -> None:
        await ledger.ask(times=4)
        ledger.end_the_minute()
        ledger.gate.clear()
        flushing = asyncio.create_task(ledger.kept.flush())
        await asyncio.sleep(0)
        await ledger.ask(times=3)  # a new minute begins while the old count is on its way
        ledger.away = True
        ledger.gate.set()
        with pytest.raises(Unavailable):
            await flushing
        ledger.away = False

    assert played(play).counts == [1, 1, 5]


def test_who_closes_while_a_count_is_on_its_way_waits_for_it() -> None:
    async def play(ledger: Ledger) -> None:
        await ledger.ask(times=4)
        ledger.end_the_minute()
        ledger.gate.clear()
        await asyncio.sleep(1.05)  # the clockwork's round has begun to record
        asyncio.get_running_loop().call_later(0.05, ledger.gate.set)

    assert played(play).counts == [1, 3]
