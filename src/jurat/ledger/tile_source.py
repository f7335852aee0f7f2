"""Where the tiles of a public log are read from: a directory, or somebody's web server. Neither is trusted.

A source answers with bytes, with "there is no such thing" (None), or with `Unavailable`: it never hangs. A whole request has
one deadline, however slowly its bytes drip; an answer has a largest size; redirects are not followed.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import stat
import time
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import SplitResult, urlsplit

from jurat.core.errors import Malformed, Unavailable

REQUEST_TIMEOUT_S: Final = 20.0  # for one answer, whole
_ABSENT: Final = {404, 410}


class Source(Protocol):
    """A place with `checkpoint` and `tile/…`, safe for several threads."""

    def read(self, path: str, most_bytes: int) -> bytes | None:
        """Return the bytes at a path, at most `most_bytes` + 1 of them; None if nothing is there.

        Raises:
            Unavailable: it cannot be known what is there.
        """


class DirectorySource:
    """Files below a directory, such as `jurat log export` leaves."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def read(self, path: str, most_bytes: int) -> bytes | None:
        try:
            descriptor = os.open(self.directory / path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would wait for a writer
        except OSError:  # missing, unreadable, or a circle of links: a verifier has nothing there
            return None
        with os.fdopen(descriptor, "rb") as file:
            return file.read(most_bytes + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


class UrlSource:
    """What lies below a URL, over HTTP/1.1; as many connections as there are threads that read."""

    def __init__(self, url: str, *, timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        self._url = parse_base_url(url)
        self._timeout_s = timeout_s
        self._idle: list[http.client.HTTPConnection] = []

    def read(self, path: str, most_bytes: int) -> bytes | None:
        deadline = time.monotonic() + self._timeout_s
        try:
            try:
                kept = self._idle.pop()
            except IndexError:
                return self._ask(self._connect(deadline), path, most_bytes, deadline)
            try:
                return self._ask(kept, path, most_bytes, deadline)
            except ConnectionError:  # the server has closed it meanwhile
                return self._ask(self._connect(deadline), path, most_bytes, deadline)
        except (OSError, http.client.HTTPException) as error:
            is_late = isinstance(error, TimeoutError)
            why = f"no whole answer within {self._timeout_s:g} s" if is_late else (str(error) or type(error).__name__).lower()[:200]
            raise Unavailable(
                f"`{self._url.geturl()}/{path}` could not be read: {why}",
                hint="nothing is proved and nothing disproved: try again, or ask whoever serves it",
                code="source_slow" if is_late else "source_failed",
            ) from error

    def close(self) -> None:
        """Close what is open. Nobody may be reading."""
        while self._idle:
            self._idle.pop().close()

    def _ask(self, connection: http.client.HTTPConnection, path: str, most_bytes: int, deadline: float) -> bytes | None:
        plug: Any = connection.sock
        plug.deadline = deadline
        is_reusable = False
        try:
            connection.request("GET", f"{self._url.path}/{path}", headers={"Accept-Encoding": "identity"})
            response = connection.getresponse()
            raw: bytes = response.read(most_bytes + 1)
            if response.length and len(raw) <= most_bytes:
                raise http.client.IncompleteRead(raw, response.length)
            is_reusable = response.isclosed() and not response.will_close
        finally:
            if is_reusable:
                self._idle.append(connection)
            else:
                connection.close()
        if response.status in _ABSENT:
            return None
        if response.status != 200:
            raise http.client.HTTPException(f"status {response.status}")
        return raw

    def _connect(self, deadline: float) -> http.client.HTTPConnection:
        url, is_tls = self._url, self._url.scheme == "https"
        host, port = url.hostname or "", url.port or (443 if is_tls else 80)
        plain = socket.create_connection((host, port), timeout=max(0.001, deadline - time.monotonic()))
        connection = http.client.HTTPConnection(host, port)
        if is_tls:
            context = ssl.create_default_context()
            context.sslsocket_class = _TlsSocket
            connection.sock = context.wrap_socket(plain, server_hostname=host)
        else:
            connection.sock = _Socket(plain.family, plain.type, plain.proto, plain.detach())
        return connection


def parse_base_url(url: str) -> SplitResult:
    """Return the parts of a log's address, its path without a slash at the end.

    Raises:
        Malformed: not one.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = SplitResult("", "", "", "", "")
    is_plain = (
        not (parts.query or parts.fragment or parts.username or parts.password) and url.isascii() and url.isprintable() and " " not in url
    )
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain:
        raise Malformed(f"`{url[:120]}` is not the address of a log", hint="such as `https://example.org/log/main/inference`")
    return parts._replace(path=parts.path.rstrip("/"))


class _Deadline:
    """A socket whose reads all end by `deadline` (monotonic seconds), not each within some time."""

    deadline = 0.0

    def recv_into(self, *arguments: Any, **more: Any) -> int:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)  # type: ignore[attr-defined]
        received: int = super().recv_into(*arguments, **more)  # type: ignore[misc]
        return received


class _Socket(_Deadline, socket.socket):
    pass


class _TlsSocket(_Deadline, ssl.SSLSocket):
    pass
