"""Logs verified over real sockets: a good server, and servers that lie, stall, drip, cut, redirect, flood, or go away."""

from __future__ import annotations

import http.server
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.scenes import attacks
from tests.scenes.sealed_ledger import DEPLOYMENT, INFERENCE, START_NS, Scene, build

from jurat.core.clock import FixedClock
from jurat.core.errors import Malformed, Unavailable
from jurat.ledger.create import load_signers
from jurat.ledger.export import export_log
from jurat.ledger.faults import Report
from jurat.ledger.layout import ANCHOR, LogName, class_logs, log_keys_file
from jurat.ledger.tile_source import DirectorySource, UrlSource, parse_base_url
from jurat.ledger.verify_public import verify_public
from jurat.merkle.checkpoint import Checkpoint, format_checkpoint
from jurat.merkle.note import sign_note

Answer = Callable[[http.server.BaseHTTPRequestHandler, Path], bool]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build(tmp_path_factory.mktemp("url") / "ws")


@pytest.fixture(scope="module")
def site(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All logs, exported as a static web site: <site>/main/inference/checkpoint …"""
    root = tmp_path_factory.mktemp("site")
    for log in (*class_logs("main"), ANCHOR):
        export_log(scene.root, log, scene.keys, root / str(log))
    return root


@contextmanager
def serving(root: Path, answer: Answer = lambda _handler, _path: False) -> Iterator[str]:
    """Serve a directory on loopback; `answer` may take a request over."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = root / self.path.lstrip("/")
            if answer(self, path):
                return
            raw = path.read_bytes() if path.is_file() else b""
            self.send_response(200 if path.is_file() else 404)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def verify(scene: Scene, url: str, *logs: LogName, timeout_s: float = 5.0, since: tuple[str, ...] = ()) -> Report:
    wanted = {str(log) for log in logs}
    sources = [(key, UrlSource(f"{url}/{key.log}", timeout_s=timeout_s)) for key in scene.keys if key.log in wanted]
    try:
        return verify_public(sources, since=since)
    finally:
        for _, source in sources:
            source.close()


def test_a_good_server_is_believed_with_all_its_logs(scene: Scene, site: Path) -> None:
    with serving(site) as url:
        report = verify(scene, url, *class_logs("main"), ANCHOR)
    assert report.is_clean, report.faults
    assert {each.log: each.checked_entries for each in report.logs}["main/inference"] == 700
    assert len(report.logs) == 7


def test_connections_are_kept(scene: Scene, site: Path) -> None:
    ports = set()

    def count(handler: http.server.BaseHTTPRequestHandler, _path: Path) -> bool:
        ports.add(handler.client_address[1])
        return False

    with serving(site, count) as url:
        assert verify(scene, url, INFERENCE).is_clean
    assert len(ports) <= 8


def test_a_connection_that_was_closed_while_idle_is_made_anew(scene: Scene, site: Path) -> None:
    def close(handler: http.server.BaseHTTPRequestHandler, path: Path) -> bool:
        handler.close_connection = path.name == "checkpoint"  # without saying so
        return False

    with serving(site, close) as url:
        source = UrlSource(f"{url}/main/inference")
        assert source.read("checkpoint", 100_000)
        time.sleep(0.1)
        assert source.read("tile/0/000", 8192) == (site / "main/inference/tile/0/000").read_bytes()
        assert source.read("tile/0/777", 8192) is None
        source.close()


def test_a_lie_is_located(scene: Scene, site: Path) -> None:
    def lie(handler: http.server.BaseHTTPRequestHandler, path: Path) -> bool:
        if not path.as_posix().endswith("main/inference/tile/entries/001"):
            return False
        raw = bytearray(path.read_bytes())
        raw[61 * 44 + 30] ^= 1
        reply(handler, bytes(raw))
        return True

    with serving(site, lie) as url:
        report = verify(scene, url, INFERENCE)
    assert [(f.what, f.log, f.index, f.file) for f in report.faults] == [("entry_altered", "main/inference", 300, "tile/entries/001")]


def reply(handler: http.server.BaseHTTPRequestHandler, raw: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(raw)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(raw)


def test_an_older_checkpoint_than_anchored_or_kept_is_a_rollback(scene: Scene, site: Path) -> None:
    signers = load_signers(scene.workspace, scene.settings, FixedClock(START_NS))[INFERENCE]
    from jurat.merkle.tree import hash_leaves, root_of

    leaves = hash_leaves(attacks.entries_of(scene, INFERENCE))
    old = sign_note(format_checkpoint(Checkpoint(signers.public.origin, 600, root_of(leaves[:600]))), signers.checkpoint)

    def serve_old(handler: http.server.BaseHTTPRequestHandler, path: Path) -> bool:
        if path.as_posix().endswith("main/inference/checkpoint"):
            reply(handler, old.encode())
            return True
        if path.as_posix().endswith("002.p/88"):
            full = path.with_name("188").read_bytes()
            reply(handler, full[: 88 * (61 if "entries" in path.as_posix() else 32)])
            return True
        return False

    with serving(site, serve_old) as url:
        assert verify(scene, url, INFERENCE).is_clean  # an honest older state, by itself
        for report in (verify(scene, url, INFERENCE, ANCHOR), verify(scene, url, INFERENCE, since=(scene.checkpoint(INFERENCE),))):
            assert not report.is_clean
            assert {fault.what for fault in report.faults} & {"rolled_back", "entries_missing"}, report.faults


def test_another_tree_of_the_same_size_is_a_fork(scene: Scene, site: Path) -> None:
    signers = load_signers(scene.workspace, scene.settings, FixedClock(START_NS))[DEPLOYMENT]
    other = sign_note(format_checkpoint(Checkpoint(signers.public.origin, 6, bytes(32))), signers.checkpoint)
    with serving(site) as url:
        report = verify(scene, url, DEPLOYMENT, since=(other,))
    assert "forked" in {fault.what for fault in report.faults}


def drip(handler: http.server.BaseHTTPRequestHandler, path: Path) -> bool:
    """Answer in full, one byte every tenth of a second: no wait is ever long."""
    raw = path.read_bytes() if path.is_file() else b""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(raw)}\r\n\r\n".encode()
    for byte in head + raw:
        handler.wfile.write(bytes([byte]))
        time.sleep(0.1)
    return True


def drip_body(handler: http.server.BaseHTTPRequestHandler, path: Path) -> bool:
    raw = path.read_bytes()
    handler.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(raw)}\r\n\r\n".encode())
    for byte in raw:
        handler.wfile.write(bytes([byte]))
        time.sleep(0.1)
    return True


