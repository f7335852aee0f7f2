"""Signing in with a passkey: three plain pages, and what their script asks. A session's cookie is all that they leave.

`GET /sign-in`, `/enrol`, `/account`, `/pages/{file}`      plain files of this package, under a strict policy of content
`POST /auth/enrol/begin`, `/finish`                        a link that works once makes a passkey, and the first session
`POST /auth/sign-in/begin`, `/finish`                      a passkey makes a session
`GET /auth/me` · `POST /auth/passkeys/begin`, `/finish`, `/remove`     one's own passkeys
`GET /auth/ways`                                           at which other providers one may sign in
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from jurat.app import passkeys
from jurat.app.intake import read_as
from jurat.app.look import known, names_of
from jurat.app.sessions import roles_of
from jurat.app.walk import Done
from jurat.app.wiring import App
from jurat.core.clock import parse_at, to_ns
from jurat.core.errors import Denied
from jurat.domain import rows
from jurat.identity.passkeys import CHALLENGE_S, Site
from jurat.web.requests import COOKIE, json_body, presented
from jurat.web.shapes import NO_STORE, success

_CEREMONY: Final = "jurat_ceremony"
_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_PAGES: Final = {"/sign-in": "sign-in.html", "/enrol": "enrol.html", "/account": "account.html"}
_FILES: Final = {"page.css": "text/css; charset=utf-8", "passkeys.js": "text/javascript; charset=utf-8"}
_MOST_LINK: Final = 128


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An empty body."""


class Linked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A link's secret."""

    link: str


class Enrolled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A link's secret, and the passkey that was made."""

    link: str
    credential: dict[str, Any]
    label: str = ""


class Answered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the device answered."""

    credential: dict[str, Any]
    label: str = ""


class Removed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A passkey that goes."""

    passkey: str


def passkey_routes(app: App) -> list[Route]:
    """Return the routes."""

    async def enrol_begin(request: Request, site: Site, body: Linked) -> Response:
        return success(await run_in_threadpool(passkeys.begin_enrolment, app, site, body.link[:_MOST_LINK]))

    async def enrol_finish(request: Request, site: Site, body: Enrolled) -> Response:
        done = await run_in_threadpool(passkeys.finish_enrolment, app, site, body.link[:_MOST_LINK], body.credential, body.label)
        return _signed_in(app, site, done)

    async def sign_in_begin(request: Request, site: Site, _body: Nothing) -> Response:
        options, browser = await run_in_threadpool(passkeys.begin_sign_in, app, site)
        answer = success({"options": options})
        _keep(answer, site, _CEREMONY, browser, CHALLENGE_S, "/auth")
        return answer

    async def sign_in_finish(request: Request, site: Site, body: Answered) -> Response:
        browser = request.cookies.get(_CEREMONY, "")
        answer = _signed_in(app, site, await run_in_threadpool(passkeys.finish_sign_in, app, site, body.credential, browser))
        answer.delete_cookie(_CEREMONY, path="/auth")
        return answer

    async def add_begin(request: Request, site: Site, _body: Nothing) -> Response:
        return success(await run_in_threadpool(passkeys.begin_adding, app, site, await presented(app, request)))

    async def add_finish(request: Request, site: Site, body: Answered) -> Response:
        token = await presented(app, request)
        made = await run_in_threadpool(passkeys.finish_adding, app, site, token, body.credential, body.label)
        return success({"passkey": made})

    async def remove(request: Request, _site: Site, body: Removed) -> Response:
        await run_in_threadpool(passkeys.remove_own, app, await presented(app, request), body.passkey)
        return success({"passkey": body.passkey})

    async def me(request: Request) -> Response:
        return success(await run_in_threadpool(_me, app, await presented(app, request)))

    async def ways(_request: Request) -> Response:
        return success({"providers": await run_in_threadpool(_providers, app)})

    posts: dict[str, tuple[Callable[..., Any], type[msgspec.Struct]]] = {
        "/auth/enrol/begin": (enrol_begin, Linked), "/auth/enrol/finish": (enrol_finish, Enrolled),
        "/auth/sign-in/begin": (sign_in_begin, Nothing), "/auth/sign-in/finish": (sign_in_finish, Answered),
        "/auth/passkeys/begin": (add_begin, Nothing), "/auth/passkeys/finish": (add_finish, Answered),
        "/auth/passkeys/remove": (remove, Removed),
    }  # fmt: skip
    return [
        *(Route(path, _posted(app, *each), methods=["POST"]) for path, each in posts.items()),
        Route("/auth/me", me, methods=["GET"]),
        Route("/auth/ways", ways, methods=["GET"]),
        *(Route(path, _page(app, name), methods=["GET"]) for path, name in _PAGES.items()),
        *(Route(f"/pages/{name}", _file(name, kind), methods=["GET"]) for name, kind in _FILES.items()),
    ]


