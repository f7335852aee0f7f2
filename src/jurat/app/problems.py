"""The one table from errors to what each door shows. The same sentence everywhere; only the frame differs.

Source: RFC 9457 (problem details). A test walks every subclass of `JuratError` and fails on one that is missing here.
"""

from __future__ import annotations

from typing import Any, Final

from jurat.core import errors
from jurat.core.errors import JuratError

TITLES: Final[dict[type[JuratError], str]] = {
    errors.Malformed: "we cannot read it",
    errors.Unauthenticated: "we do not know you",
    errors.Denied: "the policy says no",
    errors.NotFound: "no such thing, or none you may see",
    errors.Conflict: "a rule or a version stands in the way",
    errors.Exhausted: "a limit is used up",
    errors.Unavailable: "something we need is away",
    errors.Tampered: "evidence disagrees with the log",
}


def to_problem(error: JuratError, *, instance: str = "") -> dict[str, Any]:
    """Return the error as a problem document (media type `application/problem+json`)."""
    problem: dict[str, Any] = {
        "type": f"urn:jurat:problem:{error.family}",
        "title": TITLES[type(error)],
        "status": error.http_status,
        "code": error.code,
        "detail": error.detail,
        "hint": error.hint,
        **error.fields,
    }
    if instance:
        problem["instance"] = instance
    return problem


def opaque_problem(error_id: str) -> dict[str, Any]:
    """Return what a caller learns of a fault of ours: that it happened, and the id under which we find it."""
    return {
        "type": "urn:jurat:problem:error",
        "title": "a fault of ours",
        "status": 500,
        "code": "internal_error",
        "detail": f"something went wrong here; its id is `{error_id}`",
        "hint": "tell whoever runs this server that id: its log says more",
    }
