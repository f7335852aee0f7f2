"""One HTTP exchange with somebody who may be away, slow, broken or lying: it is over within its time, and bounded in size.

Redirects are not followed, proxies of the environment are not used, certificates are checked. Knows nothing of what is said.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from jurat.core.errors import Unavailable

MAX_ANSWER_SIZE: Final = 512 * 1024  # bytes
_PORTS: Final = {"http": 80, "https": 443}
_TEXT: Final = {"Content-Type": "text/plain; charset=utf-8"}


class Reply(NamedTuple):
    """What came back. `body` is empty when only the status was asked for."""

    status: int
    content_type: str
    body: bytes


class Deadline:
    """Whatever is done on these sockets is cut when the time is over, however slowly it drips."""

    def __init__(self, timeout_s: float) -> None:
        self.is_over = False
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(timeout_s, self._cut)
        self._timer.daemon = True

    def covers(self, connected: socket.socket) -> None:
        """Let this socket be cut, too; at once if it is late already."""
        self._sockets.append(connected)
        if self.is_over:
            self._cut()

    def _cut(self) -> None:
        self.is_over = True
        for each in list(self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    @classmethod
    @contextlib.contextmanager
    def within(cls, timeout_s: float) -> Iterator[Deadline]:
        """A deadline that begins now, and is called off at the end of the block."""
        deadline = cls(timeout_s)
        deadline._timer.start()
        try:
            yield deadline
        finally:
            deadline._timer.cancel()


def exchange(
    method: str,
    url: str,
    body: bytes | None,
    timeout_s: float,
    *,
    headers: Mapping[str, str] = _TEXT,
    only_status: bool = False,
    check_peer: Callable[[str], None] = lambda _address: None,
) -> Reply:
    """Return the answer to one request, complete within `timeout_s`, however slowly it drips. Redirects are not followed.

    Args:
        only_status: the body is left where it is, however large.
        check_peer: given the IP address that was connected to, before anything is said to it.
    Raises:
        Unavailable: no connection, no HTTP, too large, or too late; code `certificate_wrong`: it is not who it should be.
    """
    where = urlsplit(url)
    try:
        port = where.port
    except ValueError:
        raise Unavailable(f"`{where.hostname}` has no such port") from None
    if where.scheme not in _PORTS or not where.hostname:
        raise Unavailable("that is no address to ask", hint="such as `https://witness.example/w1`")
    connection = http.client.HTTPConnection(where.hostname, port or _PORTS[where.scheme], timeout=timeout_s)
    connection.default_port = _PORTS[where.scheme]  # which `Host` leaves out
    with Deadline.within(timeout_s) as deadline:
        try:
            connection.connect()
            deadline.covers(connection.sock)
            check_peer(connection.sock.getpeername()[0])
            if where.scheme == "https":
                secured = ssl.create_default_context().wrap_socket(
                    connection.sock, server_hostname=where.hostname, do_handshake_on_connect=False
                )
                connection.sock = secured
                deadline.covers(secured)  # before the handshake, which can drip, too
                secured.do_handshake()
            target = (where.path or "/") + (f"?{where.query}" if where.query else "")
            connection.request(method, target, body, {**headers, "Connection": "close"})
            response = connection.getresponse()
            if only_status:
                return Reply(response.status, "", b"")
            raw = response.read(MAX_ANSWER_SIZE + 1)
            if deadline.is_over:
                raise Unavailable(f"`{where.netloc}` did not answer within {timeout_s:g} s")
            if len(raw) > MAX_ANSWER_SIZE or (response.length or 0) > 0:
                raise Unavailable(f"`{where.netloc}` sent too much, or less than it announced")
            return Reply(response.status, response.headers.get("content-type", ""), raw)
        except ssl.SSLCertVerificationError as error:
            raise Unavailable(f"`{where.netloc}` did not answer: its certificate does not hold", code="certificate_wrong") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            late = deadline.is_over or isinstance(error, TimeoutError)
            why = f"within {timeout_s:g} s" if late else f": {type(error).__name__.lower()}"
            raise Unavailable(f"`{where.netloc}` did not answer{' ' if late else ''}{why}") from error
        finally:
            connection.close()
