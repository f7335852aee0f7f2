"""A webhook over real sockets: receivers that take, refuse, hang, drip, flood, redirect, or are somebody else.

The receivers are the standard library's HTTP server and plain sockets; signatures are checked with `hmac`, not with our own code.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import socket
import time
from pathlib import Path

import pytest
from tests.scenes.receivers import Got, accepting, certified, receiving
from tests.scenes.witnesses import Peer, hang, neighbour, says

from jurat.app.delivery import Letter, Outcome, Tried
from jurat.core.clock import SystemClock
from jurat.core.errors import Unavailable
from jurat.core.workspace import Workspace
from jurat.domain import rows
from jurat.worker.webhook import Webhook, read_secrets, way_of

SECRET = secrets.token_bytes(32)
NOTICE = rows.Notice(
    as_of="evt_1", notice="ntc_1", to="prn_ada", about="brk_1", subject="break_glass", text="`prn_b` took `x`", at="2026-11-25T19:40:41.1Z"
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "keys").mkdir(mode=0o700)
    keep(tmp_path / "keys" / "webhook-secret", "whsec_" + base64.b64encode(SECRET).decode() + "\n")
    return Workspace(tmp_path)


def keep(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def send(workspace: Workspace, url: str, *, timeout_s: float = 5.0) -> Tried:
    return Webhook(workspace, url, SystemClock(), plain=False, timeout_s=timeout_s).send(Letter(NOTICE, way_of(url)))


def holds(got: Got, secret: bytes = SECRET) -> bool:
    content = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    signed = base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()
    return f"v1,{signed}" in got.headers["webhook-signature"].split(" ")


def test_a_notice_arrives_signed_and_says_what_the_inbox_says(workspace: Workspace) -> None:
    with receiving() as receiver:
        assert send(workspace, receiver.url).outcome is Outcome.DELIVERED
    (got,) = receiver.got
    assert holds(got)
    assert not holds(got._replace(body=got.body + b" "))
    assert got.headers["webhook-id"] == "ntc_1"
    assert abs(time.time() - int(got.headers["webhook-timestamp"])) < 60
    said = json.loads(got.body)
    assert said == {
        "type": "notice.given",
        "timestamp": NOTICE.at,
        "data": {"notice": "ntc_1", "to": "prn_ada", "about": "brk_1", "subject": "break_glass", "text": NOTICE.text},
    }


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, Outcome.DELIVERED), (202, Outcome.DELIVERED), (301, Outcome.AWAY), (400, Outcome.AWAY), (410, Outcome.REFUSED),
     (429, Outcome.AWAY), (500, Outcome.AWAY), (503, Outcome.AWAY)],
)  # fmt: skip
def test_the_status_says_how_it_went(workspace: Workspace, status: int, outcome: Outcome) -> None:
    with receiving(status) as receiver:
        tried = send(workspace, receiver.url)
    assert tried.outcome is outcome
    assert tried.why == "" if outcome is Outcome.DELIVERED else str(status) in tried.why


def test_a_redirect_is_not_followed_wherever_it_leads(workspace: Workspace) -> None:
    with receiving() as inside:

        def elsewhere(peer: socket.socket, _raw: bytes) -> None:
            peer.sendall(f"HTTP/1.1 307 x\r\nLocation: {inside.url}\r\nContent-Length: 0\r\n\r\n".encode())

        def metadata(peer: socket.socket, _raw: bytes) -> None:
            peer.sendall(b"HTTP/1.1 302 x\r\nLocation: http://169.254.169.254/latest/meta-data/\r\nContent-Length: 0\r\n\r\n")

        with neighbour(elsewhere, metadata) as url:
            for _ in range(2):
                tried = send(workspace, url)
                assert tried.outcome is Outcome.AWAY
                assert "not followed" in tried.why
    assert inside.got == []


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fe80::1%eth0", "::ffff:169.254.169.254", "0.0.0.0", "224.0.0.1", "10.0.0.1", "::ffff:8.8.8.8"]
)
def test_whatever_a_name_leads_to_it_is_not_the_link_itself_nor_plain_elsewhere(workspace: Workspace, address: str) -> None:
    """By the check itself: a name that leads there would need somebody's DNS."""
    check = Webhook(workspace, "http://localhost:1/", SystemClock(), plain=False)._check_peer
    check("127.0.0.1")
    check("::ffff:127.0.0.1")
    with pytest.raises(Unavailable, match="name leads to"):
        check(address)


