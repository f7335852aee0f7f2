"""One embedded cluster per PostgreSQL version and test process; one database per test, from a template."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from jurat.core.settings import Settings
from jurat.core.workspace import Workspace
from jurat.store.cluster import SUPERUSER, Cluster
from jurat.store.connect import Role, embedded_dsns
from jurat.store.store import Store

OLDEST = Path("/usr/lib/postgresql/15/bin")
_numbers = itertools.count(1)


@pytest.fixture(scope="session", params=["wheel", "oldest"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster with the template database `jurat_template`."""
    if request.param == "oldest" and not OLDEST.is_dir():
        pytest.skip(f"no PostgreSQL 15 in {OLDEST}")
    settings = Settings(database_bin="" if request.param == "wheel" else str(OLDEST))
    found = Cluster(Workspace(tmp_path_factory.mktemp("cluster")), settings, throwaway=True)
    try:
        found.start()
        with psycopg.connect(found.dsn(SUPERUSER, "postgres"), autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET fsync = off")  # a database per test; what survives a crash is tried in tests/crash
            admin.execute("SELECT pg_reload_conf()")
        embedded_dsns(found, "jurat_template")
        yield found
    finally:
        found.remove()


@pytest.fixture
def dsn(cluster: Cluster) -> Callable[[Role], str]:
    """The connection strings of a fresh database, by role. It goes when the cluster goes."""
    name = f"t{next(_numbers)}"
    with psycopg.connect(cluster.dsn(SUPERUSER, "postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE jurat_template STRATEGY file_copy")
    dsns = embedded_dsns(cluster, name)
    return lambda role: dsns[role]


@pytest.fixture
def store(dsn: Callable[[Role], str]) -> Iterator[Store]:
    """A store with the application's role."""
    with Store.open(dsn("app"), application="test") as found:
        yield found


@pytest.fixture
def owner(dsn: Callable[[Role], str]) -> Iterator[Store]:
    """A store with the owner's role, as rebuilds use it."""
    with Store.open(dsn("owner"), application="test owner") as found:
        yield found


@pytest.fixture
def relay_store(dsn: Callable[[Role], str]) -> Iterator[Store]:
    """A store with the relay's role."""
    with Store.open(dsn("relay"), application="test relay") as found:
        yield found


@pytest.fixture
def session(dsn: Callable[[Role], str]) -> Iterator[Callable[[Role], psycopg.Connection]]:
    """Bare sessions, for trying what a role must not do."""
    opened: list[psycopg.Connection] = []

    def open_session(role: Role) -> psycopg.Connection:
        opened.append(psycopg.connect(dsn(role), autocommit=True))
        return opened[-1]

    yield open_session
    for connection in opened:
        connection.close()