def _posted(app: App, handle: Callable[..., Any], body: type[msgspec.Struct]) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        site = _site(app, request)
        if request.headers.get("origin") != site.origin:  # browsers always say it of a POST
            raise Denied(
                f"this page lies at `{request.headers.get('origin', 'nowhere')[:100]}`, signing in is done at `{site.origin}`",
                hint=f"open `{site.origin}/sign-in`",
                code="cross_site",
            )
        return await handle(request, site, read_as(body, await json_body(request), what="the body"))  # type: ignore[no-any-return]

    return answer


def _site(app: App, request: Request) -> Site:
    return passkeys.site_of(app.settings, int((request.scope.get("server") or ("", 0))[1] or 0))


def _signed_in(app: App, site: Site, done: Done) -> Response:
    answer = success({"session": done.reply["session"], "expires_at": done.reply["session_expires_at"]})
    left_s = (to_ns(parse_at(done.reply["session_expires_at"])) - app.clock.now_ns()) // 10**9
    _keep(answer, site, COOKIE, done.reply["token"], left_s, "/")
    return answer


def _keep(answer: Response, site: Site, name: str, value: str, left_s: int, path: str) -> None:
    """Let the browser keep a secret that no script can read, and that comes with no request that another site began."""
    answer.set_cookie(
        name, value, max_age=left_s, path=path, httponly=True, samesite="strict", secure=site.origin.startswith("https:")
    )  # fmt: skip


def _me(app: App, token: str) -> dict[str, Any]:
    caller = known(app, token)
    return {
        "principal": caller.principal,
        "name": names_of(app, token).get(caller.principal, caller.principal),
        "roles": roles_of(app, caller),
        "passkeys": passkeys.passkeys_of(app, token, caller.principal),
    }


def _providers(app: App) -> list[str]:
    with app.store.reading() as state:
        return [row.provider for row in state.find(rows.Provider)]


def _page(app: App, name: str) -> Callable[[Request], Any]:
    raw = files(__package__).joinpath("data", name).read_bytes()

    async def answer(request: Request) -> Response:
        site = _site(app, request)
        if not app.settings.public_url and request.url.hostname != site.rp_id:  # passkeys know names, not numbers
            return RedirectResponse(f"{site.origin}{request.url.path}", 307, headers={"cache-control": NO_STORE})
        headers = {
            "cache-control": NO_STORE, "content-security-policy": _PAGE_POLICY, "cross-origin-opener-policy": "same-origin",
            "permissions-policy": "publickey-credentials-create=(self), publickey-credentials-get=(self)",
        }  # fmt: skip
        return Response(raw, headers=headers, media_type="text/html; charset=utf-8")

    return answer


def _file(name: str, kind: str) -> Callable[[Request], Any]:
    raw = files(__package__).joinpath("data", name).read_bytes()

    async def answer(_request: Request) -> Response:
        return Response(raw, headers={"cache-control": "no-cache"}, media_type=kind)

    return answer
