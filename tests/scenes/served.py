"""`jurat serve` as people start it, in a workspace whose endpoint has a real model server behind it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.wire.gateway.gateway_site import Model, Site

from jurat.app.bootstrap import init_workspace, remove_workspace
from jurat.app.tree import Tree
from jurat.app.wiring import attach_app
from jurat.core.jsonio import load_json
from jurat.core.settings import Settings
from jurat.core.workspace import Workspace
from jurat.store.cluster import Location
from jurat.store.server import read_pid_file

CHILDREN = {
    "sequencer": "jurat.ledger.daemon",
    "relay": "jurat.worker",
    "archive": "jurat.worker.archive",
    "web": "jurat.web",
    "gateway": "jurat.gateway",
}


class Serve:
    """`jurat serve`, and its processes by name."""

    def __init__(self, workspace: Workspace, *, wait: bool = True) -> None:
        self.workspace = workspace
        argv = [sys.executable, "-m", "jurat.cli.main", "-C", str(workspace.root), "serve", "--json"]
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this object
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=self.errors)
        assert self.process.stdout is not None
        if wait and not self.process.stdout.readline():
            said = self.said() if self.process.wait(20) else "nothing"
            self.close()
            raise AssertionError(said)

    def said(self) -> str:
        self.errors.seek(0)
        return self.errors.read().decode()

    def pid_of(self, name: str) -> int:
        if name == "supervisor":
            return self.process.pid
        if name == "postgresql":
            location = load_json((self.workspace.postgres / "location.json").read_bytes(), Location)
            found = read_pid_file(Path(location.directory, "data"))
            assert found is not None
            return found.pid
        pid = self.find(name)
        assert pid is not None, f"`{name}` does not run"
        return pid

    def find(self, name: str) -> int | None:
        """Return the process of a child, or None if there is none now."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        wanted = CHILDREN[name].encode()
        for pid in children:
            with contextlib.suppress(OSError):
                if wanted in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    return int(pid)
        return None

    def kill(self, name: str) -> None:
        os.kill(self.pid_of(name), signal.SIGKILL)
        if name == "supervisor":
            self.close()

    def terminate(self) -> float:
        """Return how many seconds it took to stop."""
        began = time.monotonic()
        self.process.terminate()
        self.process.wait(20)
        return time.monotonic() - began

    def close(self) -> None:
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.errors.close()


@contextlib.contextmanager
def prepared(root: Path) -> Iterator[tuple[Workspace, str]]:
    """A workspace with an endpoint `credit`, and a token that may ask it. Nothing runs but the model server."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = one.getsockname()[1], other.getsockname()[1]  # fixed, as everybody has them: the next tree needs the same ones
    settings = Settings(api_port=ports[0], gateway_port=ports[1])
    init_workspace(root, settings=settings, throwaway=True)
    workspace, model = Workspace(root), Model()
    try:
        with Tree(workspace, settings, mode="moment") as tree, attach_app(workspace, application="test") as app:
            token = Site(workspace, tree, app, model).token
        yield workspace, token
    finally:
        model.close()
        remove_workspace(root)
