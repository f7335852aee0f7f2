"""Migrations: applied once, never edited, never downgraded; tables of `view.*` come from the domain."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from jurat.core.errors import Malformed, Unavailable
from jurat.store.cluster import SUPERUSER, Cluster
from jurat.store.schema import MIGRATIONS, migrate

Session = Callable[[str], psycopg.Connection]


@pytest.fixture
def shaped(cluster: Cluster, session: Session) -> tuple[str, psycopg.Connection]:
    """The administrator's connection string of a database with our schema, and a session in it."""
    name = session("app").info.dbname
    dsn = cluster.dsn(SUPERUSER, name)
    return dsn, session("owner")


def test_migrating_twice_changes_nothing(shaped: tuple[str, psycopg.Connection]) -> None:
    dsn, owner = shaped
    owner.execute("SET ROLE NONE")
    before = owner.execute("SELECT * FROM public.jurat_migration").fetchall()
    migrate(dsn)
    assert owner.execute("SELECT * FROM public.jurat_migration").fetchall() == before
    assert len(before) == len(MIGRATIONS)


def test_a_dropped_table_comes_back_with_guard_and_grants(shaped: tuple[str, psycopg.Connection], session: Session) -> None:
    dsn, owner = shaped
    owner.execute("DROP TABLE view.grants")
    migrate(dsn)
    with pytest.raises(psycopg.Error) as caught:
        session("app").execute("""INSERT INTO view.grants VALUES ('g', '{"as_of": "e"}', 'e')""")
    assert caught.value.sqlstate == "JU001"
    session("reader").execute("SELECT FROM view.grants")


def test_a_database_of_a_newer_jurat_is_refused(shaped: tuple[str, psycopg.Connection]) -> None:
    dsn, owner = shaped
    owner.execute("SET ROLE NONE")
    owner.execute("INSERT INTO public.jurat_migration VALUES (%s, 'sha256:x')", [len(MIGRATIONS) + 1])
    with pytest.raises(Unavailable) as caught:
        migrate(dsn)
    assert caught.value.code == "database_too_new"


def test_an_edited_migration_is_refused(shaped: tuple[str, psycopg.Connection]) -> None:
    dsn, owner = shaped
    owner.execute("SET ROLE NONE")
    owner.execute("UPDATE public.jurat_migration SET digest = 'sha256:x'")
    with pytest.raises(Malformed) as caught:
        migrate(dsn)
    assert caught.value.code == "migration_differs"
