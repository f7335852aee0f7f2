"""What a request says: the token, the query, a bounded and strict body. Anything else in it is refused by name."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from jurat.app.admit import Presented
from jurat.app.connections import hold
from jurat.app.intake import parse_json
from jurat.app.present import API, addresses_of, present
from jurat.app.sessions import touch
from jurat.app.wiring import App
from jurat.core.errors import Denied, Malformed, Unauthenticated
from jurat.web.shapes import TooLarge, WrongType

MAX_BODY_BYTES: Final = 1_048_576
COOKIE: Final = "jurat_session"


def addresses(app: App, request: Request) -> frozenset[str]:
    """Return the addresses that this request may have been sent to, for proofs that name one."""
    server = request.scope.get("server")
    return addresses_of(
        request.url.path, public_url=app.settings.public_url, scheme=request.url.scheme, server=tuple(server) if server else None
    )


async def presented(app: App, request: Request) -> Presented:
    """Return the token that was sent, and hold the connection by it: when the token ends, the connection does.

    Raises:
        Unauthenticated, Denied: as `_received`.
    """
    token = await _received(app, request)
    hold(request.scope, token)
    return token


async def _received(app: App, request: Request) -> Presented:
    """Return the token that was sent, with what was proved about it: bearer, bound to a key (DPoP), or a browser's cookie.

    Raises:
        Unauthenticated: none, several, of another scheme, or a proof that does not hold.
        Denied: a cookie that another site sent along (CSRF).
    """
    found = request.headers.getlist("authorization")
    if not found and COOKIE in request.cookies:
        _check_same_origin(app, request)
        await run_in_threadpool(touch, app, request.cookies[COOKIE])
        return Presented(request.cookies[COOKIE], door=API)
    scheme, _, token = found[0].partition(" ") if len(found) == 1 else ("", "", "")
    scheme, token = scheme.lower(), token.strip()
    if scheme not in ("bearer", "dpop") or not token:
        raise Unauthenticated("no access token was given", hint="send `Authorization: Bearer jrt_…`; get one with `jurat token issue`")
    if scheme == "bearer":
        return Presented(token, door=API)
    proofs = request.headers.getlist("dpop")
    if len(proofs) > 1:
        raise Unauthenticated("the header `DPoP` comes more than once", code="token_proof")
    return await run_in_threadpool(
        present, app, scheme=scheme, token=token, proof=proofs[0] if proofs else "",
        method=request.method, urls=addresses(app, request), door=API,
    )  # fmt: skip


def _check_same_origin(app: App, request: Request) -> None:
    """A browser sends its cookie whoever made it ask; only our own pages may change anything by it."""
    if request.method in ("GET", "HEAD"):
        return
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    ours = {app.settings.public_url.rstrip("/"), f"{request.url.scheme}://{request.headers.get('host', '')}"} - {""}
    if (origin is not None and origin not in ours) or (site or "same-origin") != "same-origin" or (origin is None and site is None):
        raise Denied("this request was made by another site", hint="use jurat's own pages, or send an access token", code="cross_site")


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
