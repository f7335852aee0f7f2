"""The embedded cluster of one workspace: where its data lies, how it is made once, started and stopped.

`<workspace>/postgres/` belongs to us and says where everything is:

    location.json    where the data had to go, which account owns it, which programs made it
    passwords.json   0600: the cluster's superuser and our roles
    server.log       the server's own log, without statements and without values
    lock             held while a process of ours starts or stops the server
    cluster/data     the data directory, unless the account cannot reach it here

As root inside a directory that nobody else can enter, the data goes to `/var/lib/jurat/<workspace>-<id>/` instead.
No mode of a directory that is not ours is ever changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from jurat.core.errors import Malformed, Unavailable
from jurat.core.files import write_secret, write_whole
from jurat.core.jsonio import dump_json, load_json
from jurat.core.settings import Settings
from jurat.core.workspace import Workspace
from jurat.store.account import Account, account_named, account_owning, can_enter, child_arguments, choose_account
from jurat.store.binaries import LAST_RESORT, find_binaries, reachable
from jurat.store.conninfo import Login, format_dsn
from jurat.store.server import HOST, Server, stop_abandoned

ELSEWHERE: Final = Path("/var/lib/jurat")
SUPERUSER: Final = "jurat"
_COMPLAINT: Final = re.compile(r"\b(error|fatal|panic|could not)\b", re.IGNORECASE)
_OWNER_FILE: Final = "workspace.json"  # beside data that lies elsewhere: whose it is


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """Where a cluster lies. Trusted as the workspace is: whoever changes it can point us to another database."""

    directory: str  # holds `data`; its owner is the account that the server runs under
    binaries: str
    port: int
    ready: bool  # the data was made; if it is gone, it is lost and not new


def cluster_elsewhere(workspace: Workspace) -> Path | None:
    """Return where the embedded cluster's files lie if that is outside the workspace; None if inside, or if there is none."""
    found = _read_location(workspace.postgres)
    if found is None or Path(found.directory).is_relative_to(workspace.root):
        return None
    return Path(found.directory)


def _read_location(home: Path) -> Location | None:
    """Return where the cluster lies. A workspace that was moved or copied has its own data, not that of the place it came from."""
    path = home / "location.json"
    try:
        found = load_json(path.read_bytes(), Location, what=f"`{path}`")
    except FileNotFoundError:
        return None
    here = home / "cluster"
    return msgspec.structs.replace(found, directory=str(here)) if here.is_dir() else found


