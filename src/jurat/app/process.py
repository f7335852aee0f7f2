"""How a process of the tree begins and ends: `<workspace> --parent-fd N --ready-fd M`.

It says `ready` (and its port) on the ready pipe, and goes when it is told to, or when its parent is gone.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jurat.core.errors import Unavailable
from jurat.core.workspace import Workspace


@dataclass(frozen=True)
class Born:
    """What a child was started with."""

    workspace: Workspace
    parent_fd: int
    ready_fd: int

    def say_ready(self, port: int | None = None) -> None:
        """Tell the parent that this process can be used now."""
        if self.ready_fd >= 0:
            os.write(self.ready_fd, b"ready\n" if port is None else b"ready %d\n" % port)
            os.close(self.ready_fd)


def parse_birth(argv: list[str] | None = None) -> Born:
    """Return what the command line of a child says."""
    parser = argparse.ArgumentParser(description="a process of jurat's tree; `jurat serve` starts it")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--parent-fd", type=int, default=-1)
    parser.add_argument("--ready-fd", type=int, default=-1)
    found = parser.parse_args(argv)
    return Born(Workspace(found.workspace.absolute()), found.parent_fd, found.ready_fd)


def listen_on(host: str, port: int, *, setting: str) -> socket.socket:
    """Return a door that accepts connections; port 0 takes a free one.

    Raises `Unavailable` (`port_in_use`), which names the `setting` to change.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        # `create_server` writes the address into `strerror` once more; a name that does not resolve has a number below 0
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        raise Unavailable(
            f"`{host}:{port}` cannot be listened on: {why.lower()}",
            hint=f"stop what uses that port, or set another `{setting}` in `jurat.toml`; 0 takes a free one",
            code="port_in_use",
        ) from error


def watch_parent(parent_fd: int) -> None:
    """From now on, send this process SIGTERM when its parent is gone (the pipe's other end closes)."""
    if parent_fd >= 0:
        threading.Thread(target=_wait_for_end, args=(parent_fd,), name="parent-watch", daemon=True).start()


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stopping = threading.Event()

    def stop(_signal: int, _frame: Any) -> None:
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return stopping


def _wait_for_end(parent_fd: int) -> None:
    select.select([parent_fd], [], [])  # nobody ever writes to it: readable means closed
    os.kill(os.getpid(), signal.SIGTERM)
