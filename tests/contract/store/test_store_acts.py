"""One act is one transaction: all of it, or nothing, or an honest `outcome_unknown`."""

from __future__ import annotations

import contextlib
import os
import resource
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
import pytest
from tests.contract.store.samples import ALICE, BOB, denied, grant, override, principal, story

from jurat.core.errors import Conflict, Denied, Malformed, NotFound, Tampered, Unavailable
from jurat.domain import rows
from jurat.domain.evolve import evolve
from jurat.domain.state import MemoryState, State
from jurat.store.connect import Role
from jurat.store.store import Store

Session = Callable[[Role], psycopg.Connection]


def outbox(session: Session) -> list[tuple[int, str, int, str]]:
    return session("reader").execute("SELECT position, log, seq, event_id FROM outbox.event ORDER BY position").fetchall()


def test_state_is_what_the_events_say(store: Store) -> None:
    memory = MemoryState()
    for each in story():
        memory.apply(evolve(memory, each))
        with store.transaction() as tx:
            tx.record([each])
    with store.reading() as state:
        for row in rows.ROWS.values():
            assert state.find(row) == memory.find(row), row
        version = state.get(rows.Version, "credit@1.1.0")
        assert version is not None
        assert (version.stage, state.as_of) == ("staging", 15)


@pytest.mark.parametrize("kind", ["memory", "view"])
def test_find_is_exact(kind: str, store: Store) -> None:
    events = [grant("grt_b", BOB), grant("grt_a", BOB), grant("grt_c", ALICE), grant("grt_d", BOB, role="ml")]
    memory = MemoryState()
    for each in events:
        memory.apply(evolve(memory, each))
    with store.transaction() as tx:
        tx.record(events)
        state: State = memory if kind == "memory" else tx.state
        assert [g.grant for g in state.find(rows.Grant, principal=BOB, role="ml_engineer")] == ["grt_a", "grt_b"]
        assert state.find(rows.Grant, principal=BOB[:-1]) == []
        assert state.find(rows.Grant, role='ml" or true') == []
        assert state.get(rows.Grant, "grt_") is None
        with pytest.raises(AttributeError):
            state.find(rows.Grant, colour="red")


def test_a_text_does_not_match_inside_a_list(store: Store) -> None:
    with store.transaction() as tx:
        tx.record([override("prd_1", ["good"]), override("prd_2", "good")])
        assert [o.prediction for o in tx.state.find(rows.Override, output="good")] == ["prd_2"]


def test_an_act_sees_its_own_changes_and_others_do_not_before_its_end(store: Store) -> None:
    with store.transaction() as tx:
        tx.record([principal(ALICE)])
        assert tx.state.get(rows.Principal, ALICE) is not None
        with store.reading() as other:
            assert other.get(rows.Principal, ALICE) is None
            assert other.as_of == 0
    with store.reading() as after:
        assert after.get(rows.Principal, ALICE) is not None
        assert after.as_of == 1


def test_a_picture_does_not_move(store: Store) -> None:
    with store.reading() as state:
        assert state.as_of == 0
        with store.transaction() as tx:
            tx.record([principal(ALICE)])
        assert state.find(rows.Principal) == []
        assert state.as_of == 0


def test_nothing_can_be_changed_through_a_picture(store: Store) -> None:
    with pytest.raises(Unavailable), store.reading() as state:
        state.vault.put_person(ALICE, name="Alice")


def test_an_act_that_raises_never_happened_and_leaves_no_gap(store: Store, session: Session) -> None:
    with store.transaction() as tx:
        tx.record([grant("grt_1")])

    def change_of_mind() -> None:
        with store.transaction() as tx:
            tx.record([grant("grt_2"), denied()])
            tx.vault.put_person(ALICE, name="Alice")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change_of_mind()
    with store.transaction() as tx:
        tx.record([denied(), principal(BOB), grant("grt_3")])
        assert tx.vault.find_person(ALICE) is None
    assert [found[:3] for found in outbox(session)] == [
        (1, "access", 1), (2, "access", 2), (3, "configuration", 1), (4, "access", 3),
    ]  # fmt: skip
    with store.reading() as state:
        assert [g.grant for g in state.find(rows.Grant)] == ["grt_1", "grt_3"]


def test_acts_from_many_threads_leave_no_gap(store: Store, session: Session) -> None:
    def work(number: int) -> None:
        for turn in range(10):
            with store.transaction() as tx:
                tx.record([grant(f"grt_{number}_{turn}"), override(f"prd_{number}_{turn}")])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = outbox(session)
    assert [position for position, *_ in found] == list(range(1, 121))
    for log in ("access", "inference"):
        assert [seq for _, name, seq, _ in found if name == log] == list(range(1, 61))


def test_a_failed_act_is_an_error_even_if_its_own_error_was_swallowed(store: Store) -> None:
    # INVARIANT: commit_of_a_failed_transaction_is_an_error
    def careless() -> None:
        with store.transaction() as tx:
            tx.record([grant("grt_1")])
            with contextlib.suppress(psycopg.Error):
                tx.vault.put_token(b"short", token_id="tok_1", principal=ALICE, chain=[ALICE], expires_at=datetime.now(UTC))

    with pytest.raises(Unavailable) as caught:
        careless()
    assert caught.value.code == "database_failed"
    with store.reading() as state:
        assert state.get(rows.Grant, "grt_1") is None


def test_an_act_without_an_event_is_refused(store: Store) -> None:
    with pytest.raises(Malformed), store.transaction() as tx:
        tx.record([])


def test_an_event_that_is_too_large_is_refused(dsn: Callable[[Role], str]) -> None:
    with Store.open(dsn("app"), application="small", max_event_bytes=300) as store:
        with pytest.raises(Malformed) as caught, store.transaction() as tx:
            tx.record([override("prd_1", "x" * 300)])
        assert caught.value.code == "event_too_large"
        with store.reading() as state:
            assert state.as_of == 0


