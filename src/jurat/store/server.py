"""One PostgreSQL server process: started, found again after a crash of ours, stopped.

A server found running is ours only if it proves it: it must know our password's verifier (SCRAM authenticates both
sides) and serve our data directory. `postmaster.pid` is read, never written and never deleted.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import psycopg

from jurat.core.errors import Unavailable
from jurat.store.account import Account, child_arguments
from jurat.store.conninfo import Login, format_dsn

HOST: Final = "127.0.0.1"
_START_TIMEOUT_S: Final = 60.0  # recovery after a crash takes its time
_QUIT_TIMEOUT_S: Final = 3.0
_POLL_S: Final = 0.02
_LOG_LIMIT_BYTES: Final = 8 * 1024 * 1024
_PORT_TAKEN: Final = ("could not bind", "Address already in use")
_PREDECESSOR_DYING: Final = ("pre-existing shared memory block", 'lock file "postmaster.pid" already exists')
# The log must not become a second place where personal data lies: no statements, no `DETAIL: Key (email)=…`.
_SETTINGS: Final = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "max_connections": "60",
}


class PidFile(NamedTuple):
    """What `postmaster.pid` says. Source: PostgreSQL `src/include/utils/pidfile.h`, lines 1 and 4."""

    pid: int
    port: int | None


class Server:
    """The server of one data directory, running or not.

    Args:
        data: an initialised data directory.
        binaries: the directory with `postgres`.
        account: whom it runs as; None for ourselves.
        login: the superuser of the cluster.
        log: the file that the server writes to; ours.
    """

    def __init__(self, data: Path, binaries: Path, account: Account | None, login: Login, log: Path) -> None:
        self.data = data
        self.binaries = binaries
        self.account = account
        self.login = login
        self.log = log
        self.port = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None

    def is_running(self) -> bool:
        """Return whether the server that was started or adopted is still there."""
        if self._child is not None:
            return self._child.poll() is None
        return self._pid is not None and _is_alive(self._pid)

    def adopt(self) -> bool:
        """Take over a server of ours that is running already. Returns False when there is none.

        One that is busy starting up or recovering is waited for; one that is ours and never answers is stopped.
        """
        found = read_pid_file(self.data)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while found is not None and _is_alive(found.pid) and _may_serve(found.pid, self.data):
            if found.port is not None and self._answers(found.port):
                self._pid, self.port = found.pid, found.port
                return True
            if time.monotonic() > deadline:
                if _serves(found.pid, self.data):
                    _stop(found.pid, self.data, _QUIT_TIMEOUT_S)
                return False
            time.sleep(_POLL_S)
            found = read_pid_file(self.data)
        return False

    def start(self, port: int = 0) -> None:
        """Return when the server answers, on `port` if it is free, else on another one.

        Raises:
            Unavailable: it does not start; the detail has the last line that it logged.
        """
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            self.port = _free_port(port)
            problem = self._try_start(deadline)
            if problem is None:
                return
            port = 0
            expected = any(text in problem for text in (*_PORT_TAKEN, *_PREDECESSOR_DYING))
            if not expected or time.monotonic() > deadline:
                raise Unavailable(
                    f"the embedded PostgreSQL did not start: {_last_complaint(problem)}",
                    hint=f"its log is `{self.log}`",
                    code="database_did_not_start",
                )
            time.sleep(0.1)

    def stop(self, timeout_s: float = 4.0) -> None:
        """Return when the server is gone. Clients are disconnected; what was committed is on disk.

        Raises:
            Unavailable: it does not go.
        """
        pid = self._child.pid if self._child is not None else self._pid
        if pid is None:
            return
        if self._child is None:
            if _may_serve(pid, self.data):
                _stop(pid, self.data, timeout_s)
        elif self._child.poll() is None:
            for number, wait_s in ((signal.SIGINT, timeout_s), (signal.SIGQUIT, _QUIT_TIMEOUT_S), (signal.SIGKILL, _QUIT_TIMEOUT_S)):
                self._child.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._child.wait(wait_s)
                    break
        self._child, self._pid = None, None

    def _try_start(self, deadline: float) -> str | None:
        """Return None when the server answers, else what it logged before it ended."""
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT_BYTES:
            self.log.replace(self.log.with_suffix(".old.log"))
        options = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            begin = os.fstat(descriptor).st_size
            child = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.data, "-p", str(self.port), *options],
                stdout=descriptor, stderr=descriptor, start_new_session=True, **child_arguments(self.account),
            )  # fmt: skip
        finally:
            os.close(descriptor)
        try:
            while child.poll() is None and time.monotonic() < deadline:
                if self._answers(self.port):
                    self._child, self._pid = child, None
                    return None
                time.sleep(_POLL_S)
        finally:
            if self._child is not child and child.poll() is None:
                child.send_signal(signal.SIGQUIT)
                child.wait()
        with self.log.open("rb") as file:
            file.seek(begin)
            return file.read(64 * 1024).decode(errors="replace")

    def _answers(self, port: int) -> bool:
        """Return whether *our* server answers on this port."""
        try:
            with psycopg.connect(format_dsn(HOST, port, "postgres", self.login, connect_timeout="2"), autocommit=True) as connection:
                row = connection.execute("SHOW data_directory").fetchone()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise Unavailable(
                    f"the database in `{self.data}` does not know jurat's password",
                    hint="the password file belongs to another cluster: restore the one that was made with this data",
                    code="not_our_database",
                ) from None
            return False
        return row is not None and Path(row[0]).resolve() == self.data.resolve()


def read_pid_file(data: Path) -> PidFile | None:
    """Return what the server's own pid file says; None without one, or while it is being written."""
    try:
        lines = (data / "postmaster.pid").read_text(errors="replace").splitlines()
        return PidFile(int(lines[0]), int(lines[3]) if len(lines) > 3 and lines[3].strip() else None)
    except (OSError, ValueError, IndexError):
        return None


