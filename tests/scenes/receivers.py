"""Who is sent notices: a real HTTP server and a real small SMTP server, of the standard library's sockets, and certificates for them.

The SMTP server speaks as much of RFC 5321, STARTTLS (RFC 3207) and AUTH PLAIN (RFC 4616) as a client that sends mail asks for.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Got(NamedTuple):
    """One request that came."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What a webhook got, and what it answers: `answers` in turn, then 204."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    got: list[Got] = field(default_factory=list)


@contextlib.contextmanager
def receiving(*answers: int) -> Iterator[Receiver]:
    receiver = Receiver(answers=list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.got.append(Got({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


class Certificate(NamedTuple):
    """A key and its self-signed certificate, in one PEM file; and what a server shows."""

    pem: Path
    context: ssl.SSLContext


def certified(directory: Path, *addresses: str) -> Certificate:
    """Return a certificate for these IP addresses, signed by nobody but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's own")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(each)) for each in addresses])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = directory / "certificate.pem"
    encoding = serialization.Encoding.PEM
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem.write_bytes(secret + made.public_bytes(encoding))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return Certificate(pem, context)


@dataclass
class Post:
    """What a mail server was told. `refusals`: the answer to a command's verb instead of the usual one."""

    address: str = ""
    said: list[str] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def taking_mail(certificate: Certificate | None = None, host: str = "127.0.0.1", **refusals: str) -> Iterator[Post]:
    """A mail server; with a certificate it offers STARTTLS."""
    door = socket.create_server((host, 0))
    post = Post(address=f"{host}:{door.getsockname()[1]}", refusals=refusals)
    with accepting(door, lambda peer: _serve_mail(peer, post, certificate)):
        yield post


@contextlib.contextmanager
def accepting(door: socket.socket, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    """Serve whoever comes to this door, each in a thread."""

    def run() -> None:
        while True:
            try:
                peer, _ = door.accept()
            except OSError:
                return
            threading.Thread(target=attend, args=(peer,), daemon=True).start()

    def attend(peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError, ValueError):
            serve(peer)

    threading.Thread(target=run, daemon=True).start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            door.shutdown(socket.SHUT_RDWR)
        door.close()


def _serve_mail(peer: socket.socket, post: Post, certificate: Certificate | None) -> None:
    secured, lines = False, peer.makefile("rb")
    try:
        peer.sendall(b"220 a small one\r\n")
        while line := lines.readline():
            verb = line[:8].decode("ascii", "replace").upper().split()[0]
            post.said.append(line.decode("ascii", "replace").strip())
            if verb in post.refusals:
                peer.sendall(post.refusals[verb].encode() + b"\r\n")
            elif verb == "EHLO":
                offers = [b"250-here", *([b"250-STARTTLS"] if certificate and not secured else []), b"250-AUTH PLAIN", b"250 8BITMIME"]
                peer.sendall(b"\r\n".join(offers) + b"\r\n")
            elif verb == "STARTTLS" and certificate:
                peer.sendall(b"220 go on\r\n")
                with contextlib.suppress(OSError):
                    lines.close()
                peer = certificate.context.wrap_socket(peer, server_side=True)
                lines, secured = peer.makefile("rb"), True
            elif verb == "DATA":
                peer.sendall(b"354 go on\r\n")
                mail = b""
                while (part := lines.readline()) not in (b".\r\n", b""):
                    mail += part
                post.mails.append(mail)
                peer.sendall(b"250 taken\r\n")
            elif verb == "QUIT":
                return
            else:
                peer.sendall(b"235 in\r\n" if verb == "AUTH" else b"250 ok\r\n")
    finally:
        lines.close()
        peer.close()