class Cluster:
    """The embedded PostgreSQL of one workspace.

    Args:
        throwaway: a demo or a test: the account `nobody` will do, and remains of the same kind are cleared away.
    """

    def __init__(self, workspace: Workspace, settings: Settings, *, throwaway: bool = False) -> None:
        self._home = workspace.postgres
        self._root = workspace.root.resolve()
        self._settings = settings
        self._throwaway = throwaway
        self._server: Server | None = None

    def start(self) -> bool:
        """Return when the server answers; made if it never was. Returns False if it was running already.

        Raises:
            Malformed: a setting names an account or a directory that will not do.
            Unavailable: it cannot be made or started, or its data is gone.
        """
        try:
            self._home.mkdir(mode=0o755, parents=True, exist_ok=True)
            with self._locked():
                return self._start()
        except OSError as error:
            raise Unavailable(
                f"the embedded PostgreSQL could not be started: {(error.strerror or str(error)).lower()}: `{error.filename}`",
                hint="run jurat as the user that made the workspace, and see that the disk is neither full nor read-only",
                code="storage_failed",
            ) from error

    def _start(self) -> bool:
        location = _read_location(self._home) or self._plan()
        data = Path(location.directory, "data")
        account = self._account(location)
        binaries = reachable(find_binaries(self._settings.database_bin), account, earlier=Path(location.binaries))
        if not location.ready:
            self._initialise(data, binaries.directory, account)
        _refuse_other_major(data, binaries.major)
        server = Server(data, binaries.directory, account, self.login(SUPERUSER), self._home / "server.log")
        fresh = not server.adopt()
        if fresh:
            server.start(location.port)
        self._server = server
        self._keep(Location(directory=location.directory, binaries=str(binaries.directory), port=server.port, ready=True))
        return fresh

    def stop(self, timeout_s: float = 4.0) -> None:
        """Return when the server is gone; at once if it is not running.

        Raises:
            Unavailable: it does not go.
        """
        location = _read_location(self._home)
        if location is None:
            return
        with self._locked():
            if self._server is None:
                data = Path(location.directory, "data")
                server = Server(data, Path(location.binaries), None, self.login(SUPERUSER), self._home / "server.log")
                self._server = server if server.adopt() else None
            if self._server is not None:
                self._server.stop(timeout_s)
                self._server = None

    def remove(self) -> None:
        """Stop the server and take its data and `<workspace>/postgres` away, for ever."""
        self.stop()
        location = _read_location(self._home)
        if location is not None and Path(location.directory).parent != self._home:
            shutil.rmtree(Path(location.directory).parent, ignore_errors=True)
        shutil.rmtree(self._home, ignore_errors=True)

    def is_running(self) -> bool:
        """Return whether the server that this object started or adopted is there."""
        return self._server is not None and self._server.is_running()

    def dsn(self, user: str, database: str) -> str:
        """Return the connection string of one of the cluster's logins."""
        if self._server is None:
            raise Unavailable("the embedded PostgreSQL is not running", hint="start it with `jurat serve`", code="not_running")
        return format_dsn(HOST, self._server.port, database, self.login(user))

    def login(self, user: str) -> Login:
        """Return a login, with a fresh random password if it had none."""
        path = self._home / "passwords.json"
        passwords = load_json(path.read_bytes(), dict[str, str], what=f"`{path}`") if path.exists() else {}
        if user not in passwords:
            passwords[user] = secrets.token_hex(32)
            write_secret(path, dump_json(passwords))
        return Login(user, passwords[user])

    def _account(self, location: Location) -> Account | None:
        """Return whom the server runs under: the owner of its directory. The setting may only agree."""
        directory = Path(location.directory)
        if not directory.is_dir() or (location.ready and not list(directory.glob("data/PG_VERSION"))):
            raise Unavailable(
                f"the database of this workspace is gone: `{directory}/data` does not exist",
                hint="restore it from its newest backup: the ledger has all events, but names and tokens were only there",
                code="database_gone",
            )
        account, wanted = account_owning(directory), self._settings.database_user
        if account is not None and wanted and account_named(wanted).uid != account.uid:
            raise Malformed(
                f"`database_user` is `{wanted}`, but the database belongs to `{account.name}`",
                hint=f"set `database_user` to `{account.name}`, or give `{directory}` to `{wanted}` with `chown -R`",
            )
        return account

    def _plan(self) -> Location:
        """Choose account and place, make the place, and write both down before anything lies there."""
        account = choose_account(self._settings.database_user, throwaway=self._throwaway)
        if can_enter(self._home, account):
            directory = self._home / "cluster"
            shutil.rmtree(directory, ignore_errors=True)  # never finished, else location.json would be there
            directory.mkdir(mode=0o700)
        elif account is None:
            raise Unavailable(f"`{self._home}` cannot be entered", hint="repair the modes of the workspace", code="storage_failed")
        else:
            directory = self._place_elsewhere()
        if account is not None:
            os.chown(directory, account.uid, account.gid)
        location = Location(directory=str(directory), binaries="", port=0, ready=False)
        self._keep(location)
        return location

    def _place_elsewhere(self) -> Path:
        """Return a fresh directory outside the workspace, for an account that cannot enter the workspace."""
        mark = hashlib.sha256(os.fsencode(self._root)).hexdigest()[:16]
        with contextlib.suppress(OSError):
            if not ELSEWHERE.is_dir():
                ELSEWHERE.mkdir(parents=True)
                ELSEWHERE.chmod(0o755)
        ours = ELSEWHERE.is_dir() and ELSEWHERE.stat().st_uid == os.geteuid() and os.access(ELSEWHERE, os.W_OK)
        if ours and self._throwaway:
            self._clear_remains(mark)
        outer = Path(tempfile.mkdtemp(prefix=f"{mark}-" if ours else f"jurat-{mark}-", dir=ELSEWHERE if ours else LAST_RESORT))
        outer.chmod(0o755)
        write_whole(outer / _OWNER_FILE, dump_json({"workspace": str(self._root), "throwaway": self._throwaway}))
        directory = outer / "cluster"
        directory.mkdir(mode=0o700)
        return directory

    def _clear_remains(self, mark: str) -> None:
        """Take away what an earlier throwaway workspace at this path left behind when somebody deleted it."""
        for outer in ELSEWHERE.glob(f"{mark}-*"):
            with contextlib.suppress(OSError, Malformed):
                owner = load_json((outer / _OWNER_FILE).read_bytes(), dict[str, str | bool], what="owner")
                if owner == {"workspace": str(self._root), "throwaway": True}:
                    stop_abandoned(outer / "cluster" / "data")
                    shutil.rmtree(outer)

    def _initialise(self, data: Path, binaries: Path, account: Account | None) -> None:
        """Make the data directory: under another name, then renamed, so that a half one is never used."""
        half = data.with_name("data.new")
        shutil.rmtree(half, ignore_errors=True)
        shutil.rmtree(data, ignore_errors=True)  # location.json says that it never became ready
        password_file = data.with_name("password")
        password_file.unlink(missing_ok=True)
        descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self.login(SUPERUSER).password.encode())
                if account is not None:
                    os.fchown(file.fileno(), account.uid, account.gid)
            command: list[str | Path] = [
                binaries / "initdb", "-D", half, "-U", SUPERUSER, "-E", "UTF8", "--no-locale", "--data-checksums", "--no-instructions",
                "--auth=scram-sha-256", f"--pwfile={password_file}", *(["--no-sync"] if self._throwaway else []),
            ]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **child_arguments(account))
        finally:
            password_file.unlink(missing_ok=True)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["nothing"]
            said = next((line for line in lines if _COMPLAINT.search(line)), lines[-1])  # its last line says what it cleaned up
            raise Unavailable(
                f"the database could not be made in `{data.parent}`: initdb said `{said[:300]}`",
                hint="free some disk space, or repair what it complains about, then try again; nothing was half-made",
                code="database_did_not_start",
            )
        half.rename(data)

    def _keep(self, location: Location) -> None:
        path = self._home / "location.json"
        raw = dump_json(location)
        if not path.exists() or path.read_bytes() != raw:
            write_whole(path, raw)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold `postgres/lock`: one process at a time makes, starts or stops the server of this workspace."""
        descriptor = os.open(self._home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _refuse_other_major(data: Path, major: int) -> None:
    """Pass if these programs can open the data."""
    found = (data / "PG_VERSION").read_text().strip()
    if found != str(major):
        raise Unavailable(
            f"the database was made by PostgreSQL {found}, the programs here are PostgreSQL {major}",
            hint=f"name a directory with PostgreSQL {found} as `database_bin`, or dump with the old programs and restore with the new ones",
            code="database_of_other_version",
        )
