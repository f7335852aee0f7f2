"""What the driver says becomes what a user is told; nothing of a row's values comes along."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.errors import lookup
from psycopg_pool import PoolTimeout

from jurat.core.errors import Conflict, Denied, JuratError, Malformed, Unavailable
from jurat.store.conninfo import Login, format_dsn, with_session
from jurat.store.failures import database_errors, translate


@pytest.mark.parametrize(
    ("sqlstate", "family", "code"),
    [
        ("57P01", Unavailable, "database_away"),
        ("08006", Unavailable, "database_away"),
        ("57014", Unavailable, "database_busy"),
        ("55P03", Unavailable, "database_busy"),
        ("40001", Unavailable, "database_busy"),
        ("53100", Unavailable, "storage_failed"),
        ("42501", Denied, "database_grant"),
        ("23505", Conflict, "already_there"),
        ("22P05", Malformed, "unstorable"),
        ("25006", Unavailable, "database_failed"),
        ("XX001", Unavailable, "database_failed"),
    ],
)
def test_each_sqlstate_has_its_family(sqlstate: str, family: type[JuratError], code: str) -> None:
    found = translate(lookup(sqlstate)("Key (email)=(ann@secret.example) already exists"))
    assert (type(found), found.code, found.fields["sqlstate"]) == (family, code, sqlstate)
    assert "secret" not in f"{found.detail}{found.hint}{found.fields}"


def test_errors_without_a_state_are_a_lost_connection() -> None:
    for error in (psycopg.OperationalError("server closed"), psycopg.InterfaceError("closed"), PoolTimeout("none")):
        assert translate(error).code == "database_away"


def test_the_driver_does_not_come_out_even_as_a_cause() -> None:
    with pytest.raises(Unavailable) as caught, database_errors():
        raise psycopg.OperationalError("password=secret")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), database_errors():
        raise KeyError


def test_a_password_is_not_printed() -> None:
    assert "secret" not in repr(Login("jurat", "secret"))


def test_a_session_keeps_what_the_url_says_and_adds_the_house_rules() -> None:
    found = psycopg.conninfo.conninfo_to_dict(
        with_session("postgresql://u:p@h:1/d?options=-c%20geqo%3Doff", role="jurat_app", lock_timeout="1s")
    )
    assert (found["host"], found["user"]) == ("h", "u")
    options = str(found["options"])
    assert options.startswith("-c geqo=off ")
    for part in ("-c role=jurat_app", "-c synchronous_commit=on", "-c lock_timeout=1s", "-c search_path="):
        assert part in options


def test_the_embedded_server_must_prove_itself() -> None:
    found = psycopg.conninfo.conninfo_to_dict(format_dsn("127.0.0.1", 5, "d", Login("u", "p'\\ x")))
    assert found["require_auth"] == "scram-sha-256"
    assert found["password"] == "p'\\ x"
