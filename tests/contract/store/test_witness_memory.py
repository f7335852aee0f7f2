"""A witness that remembers in PostgreSQL keeps every law of one that remembers in SQLite: the same tests, and what only a server can do."""

from __future__ import annotations

import inspect
import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from tests.scenes.witnesses import ORIGIN
from tests.unit.ledger import test_witness as shared
from tests.unit.ledger.test_witness import LOG, clock  # noqa: F401 - a fixture

from jurat.app.witnessing import make_witness, open_witness
from jurat.core.clock import FixedClock
from jurat.core.errors import Conflict, Malformed, NotFound, Unavailable
from jurat.ledger.witness_desk import Witness
from jurat.store.cluster import SUPERUSER, Cluster
from jurat.store.witness import PostgresMemory

_numbers = itertools.count(1)
NEEDS_NO_FILE = {"witness", "clock"}


@pytest.fixture(scope="module")
def synced(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster as people run it: it syncs. One version of PostgreSQL is enough: the statements are the plainest."""
    with psycopg.connect(cluster.dsn(SUPERUSER, "postgres")) as probe:
        if probe.info.server_version < 160_000:
            pytest.skip("tried on the version in the wheel")
    for value in ("on", "off"):
        with psycopg.connect(cluster.dsn(SUPERUSER, "postgres"), autocommit=True) as admin:
            admin.execute(f"ALTER SYSTEM SET fsync = {value}")
            admin.execute("SELECT pg_reload_conf()")
        if value == "on":
            yield cluster


@pytest.fixture
def url(synced: Cluster) -> str:
    """The address of a fresh database."""
    name = f"witness{next(_numbers)}"
    with psycopg.connect(synced.dsn(SUPERUSER, "postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    parts = psycopg.conninfo.conninfo_to_dict(synced.dsn(SUPERUSER, name))
    return f"postgresql://{parts['user']}:{parts['password']}@{parts['host']}:{parts['port']}/{name}"


@pytest.fixture
def directory(tmp_path: Path, url: str) -> Path:
    make_witness(tmp_path / "w", "witness.example/w1", url)
    return tmp_path / "w"


@pytest.fixture
def witness(directory: Path, url: str, clock: FixedClock) -> Iterator[Witness]:  # noqa: F811
    made = Witness(directory, clock, memory=lambda vkeys: PostgresMemory(url, vkeys))
    made.add_log(ORIGIN, [LOG.signer.vkey])
    yield made
    made.close()


def _needs(test: Callable[..., None]) -> set[str]:
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    given = {name.strip() for mark in marks for name in (mark.args[0].split(",") if isinstance(mark.args[0], str) else mark.args[0])}
    return set(inspect.signature(test).parameters) - given


globals().update(
    {name: test for name, test in vars(shared).items() if name.startswith("test_") and "witness" in _needs(test) <= NEEDS_NO_FILE}
)


def test_the_same_tests_run_here() -> None:
    assert sum(name.startswith("test_") for name in globals()) > 10


def test_it_remembers_over_a_restart_and_over_a_lost_connection(witness: Witness, directory: Path, url: str, synced: Cluster) -> None:
    assert witness.answer(LOG.request(0, 7)).status == 200
    again = open_witness(directory, url)
    assert [each.last.size for each in again.logs() if each.last] == [7]
    with psycopg.connect(synced.dsn(SUPERUSER, "postgres"), autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'jurat-witness'")
    with pytest.raises(Unavailable, match="does not answer"):
        again.answer(LOG.request(7, 9))
    assert again.answer(LOG.request(7, 9)).status == 200, "and goes on with a new connection"
    again.close()


def test_two_processes_cannot_race(witness: Witness, directory: Path, url: str) -> None:
    others = [open_witness(directory, url) for _ in range(3)]
    answers: list[int] = []

    def ask(each: Witness, size: int) -> None:
        answers.append(each.answer(LOG.request(0, size)).status)

    threads = [threading.Thread(target=ask, args=(each, size)) for size, each in enumerate(others, start=5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 409, 409]
    for each in others:
        each.close()


def test_a_memory_is_born_once_is_one_witnesss_and_is_never_made_by_serving(directory: Path, url: str, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="already"):
        make_witness(tmp_path / "other", "witness.example/w2", url)
    assert not (tmp_path / "other" / "witness.key").exists(), "no key is left without a memory"
    make_witness(tmp_path / "third", "witness.example/w3")
    with pytest.raises(Conflict, match="another witness's"):
        open_witness(tmp_path / "third", url)
    with pytest.raises(NotFound, match="no witness's memory"):
        open_witness(directory)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("DROP SCHEMA witness CASCADE")
    with pytest.raises(NotFound, match="no witness's memory"):
        open_witness(directory, url)


def test_a_server_that_does_not_sync_is_refused_and_no_password_is_told(directory: Path, url: str, synced: Cluster) -> None:
    with psycopg.connect(synced.dsn(SUPERUSER, "postgres"), autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET fsync = off")
        admin.execute("SELECT pg_reload_conf()")
        try:
            for _ in range(100):  # until the reload has reached new sessions
                with psycopg.connect(url) as probe:
                    if probe.execute("SHOW fsync").fetchone() == ("off",):
                        break
            with pytest.raises(Unavailable, match="fsync = off"):
                open_witness(directory, url)
        finally:
            admin.execute("ALTER SYSTEM SET fsync = on")
            admin.execute("SELECT pg_reload_conf()")
    with pytest.raises(Unavailable) as told:
        open_witness(directory, url.replace(url.rpartition(":")[2].partition("/")[0], "1"))
    password = url.partition("//")[2].partition("@")[0].partition(":")[2]
    assert password not in told.value.detail + told.value.hint + repr(told.value)
    with pytest.raises(Malformed, match="address of a database"):
        open_witness(directory, "sqlite:///x")