def test_text_that_postgresql_cannot_hold_is_malformed_and_not_repeated(store: Store) -> None:
    for bad in (override("prd_1", "secret\x00"), override("prd\x00secret")):
        with pytest.raises(Malformed) as caught, store.transaction() as tx:
            tx.record([bad])
        assert "secret" not in str(caught.value) + caught.value.hint + str(caught.value.fields)


def test_an_event_about_nothing_is_tampered(store: Store) -> None:
    promoted = next(each for each in story() if each.kind.name == "version.promoted.v1")
    with pytest.raises(Tampered), store.transaction() as tx:
        tx.record([promoted])


def test_the_same_event_twice_is_a_conflict(store: Store) -> None:
    once = grant("grt_1")
    with pytest.raises(Conflict), store.transaction() as tx:
        tx.record([once, once])


def test_a_connection_lost_before_commit_means_that_nothing_happened(store: Store, session: Session) -> None:
    def cut_off() -> None:
        with store.transaction() as tx:
            tx.record([grant("grt_1")])
            session("app").execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'jurat test' AND state LIKE 'idle in%'"
            )
            tx.record([grant("grt_2")])

    with pytest.raises(Unavailable) as caught:
        cut_off()
    assert caught.value.code == "database_away"
    with store.transaction() as tx:  # the pool has a fresh connection
        assert tx.state.find(rows.Grant) == []
        tx.record([grant("grt_3")])
        assert tx.position == 1


def test_a_connection_lost_during_commit_is_outcome_unknown(store: Store, session: Session) -> None:
    session("owner").execute(
        "CREATE FUNCTION outbox.die() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid()); RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON outbox.event DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION outbox.die()"
    )
    with pytest.raises(Unavailable) as caught, store.transaction() as tx:
        tx.record([grant("grt_1")])
    assert caught.value.code == "outcome_unknown"


def test_an_act_that_waits_too_long_is_told_so(store: Store, dsn: Callable[[Role], str]) -> None:
    with store.transaction(), psycopg.connect(dsn("app"), autocommit=True) as other:
        other.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("SELECT FROM outbox.head FOR UPDATE")


def test_a_store_that_cannot_connect_says_so_without_its_password(dsn: Callable[[Role], str]) -> None:
    wrong = psycopg.conninfo.make_conninfo(dsn("app"), password="wrong-password", connect_timeout="1")
    with pytest.raises(Unavailable) as caught:
        Store.open(wrong, application="test", timeout_s=1.0)
    assert caught.value.code == "database_away"
    assert "wrong-password" not in repr(caught.value)


def test_a_process_with_thousands_of_callers_still_reaches_its_database(dsn: Callable[[Role], str]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as callers:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4_096), hard) if hard != resource.RLIM_INFINITY else (4_096, hard))
        callers.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1_100):
            callers.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        with Store.open(dsn("app"), application="test", timeout_s=3.0) as store, store.reading() as state:
            assert state.as_of == 0


def test_the_vault_forgets_people_and_keeps_only_hashes(store: Store) -> None:
    expires_at = datetime(2026, 12, 1, tzinfo=UTC)
    with store.transaction() as tx:
        tx.record([principal(ALICE)])
        tx.vault.put_person(ALICE, name="Alice", email="a@example.org")
        tx.vault.put_person(BOB, name="Bob")
        tx.vault.put_token(b"h" * 32, token_id="tok_1", principal=ALICE, chain=[BOB, ALICE], expires_at=expires_at)
    with store.reading() as state:
        assert [person.name for person in state.vault.people()] == ["Alice", "Bob"]
        token = state.vault.find_token(b"h" * 32)
        assert token is not None
        assert (token.token_id, token.chain, token.expires_at, token.revoked_at) == ("tok_1", [BOB, ALICE], expires_at, None)
        assert state.vault.find_token(b"i" * 32) is None
    with pytest.raises(Conflict), store.transaction() as tx:
        tx.vault.put_person(BOB, name="Bob", email="A@example.org")
    with store.transaction() as tx:
        tx.vault.revoke_token("tok_1", ALICE, datetime(2026, 11, 2, tzinfo=UTC))
        tx.vault.revoke_token("tok_1", ALICE, datetime(2026, 11, 3, tzinfo=UTC))
        found = tx.vault.find_token(b"h" * 32)
        assert found is not None
        assert found.revoked_at == datetime(2026, 11, 2, tzinfo=UTC)
        assert tx.vault.erase_person(ALICE)
        assert not tx.vault.erase_person(ALICE)
        assert tx.vault.find_person(ALICE) is None
        assert tx.vault.forget_tokens(expires_at) == 0
        assert tx.vault.forget_tokens(datetime(2027, 1, 1, tzinfo=UTC)) == 1
    with pytest.raises(NotFound), store.transaction() as tx:
        tx.vault.revoke_token("tok_1", ALICE)


def test_a_row_that_no_jurat_wrote_is_tampered(store: Store, session: Session) -> None:
    with store.transaction() as tx:
        tx.record([grant("grt_1")])
    owner = session("owner")
    owner.execute("ALTER TABLE view.grants DISABLE TRIGGER event_required")
    owner.execute("UPDATE view.grants SET row = row - 'role'")
    with pytest.raises(Tampered, match="grt_1"), store.reading() as state:
        state.get(rows.Grant, "grt_1")


def test_denial_of_grants_is_named(dsn: Callable[[Role], str]) -> None:
    with Store.open(dsn("reader"), application="reader") as reader, pytest.raises(Denied), reader.transaction():
        pass
