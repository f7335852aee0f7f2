"""The process tree of a workspace: PostgreSQL, the sequencer, the relay, the archive, the doors.

Two temperaments. `serve` runs all of it until a signal; `moment` runs just the stores for one command of the CLI. Both hold
`run/tree.lock`, so there is never a second tree. Each child watches a pipe whose other end only this process holds: when
this process dies, by whatever death, its children see the pipe close and go. PostgreSQL is adopted by the next start.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from jurat.core.errors import Conflict, Tampered, Unavailable
from jurat.core.files import write_whole
from jurat.core.jsonio import dump_json, load_json
from jurat.core.last_words import read_last_words
from jurat.core.settings import Settings
from jurat.core.workspace import Workspace
from jurat.store.connect import Database, open_database

READY_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 3.5
_LAST_WORDS_S: Final = 2.0
_LAST_CHILDREN_S: Final = 10.0
_RESTARTS_PER_MINUTE: Final = 5
SEQUENCER, RELAY, ARCHIVE, WEB, GATEWAY = "sequencer", "relay", "archive", "web", "gateway"
_MODULES: Final = {
    SEQUENCER: "jurat.ledger.daemon",
    RELAY: "jurat.worker",
    ARCHIVE: "jurat.worker.archive",
    WEB: "jurat.web",
    GATEWAY: "jurat.gateway",
}


class TreeInfo(msgspec.Struct, frozen=True):
    """What `run/tree.json` says of the running tree: who runs it, in which mode, on which ports."""

    pid: int
    mode: str  # serve | moment
    ports: dict[str, int]


class _ToldToStop(Exception):
    """The signal came while a child was being waited for."""


@dataclass
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    port: int
    log_begin: int


class Tree:
    """Starts, watches and stops the children. Use as a context manager.

    Raises (on entering):
        Conflict: another tree runs in this workspace.
        JuratError: a child could not start; it is the child's own error. All that it said is in `run/<name>.log`.
    """

    def __init__(self, workspace: Workspace, settings: Settings, *, mode: str, throwaway: bool = False) -> None:
        self._workspace, self._settings, self._mode, self._throwaway = workspace, settings, mode, throwaway
        self._children: dict[str, _Child] = {}
        self._restarts: list[float] = []
        self._lock = self._children_lock = -1
        self._life = (-1, -1)
        self.database: Database | None = None
        self.report: Callable[[str], None] = lambda _text: None
        self.stopping: Callable[[], bool] = lambda: False  # asked while waiting, so that no start holds up the end

    @property
    def ports(self) -> dict[str, int]:
        return {name: child.port for name, child in self._children.items() if child.port}

    @property
    def pids(self) -> dict[str, int]:
        return {name: child.process.pid for name, child in self._children.items()}

    def __enter__(self) -> Self:
        self._workspace.run.mkdir(mode=0o700, exist_ok=True)
        self._lock = lock_tree(self._workspace)
        self._life = os.pipe()  # children inherit the reading end; it closes when we are gone
        os.set_inheritable(self._life[0], True)
        try:
            self._children_lock = _await_last_children(self._workspace)
            self.database = open_database(self._workspace, self._settings, throwaway=self._throwaway)
            wanted = [SEQUENCER] if self._mode == "moment" else list(_MODULES)
            self._start(SEQUENCER)
            with ThreadPoolExecutor() as together:  # the sequencer first; the others need nothing of each other
                list(together.map(self._start, wanted[1:]))
            self._publish_info()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def watch(self) -> None:
        """Restart what dies, until `stopping()`.

        Raises:
            JuratError: children die faster than it is worth restarting them; everything stops.
            Tampered: one has found what disagrees with the log, or a witness that knows another ledger; everything stops.
        """
        while not self.stopping():
            for child in list(self._children.values()):
                code = child.process.poll()
                if code is None or self.stopping():
                    continue
                if code == Tampered.exit_code:  # what disagrees with the log is for a person, not for another try
                    raise read_last_words(self._log_of(child.name), since=child.log_begin, who=f"`{child.name}` stopped everything")
                now = time.monotonic()
                self._restarts = [at for at in self._restarts if now - at < 60] + [now]
                if len(self._restarts) > _RESTARTS_PER_MINUTE:
                    raise read_last_words(self._log_of(child.name), since=child.log_begin, who=f"`{child.name}` keeps dying")
                self.report(f"{child.name} died with {code}; starting it again")
                self._start(child.name)
                self._publish_info()
            database = self.database
            if database is not None and not database.is_running():
                self.report("postgresql died; starting it again")
                self.database = open_database(self._workspace, self._settings, throwaway=self._throwaway)
            time.sleep(0.1)

    def stop(self) -> None:
        """End everything: the doors first, then the sequencer, PostgreSQL last."""
        for name in reversed(_MODULES):
            child = self._children.pop(name, None)
            if child is not None and child.process.poll() is None:
                child.process.terminate()
                self._children[name] = child
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for child in self._children.values():
            try:
                child.process.wait(max(0.05, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        self._children.clear()
        if self.database is not None:
            self.database.stop()
            self.database = None
        with contextlib.suppress(FileNotFoundError):
            (self._workspace.run / "tree.json").unlink()
        for descriptor in (*self._life, self._children_lock, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._life, self._children_lock, self._lock = (-1, -1), -1, -1

    def _ask_witnesses(self) -> None:
        """Return unless a witness has seen more of this ledger than it holds: then it was rolled back, and must not go on."""
        if not self._workspace.witness_policy.exists():
            return
        log = self._log_of("witnesses")
        argv = [sys.executable, "-m", "jurat.worker.start_check", str(self._workspace.root)]
        with log.open("a+b") as file:
            begin = file.seek(0, os.SEEK_END)
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file, timeout=READY_TIMEOUT_S, check=False)
            file.seek(begin)
            said = file.read().decode(errors="replace").strip()
        if done.returncode:
            raise read_last_words(log, since=begin, who="the ledger may not start")
        if said:
            print(said, file=sys.stderr, flush=True)  # noqa: T201 - a witness that gave no word

    def _start(self, name: str) -> None:
        if name == SEQUENCER:
            self._ask_witnesses()
        ready_read, ready_write = os.pipe()
        os.set_inheritable(ready_write, True)
        argv = [sys.executable, "-m", _MODULES[name], str(self._workspace.root), "--parent-fd", str(self._life[0])]
        if name != SEQUENCER:  # which says so on stdout
            argv += ["--ready-fd", str(ready_write)]
        with self._log_of(name).open("ab") as log:
            log_begin = log.tell()
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=ready_write if name == SEQUENCER else log,
                stderr=log,
                pass_fds=(self._life[0], self._children_lock, ready_write),
                start_new_session=True,
            )
        os.close(ready_write)
        try:
            port = self._await_ready(name, process, ready_read, log_begin)
        finally:
            os.close(ready_read)
        self._children[name] = _Child(name, process, port, log_begin)

    def _await_ready(self, name: str, process: subprocess.Popen[bytes], ready_fd: int, log_begin: int) -> int:
        """Wait for the child's line: `ready` or `ready <port>`."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        said = b""
        while b"\n" not in said:
            readable, _, _ = select.select([ready_fd], [], [], 0.1)
            if self.stopping():
                process.kill()
                process.wait()
                raise _ToldToStop
            if not readable and time.monotonic() < deadline:
                continue
            chunk = os.read(ready_fd, 4096) if readable else b""
            if not chunk:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_LAST_WORDS_S)  # the pipe closes a moment before it is gone
                process.kill()
                process.wait()
                raise read_last_words(self._log_of(name), since=log_begin, who=f"`{name}` did not start")
            said += chunk
        words = said.split(b"\n", 1)[0].split()
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0

    def _log_of(self, name: str) -> Path:
        return self._workspace.run / f"{name}.log"

    def _publish_info(self) -> None:
        info = TreeInfo(pid=os.getpid(), mode=self._mode, ports=self.ports)
        write_whole(self._workspace.run / "tree.json", dump_json(info), mode=0o600)


