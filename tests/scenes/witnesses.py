"""A small log to be witnessed; witnesses as real processes; and neighbours that only look like one."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from jurat.ledger.witness import Request, format_request
from jurat.merkle.checkpoint import Checkpoint, format_checkpoint
from jurat.merkle.note import Ed25519Signer, sign_note
from jurat.merkle.tree import consistency_path, hash_leaf, root_of

ORIGIN: Final = "log.example/anchor"
SERVE: Final = (
    "import sys; from pathlib import Path; from jurat.web.witness import serve_witness\n"
    "serve_witness(Path(sys.argv[1]), '127.0.0.1', int(sys.argv[2]), on_ready=lambda port: print(port, flush=True))"
)

Peer = Callable[[socket.socket, bytes], None]


class SmallLog:
    """A tree in memory whose checkpoints are signed by one key. `fork` makes other leaves from an index on."""

    def __init__(self, origin: str = ORIGIN, seed: bytes = b"\1" * 32, fork: int | None = None) -> None:
        self.signer = Ed25519Signer(origin, seed)
        self.origin = origin
        self.leaves = [hash_leaf(b"%d%s" % (n, b"!" if fork is not None and n >= fork else b"")) for n in range(300)]

    def note(self, size: int, *, root: bytes | None = None) -> str:
        return sign_note(format_checkpoint(Checkpoint(self.origin, size, root or root_of(self.leaves[:size]))), [self.signer])

    def node(self, level: int, index: int) -> bytes:
        return root_of(self.leaves[index << level : (index + 1) << level])

    def request(self, old: int, size: int) -> bytes:
        proof = consistency_path(old, size, self.node) if 0 < old < size else []
        return format_request(Request(old, tuple(proof), self.note(size)))


class WitnessProcess:
    """`jurat witness serve`, as a process."""

    def __init__(self, directory: Path, port: int = 0, crash_at: str = "") -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(directory), str(port)], env={**os.environ, "JURAT_CRASH_AT": crash_at},
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        line = self.process.stdout.readline()
        assert line, "the witness did not start"
        self.port = int(line)
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=10)
        self.process.stdout.close()
        return code


@contextmanager
def serving(directory: Path, port: int = 0, crash_at: str = "") -> Iterator[WitnessProcess]:
    """Run a witness for the length of a `with` block."""
    witness = WitnessProcess(directory, port, crash_at)
    try:
        yield witness
    finally:
        witness.stop()


@contextmanager
def neighbour(*turns: Peer) -> Iterator[str]:
    """A witness made of plain functions, one per connection; the last one stays."""
    door = socket.create_server(("127.0.0.1", 0))
    left = list(turns)

    def run() -> None:
        while True:
            try:
                peer, _ = door.accept()
            except OSError:
                return
            turn = left.pop(0) if len(left) > 1 else left[0]
            threading.Thread(target=serve, args=(peer, turn), daemon=True).start()

    def serve(peer: socket.socket, turn: Peer) -> None:
        with peer, suppress(OSError):
            turn(peer, read_request(peer))

    threading.Thread(target=run, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
    finally:
        door.shutdown(socket.SHUT_RDWR)
        door.close()


def read_request(peer: socket.socket) -> bytes:
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += peer.recv(65536)
    head, _, body = raw.partition(b"\r\n\r\n")
    announced = re.search(rb"content-length: (\d+)", head.lower())
    while len(body) < int(announced[1] if announced else 0):
        body += peer.recv(65536)
    return body


def says(status: int, body: bytes, content_type: str = "text/plain") -> Peer:
    head = f"HTTP/1.1 {status} x\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    return lambda peer, _raw: peer.sendall(head + body)


def size_is(size: int) -> Peer:
    return says(409, b"%d\n" % size, "text/x.tlog.size")


def hang(peer: socket.socket, _raw: bytes) -> None:
    peer.recv(1)
    time.sleep(30)
