"""What PostgreSQL still holds of rows that were deleted: dead rows in its tables, and their copies in its write-ahead log.

The outbox holds events for milliseconds, and the vault names until they are erased; afterwards the bytes lie on in the files.
`scrub` writes those tables anew and lets the old log segments go. Needs the owner of an embedded cluster, who may do that.
"""

from __future__ import annotations

from typing import Final

import psycopg

from jurat.store.failures import database_errors

_TABLES: Final = (
    "SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
    " WHERE relkind = 'r' AND (nspname = 'vault' OR (nspname, relname) = ('outbox', 'event')) ORDER BY 1"
)


def scrub(owner_dsn: str) -> bool:
    """Return True once nothing deleted lies in those tables' files or in older log segments; False if the account may not see to it.

    Raises:
        Unavailable: the server is away.
    """
    with database_errors(), psycopg.connect(owner_dsn, autocommit=True) as connection:
        for (table,) in connection.execute(_TABLES).fetchall():
            connection.execute(f"VACUUM FULL {table}".encode())
        connection.execute("SET ROLE NONE")  # the account itself, which owns the cluster if that is ours
        row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = session_user").fetchone()
        if row is None or not row[0]:
            return False
        connection.execute("ALTER SYSTEM SET wal_recycle = off")  # a recycled segment keeps its old bytes under a new name
        connection.execute("SELECT pg_reload_conf()")
        for _ in range(2):
            connection.execute("SELECT pg_logical_emit_message(false, 'jurat', '')")
            connection.execute("SELECT pg_switch_wal()")
            connection.execute("CHECKPOINT")
    return True
