"""The route table as an ASGI app. Handlers raise; here, and only here, an error becomes an answer."""

from __future__ import annotations

import functools
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as Path
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jurat.app.intake import read_as
from jurat.app.look import known
from jurat.app.problems import opaque_problem
from jurat.app.walk import Done, act
from jurat.app.wiring import App
from jurat.core.errors import JuratError, Malformed, Unavailable
from jurat.core.jsonio import dump_json
from jurat.web.authzen import authzen_routes
from jurat.web.decision_door import DecisionDoor, public_url
from jurat.web.ingest import ingest_routes
from jurat.web.lineage import lineage_routes
from jurat.web.login import login_routes
from jurat.web.logs import log_routes
from jurat.web.mlflow import MlflowDoor
from jurat.web.oauth import oauth_routes
from jurat.web.openapi import make_document
from jurat.web.passkeys import passkey_routes
from jurat.web.requests import MAX_BODY_BYTES, json_body, presented, read_query
from jurat.web.scim import scim_routes
from jurat.web.shapes import PROBLEM_TYPE, SECURITY_HEADERS, TooLarge, WrongType, framework_error, problem, success
from jurat.web.table import ROUTES, Acted, ActedEvent, Route

_log: Final = logging.getLogger("jurat.web")
Answer = Callable[[Request], Awaitable[Response]]


def make_asgi(app: App, routes: Sequence[Route] = ROUTES, decisions: DecisionDoor | None = None) -> ASGIApp:
    """Return the ASGI app of a workspace. `decisions`: the door for enforcement points, of whoever will close it."""
    document = dump_json(make_document(routes))

    async def openapi(_request: Request) -> Response:
        return Response(document, media_type="application/json")

    async def health(_request: Request) -> Response:
        await run_in_threadpool(_check_health, app)
        return Response(b'{"status":"ok"}', headers={"cache-control": "no-store"}, media_type="application/json")

    by_path: dict[str, dict[str, Answer]] = {}
    for route in routes:
        by_path.setdefault(route.path, {})[route.method] = functools.partial(_answer, app, route)
    paths = authzen_routes((decisions or DecisionDoor(app)).admit, lambda request: public_url(app, request))  # asked most, found first
    paths += [Path(path, _dispatch(answers), methods=list(answers)) for path, answers in by_path.items()]
    paths += [Path("/healthz", health, methods=["GET"]), Path("/openapi.json", openapi, methods=["GET"])]
    paths += [*log_routes(app), *ingest_routes(app), *oauth_routes(app), *login_routes(app), *scim_routes(app), *passkey_routes(app)]
    paths += lineage_routes(app)
    return MlflowDoor(app, _Outermost(Router(paths, redirect_slashes=False)))


def _dispatch(answers: dict[str, Answer]) -> Answer:
    async def dispatch(request: Request) -> Response:
        return await answers["GET" if request.method == "HEAD" else request.method](request)

    return dispatch


async def _answer(app: App, route: Route, request: Request) -> Response:
    token = await presented(app, request)
    path = {name: str(value) for name, value in request.path_params.items()}
    if any("\0" in value for value in path.values()):
        raise Malformed("the path holds NUL")
    if route.body is None:
        assert route.look is not None
        query = read_query(request, route.query)
        data, following = await run_in_threadpool(_look, route.look, app, token, path, query)
        return success(data, following=following)
    read_query(request, route.query)
    body = read_as(route.body, await json_body(request), what="the body")
    if route.command is None:
        assert route.look is not None
        return success(_acted(await run_in_threadpool(_look, route.look, app, token, path, body)))
    fields = {name: getattr(body, name) for name in body.__struct_fields__}
    return success(_acted(await run_in_threadpool(act, app, token, route.command(**path, **fields))))


def _look(look: Callable[..., Any], app: App, token: str, path: dict[str, str], asked: Any) -> Any:
    known(app, token)  # nothing at all is looked up for nobody
    return look(app, token, path, asked)


def _acted(done: Done) -> Acted:
    return Acted([ActedEvent(e.id, e.kind.name, e.at, e.resource, e.because, e.data) for e in done.events], done.reply)


def _check_health(app: App) -> None:
    with app.store.reading() as state:
        if app.engine(state) is None:
            raise Unavailable("no policy set is in force", hint="ask an operator: `jurat policy apply policies/ --reason '…'`")


class _Outermost:
    """Puts the security headers on every answer, and turns every exception into the one problem shape."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)  # a page has a policy of its own, no less strict
            await send(message)

        scope["app"] = self  # so the router raises what it finds wrong, instead of answering in a shape of its own
        try:
            await self._inner(scope, receive, send_with_headers)
        except ClientDisconnect:
            return
        except Exception as error:
            if started:
                raise
            await _problem_for(error, scope["path"])(scope, receive, send_with_headers)


def _problem_for(error: Exception, path: str) -> Response:
    instance = path[:200]
    if isinstance(error, JuratError):
        return problem(error, instance=instance)
    if isinstance(error, HTTPException):
        wrong = framework_error(error.status_code, path)
        return problem(wrong, instance=instance, status=error.status_code, headers=dict(error.headers or {}))
    if isinstance(error, TooLarge):
        found = Malformed(f"the body is larger than {MAX_BODY_BYTES} bytes", hint="keep large things as artefacts", code="body_too_large")
        return problem(found, instance=instance, status=413)
    if isinstance(error, WrongType):
        found = Malformed("the body is not `application/json`", hint="send `Content-Type: application/json`", code="not_json")
        return problem(found, instance=instance, status=415)
    error_id = f"err_{secrets.token_hex(6)}"
    _log.error("error %s at %s", error_id, path, exc_info=error)
    return Response(dump_json(opaque_problem(error_id)), 500, headers={"cache-control": "no-store"}, media_type=PROBLEM_TYPE)
