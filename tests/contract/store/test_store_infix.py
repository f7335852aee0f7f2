"""The index for parts of sources: there where the server lets us, and nothing else is lost where it does not."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from jurat.store.connect import Role
from jurat.store.schema import _make_infix_index

Session = Callable[[Role], psycopg.Connection]
THERE = "SELECT to_regclass('view.registry_versions_infix') IS NOT NULL"
OFFERED = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm')"


def test_a_part_of_a_source_is_found_by_an_index(session: Session) -> None:
    owner = session("owner")
    assert owner.execute(THERE).fetchone() == owner.execute(OFFERED).fetchone()
    if owner.execute(THERE).fetchone() == (True,):
        owner.execute("SET enable_seqscan = off")
        plan = owner.execute("EXPLAIN SELECT key FROM view.registry_versions WHERE source_path LIKE '%/churn/%'").fetchall()
        assert any("registry_versions_infix" in line for (line,) in plan)


def test_a_server_that_refuses_is_used_without_it(session: Session) -> None:
    owner = session("owner")
    owner.execute("DROP INDEX IF EXISTS view.registry_versions_infix")
    refused = session("app")
    with refused.transaction():
        _make_infix_index(refused)
        assert refused.execute(THERE).fetchone() == (False,)  # and the transaction goes on
