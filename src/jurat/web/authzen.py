"""OpenID AuthZEN 1.0: enforcement points elsewhere ask what the policies say. A deny is an answer (200), never an error.

`POST /access/v1/evaluation`                        one question
`POST /access/v1/evaluations`                       many, with three ways to stop
`POST /access/v1/search/{subject,resource,action}`  who, on what, or what; in pages
`GET  /.well-known/authzen-configuration`           where all this is

Members that nobody knows are ignored, as the specification asks; what must be there and is not, or is of another type, is a
400. Properties of subjects and resources are passed on, and the workspace's point does not look at them.
Source: OpenID AuthZEN Authorization API 1.0.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jurat.app.decision_point import Named, Point, Question, Told
from jurat.core.digests import digest_json
from jurat.core.errors import JuratError, Malformed
from jurat.core.jsonio import dump_json, load_json
from jurat.web.requests import json_body
from jurat.web.shapes import WrongType, problem

BASE: Final = "/access/v1"
MOST_AT_ONCE: Final = 1_000
MOST_RESULTS: Final = 1_000
_SEMANTICS: Final = {"execute_all": None, "deny_on_first_deny": False, "permit_on_first_permit": True}
_ID: Final = "x-request-id"

# Who asks, and from what: raises if they may not. `search`: for a search, whose answers say more.
Admit = Callable[[Request, bool], Awaitable[tuple[Point, "Keep"]]]
Keep = Callable[[Told, str, str], Awaitable[None]]  # the answer, the resource, the caller's id of the request


def authzen_routes(admit: Admit, public_url: Callable[[Request], str]) -> list[Route]:
    """Return the routes. `public_url`: the base that this is reached under from outside, an https URL."""

    async def evaluation(request: Request) -> Response:
        point, keep = await admit(request, False)
        return _answer(request, await _evaluate(point, keep, await _body(request), {}, _request_id(request)))

    async def evaluations(request: Request) -> Response:
        point, keep = await admit(request, False)
        body = await _body(request)
        items = body.get("evaluations")
        if items is None or items == []:
            return _answer(request, await _evaluate(point, keep, body, {}, _request_id(request)))
        if not isinstance(items, list) or len(items) > MOST_AT_ONCE:
            raise Malformed(f"`evaluations` is not a list of up to {MOST_AT_ONCE} questions", hint="send them in several requests")
        options = _object(body, "options", needed=False)
        semantic = options.get("evaluations_semantic", "execute_all")
        if semantic not in _SEMANTICS:
            raise Malformed(f"`evaluations_semantic` is `{str(semantic)[:60]}`", hint=f"there are {', '.join(_SEMANTICS)}")
        answers: list[dict[str, Any]] = []
        for item in items:
            try:
                if not isinstance(item, dict):
                    raise Malformed("a question is not an object")
                answers.append(await _evaluate(point, keep, item, body, _request_id(request)))
            except Malformed as error:  # it denies itself only
                answers.append({"decision": False, "context": {"error": {"status": 400, "message": error.detail}}})
            if answers[-1]["decision"] is _SEMANTICS[semantic]:
                break
        return _answer(request, {"evaluations": answers})

    def search(what: str) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            point, _ = await admit(request, True)
            body = await _body(request)
            asked = _question(body, {}, without=what)
            find = {"subject": point.subjects, "resource": point.resources, "action": point.actions}[what]
            after, limit = _page(body, what)
            found = [each for each in await run_in_threadpool(lambda: list(find(asked))) if each > after]
            shown, more = found[:limit], len(found) > limit
            kind = asked.subject.type if what == "subject" else asked.resource.type
            results = [{"name": each} if what == "action" else {"type": kind, "id": each} for each in shown]
            token = _token(body, what, shown[-1]) if more else ""
            return _answer(request, {"results": results, "page": {"next_token": token, "count": len(results)}})

        return answer

    async def configuration(request: Request) -> Response:
        url = public_url(request).rstrip("/")
        found = {"policy_decision_point": url, "access_evaluation_endpoint": f"{url}{BASE}/evaluation"}
        found |= {"access_evaluations_endpoint": f"{url}{BASE}/evaluations"}
        found |= {f"search_{what}_endpoint": f"{url}{BASE}/search/{what}" for what in ("subject", "resource", "action")}
        return _answer(request, found)

    return [
        Route(f"{BASE}/evaluation", _refusals(evaluation), methods=["POST"]),
        Route(f"{BASE}/evaluations", _refusals(evaluations), methods=["POST"]),
        *[Route(f"{BASE}/search/{what}", _refusals(search(what)), methods=["POST"]) for what in ("subject", "resource", "action")],
        Route("/.well-known/authzen-configuration", _refusals(configuration), methods=["GET"]),
    ]


async def _evaluate(point: Point, keep: Keep, item: Mapping[str, Any], default: Mapping[str, Any], request_id: str) -> dict[str, Any]:
    asked = _question(item, default)
    told = point.evaluate(asked)
    await keep(told, asked.resource.id, request_id)  # recorded before it is told
    decision = told.decision
    context = {"id": told.ref.id, "policy_set": decision.policy_set, "policies": decision.policies}
    if not decision.is_allowed:
        context["reasons"] = decision.reasons
    return {"decision": decision.is_allowed, "context": context}


def _question(item: Mapping[str, Any], default: Mapping[str, Any], *, without: str = "") -> Question:
    """Return what is asked; an entity that an item has replaces the default one whole. `without`: what is searched for."""
    merged = {**{name: default[name] for name in ("subject", "action", "resource", "context") if name in default}, **item}
    action = {} if without == "action" else _object(merged, "action")
    name = "" if without == "action" else _text(action, "name", "action")
    return Question(
        subject=_named(merged, "subject", needs_id=without != "subject"),
        action=name,
        resource=_named(merged, "resource", needs_id=without != "resource"),
        action_properties=_object(action, "properties", needed=False),
        context=_object(merged, "context", needed=False),
    )


def _named(item: Mapping[str, Any], which: str, *, needs_id: bool) -> Named:
    found = _object(item, which)
    name = _text(found, "id", which) if needs_id else ""
    return Named(_text(found, "type", which), name, _object(found, "properties", needed=False))


def _object(item: Mapping[str, Any], name: str, *, needed: bool = True) -> dict[str, Any]:
    found = item.get(name)
    if found is None and not needed:
        return {}
    if not isinstance(found, dict):
        raise Malformed(f"`{name}` is {'missing' if found is None else 'not an object'}", hint="see OpenID AuthZEN 1.0")
    return found


def _text(item: Mapping[str, Any], name: str, of: str) -> str:
    found = item.get(name)
    if not isinstance(found, str) or not found or len(found) > 500:
        raise Malformed(f"`{name}` of `{of}` is {'missing' if found is None else 'not a text of 1 to 500 characters'}")
    return found


def _page(body: Mapping[str, Any], what: str) -> tuple[str, int]:
    """Return after which result a page begins, and how many it has."""
    page = _object(body, "page", needed=False)
    limit, token = page.get("limit", MOST_RESULTS), page.get("token", "")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise Malformed("`limit` of `page` is not a number above 0")
    if not isinstance(token, str):
        raise Malformed("`token` of `page` is not a text")
    if not token:
        return "", min(limit, MOST_RESULTS)
    try:
        found = load_json(base64.urlsafe_b64decode(token.encode("ascii")), list[str], what="the page token")
        after, digest = found
    except (Malformed, ValueError, UnicodeEncodeError, binascii.Error):
        raise Malformed("`token` of `page` is none of ours", hint="pass the `next_token` of an earlier answer, as it was") from None
    if digest != _digest(body, what):
        raise Malformed("`token` of `page` belongs to another question", hint="ask the same again, with it")
    return after, min(limit, MOST_RESULTS)


def _token(body: Mapping[str, Any], what: str, last: str) -> str:
    return base64.urlsafe_b64encode(dump_json([last, _digest(body, what)])).decode()


def _digest(body: Mapping[str, Any], what: str) -> str:
    return digest_json([what, {name: body.get(name) for name in ("subject", "action", "resource", "context")}])


async def _body(request: Request) -> dict[str, Any]:
    found = await json_body(request)
    if not isinstance(found, dict):
        raise Malformed("the body is not an object")
    return found


def _request_id(request: Request) -> str:
    found = request.headers.get(_ID, "")
    return found[:200] if found.isascii() and found.isprintable() else ""


def _answer(request: Request, found: dict[str, Any]) -> Response:
    headers = {"cache-control": "no-store"} | ({_ID: name} if (name := _request_id(request)) else {})
    return Response(dump_json(found), headers=headers, media_type="application/json")


def _refusals(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Answer errors in the one problem shape, with the caller's id of the request; another content type is a 400 here."""

    async def wrapped(request: Request) -> Response:
        try:
            return await answer(request)
        except WrongType:
            error: JuratError = Malformed(
                "the body is not `application/json`", hint="send `Content-Type: application/json`", code="not_json"
            )
        except JuratError as found:
            error = found
        headers = {_ID: name} if (name := _request_id(request)) else {}
        return problem(error, instance=request.url.path[:200], headers=headers)

    return wrapped
