"""Connection strings, complete: no `PG*` variable of somebody's shell may change where we connect or how."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from jurat.core.errors import Malformed

# What every session of ours lives by. Names are always written with their schema, so the search path is empty.
_SESSION: Final = {
    "search_path": "",
    "timezone": "UTC",
    "synchronous_commit": "on",
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
}
# The embedded server: loopback, no TLS in the wheel. Requiring SCRAM makes the server prove itself, too: whoever took
# over the port after a crash cannot ask for the password in the clear.
_EMBEDDED: Final = {
    "sslmode": "disable",
    "gssencmode": "disable",
    "channel_binding": "disable",
    "require_auth": "scram-sha-256",
    "target_session_attrs": "any",
    "client_encoding": "UTF8",
    "options": "",
}


class Login(NamedTuple):
    """A role that can log in, and its password."""

    user: str
    password: str

    def __repr__(self) -> str:  # a password is never printed, not even by a traceback
        return f"Login(user={self.user!r}, password=…)"


def format_dsn(host: str, port: int, database: str, login: Login, **more: str) -> str:
    """Return the connection string for a database of the embedded server."""
    parameters: dict[str, Any] = {
        "host": host, "port": port, "dbname": database, "user": login.user, "password": login.password, "connect_timeout": "5", **_EMBEDDED,
    }  # fmt: skip
    return make_conninfo("", **{**parameters, **more})


def with_session(dsn: str, *, role: str = "", **settings: str) -> str:
    """Return the connection string with the session settings of the house, acting as `role` from the first statement."""
    try:
        parameters = conninfo_to_dict(dsn)
    except ProgrammingError:
        raise Malformed("JURAT_DATABASE_URL cannot be read", hint="write it as `postgresql://user:password@host:5432/database`") from None
    session = {**_SESSION, **settings, **({"role": role} if role else {})}
    options = " ".join([str(parameters.get("options") or ""), *(f"-c {name}={value}" for name, value in session.items())]).strip()
    return make_conninfo("", **{**parameters, "options": options})
