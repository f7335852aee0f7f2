"""What a request says: the token, the query, a bounded and strict body. Anything else in it is refused by name."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.requests import Request

from jurat.app.intake import parse_json
from jurat.core.errors import Malformed, Unauthenticated
from jurat.web.shapes import TooLarge, WrongType

MAX_BODY_BYTES: Final = 1_048_576


def bearer_token(request: Request) -> str:
    """Return the token that was sent.

    Raises:
        Unauthenticated: none, several, or of another scheme.
    """
    found = request.headers.getlist("authorization")
    scheme, _, token = found[0].partition(" ") if len(found) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("no access token was given", hint="send `Authorization: Bearer jrt_…`; get one with `jurat token issue`")
    return token.strip()


async def json_body(request: Request) -> Any:
    """Return the body's JSON as builtins; an empty body is an empty object.

    Raises:
        TooLarge, WrongType: 413, 415.
        Malformed: not JSON.
    """
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        raise TooLarge
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise TooLarge
    if not raw:
        return {}
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise WrongType
    return parse_json(bytes(raw), what="the body")


def read_query(request: Request, into: type[msgspec.Struct]) -> Any:
    """Return the query string as a struct.

    Raises:
        Malformed: an unknown or repeated parameter, or a value of the wrong type.
    """
    pairs = request.query_params.multi_items()
    found = dict(pairs)
    known = {field.encode_name for field in msgspec.structs.fields(into)}
    for name, _ in pairs:
        if name not in known:
            raise Malformed(f"unknown query parameter `{name[:60]}`", hint=f"known here: {', '.join(sorted(known)) or 'none'}")
    if len(found) != len(pairs):
        raise Malformed("a query parameter is given twice", hint="only one of them can be meant")
    if any("\0" in value for value in found.values()):
        raise Malformed("a query parameter holds NUL")
    try:
        return msgspec.convert(found, into, strict=False)
    except msgspec.ValidationError as error:
        raise Malformed(f"the query cannot be read: {str(error)[:1].lower()}{str(error)[1:]}") from error
