"""The browser's way in: off to an identity provider and back, with a cookie at the end. Beside the table of `table`: no JSON here.

`GET /login/{provider}`   to the provider; `?invitation=` the first time
`GET /login/callback`     back from it: exactly this address, once, in the browser that began; browsers go on to `/account`
`POST /logout`            the session ends, and with it everything that lives by it
"""

from __future__ import annotations

from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from jurat.app import login, sessions
from jurat.app.wiring import App
from jurat.core.clock import parse_at, to_ns
from jurat.core.errors import Malformed
from jurat.core.jsonio import dump_json
from jurat.web.requests import COOKIE, presented

CALLBACK: Final = "/login/callback"
_KEPT: Final = "jurat_login"
_ANSWER: Final = ("code", "state", "iss", "error", "error_description", "error_uri", "session_state")
_LONGEST: Final = 4_096


def login_routes(app: App) -> list[Route]:
    """Return the routes."""

    async def begin(request: Request) -> Response:
        asked = _once(request, ("invitation",))
        uri = origin(app, request) + CALLBACK
        begun = await run_in_threadpool(login.begin, app, str(request.path_params["provider"]), uri, asked.get("invitation", ""))
        answer = RedirectResponse(begun.url, 303, headers={"cache-control": "no-store"})
        answer.set_cookie(
            _KEPT, begun.browser, max_age=login.LOGIN_S, path="/login", httponly=True, samesite="lax", secure=_is_secure(app, request)
        )
        return answer

    async def finish(request: Request) -> Response:
        asked = _once(request, _ANSWER)
        done = await run_in_threadpool(
            lambda: login.finish(
                app, state=asked.get("state", ""), code=asked.get("code", ""), issuer=asked.get("iss"),
                browser=request.cookies.get(_KEPT, ""), refused=asked.get("error", ""),
            )
        )  # fmt: skip
        answer: Response = Response(
            dump_json({"data": {"session": done.reply["session"], "expires_at": done.reply["session_expires_at"]}, "next": ""}),
            headers={"cache-control": "no-store"}, media_type="application/json",
        )  # fmt: skip
        if "text/html" in request.headers.get("accept", ""):  # a person sits there, and wants a page
            answer = RedirectResponse("/account", 303, headers={"cache-control": "no-store"})
        left_s = (to_ns(parse_at(done.reply["session_expires_at"])) - app.clock.now_ns()) // 10**9
        answer.set_cookie(
            COOKIE, done.reply["token"], max_age=left_s, path="/", httponly=True, samesite="lax", secure=_is_secure(app, request)
        )
        answer.delete_cookie(_KEPT, path="/login")
        return answer

    async def logout(request: Request) -> Response:
        token = await presented(app, request)
        session = await run_in_threadpool(sessions.session_of, app, token)
        await run_in_threadpool(sessions.end_session, app, token, session, "signed out")
        answer = Response(dump_json({"data": {"session": session}, "next": ""}), media_type="application/json")
        answer.delete_cookie(COOKIE, path="/")
        return answer

    return [
        Route(CALLBACK, finish, methods=["GET"]),
        Route("/login/{provider}", begin, methods=["GET"]),
        Route("/logout", logout, methods=["POST"]),
    ]


def origin(app: App, request: Request) -> str:
    """Return where we are, as a provider knows it: never what the request says of its host."""
    if app.settings.public_url:
        return app.settings.public_url.rstrip("/")
    host, port = request.scope["server"]
    return f"{request.url.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _keep(answer: Response, name: str, value: str, left_s: int, path: str, *, secure: bool) -> None:
    """Let the browser keep a secret that no script can read, and that no other site's form or frame carries along."""
    answer.set_cookie(name, value, max_age=left_s, path=path, httponly=True, samesite="lax", secure=secure)


def _is_secure(app: App, request: Request) -> bool:
    return origin(app, request).startswith("https:")


def _once(request: Request, known: tuple[str, ...]) -> dict[str, str]:
    """Return the query, of which a provider may say more than we know; what we know comes once, and bounded."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in known:
            if name in found or len(value) > _LONGEST or "\0" in value:
                raise Malformed(f"the query's `{name}` comes twice, or cannot be read")
            found[name] = value
    return found
