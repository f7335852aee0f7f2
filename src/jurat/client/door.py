"""One HTTP connection to the ledger's door for events. Blocking, for one thread; errors come out as the house's own."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from jurat.core import errors
from jurat.core.errors import Exhausted, JuratError, Malformed, Unavailable
from jurat.core.statements import cut_commitments

_MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
_BY_STATUS: Final = {
    400: errors.Malformed, 401: errors.Unauthenticated, 403: errors.Denied, 404: errors.NotFound, 409: errors.Conflict,
    413: errors.Malformed, 415: errors.Malformed, 422: errors.Malformed,
}  # fmt: skip
_KNOWN: Final = frozenset({"type", "title", "status", "code", "detail", "hint", "instance"})


class Recorded(NamedTuple):
    """A batch that is durable."""

    first_index: int
    events: int
    receipt: str | None
    commitments: list[bytes]


class Door:
    """Speaks to `<url>/api/v1/ingest` with the token that `token()` gives."""

    def __init__(self, url: str, token: Callable[[], str], timeout_s: float) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise Malformed(f"`{url[:80]}` is not the address of a ledger", hint="write `https://jurat.example.org`")
        self._parts, self._token, self._timeout_s = parts, token, timeout_s
        self._connection: http.client.HTTPConnection | None = None

    def record(self, retention: str, epoch: int, first_seq: int, raws: Sequence[bytes]) -> Recorded:
        """Return once these are durable in the ledger.

        Raises:
            Malformed, Unauthenticated, Denied, Conflict, Exhausted, Unavailable: as the ledger says, or it is away.
        """
        headers = {
            "content-type": "application/x-ndjson", "jurat-epoch": str(epoch), "jurat-seq": str(first_seq), "jurat-commitments": "1",
        }  # fmt: skip
        data = self._ask("POST", f"/{urllib.parse.quote(retention, safe='')}", b"\n".join(raws), headers)
        try:
            commitments = cut_commitments(base64.b64decode(data["commitments"], validate=True))
            found = Recorded(int(data["first_index"]), int(data["count"]), data["receipt"], commitments)
            if found.events != len(raws) or len(commitments) != len(raws) or data["first_seq"] != first_seq or data["epoch"] != epoch:
                raise ValueError("it is about another batch")
        except (KeyError, TypeError, ValueError) as error:
            raise Unavailable(f"the ledger's answer makes no sense: {error}", code="answer_unreadable") from error
        return found

    def fresh_epoch(self) -> int:
        """Return an epoch that this producer never had."""
        return int(self._ask("POST", "/epochs", b"", {})["epoch"])

    def last_seq(self, retention: str, epoch: int) -> int:
        """Return the last number that the ledger has of an epoch in a class; 0: none."""
        return int(self._ask("GET", f"/{urllib.parse.quote(retention, safe='')}?epoch={epoch}", b"", {})["last_seq"])

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
        try:
            reply = self._exchange(method, f"{self._parts.path.rstrip('/')}/api/v1/ingest{path}", body, headers)
            raw = reply.read(_MAX_ANSWER_BYTES + 1)
            document = json.loads(raw) if len(raw) <= _MAX_ANSWER_BYTES else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise Unavailable(
                f"the ledger does not answer: {type(error).__name__}", hint="it is tried again", code="ledger_unavailable"
            ) from error
        if reply.status == 200 and isinstance(document, dict) and isinstance(document.get("data"), dict):
            return dict(document["data"])
        raise _error_of(reply.status, document, reply.getheader("retry-after"))

    def _exchange(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> http.client.HTTPResponse:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
            self._connection = kind(str(self._parts.hostname), self._parts.port, timeout=self._timeout_s)
        self._connection.request(method, path, body, {**headers, "authorization": f"Bearer {self._token()}"})
        return self._connection.getresponse()


def _error_of(status: int, document: Any, retry_after: str | None) -> JuratError:
    found = document if isinstance(document, dict) else {}
    detail, hint, code = (str(found.get(name, ""))[:1000] for name in ("detail", "hint", "code"))
    fields = {name: value for name, value in found.items() if name not in _KNOWN and name != "retry_after_s"}
    detail = detail or f"the ledger answered with status {status}"
    if status == 429 or (status == 503 and retry_after):
        wait_s = float(retry_after) if retry_after and retry_after.isdigit() else 1.0
        return Exhausted(detail, retry_after_s=min(wait_s, 30.0), hint=hint, code=code)
    return _BY_STATUS.get(status, Unavailable)(detail, hint=hint, code=code, **fields)
