"""What other issuers say of themselves: discovery documents and keys, read when needed, remembered for minutes.

What is remembered is never used past its time, and is read again at once when a token names a key that is not in it (rotation),
but not more often than every few seconds: a token with an invented key must not make us ask all day.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from jurat.app.outgoing import ask_json
from jurat.identity import oidc

_REMEMBERED_S: Final = 300.0
_SOONEST_S: Final = 5.0
_lock: Final = threading.Lock()
_metadata: Final[dict[str, tuple[float, oidc.Metadata]]] = {}
_keys: Final[dict[str, tuple[float, list[dict[str, Any]]]]] = {}


def metadata_of(issuer: str, now_s: float) -> oidc.Metadata:
    """Return an issuer's discovery document.

    Raises:
        Unavailable: it cannot be read.
        Malformed: it says that it is of another issuer, or leaves out what is needed.
    """
    with _lock:
        found = _metadata.get(issuer)
    if found is None or now_s - found[0] > _REMEMBERED_S:
        found = now_s, oidc.read_metadata(ask_json(oidc.metadata_url(issuer)), issuer)
        with _lock:
            _metadata[issuer] = found
    return found[1]


def keys_of(issuer: str, now_s: float, *, fresh: bool = False) -> list[dict[str, Any]]:
    """Return an issuer's public keys; with `fresh`, as they are now.

    Raises:
        Unavailable, Malformed: as `metadata_of`.
    """
    with _lock:
        found = _keys.get(issuer)
    if found is None or now_s - found[0] > (_SOONEST_S if fresh else _REMEMBERED_S):
        found = now_s, oidc.read_keys(ask_json(metadata_of(issuer, now_s).jwks_uri))
        with _lock:
            _keys[issuer] = found
    return found[1]