def stop_abandoned(data: Path) -> None:
    """Return when no server works in this directory any more; for data that is about to be thrown away."""
    found = read_pid_file(data)
    if found is not None and _is_alive(found.pid) and _serves(found.pid, data):
        _stop(found.pid, data, _QUIT_TIMEOUT_S)


def _stop(pid: int, data: Path, timeout_s: float) -> None:
    """Stop a server that is not our child: fast, then at once. SIGINT, because SIGTERM waits for the last client."""
    for number, wait_s in ((signal.SIGINT, timeout_s), (signal.SIGQUIT, _QUIT_TIMEOUT_S), (signal.SIGKILL, _QUIT_TIMEOUT_S)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        if _within(wait_s, lambda: not _is_alive(pid)):
            return
    raise Unavailable(f"the server of `{data}`, process {pid}, does not stop", hint="stop it by hand", code="database_did_not_stop")


def _within(timeout_s: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _is_alive(pid: int) -> bool:
    """Return whether the process exists and is more than an unburied corpse (nobody may be there to bury it)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return Path("/proc/self").exists() is False  # no /proc here: the kill said that it lives
    return state not in "ZX"


def _serves(pid: int, data: Path) -> bool:
    """Return whether the process is known to be a server of this directory: a postmaster works inside it."""
    try:
        return Path(f"/proc/{pid}/cwd").resolve(strict=True) == data.resolve()
    except OSError:
        return False


def _may_serve(pid: int, data: Path) -> bool:
    """Return whether the process may be ours. Numbers are used again, so one that clearly is not must not hold us up."""
    return _serves(pid, data) or not Path("/proc/self").exists()


def _free_port(wanted: int) -> int:
    """Return `wanted` if nobody listens on it, else a free port. Free a moment ago is not free now: callers try again."""
    for port in (wanted, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Unavailable(f"no free port on {HOST}", code="no_free_port")


def _last_complaint(log: str) -> str:
    """Return the last two lines, without their times: the last one says that it ended, the one before often why."""
    lines = [re.sub(r"^\S+ \S+ UTC \[\d+\] ", "", line.strip()) for line in log.splitlines() if line.strip()]
    return "; ".join(lines[-2:])[:400] or "it logged nothing"
