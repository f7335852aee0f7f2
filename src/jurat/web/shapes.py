"""The one success shape, the one problem shape (RFC 9457), and the headers of every answer."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from jurat.app.problems import to_problem
from jurat.core.errors import JuratError, Malformed, NotFound, Unauthenticated
from jurat.core.jsonio import dump_json

PROBLEM_TYPE: Final = "application/problem+json"
NO_STORE: Final = "no-store"
SECURITY_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def success(data: Any, *, following: str = "") -> Response:
    """Return `{"data": …, "next": …}`; `next` is the cursor of the next page, empty at the end or where there are no pages."""
    try:
        raw = dump_json({"data": data, "next": following})
    except Malformed as error:  # ours, not the caller's: it must not become a 400
        raise RuntimeError(f"an answer has no JSON form: {error.detail}") from error
    return Response(raw, headers={"cache-control": NO_STORE}, media_type="application/json")


def problem(error: JuratError, *, instance: str, status: int | None = None, headers: dict[str, str] | None = None) -> Response:
    """Return an error as a problem document. `status` only where HTTP knows more than our families do (405, 413, 415)."""
    document = to_problem(error, instance=instance)
    extra = {"cache-control": NO_STORE, **(headers or {})}
    if status is not None:
        document["status"] = status
    if isinstance(error, Unauthenticated):
        extra["www-authenticate"] = "Bearer, DPoP"
    if nonce := error.fields.get("dpop_nonce"):
        extra |= {"www-authenticate": 'DPoP error="use_dpop_nonce"', "dpop-nonce": str(nonce)}
    if (after := error.fields.get("retry_after_s")) is not None:
        extra["retry-after"] = str(max(1, round(float(str(after)))))
    return Response(dump_json(document), document["status"], headers=extra, media_type=PROBLEM_TYPE)


def framework_error(status: int, path: str) -> JuratError:
    """Return what the framework found wrong, in our words."""
    if status == 404:
        return NotFound(f"there is nothing at `{path[:200]}`", hint="`/openapi.json` lists every route")
    if status == 405:
        return Malformed(f"`{path[:200]}` does not take that method", hint="the header `Allow` says which", code="method_not_allowed")
    return Malformed(f"the request cannot be answered: HTTP {status}", code=f"http_{status}")


class TooLarge(Exception):
    """The body is larger than it may be (413)."""


class WrongType(Exception):
    """The body is not `application/json` (415)."""
