"""Driver errors become errors of the house, in one place. No driver exception leaves this package.

The driver's own text may hold a row's values (`Key (email)=(…) already exists`), so it is not passed on: the SQLSTATE is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from jurat.core.errors import Conflict, Denied, JuratError, Malformed, Unavailable


@contextmanager
def database_errors() -> Iterator[None]:
    """Let nothing of the driver out: whatever it raises inside comes out as an error of the house."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error) from None


def translate(error: psycopg.Error) -> JuratError:
    """Return what a driver error means to a user. Whatever was under way did not happen."""
    state = error.sqlstate or ""
    if isinstance(error, PoolTimeout | PoolClosed | TooManyRequests) or state[:2] in ("08", "57") or _is_lost(error):
        if state == "57014":
            return Unavailable("the database took too long to answer", hint="try again in a moment", code="database_busy", sqlstate=state)
        return Unavailable("the database does not answer", hint="see `jurat status`; then try again", code="database_away", sqlstate=state)
    if state[:2] in ("40", "55"):
        return Unavailable(
            "another act holds the database for too long", hint="try again in a moment", code="database_busy", sqlstate=state
        )
    if state[:2] == "53" or state == "58030":
        return Unavailable(
            "the database is out of space or memory", hint="free some, then try again; nothing was half-written", code="storage_failed",
            sqlstate=state,
        )  # fmt: skip
    if state in ("JU001", "JU002"):
        return Denied("the database refused a change of state that no event stands for", code="no_event", sqlstate=state)
    if state == "42501":
        return Denied("the database refused: this role may not do that", code="database_grant", sqlstate=state)
    if state[:2] == "23":
        return Conflict("this contradicts what is stored already", hint="reload, then decide again", code="already_there", sqlstate=state)
    if state[:2] == "22" or isinstance(error, psycopg.DataError):
        return Malformed("a value cannot be stored as text, such as one with a NUL character", code="unstorable", sqlstate=state)
    return Unavailable(
        "the database refused, for a reason that jurat does not know", code="database_failed", sqlstate=state or type(error).__name__
    )


def _is_lost(error: psycopg.Error) -> bool:
    """Return whether the connection itself failed: those errors carry no SQLSTATE."""
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and error.sqlstate is None
