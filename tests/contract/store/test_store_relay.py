"""The relay: oldest first, exactly once, and no gap goes unseen."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence

import psycopg
import pytest
from tests.contract.store.samples import denied, grant, override, principal, story

from jurat.core.errors import Conflict, Tampered, Unavailable
from jurat.domain.events import decode_event
from jurat.domain.kinds import RetentionClass
from jurat.store.connect import Role
from jurat.store.relay import Relay
from jurat.store.store import Store

LOGS = {each.value: ("main", each.value) for each in RetentionClass}
Session = Callable[[Role], psycopg.Connection]


class MemoryLedger:
    """A ledger in a list: gapless numbers per log from 1, repeats answered and not written. Fails on demand, before or after."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int, bytes]] = []
        self.last: dict[tuple[str, str], int] = {}
        self.appends: list[tuple[str, int, int]] = []
        self.fail = ""

    def last_seq(self, log: tuple[str, str]) -> int:
        return self.last.get(log, 0)

    def append(self, log: tuple[str, str], first_seq: int, items: Sequence[tuple[int, bytes]]) -> int:
        if self.fail == "lost":
            raise Unavailable("no receipt")
        expected = self.last.get(log, 0) + 1
        if first_seq > expected:
            raise Conflict("gap", code="sequence_gap", expected=expected)
        self.appends.append((log[1], first_seq, len(items)))
        for seq, (_, raw) in enumerate(items, first_seq):
            if seq >= expected:
                self.events.append((log[1], seq, raw))
                self.last[log] = seq
        if self.fail == "lost, but it worked":
            raise Unavailable("no receipt")
        return first_seq


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
def relay(relay_store: Store, ledger: MemoryLedger) -> Relay[tuple[str, str]]:
    return Relay(relay_store, ledger, LOGS)


def test_events_arrive_in_the_order_of_the_acts(store: Store, relay: Relay[tuple[str, str]], ledger: MemoryLedger) -> None:
    events = list(story())
    for each in events:
        with store.transaction() as tx:
            tx.record([each])
    assert store.outbox_size() == len(events)
    assert relay.step() == len(events)
    assert [decode_event(raw) for _, _, raw in ledger.events] == events
    assert [log for log, _, _ in ledger.events] == [each.kind.retention.value for each in events]
    assert (store.outbox_size(), relay.step()) == (0, 0)


@pytest.mark.parametrize("fault", ["lost", "lost, but it worked"])
def test_each_event_arrives_once_whatever_the_ledger_answered(
    fault: str, store: Store, relay: Relay[tuple[str, str]], ledger: MemoryLedger
) -> None:
    events = [grant("grt_1"), grant("grt_2"), override("prd_1"), grant("grt_3")]
    with store.transaction() as tx:
        tx.record(events)
    ledger.fail = fault
    with pytest.raises(Unavailable):
        relay.step()
    assert store.outbox_size() == 4
    ledger.fail = ""
    with store.transaction() as tx:
        tx.record([grant("grt_4")])
    assert relay.step() == 5
    assert [(log, seq) for log, seq, _ in ledger.events] == [("access", 1), ("access", 2), ("inference", 1), ("access", 3), ("access", 4)]
    assert store.outbox_size() == 0


def test_steps_are_bounded_in_number_and_in_bytes(store: Store, relay: Relay[tuple[str, str]], ledger: MemoryLedger) -> None:
    with store.transaction() as tx:
        tx.record([grant(f"grt_{number}") for number in range(25)])
    assert [relay.step(max_events=10) for _ in range(4)] == [10, 10, 5, 0]
    with store.transaction() as tx:
        tx.record([override(f"prd_{number}", "x" * 900_000) for number in range(20)])
    steps = [relay.step() for _ in range(3)]
    assert steps == [10, 10, 0]
    assert sum(count for log, _, count in ledger.appends if log == "access") == 25


@pytest.mark.parametrize("removed", [1, 3, 6])
def test_an_event_removed_before_the_ledger_had_it_is_tampered(
    removed: int, store: Store, relay: Relay[tuple[str, str]], ledger: MemoryLedger, session: Session
) -> None:
    for number in range(5):
        with store.transaction() as tx:
            tx.record([grant(f"grt_{number}")])
    session("relay").execute("DELETE FROM outbox.event WHERE position = %s", [removed])
    if removed == 6:  # nothing was removed: the control
        assert relay.step() == 5
        return
    with pytest.raises(Tampered, match="access") as caught:
        relay.step()
    assert caught.value.code == "outbox_gap"
    assert store.outbox_size() == 4


def test_a_removed_newest_event_is_noticed_at_the_next_act(
    store: Store, relay: Relay[tuple[str, str]], ledger: MemoryLedger, session: Session
) -> None:
    for number in range(2):
        with store.transaction() as tx:
            tx.record([grant(f"grt_{number}")])
    session("relay").execute("DELETE FROM outbox.event WHERE position = 2")
    assert relay.step() == 1
    with store.transaction() as tx:
        tx.record([denied()])
    with pytest.raises(Tampered):
        relay.step()


def test_one_relay_at_a_time(store: Store, relay: Relay[tuple[str, str]], relay_store: Store) -> None:
    class SlowLedger(MemoryLedger):
        def append(self, log: tuple[str, str], first_seq: int, items: Sequence[tuple[int, bytes]]) -> int:
            assert relay.step() == 0, "a second relay must find the first at work"
            return super().append(log, first_seq, items)

    with store.transaction() as tx:
        tx.record([grant("grt_1")])
    assert Relay(relay_store, SlowLedger(), LOGS).step() == 1


def test_waiting_ends_at_once_when_there_is_something(store: Store, relay: Relay[tuple[str, str]]) -> None:
    assert relay.wait(0.05) is False

    def act() -> None:
        time.sleep(0.2)
        with store.transaction() as tx:
            tx.record([principal("prn_x")])

    thread = threading.Thread(target=act)
    thread.start()
    begin = time.monotonic()
    assert relay.wait(20.0) is True
    assert time.monotonic() - begin < 10
    thread.join()
    assert relay.wait(20.0) is True  # it is still there
    assert relay.step() == 1
    assert relay.wait(0.01) is False


def test_the_epoch_belongs_to_the_database(store: Store, relay_store: Store) -> None:
    assert store.relay_epoch() == relay_store.relay_epoch() > 1_700_000_000


@pytest.mark.parametrize("wound_back", [0, 1, 3])
def test_a_database_older_than_the_ledger_is_tampered_at_the_start(
    wound_back: int, store: Store, relay: Relay[tuple[str, str]], ledger: MemoryLedger, owner: Store
) -> None:
    relay.check_start()  # nothing anywhere
    with store.transaction() as tx:
        tx.record([grant("grt_1"), grant("grt_2"), grant("grt_3"), override("prd_1")])
    relay.check_start()  # the outbox is ahead, which is its business
    assert relay.step() == 4
    relay.check_start()
    with owner.connection() as connection:  # as a backup of that moment would have it
        wound = {"access": 4 - wound_back, "inference": 2} if wound_back < 3 else {"inference": 2}
        connection.execute("UPDATE outbox.head SET next_seq = %s::jsonb", [json.dumps(wound)])
    if wound_back == 0:
        relay.check_start()
        return
    with pytest.raises(Tampered) as caught:
        relay.check_start()
    assert caught.value.code == "database_rolled_back"
    assert f"has event 3 of log `access` from this database, which itself has numbered only {3 - wound_back}" in caught.value.detail
