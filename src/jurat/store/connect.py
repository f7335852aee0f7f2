"""Which database a workspace uses, and how each role reaches it.

Embedded by default; with JURAT_DATABASE_URL the organisation's own server, whose roles we then act as by `SET ROLE`. A
running workspace writes the connection strings to `run/database.json` (0600) for the other processes of its tree. That
file is as secret as the database: whoever reads it can act as the owner.
"""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Final, Literal, Self

import psycopg
from psycopg import sql

from jurat.core.errors import Unavailable
from jurat.core.files import write_secret
from jurat.core.jsonio import dump_json, load_json
from jurat.core.settings import Settings, database_url
from jurat.core.workspace import Workspace
from jurat.store.cluster import SUPERUSER, Cluster
from jurat.store.conninfo import with_session
from jurat.store.failures import database_errors
from jurat.store.schema import migrate

Role = Literal["owner", "app", "relay", "reader"]
_LOGINS: Final[tuple[Role, ...]] = (
    "app",
    "relay",
    "reader",
)  # with passwords of their own; the owner is the superuser, acting as jurat_owner
_DATABASE: Final = "jurat"
_LOCK: Final = 0x6F70_656E  # "open"
_OWNER_PATIENCE: Final = {"statement_timeout": "30min", "idle_in_transaction_session_timeout": "30min"}  # rebuilds are long


class Database:
    """Where the database is. As a context manager it stops, at the end, a server that it had to start.

    Args:
        dsns: a connection string per role.
        cluster: the embedded cluster; None with a server of somebody else, or in a child of the process tree.
        started: the embedded server was not running before.
    """

    def __init__(self, workspace: Workspace, dsns: dict[str, str], *, cluster: Cluster | None = None, started: bool = False) -> None:
        self._workspace = workspace
        self._dsns = dsns
        self._cluster = cluster
        self.started = started

    @property
    def embedded(self) -> bool:
        """Whether the server is ours to start and stop."""
        return self._cluster is not None

    def dsn(self, role: Role) -> str:
        """Return the connection string of a role. It holds a password: never print it."""
        return self._dsns[role]

    def is_running(self) -> bool:
        """Return whether the embedded server is there; somebody else's server is taken to be."""
        return self._cluster is None or self._cluster.is_running()

    def stop(self) -> None:
        """Return when the embedded server is gone; somebody else's server is left alone."""
        if self._cluster is not None:
            (self._workspace.run / "database.json").unlink(missing_ok=True)
            self._cluster.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.started:
            self.stop()


def open_database(workspace: Workspace, settings: Settings, *, throwaway: bool = False) -> Database:
    """Return the workspace's database, running and with the schema of this code.

    Raises:
        Malformed: a setting or JURAT_DATABASE_URL will not do.
        Unavailable: the server cannot be started or reached.
    """
    url = database_url()
    if url:
        dsns = _external(url)
        database = Database(workspace, dsns)
    else:
        cluster = Cluster(workspace, settings, throwaway=throwaway)
        started = cluster.start()
        try:
            dsns = embedded_dsns(cluster, _DATABASE)
        except BaseException:
            if started:
                cluster.stop()
            raise
        database = Database(workspace, dsns, cluster=cluster, started=started)
    workspace.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_secret(workspace.run / "database.json", dump_json(dsns))
    return database


def attach_database(workspace: Workspace) -> Database:
    """Return the database that another process of this workspace has opened.

    Raises:
        Unavailable: none has.
    """
    path = workspace.run / "database.json"
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise Unavailable(
            f"no jurat runs in `{workspace.root}`", hint=f"start it with `jurat serve {workspace.root}`", code="not_running"
        ) from None
    return Database(workspace, load_json(raw, dict[str, str], what=f"`{path}`"))


def remove_database(workspace: Workspace, settings: Settings) -> None:
    """Take the embedded database away for ever, wherever its data had to go. For demos and tests."""
    with contextlib.suppress(FileNotFoundError):
        (workspace.run / "database.json").unlink()
    Cluster(workspace, settings).remove()


def _external(url: str) -> dict[str, str]:
    migrate(with_session(url))
    return {role: _for_role(url, role) for role in ("owner", *_LOGINS)}


def embedded_dsns(cluster: Cluster, database: str) -> dict[str, str]:
    """Return a connection string per role for a database of the embedded cluster, made and shaped if need be.

    The roles get their passwords here; only verifiers are sent, so none can end up in a log.
    """
    with database_errors(), psycopg.connect(cluster.dsn(SUPERUSER, "postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])  # two commands may open a fresh workspace at once
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        migrate(with_session(cluster.dsn(SUPERUSER, database)))
        for role in _LOGINS:
            login = cluster.login(f"jurat_{role}")
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s AND NOT rolcanlogin", [login.user]).fetchone():
                verifier = connection.pgconn.encrypt_password(login.password.encode(), login.user.encode(), b"scram-sha-256").decode()
                connection.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(login.user), sql.Literal(verifier)))
    owner = _for_role(cluster.dsn(SUPERUSER, database), "owner")
    return {"owner": owner} | {role: with_session(cluster.dsn(f"jurat_{role}", database)) for role in _LOGINS}


def _for_role(dsn: str, role: Role) -> str:
    return with_session(dsn, role=f"jurat_{role}", **(_OWNER_PATIENCE if role == "owner" else {}))
