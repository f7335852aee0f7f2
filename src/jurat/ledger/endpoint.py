"""Where the sequencer listens: a Unix socket that only this user can reach.

Normally `<run>/ledger.sock`. A path of more than 107 bytes has no socket, so for a deep workspace it lies in a private
temporary directory, and `<run>/ledger.addr` says where.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import tempfile
from pathlib import Path
from typing import Final

from jurat.core.errors import Denied
from jurat.core.files import write_secret

_MAX_PATH_SIZE: Final = 103  # bytes; 107 on Linux, 103 on macOS
_BUFFER_SIZE: Final = 4 * 1024 * 1024  # bytes; a batch of a thousand events has 0.7 MB
_PEER: Final = struct.Struct("3i")  # pid, uid, gid


def socket_address(where: Path) -> Path:
    """Return the socket's path. `where`: the workspace's run directory, or already the socket."""
    if not where.is_dir():
        return where
    with contextlib.suppress(FileNotFoundError):
        return Path((where / "ledger.addr").read_text())
    return where / "ledger.sock"


def open_listener(run: Path) -> socket.socket:
    """Return a listening socket. To be called by the holder of the ledger's flock: an old socket is a dead one's."""
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    close_listener(run)
    path = run / "ledger.sock"
    if len(os.fsencode(path)) > _MAX_PATH_SIZE:
        path = Path(tempfile.mkdtemp(prefix="jurat-")) / "ledger.sock"
        write_secret(run / "ledger.addr", os.fsencode(path))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    listener.listen(64)
    listener.setblocking(False)
    return listener


def close_listener(run: Path) -> None:
    """Remove the socket, and where it lay if that was made for it."""
    path = socket_address(run)
    path.unlink(missing_ok=True)
    if path.parent != run:
        with contextlib.suppress(OSError):
            path.parent.rmdir()
        (run / "ledger.addr").unlink(missing_ok=True)


def widen(connection: socket.socket) -> None:
    """Let more be under way to the sequencer, as much as the system allows an ordinary user.

    A full buffer costs both sides a turn of the scheduler: on a busy machine a batch waited for four of them, not for the disk.
    """
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_SIZE)


def check_peer(connection: socket.socket) -> None:
    """Pass if the other side is this user, or root.

    Raises:
        Denied: it is somebody else.
    """
    if hasattr(socket, "SO_PEERCRED"):  # elsewhere the socket's mode has to do
        _, uid, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        if uid not in (os.geteuid(), 0):
            raise Denied(f"user `{uid}` may not write to this ledger", hint="only the account that runs jurat may")
