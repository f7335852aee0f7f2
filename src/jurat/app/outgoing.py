"""One small HTTP exchange with an identity provider: bounded in size and time, JSON back, no redirects, TLS checked.

An address comes from a provider that an operator named, or from its own discovery document; it must be `https`, or loopback.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from jurat.core.errors import Malformed, Unavailable
from jurat.core.jsonio import load_json
from jurat.domain.decide_identity import check_address

TIMEOUT_S: Final = 5.0
_MOST_BYTES: Final = 256 * 1024


def ask_json(
    url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None, refusals: bool = False
) -> dict[str, Any]:
    """Return the JSON object at an address; with `form`, what a POST of it is answered.

    Args:
        refusals: an OAuth refusal (status 400 or 401, `error` in it) is returned as well.
    Raises:
        Malformed: an address that is not taken.
        Unavailable: nobody answers, too slowly, too much, or something else than JSON.
    """
    check_address(url.partition("?")[0], "address")
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection: http.client.HTTPConnection = (
        http.client.HTTPSConnection(parts.hostname, parts.port, timeout=TIMEOUT_S, context=ssl.create_default_context())
        if parts.scheme == "https"
        else http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)
    )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sent = {"accept": "application/json", **(headers or {})}
    deadline = time.monotonic() + 2 * TIMEOUT_S
    try:
        if form is None:
            connection.request("GET", target, headers=sent)
        else:
            connection.request("POST", target, urlencode(form), {**sent, "content-type": "application/x-www-form-urlencoded"})
        response = connection.getresponse()
        raw = bytearray()
        while chunk := response.read1(65_536):
            raw += chunk
            if len(raw) > _MOST_BYTES or time.monotonic() > deadline:
                raise _away(parts.netloc, "its answer is too long or too slow")
        status = response.status
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _away(parts.netloc, type(error).__name__) from error
    finally:
        connection.close()
    if status not in ((200, 400, 401) if refusals else (200,)):
        raise _away(parts.netloc, f"it answered with status {status}")
    try:
        return load_json(bytes(raw), dict[str, Any], what="its answer")
    except Malformed as error:
        raise _away(parts.netloc, error.detail) from error


def _away(netloc: str, why: str) -> Unavailable:
    return Unavailable(
        f"identity provider `{netloc[:120]}` does not answer as it should: {why}",
        hint="whoever runs it sees why; sessions that are open go on",
        code="provider_away",
    )