def endless_head(handler: http.server.BaseHTTPRequestHandler, _path: Path) -> bool:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(10_000):
        handler.wfile.write(b"X-%d: y\r\n" % number)
        time.sleep(0.05)
    return True


def silence(handler: http.server.BaseHTTPRequestHandler, _path: Path) -> bool:
    handler.rfile.read(1)  # until they hang up
    return True


@pytest.mark.parametrize("answer", [drip, drip_body, silence], ids=lambda each: each.__name__)
def test_a_server_that_stalls_is_given_up_in_time(scene: Scene, site: Path, answer: Answer) -> None:
    with serving(site, answer) as url:
        started = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            verify(scene, url, INFERENCE, timeout_s=0.7)
        assert time.monotonic() - started < 4
    assert caught.value.code == "source_slow"


def test_a_server_that_stalls_in_the_middle_is_given_up_in_time(scene: Scene, site: Path) -> None:
    with serving(site, lambda handler, path: "tile/0" in path.as_posix() and drip(handler, path)) as url:
        started = time.monotonic()
        with pytest.raises(Unavailable):
            verify(scene, url, INFERENCE, timeout_s=0.7)
        assert time.monotonic() - started < 4


def cut(handler: http.server.BaseHTTPRequestHandler, path: Path) -> bool:
    raw = path.read_bytes()
    handler.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw[:-10])
    handler.close_connection = True
    return True


def hang_up(handler: http.server.BaseHTTPRequestHandler, _path: Path) -> bool:
    handler.close_connection = True
    return True


def garbage(handler: http.server.BaseHTTPRequestHandler, _path: Path) -> bool:
    handler.wfile.write(b"\x00\xff" * 100)
    handler.close_connection = True
    return True


def redirect(handler: http.server.BaseHTTPRequestHandler, _path: Path) -> bool:
    reply(handler, b"", 302, Location="http://127.0.0.1:1/elsewhere")
    return True


def broken(handler: http.server.BaseHTTPRequestHandler, _path: Path) -> bool:
    reply(handler, b"oops", 500)
    return True


