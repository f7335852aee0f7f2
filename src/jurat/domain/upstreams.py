"""Where a model server listens, as an endpoint's setting names it. Read when the setting is made, and again when it is used."""

from __future__ import annotations

import functools
import re
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from jurat.core.errors import Malformed

_PATH: Final = re.compile(r"[A-Za-z0-9/._~@%+-]*\Z")


class Upstream(NamedTuple):
    """Where a model server listens."""

    host: str
    port: int
    prefix: str  # path before `/v2`, mostly empty


@functools.lru_cache(maxsize=1024)
def parse_upstream(url: str) -> Upstream:
    """Return the server that a base URL such as `http://127.0.0.1:9000` names.

    Raises:
        Malformed: another scheme, no host, credentials, a query or a fragment in it.
    """
    hint = "write `http://HOST:PORT`; for a server behind TLS put a local proxy in front of it"
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError as error:
        raise Malformed(f"upstream `{url[:100]}` is not a URL", hint=hint) from error
    if parts.scheme != "http" or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment or not _PATH.match(parts.path):
        raise Malformed(f"upstream `{url[:100]}` is not a plain `http` URL of a server", hint=hint)
    return Upstream(parts.hostname, port, parts.path.rstrip("/"))
