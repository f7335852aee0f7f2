"""The API as the process that it is: ready when it says so, gone when told to or when its parent is, clear about a taken port."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.web.conftest import Live


@pytest.fixture
def settings(live: Live) -> Iterator[Path]:
    """The settings file, put back afterwards; the API takes a free port."""
    path = live.app.workspace.settings_file
    text = path.read_text()
    path.write_text(text.replace("api_port = 8700", "api_port = 0"))
    yield path
    path.write_text(text)


class Process:
    """`python -m jurat.web`, with the pipes that a parent gives."""

    def __init__(self, root: Path, *, crash_at: str = "") -> None:
        ready, self._ready_write = os.pipe()
        self._parent_read, self.parent = os.pipe()
        argv = [sys.executable, "-m", "jurat.web", str(root), "--parent-fd", str(self._parent_read), "--ready-fd", str(self._ready_write)]
        fds = (self._parent_read, self._ready_write)
        self.process = subprocess.Popen(
            argv, pass_fds=fds, stderr=subprocess.PIPE, text=True, env={**os.environ, "JURAT_CRASH_AT": crash_at}
        )
        os.close(self._ready_write)
        os.close(self._parent_read)
        with os.fdopen(ready) as file:
            self.said = file.readline().split()

    @property
    def port(self) -> int:
        assert self.said[:1] == ["ready"], self.process.communicate(timeout=10)[1]
        return int(self.said[1])

    def end(self) -> None:
        if self.parent >= 0:
            os.close(self.parent)
            self.parent = -1
        self.process.wait(10)
        if self.process.stderr:
            self.process.stderr.close()


def get(port: int, path: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    reply = connection.getresponse()
    found = reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    connection.close()
    return found


def test_it_serves_and_stops_within_three_seconds(live: Live, settings: Path) -> None:
    door = Process(live.app.workspace.root)
    status, headers, body = get(door.port, "/healthz")
    assert (status, body) == (200, b'{"status":"ok"}')
    assert "server" not in headers
    idle = socket.create_connection(("127.0.0.1", door.port))  # someone who says nothing must not hold it
    began = time.monotonic()
    door.process.terminate()
    assert door.process.wait(10) == 0
    assert time.monotonic() - began < 3
    idle.close()
    door.end()


def test_it_goes_when_its_parent_is_gone(live: Live, settings: Path) -> None:
    door = Process(live.app.workspace.root)
    assert get(door.port, "/healthz")[0] == 200
    began = time.monotonic()
    door.end()
    assert time.monotonic() - began < 4
    assert door.process.returncode == 0


def test_a_taken_port_is_said_in_words(live: Live, settings: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings.write_text(settings.read_text().replace("api_port = 0", f"api_port = {taken.getsockname()[1]}"))
        door = Process(live.app.workspace.root)
        assert door.said == []
        err = door.process.communicate(timeout=10)[1]
        assert door.process.returncode == 5
        assert "cannot be listened on: address already in use" in err
        os.close(door.parent)


def test_a_request_that_is_no_http_is_refused_and_the_next_one_served(live: Live, settings: Path) -> None:
    door = Process(live.app.workspace.root)
    for raw in (b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n", b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", door.port), timeout=5) as bad:
            bad.sendall(raw)
            bad.shutdown(socket.SHUT_WR)
            assert not bad.recv(65_536).startswith(b"HTTP/1.1 2")
    assert get(door.port, "/healthz")[0] == 200
    door.process.terminate()
    door.end()