@pytest.mark.parametrize("answer", [cut, hang_up, garbage, redirect, broken, endless_head], ids=lambda each: each.__name__)
def test_a_server_that_fails_proves_and_disproves_nothing(scene: Scene, site: Path, answer: Answer) -> None:
    with serving(site, answer) as url, pytest.raises(Unavailable):
        verify(scene, url, INFERENCE, timeout_s=10)


def test_a_flood_is_cut_off(scene: Scene, site: Path) -> None:
    sent = 0

    def flood(handler: http.server.BaseHTTPRequestHandler, _path: Path) -> bool:
        nonlocal sent
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            for _ in range(2000):
                handler.wfile.write(bytes(1 << 20))
                sent += 1
        except OSError:
            handler.close_connection = True
        return True

    with serving(site, flood) as url:
        report = verify(scene, url, INFERENCE)
    assert [fault.what for fault in report.faults] == ["checkpoint_bad"]
    assert sent < 64  # MiB


def test_nobody_there_is_unavailable(scene: Scene) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable):
            verify(scene, f"http://127.0.0.1:{taken.getsockname()[1]}", INFERENCE)


@pytest.mark.parametrize(
    "url", ["", "ftp://x/", "http://", "http:///x", "http://u:p@x/", "http://x/?q", "http://x/#f", "http://x:99999/", "http://x/a b", "x"]
)
def test_what_is_no_address_is_malformed(url: str) -> None:
    with pytest.raises(Malformed):
        parse_base_url(url)


def test_the_command_line_verifies_addresses_and_directories_within_its_time(scene: Scene, site: Path, tmp_path: Path) -> None:
    keys = ["--keys", str(log_keys_file(scene.workspace.keys))]

    def jurat(*arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "jurat.cli.main", "verify", *arguments, *keys]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
        return done.returncode, done.stdout, done.stderr

    kept = tmp_path / "kept.txt"
    kept.write_text(scene.checkpoint(INFERENCE))
    with serving(site) as url:
        code, out, _ = jurat(f"{url}/main/inference/", "--since", str(kept))
        assert (code, out.splitlines()[-1]) == (0, "ok: 700 entries of 1 logs are what was sealed")
        code, out, _ = jurat(url)
        assert (code, out.splitlines()[-1].endswith("entries of 7 logs are what was sealed")) == (0, True)
    code, out, _ = jurat(str(site / "main/inference"))
    assert (code, out.splitlines()[-1]) == (0, "ok: 700 entries of 1 logs are what was sealed")
    with serving(site, silence) as url:
        started = time.monotonic()
        code, out, err = jurat(url, "--timeout", "1s")
        assert (code, out) == (5, "")
        assert "took longer than `1` s" in err
        assert time.monotonic() - started < 30


def test_a_directory_with_pipes_and_circles_does_not_hold_us_up(scene: Scene, site: Path, tmp_path: Path) -> None:
    import os
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(site / "main/inference", copy)
    (copy / "tile/0/000").unlink()
    os.mkfifo(copy / "tile/0/000")
    (copy / "tile/0/001").unlink()
    (copy / "tile/0/001").symlink_to("001")
    key = next(key for key in scene.keys if key.log == "main/inference")
    report = verify_public([(key, DirectorySource(copy))])
    assert [(f.what, f.file) for f in report.faults] == [("tree_altered", "tile/0/000"), ("tree_altered", "tile/0/001")]


@pytest.mark.parametrize(
    ("name", "what", "change"),
    [
        ("tile/entries/001", "entries_missing", lambda raw: raw[:-61]),
        ("tile/entries/001", "entries_missing", lambda raw: raw + bytes(61)),
        ("tile/0/002.p/188", "tree_altered", lambda raw: raw[:-1]),
        ("tile/0/002.p/188", "tree_altered", lambda raw: raw + bytes(32)),
        ("tile/1/000.p/2", "tree_altered", lambda raw: b""),
    ],
)
def test_a_tile_of_another_length_is_named(
    scene: Scene, site: Path, tmp_path: Path, name: str, what: str, change: Callable[[bytes], bytes]
) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(site / "main/inference", copy)
    (copy / name).write_bytes(change((copy / name).read_bytes()))
    key = next(key for key in scene.keys if key.log == "main/inference")
    report = verify_public([(key, DirectorySource(copy))])
    assert [(fault.what, fault.file) for fault in report.faults] == [(what, name)]