def serve(workspace: Workspace, settings: Settings, *, on_ready: Callable[[Tree], None], throwaway: bool = False) -> None:
    """Run the whole tree until SIGTERM or SIGINT, then stop it cleanly (within 5 s)."""
    stopping = False

    def stop(_signal: int, _frame: Any) -> None:
        nonlocal stopping
        stopping = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        tree = Tree(workspace, settings, mode="serve", throwaway=throwaway)
        tree.stopping = lambda: stopping
        tree.report = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: T201 - the operator's terminal
        with contextlib.suppress(_ToldToStop), tree:
            on_ready(tree)
            tree.watch()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def running_tree(workspace: Workspace) -> TreeInfo | None:
    """Return what runs in a workspace now, or None."""
    try:
        info = load_json((workspace.run / "tree.json").read_bytes(), TreeInfo, what="`run/tree.json`")
    except FileNotFoundError:
        return None
    with contextlib.suppress(Conflict), held_lock(workspace):
        return None  # the lock was free: whoever wrote that file is dead
    return info


@contextlib.contextmanager
def held_lock(workspace: Workspace) -> Iterator[None]:
    """Hold the tree's lock for a moment."""
    descriptor = lock_tree(workspace)
    try:
        yield
    finally:
        os.close(descriptor)


def lock_tree(workspace: Workspace) -> int:
    """Return the descriptor that holds `run/tree.lock` until it is closed.

    Raises:
        Conflict: somebody else holds it.
    """
    descriptor = _try_lock(workspace.run / "tree.lock")
    if descriptor is None:
        raise Conflict(f"`{workspace.root}` is being served already", hint="`jurat status` says by whom", code="already_running")
    return descriptor


def _await_last_children(workspace: Workspace) -> int:
    """Return the descriptor of the lock that children inherit, once those of a tree that was killed are gone.

    Raises:
        Unavailable: they do not go.
    """
    deadline = time.monotonic() + _LAST_CHILDREN_S
    while (descriptor := _try_lock(workspace.run / "children.lock")) is None:
        if time.monotonic() > deadline:
            raise Unavailable(
                f"processes of an earlier tree still work in `{workspace.root}`",
                hint="they should have gone when it died: look with `ps`, and end them",
                code="children_remain",
            )
        time.sleep(0.02)
    return descriptor


def _try_lock(path: Path) -> int | None:
    """Return a descriptor that holds the lock until it, and each one inherited from it, is closed; None if it is taken."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
