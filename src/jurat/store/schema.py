"""The database brought to the shape that this code expects: numbered migrations, then one table per type of row.

`schema.sql` is migration 1 and is never edited once released; the next change is `schema_2.sql` and a line here. Tables
of `view.*` are not migrated: they are disposable, and come from `domain.rows.ROWS`.
"""

from __future__ import annotations

import logging
from importlib.resources import files
from typing import Final

import psycopg
from psycopg import sql

from jurat.core.digests import digest_bytes
from jurat.core.errors import Malformed, Unavailable
from jurat.domain.rows import ROWS
from jurat.domain.rows_lineage import LINEAGE_ROWS
from jurat.domain.rows_registry import REGISTRY_ROWS
from jurat.domain.rows_signature import SIGNATURE_ROWS
from jurat.store.failures import database_errors
from jurat.store.lineage import LINEAGE_SHAPE
from jurat.store.registry import SHAPE

OLDEST_SERVER: Final = 150000
MIGRATIONS: Final = ("schema.sql", "schema_2.sql", "schema_3.sql", "schema_4.sql", "schema_5.sql", "schema_6.sql", "schema_7.sql")
_log: Final = logging.getLogger("jurat.store")
_LOCK: Final = 0x6A75_7261  # "jura": one process at a time migrates

# Who of the five governance roles sees which tables. The auditor and the responder see all of them.
SEEN_BY: Final = {
    "jurat_data_owner": ("datasets", "systems", "evidence", *LINEAGE_ROWS),
    "jurat_access_controller": (
        "principals", "grants", "groups", "group_roles", "policy_sets", "policy_changes", "requests", "producers", "sessions", "providers",
        "trusts", "token_keys", "vouches",
    ),
    "jurat_model_maintainer": (
        "systems", "versions", "evidence", "gate_files", "endpoints", *REGISTRY_ROWS, *LINEAGE_ROWS, *SIGNATURE_ROWS,
    ),
    "jurat_compliance_auditor": tuple(ROWS),
    "jurat_incident_responder": tuple(ROWS),
}  # fmt: skip


def migrate(dsn: str) -> None:
    """Return when the database has the shape that this code expects; nothing is done to one that has it already.

    Args:
        dsn: an account that owns the database and may create roles.
    Raises:
        Unavailable: the server is away, too old, or the database was shaped by a newer jurat.
        Malformed: a migration that was applied is not the one in this code.
    """
    with database_errors(), psycopg.connect(dsn) as connection:
        version = connection.info.server_version
        if version < OLDEST_SERVER:
            raise Unavailable(f"the server is PostgreSQL {version // 10000}, expected 15 or later", code="database_too_old")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        _apply_migrations(connection)
        _make_tables(connection)
        _make_infix_index(connection)


def truncate_and_guard(connection: psycopg.Connection, *, guarded: bool) -> None:
    """For a rebuild, as the owner and inside its transaction: empty `view.*` with the guards off, or put them back on."""
    for table in ROWS:
        name = sql.Identifier("view", table)
        if guarded:
            connection.execute(sql.SQL("ALTER TABLE {} ENABLE ALWAYS TRIGGER event_required").format(name))
        else:
            connection.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER event_required").format(name))
            connection.execute(sql.SQL("TRUNCATE {}").format(name))


def _apply_migrations(connection: psycopg.Connection) -> None:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS public.jurat_migration "
        "(number int PRIMARY KEY, digest text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    applied: dict[int, str] = dict(connection.execute("SELECT number, digest FROM public.jurat_migration ORDER BY number").fetchall())
    if len(applied) > len(MIGRATIONS):
        raise Unavailable(
            f"the database has schema {max(applied)}, this jurat knows up to {len(MIGRATIONS)}",
            hint="the database was used by a newer jurat: install that version or a later one",
            code="database_too_new",
        )
    for number, name in enumerate(MIGRATIONS, 1):
        text = files(__package__).joinpath(name).read_text()
        digest = digest_bytes(text.encode())
        if number not in applied:
            connection.execute(text.encode())
            connection.execute("INSERT INTO public.jurat_migration (number, digest) VALUES (%s, %s)", [number, digest])
        elif applied[number] != digest:
            raise Malformed(
                f"schema migration {number} was applied with other contents than this code has",
                hint="install the jurat that made the database; a released migration is never edited",
                code="migration_differs",
            )


def _make_tables(connection: psycopg.Connection) -> None:
    """Make the tables of `view.*` that are missing. One shape for all: the type of the row lives in the domain."""
    present = {
        name for (name,) in connection.execute("SELECT relname FROM pg_class WHERE relnamespace = 'view'::regnamespace AND relkind = 'r'")
    }
    missing = [table for table in ROWS if table not in present]
    if not missing:
        return
    connection.execute("SET LOCAL ROLE jurat_owner")
    for table in missing:
        name = sql.Identifier("view", table)
        connection.execute(
            sql.SQL(
                'CREATE TABLE {} (key text COLLATE "C" PRIMARY KEY, row jsonb NOT NULL, '
                "as_of text NOT NULL CHECK (row ->> 'as_of' = as_of))"
            ).format(name)
        )
        connection.execute(sql.SQL("CREATE INDEX ON {} USING gin (row jsonb_path_ops)").format(name))
        for statement in {**SHAPE, **LINEAGE_SHAPE}.get(table, ()):
            connection.execute(statement.encode())
        connection.execute(
            sql.SQL(
                "CREATE TRIGGER event_required BEFORE INSERT OR UPDATE OR DELETE ON {} FOR EACH ROW EXECUTE FUNCTION view.require_event()"
            ).format(name)
        )
        connection.execute(sql.SQL("ALTER TABLE {} ENABLE ALWAYS TRIGGER event_required").format(name))
        connection.execute(sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO jurat_app").format(name))
        readers = ["jurat_reader", *(role for role, tables in SEEN_BY.items() if table in tables)]
        connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(name, sql.SQL(", ").join(map(sql.Identifier, readers))))
    connection.execute("RESET ROLE")


def _make_infix_index(connection: psycopg.Connection) -> None:
    """Make the index for a part in the middle of a source (`LIKE '%/churn/%'`), where the server has `pg_trgm` and lets us.

    Without it the answer is the same, and every version is looked at: 120 ms for 100,000 of them.
    """
    made = connection.execute("SELECT to_regclass('view.registry_versions_infix') IS NOT NULL").fetchone()
    if made is not None and made[0]:
        return
    try:
        with connection.transaction():
            connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public")
            lies_in = "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm'"
            schema = connection.execute(lies_in).fetchone()
            assert schema is not None
            index = sql.SQL("CREATE INDEX registry_versions_infix ON view.registry_versions USING gin (source_path {})")
            connection.execute(index.format(sql.Identifier(schema[0], "gin_trgm_ops")))
    except psycopg.Error as error:
        _log.info("no index for parts of sources: %s", type(error).__name__)
