"""Each role tries what it must not do. The database refuses, whatever the code above it says."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from tests.contract.store.samples import ALICE, BOB, grant, principal

from jurat.domain.evolve import evolve
from jurat.domain.rows import ROWS
from jurat.domain.state import MemoryState, Put
from jurat.store.connect import Role
from jurat.store.schema import SEEN_BY
from jurat.store.store import Store
from jurat.store.view import apply_puts

Session = Callable[[Role], psycopg.Connection]
NO_GRANT, NO_EVENT, UNCHANGEABLE = "42501", "JU001", "JU002"
INSERT_EVENT = "INSERT INTO outbox.event (position, log, seq, event_id, kind_code, raw) VALUES (99, 'access', 99, 'evt_x', 10, 'x')"
A_ROW = """INSERT INTO view.grants VALUES ('g', '{"as_of": "evt_x"}', 'evt_x')"""


REFUSED: dict[Role, list[tuple[str, str]]] = {
    # the application: adds events, and never looks back
    "app": [
        ("UPDATE outbox.event SET raw = 'x'", NO_GRANT),
        ("DELETE FROM outbox.event", NO_GRANT),
        ("TRUNCATE outbox.event", NO_GRANT),
        ("SELECT raw FROM outbox.event", NO_GRANT),
        (INSERT_EVENT.replace("raw)", "raw, txid)").replace("'x')", "'x', '1')"), NO_GRANT),
        ("UPDATE outbox.head SET epoch = 7", NO_GRANT),
        ("DELETE FROM outbox.head", NO_GRANT),
        ("INSERT INTO outbox.head VALUES (false, 1, '{}', 1)", NO_GRANT),
        # and changes nothing without an event
        (A_ROW, NO_EVENT),
        ("UPDATE view.grants SET key = 'other'", NO_EVENT),
        ("DELETE FROM view.grants", NO_EVENT),
        ("TRUNCATE view.grants", NO_GRANT),
        ("ALTER TABLE view.grants DISABLE TRIGGER ALL", NO_GRANT),
        ("DROP TRIGGER event_required ON view.grants", NO_GRANT),
        ("CREATE OR REPLACE FUNCTION view.require_event() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'", NO_GRANT),
        ("SET session_replication_role = replica", NO_GRANT),
        ("SET ROLE jurat_owner", NO_GRANT),
        ("CREATE TABLE view.mine (a int)", NO_GRANT),
        ("CREATE TABLE public.mine (a int)", NO_GRANT),
    ],
    # the relay: moves events out, and nothing else
    "relay": [
        (INSERT_EVENT, NO_GRANT),
        ("UPDATE outbox.event SET seq = seq + 1", NO_GRANT),
        ("UPDATE outbox.head SET next_position = 1", NO_GRANT),
        ("SELECT FROM view.grants", NO_GRANT),
        ("SELECT FROM vault.person", NO_GRANT),
    ],
    # the reader: reads, and not the vault
    "reader": [
        (A_ROW, NO_GRANT),
        ("DELETE FROM view.grants", NO_GRANT),
        ("DELETE FROM outbox.event", NO_GRANT),
        ("SELECT FROM vault.person", NO_GRANT),
        ("SELECT FROM vault.token", NO_GRANT),
    ],
    # the owner makes tables, and cannot rewrite an event either
    "owner": [
        ("UPDATE outbox.event SET raw = 'x'", UNCHANGEABLE),
        ("TRUNCATE outbox.event", UNCHANGEABLE),
        (A_ROW, NO_EVENT),
        ("CREATE ROLE mine", NO_GRANT),
    ],
}
ALLOWED: dict[Role, list[str]] = {
    "app": ["SELECT FROM vault.token", "SELECT count(position) FROM outbox.event"],
    "relay": ["SELECT raw FROM outbox.event", "DELETE FROM outbox.event"],
    "reader": ["SELECT raw FROM outbox.event", "SELECT FROM view.grants"],
}


@pytest.fixture(autouse=True)
def _one_act(store: Store) -> None:
    with store.transaction() as tx:
        tx.record([grant("grt_1"), principal(ALICE)])
        tx.vault.put_person(ALICE, name="Alice")


@pytest.mark.parametrize("role", REFUSED)
def test_a_role_may_not(role: Role, session: Session) -> None:
    connection = session(role)
    answers = [(statement, _sqlstate_of(connection, statement)) for statement, _ in REFUSED[role]]
    assert answers == REFUSED[role]


@pytest.mark.parametrize("role", ALLOWED)
def test_a_role_may(role: Role, session: Session) -> None:
    for statement in ALLOWED[role]:
        session(role).execute(statement)


def test_an_event_must_be_of_the_same_transaction(session: Session) -> None:
    app = session("app")
    app.execute(INSERT_EVENT)
    with pytest.raises(psycopg.Error) as caught:
        app.execute(A_ROW)
    assert caught.value.sqlstate == NO_EVENT


def test_an_event_must_be_the_one_that_the_row_names(session: Session) -> None:
    app = session("app")
    assert _sqlstate_of(app, f"{INSERT_EVENT.replace('evt_x', 'evt_y')}; {A_ROW}") == NO_EVENT
    two_names = A_ROW.replace('"evt_x"', '"evt_y"')
    assert _sqlstate_of(app, f"{INSERT_EVENT}; {two_names}") == psycopg.errors.CheckViolation.sqlstate
    assert _sqlstate_of(app, f"{INSERT_EVENT}; {A_ROW}") is None


def test_a_row_may_follow_its_event_inside_a_savepoint(session: Session) -> None:
    app = session("app")
    with app.transaction():
        app.execute(INSERT_EVENT)
        with app.transaction():
            app.execute(A_ROW)
    found = app.execute("SELECT as_of FROM view.grants WHERE key = 'g'").fetchone()
    assert found == ("evt_x",)


def test_a_change_beside_the_act_is_refused_even_within_one(store: Store) -> None:
    event = grant("grt_9")
    other = evolve(MemoryState(), principal(BOB))
    with store.transaction() as tx, store.connection() as beside:
        tx.record([event])
        with pytest.raises(psycopg.Error) as caught:
            apply_puts(beside, other)
        with pytest.raises(psycopg.Error):
            apply_puts(beside, [Put("grants", "grt_1", None)])
    assert caught.value.sqlstate == NO_EVENT


@pytest.mark.parametrize("role", SEEN_BY)
def test_a_governance_role_sees_its_tables_and_changes_nothing(role: str, session: Session) -> None:
    admin = session("owner")
    admin.execute("SET ROLE NONE")
    admin.execute(f"SET SESSION AUTHORIZATION {role}")
    for table in ROWS:
        if table in SEEN_BY[role]:
            admin.execute(f"SELECT row FROM view.{table}")
        else:
            refused(admin, f"SELECT row FROM view.{table}")
        for change in ("DELETE FROM view.{}", "UPDATE view.{} SET key = key", "INSERT INTO view.{} VALUES ('k', '{{}}', 'e')"):
            refused(admin, change.format(table))
    for statement in (INSERT_EVENT, "DELETE FROM outbox.event", "DELETE FROM vault.person", "UPDATE vault.token SET revoked_at = now()"):
        refused(admin, statement)
    refused(admin, "SELECT token_hash FROM vault.token")
    sees_people = role in ("jurat_access_controller", "jurat_incident_responder")
    for statement in ("SELECT name FROM vault.person", "SELECT token_id, revoked_at FROM vault.token"):
        if sees_people:
            admin.execute(statement)
        else:
            refused(admin, statement)
    if role == "jurat_compliance_auditor":
        admin.execute("SELECT raw FROM outbox.event")
    else:
        refused(admin, "SELECT raw FROM outbox.event")


def test_every_table_is_guarded(session: Session) -> None:
    guarded = session("owner").execute("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'event_required' AND tgenabled = 'A'")
    assert {name for (name,) in guarded} == {f"view.{table}" for table in ROWS}


def _sqlstate_of(connection: psycopg.Connection, statement: str) -> str | None:
    """Return how the database refuses a statement (or several, as one transaction); None if it does not."""
    try:
        connection.execute(statement)
    except psycopg.Error as error:
        return error.sqlstate
    return None


def refused(connection: psycopg.Connection, statement: str) -> None:
    """Pass if the grants refuse the statement."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)
