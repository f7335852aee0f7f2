"""Whoever edits `view.*` past jurat is named, row by row; and the rows come back from the events alone."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from tests.contract.store.samples import grant, story

from jurat.core.errors import Tampered
from jurat.domain import rows
from jurat.domain.events import Event, decode_event
from jurat.store.connect import Role
from jurat.store.rebuild import STATE_KINDS, Difference, compare, rebuild
from jurat.store.store import Store

Session = Callable[[Role], psycopg.Connection]


@pytest.fixture
def ledger(store: Store, session: Session) -> list[Event]:
    """The events of the story: recorded, and all but the last few, approvals among them, relayed."""
    events = list(story())
    with store.transaction() as tx:
        tx.record(events)
    session("relay").execute("DELETE FROM outbox.event WHERE position <= %s", [len(events) - LATE])
    return [each for each in events[:-LATE] if each.kind.name in STATE_KINDS]


@pytest.fixture
def attacker(session: Session) -> psycopg.Connection:
    """Somebody with the owner's rights."""
    found = session("owner")
    for table in rows.ROWS:
        found.execute(f"ALTER TABLE view.{table} DISABLE TRIGGER event_required")
    return found


def test_an_honest_view_has_no_difference(owner: Store, ledger: list[Event]) -> None:
    assert compare(owner, ledger) == []


def test_an_event_that_is_in_both_ledger_and_outbox_counts_once(owner: Store, ledger: list[Event], session: Session) -> None:
    events = [each for each in story() if each.kind.name in STATE_KINDS]
    assert len(events) == len(ledger) + LATE
    late = session("reader").execute("SELECT count(*) FROM outbox.event").fetchone()
    assert late == (LATE,)
    waiting = [decode_event(raw) for (raw,) in session("reader").execute("SELECT raw FROM outbox.event ORDER BY position")]
    assert compare(owner, [*ledger, *waiting]) == []


LATE = 7  # events that the relay has not moved; an approval counted twice would show
STAGE = {"stage": ("staging", "production")}


@pytest.mark.parametrize(
    ("attack", "table", "key", "what", "fields"),
    [
        ("UPDATE view.versions SET row = row || '{\"stage\": \"production\"}'", "versions", "credit@1.1.0", "altered", STAGE),
        ("UPDATE view.grants SET row = row - 'role' WHERE key = 'grt_2'", "grants", "grt_2", "altered", {"role": ("ml_engineer", None)}),
        ("UPDATE view.systems SET row = row || '{\"more\": 1}'", "systems", "lending", "altered", {"more": (None, 1)}),
        ("DELETE FROM view.endpoints", "endpoints", "credit", "missing", {}),
        ("INSERT INTO view.grants SELECT 'grt_7', row, as_of FROM view.grants WHERE key = 'grt_2'", "grants", "grt_7", "unexpected", {}),
        ("UPDATE view.overrides SET row = '[]', as_of = as_of", "overrides", "prd_1", "altered", None),
    ],
)  # fmt: skip
def test_an_edited_row_is_named(
    attack: str,
    table: str,
    key: str,
    what: str,
    fields: dict[str, object] | None,
    owner: Store,
    ledger: list[Event],
    attacker: psycopg.Connection,
) -> None:
    attacker.execute("ALTER TABLE view.overrides DROP CONSTRAINT overrides_check")
    attacker.execute(attack)
    found = compare(owner, ledger)
    assert [(each.table, each.key, each.what) for each in found] == [(table, key, what)]
    assert found[0].as_of.startswith("evt_")
    if fields is not None:
        assert found[0].fields == fields
    assert rebuild(owner, ledger) > 0
    assert compare(owner, ledger) == []


def test_a_row_that_claims_another_event_is_named(owner: Store, ledger: list[Event], attacker: psycopg.Connection) -> None:
    attacker.execute("UPDATE view.systems SET row = jsonb_set(row, '{as_of}', '\"evt_other\"'), as_of = 'evt_other'")
    (found,) = compare(owner, ledger)
    expected = next(each.id for each in ledger if each.kind.name == "system.registered.v1")
    assert found == Difference("systems", "lending", "altered", expected, {"as_of": (expected, "evt_other")})


def test_a_rebuilt_view_is_the_same_and_guarded_again(owner: Store, store: Store, ledger: list[Event], session: Session) -> None:
    def everything() -> dict[str, object]:
        with store.reading() as state:
            return {table: state.find(row) for table, row in rows.ROWS.items()}

    before = everything()
    count = rebuild(owner, ledger)
    assert everything() == before
    assert count == sum(len(found) for found in before.values() if isinstance(found, list))
    with pytest.raises(psycopg.Error) as caught:
        session("app").execute("DELETE FROM view.versions")
    assert caught.value.sqlstate == "JU001"
    with store.transaction() as tx:  # and acts go on
        tx.record([grant("grt_9")])
    assert compare(owner, ledger) == []


def test_a_ledger_with_a_hole_is_tampered_and_nothing_is_replaced(owner: Store, store: Store, ledger: list[Event]) -> None:
    holed = [each for each in ledger if each.kind.name != "version.registered.v1"]
    with pytest.raises(Tampered):
        rebuild(owner, holed)
    with store.reading() as state:
        assert state.get(rows.Version, "credit@1.1.0") is not None


def test_no_act_happens_during_a_comparison(owner: Store, store: Store, ledger: list[Event]) -> None:
    def slowly() -> list[Event]:
        with psycopg.connect(store_dsn(store), autocommit=True) as other:
            other.execute("SET lock_timeout = '50ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute("SELECT FROM outbox.head FOR UPDATE")
        return ledger

    class Lazily:
        def __iter__(self):  # type: ignore[no-untyped-def]
            return iter(slowly())

    assert compare(owner, Lazily()) == []


def store_dsn(store: Store) -> str:
    """Return the connection string that the store was opened with."""
    found = store._pool.conninfo
    assert isinstance(found, str)
    return found