def drip(peer: socket.socket, _raw: bytes) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Slow: y\r\n" * 1000:
        peer.sendall(bytes([byte]))
        time.sleep(0.05)


@pytest.mark.parametrize(
    "peer",
    [hang, drip, lambda peer, _raw: peer.close(), lambda peer, _raw: peer.sendall(b"SSH-2.0-x\r\n\r\n"),
     lambda peer, _raw: peer.sendall(b"HTTP/1.1 200 x\r\n" + b"X: y\r\n" * 500 + b"\r\n")],
    ids=["hangs", "drips", "closes", "no http", "too many headers"],
)  # fmt: skip
def test_whoever_gives_no_answer_holds_nobody_up(workspace: Workspace, peer: Peer) -> None:
    with neighbour(peer) as url:
        began_s = time.monotonic()
        tried = send(workspace, url, timeout_s=0.5)
    assert tried.outcome is Outcome.AWAY
    assert "did not answer" in tried.why
    assert time.monotonic() - began_s < 10


def test_of_a_giant_answer_only_the_status_is_read(workspace: Workspace) -> None:
    sent: list[int] = []

    def flood(peer: socket.socket, _raw: bytes) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            peer.sendall(b"x" * 65_536)
            sent.append(65_536)

    with neighbour(flood) as url:
        assert send(workspace, url).outcome is Outcome.DELIVERED
        time.sleep(0.2)
        assert sum(sent) < 64 * 1024 * 1024


def test_a_certificate_must_hold(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = certified(tmp_path, "127.0.0.1")
    door = socket.create_server(("127.0.0.1", 0))
    heard: list[bytes] = []

    def serve(peer: socket.socket) -> None:
        with certificate.context.wrap_socket(peer, server_side=True) as secured:
            heard.append(secured.recv(65_536))
            says(204, b"")(secured, b"")

    with accepting(door, serve):
        url = f"https://127.0.0.1:{door.getsockname()[1]}/hook"
        tried = send(workspace, url)
        assert (tried.outcome, heard) == (Outcome.AWAY, [])
        assert "certificate does not hold" in tried.why
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.pem))
        assert send(workspace, url).outcome is Outcome.DELIVERED
        assert b"webhook-id: ntc_1" in heard[0]
        other = send(workspace, url.replace("127.0.0.1", "localhost"))
        assert "certificate does not hold" in other.why, "it is somebody else's"


def test_who_hangs_in_the_handshake_is_cut_too(workspace: Workspace) -> None:
    door = socket.create_server(("127.0.0.1", 0))
    with accepting(door, lambda peer: time.sleep(5)):
        began_s = time.monotonic()
        tried = send(workspace, f"https://127.0.0.1:{door.getsockname()[1]}/", timeout_s=0.3)
    assert tried.outcome is Outcome.AWAY
    assert time.monotonic() - began_s < 4


def test_without_its_secret_nothing_is_sent(workspace: Workspace) -> None:
    path = workspace.keys / "webhook-secret"
    with receiving() as receiver:
        for text, why in (
            ("whsec_short", "holds no secret"),
            ("plain words", "holds no secret"),
            ("", "holds no secret"),
            (None, "there is no"),
        ):
            path.unlink()
            if text is not None:
                keep(path, text)
            tried = send(workspace, receiver.url)
            assert tried.outcome is Outcome.AWAY
            assert why in tried.why
            if text is None:
                break
        keep(path, "whsec_" + base64.b64encode(SECRET).decode())
        path.chmod(0o640)
        assert "others than its owner" in send(workspace, receiver.url).why
    assert receiver.got == []


def test_while_secrets_change_receivers_with_either_believe_us(workspace: Workspace) -> None:
    newer = secrets.token_bytes(24)
    lines = [f"whsec_{base64.b64encode(each).decode()}\n" for each in (newer, SECRET)]
    keep(workspace.keys / "webhook-secret", "".join(lines))
    assert read_secrets(workspace) == [newer, SECRET]
    with receiving() as receiver:
        assert send(workspace, receiver.url).outcome is Outcome.DELIVERED
    assert holds(receiver.got[0], newer)
    assert holds(receiver.got[0], SECRET)


def test_its_name_shows_the_host_and_nothing_else_of_an_address() -> None:
    one, other = way_of("https://hooks.example:8443/T0/verysecret"), way_of("https://hooks.example:8443/T1/verysecret")
    assert one.startswith("webhook:hooks.example:8443/")
    assert "secret" not in one
    assert one != other
