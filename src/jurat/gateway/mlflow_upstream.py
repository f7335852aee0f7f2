"""The MLflow server behind the guard: asked for what it holds, and handed what is passed on, streamed both ways.

Keeps the credentials that the server wants; they are in no log, no event and no answer. Knows nothing of what is held.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from jurat.app.intake import parse_json
from jurat.core.errors import Malformed, NotFound, Unauthenticated, Unavailable

_CONNECT_S: Final = 10.0
_SILENCE_S: Final = 300.0  # an upload of a large artefact may take its time between two words
_MOST_BYTES: Final = 8 * 1024 * 1024
_HOP: Final = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "host",
})  # fmt: skip
# What would speak for the caller instead of the guard.
_NOT_SENT: Final = _HOP | {"authorization", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "expect"}


class Upstream:
    """One server. Use as an async context manager."""

    def __init__(self, url: str, authorization: str = "") -> None:
        self.url = check_url(url)
        self._authorization = authorization
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, connect=_CONNECT_S, sock_read=_SILENCE_S)
        self._session = aiohttp.ClientSession(
            timeout=timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar(), skip_auto_headers=("User-Agent", "Accept-Encoding")
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    @contextlib.asynccontextmanager
    async def request(
        self, method: str, target: str, headers: list[tuple[str, str]], body: AsyncIterator[bytes] | bytes | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Pass a request on, and give the answer while it comes.

        Args:
            target: raw path and query, as they are to be sent.
        Raises:
            Unavailable: nobody answers. What was sent may have been done.
        """
        assert self._session is not None
        dropped = _NOT_SENT | {name.strip().lower() for key, value in headers if key.lower() == "connection" for name in value.split(",")}
        # A WSGI server takes `X_Some_Name` for `X-Some-Name`: it would see a header that nobody here has looked at.
        sent = [(name, value) for name, value in headers if name.lower() not in dropped and "_" not in name]
        if self._authorization:
            sent.append(("Authorization", self._authorization))
        url = URL(self.url + target, encoded=True)
        try:
            async with self._session.request(method, url, headers=sent, data=body, allow_redirects=False) as answer:
                yield answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._away(error) from error

    async def ask(self, path: str, query: dict[str, str], headers: list[tuple[str, str]]) -> dict[str, Any]:
        """Return the JSON answer to a question of the guard's own.

        Raises:
            NotFound: the server says that there is no such thing.
            Unavailable: it does not answer, or not in JSON.
        """
        target = str(URL(path).with_query(query))
        async with self.request("GET", target, [("Accept", "application/json"), *headers], None) as answer:
            raw = await read_bounded(answer)
            status = answer.status
        try:
            found = parse_json(raw, what="the guarded server's answer")
        except Malformed:
            found = None
        if status == 404 and isinstance(found, dict) and found.get("error_code") == "RESOURCE_DOES_NOT_EXIST":
            raise NotFound("the guarded server knows no such model or version")
        if status != 200 or not isinstance(found, dict):
            raise Unavailable(f"the guarded server answers {status} to the guard's own question", hint="see that server's log")
        return found

    def _away(self, error: BaseException) -> Unavailable:
        return Unavailable(
            f"the guarded server does not answer: {type(error).__name__}",
            hint="see whether it runs",
            code="upstream_away",
        )


async def read_bounded(answer: aiohttp.ClientResponse) -> bytes:
    """Return an answer's body.

    Raises:
        Unavailable: it is too large.
    """
    raw = bytearray()
    async for chunk in answer.content.iter_any():
        raw += chunk
        if len(raw) > _MOST_BYTES:
            raise Unavailable(f"the guarded server's answer has more than {_MOST_BYTES} bytes")
    return bytes(raw)


def kept_headers(answer: aiohttp.ClientResponse) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer that go on to the client: all but those of the one connection, and a wish for our credentials."""
    dropped = _HOP | {"www-authenticate"}
    dropped |= {name.strip().lower() for value in answer.headers.getall("Connection", []) for name in value.split(",")}
    return [(name, value) for name, value in answer.raw_headers if name.decode("latin-1").lower() not in dropped]


def check_url(url: str) -> str:
    """Return the base URL of a server without a slash at its end.

    Raises:
        Malformed: not http or https, or with something that does not belong into one.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username or parts.password:
        raise Malformed(
            f"`{url[:80] if not parts.password else '…'}` is not the URL of a server", hint="write it like `http://127.0.0.1:5000`"
        )
    return url.rstrip("/")


def read_authorization(path: Path) -> str:
    """Return what the server wants to see in `Authorization`, from a file that its owner alone can read.

    The file holds one line: `Bearer <token>`, `Basic <base64>`, or `<user>:<password>`.

    Raises:
        Unauthenticated: others can read it, or it holds something else.
    """
    try:
        mode, text = path.stat().st_mode, path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unauthenticated(f"the credentials in `{path}` cannot be read") from error
    if mode & 0o077:
        raise Unauthenticated(f"others than its owner can read the credentials in `{path}`", hint=f"`chmod 600 {path}`, and replace them")
    if text.startswith(("Bearer ", "Basic ")) and "\n" not in text:
        return text
    user, colon, password = text.partition(":")
    if not colon or not user or "\n" in text:
        raise Unauthenticated(f"`{path}` holds no credentials", hint="one line: `Bearer …`, or `<user>:<password>`")
    return aiohttp.BasicAuth(user, password).encode()
