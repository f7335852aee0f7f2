"""What every door for MLflow's clients has in common: how they show their token, and how errors are told to them.

They read `error_code` and `message` and nothing else, so the message says what is missing and where to go.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from jurat.app.admit import Presented
from jurat.app.present import API
from jurat.core.errors import (
    Conflict,
    Denied,
    Exhausted,
    JuratError,
    Malformed,
    NotFound,
    Tampered,
    Unauthenticated,
    Unavailable,
)

# How our families are called there; a code that MLflow has a better word for comes first.
_CODES: Final[dict[str, tuple[int, str]]] = {
    "name_taken": (400, "RESOURCE_ALREADY_EXISTS"),
    "alias_moved": (409, "RESOURCE_CONFLICT"),
    "body_too_large": (413, "INVALID_PARAMETER_VALUE"),
}
_FAMILIES: Final[dict[type[JuratError], tuple[int, str]]] = {
    Malformed: (400, "INVALID_PARAMETER_VALUE"),
    Unauthenticated: (401, "UNAUTHENTICATED"),
    Denied: (403, "PERMISSION_DENIED"),
    NotFound: (404, "RESOURCE_DOES_NOT_EXIST"),
    Conflict: (403, "PERMISSION_DENIED"),
    Exhausted: (429, "REQUEST_LIMIT_EXCEEDED"),
    Unavailable: (503, "TEMPORARILY_UNAVAILABLE"),
    Tampered: (500, "INTERNAL_ERROR"),
}


def to_mlflow(error: JuratError) -> tuple[int, dict[str, Any]]:
    """Return an error as MLflow's clients read one: status, code, and a message that says why and where to go."""
    status, code = _CODES.get(error.code) or _FAMILIES[type(error)]
    event = error.fields.get("event")
    message = error.detail + (f"; {error.hint}" if error.hint else "") + (f" (recorded as {event})" if event else "")
    return status, {"error_code": code, "message": message}


def presented_token(headers: list[tuple[bytes, bytes]]) -> Presented:
    """Return the token in `Authorization`: a bearer token, or the password of HTTP Basic, as `MLFLOW_TRACKING_PASSWORD` sends it.

    Raises:
        Unauthenticated: none, several, or of another scheme.
    """
    found = [value for name, value in headers if name.lower() == b"authorization"]
    scheme, _, text = (found[0] if len(found) == 1 else b"").partition(b" ")
    token = text.strip()
    if scheme.lower() == b"basic":
        try:
            token = base64.b64decode(token, validate=True).partition(b":")[2]
        except binascii.Error:
            token = b""
    if scheme.lower() not in (b"bearer", b"basic") or not token or not token.isascii():
        raise Unauthenticated("no access token was given", hint="set MLFLOW_TRACKING_TOKEN to a token of `jurat token issue`")
    return Presented(token.decode("ascii"), door=API)
