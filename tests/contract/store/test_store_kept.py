"""Rows that are kept: read once while nothing changes them, and never older than what the transaction sees."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import psycopg
import pytest
from tests.contract.store.samples import grant, override, revoke, story

from jurat.domain import rows
from jurat.store.connect import Role
from jurat.store.rebuild import rebuild
from jurat.store.store import Store

Session = Callable[[Role], psycopg.Connection]


@pytest.fixture
def other(dsn: Callable[[Role], str]) -> Iterator[Store]:
    """Another process, as far as the database can tell."""
    with Store.open(dsn("app"), application="other") as found:
        yield found


def grants(store: Store) -> list[str]:
    with store.reading() as state:
        return [each.grant for each in state.find(rows.Grant) if state.get(rows.Grant, each.grant) == each]


def hide(session: Session) -> None:
    """Let nobody read grants: whoever still knows them has kept them."""
    session("owner").execute("REVOKE SELECT ON view.grants FROM jurat_app")


def test_what_was_read_is_not_read_again_until_an_event_changes_its_table(store: Store, session: Session) -> None:
    with store.transaction() as tx:
        tx.record([grant("grt_1")])
    assert grants(store) == ["grt_1"]
    hide(session)
    assert grants(store) == ["grt_1"]
    with store.transaction() as tx:
        tx.record([override("prd_1")])  # of another table
        assert tx.state.get(rows.Grant, "grt_1") is not None
    assert grants(store) == ["grt_1"]
    session("owner").execute("GRANT SELECT ON view.grants TO jurat_app")
    with store.transaction() as tx:
        tx.record([grant("grt_2")])
    assert grants(store) == ["grt_1", "grt_2"]


def test_what_another_process_does_is_seen_at_once(store: Store, other: Store) -> None:
    for number in range(3):
        with other.transaction() as tx:
            tx.record([grant(f"grt_{number}")])
        assert len(grants(store)) == number + 1
    with store.reading() as before, other.transaction() as tx:
        assert before.as_of == 3
        tx.record([revoke("grt_0")])
        assert tx.state.get(rows.Grant, "grt_0") is None
        assert len(before.find(rows.Grant)) == 3
    with store.transaction() as tx:
        assert tx.state.get(rows.Grant, "grt_0") is None
    assert grants(store) == ["grt_1", "grt_2"]


def test_a_picture_from_before_is_not_given_what_came_after(store: Store, other: Store) -> None:
    with store.transaction() as tx:
        tx.record([grant("grt_1")])
    with store.reading() as before:
        assert before.as_of == 1
        with other.transaction() as tx:
            tx.record([grant("grt_2")])
        assert grants(store) == ["grt_1", "grt_2"]  # kept now, of the new change
        assert [each.grant for each in before.find(rows.Grant)] == ["grt_1"]
    assert grants(store) == ["grt_1", "grt_2"]


def test_what_an_act_that_failed_has_seen_is_not_kept(store: Store) -> None:
    with contextlib.suppress(RuntimeError), store.transaction() as tx:
        tx.record([grant("grt_1")])
        assert tx.state.get(rows.Grant, "grt_1") is not None
        assert len(tx.state.find(rows.Grant)) == 1
        raise RuntimeError
    assert grants(store) == []
    with store.transaction() as tx:
        tx.record([grant("grt_2")])  # at the same position
    assert grants(store) == ["grt_2"]


def test_a_rebuild_is_seen(store: Store, owner: Store, session: Session) -> None:
    with store.transaction() as tx:
        tx.record(story())
    before = grants(store)
    assert before
    session("relay").execute("DELETE FROM outbox.event")
    assert rebuild(owner, []) == 0
    assert grants(store) == []
