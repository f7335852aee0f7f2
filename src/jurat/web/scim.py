"""The door for identity providers: SCIM 2.0 (RFC 7643, 7644) at `/scim/v2`. People in, people out, groups; and what we are.

Who may knock: a service with the role `provisioner`. It sees only the people and groups that it made known itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jurat.app import directory
from jurat.app.intake import parse_json
from jurat.app.wiring import App
from jurat.core.errors import Malformed, NotFound, Unauthenticated
from jurat.core.jsonio import dump_json
from jurat.web import scim_forms as forms
from jurat.web.requests import MAX_BODY_BYTES, presented
from jurat.web.shapes import NO_STORE

ROOT: Final = "/scim/v2"
_BY_USER_NAME: Final = re.compile(r'\s*userName\s+eq\s+"([^"\\]{1,256})"\s*', re.IGNORECASE)
_TYPES: Final = ("application/scim+json", "application/json")
_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
Done = tuple[int, dict[str, Any] | None, dict[str, str]]


class Asked:
    """One request, read: whose directory, where, what."""

    def __init__(self, app: App, token: str, request: Request, body: bytes) -> None:
        self.app, self.token, self.method = app, token, request.method
        self.base = f"{(app.settings.public_url or str(request.base_url)).rstrip('/')}{ROOT}"
        self.id = str(request.path_params.get("id", ""))
        self.query = dict(request.query_params)
        self.if_match, self.if_none_match = _tag(request, "if-match"), _tag(request, "if-none-match")
        self._body = body
        self.directory = directory.may_look(app, token)

    def payload(self) -> Any:
        found = parse_json(self._body, what="the body")
        if not isinstance(found, dict):
            raise Malformed("the body is no JSON object", hint="send one SCIM resource or message")
        return found


def scim_routes(app: App) -> list[Route]:
    """Return the routes."""

    def shown(handle: Callable[[Asked], Done]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            try:
                token = await presented(app, request)
                body = await _read(request)
                status, document, headers = await run_in_threadpool(lambda: handle(Asked(app, token, request, body)))
            except Exception as error:
                found = forms.error_document(error)
                if found is None:
                    raise
                status, document = found
                headers = {"www-authenticate": "Bearer"} if isinstance(error, Unauthenticated) else {}
            raw = b"" if document is None else dump_json(document)
            return Response(raw, status, headers={"cache-control": NO_STORE, **headers}, media_type=forms.MEDIA_TYPE)

        return answer

    def route(path: str, methods: str, handle: Callable[[Asked], Done]) -> Route:
        return Route(f"{ROOT}{path}", shown(_only(methods.split(), handle)), methods=_METHODS)

    return [
        route("/.search", "POST", _search(_list_all)),
        route("/Users", "GET POST", _users),
        route("/Users/.search", "POST", _search(_list_users)),
        route("/Users/{id}", "GET PUT PATCH DELETE", _user),
        route("/Groups", "GET POST", _groups),
        route("/Groups/.search", "POST", _search(_list_groups)),
        route("/Groups/{id}", "GET PUT PATCH DELETE", _group),
        route("/ServiceProviderConfig", "GET", _config),
        *[route(f"/{what}{one}", "GET", _described(what)) for what in ("ResourceTypes", "Schemas") for one in ("", "/{id}")],
        route("/{rest:path}", " ".join(_METHODS), _nothing),
    ]


# --- people ----------------------------------------------------------------------------------------------------------


def _users(asked: Asked) -> Done:
    if asked.method == "GET":
        return 200, _list_users(asked, asked.query), {}
    user = forms.read_user(asked.payload())
    user.active = user.active is not False
    made = directory.describe(asked.app, asked.token, "", forms.details_of(user), active=user.active)
    return _shown(asked, _see_user(asked, made), 201)


def _user(asked: Asked) -> Done:
    now = _see_user(asked, asked.id)
    if asked.method == "GET":
        return _shown(asked, now)
    if asked.method == "DELETE":
        directory.remove(asked.app, asked.token, asked.id, if_match=asked.if_match)
        return 204, None, {}
    before = (forms.details_of(now), now.active is not False)
    wanted = now.model_copy(deep=True)
    if asked.method == "PUT":
        wanted = forms.read_user(asked.payload(), replaces=now)
        wanted.active = now.active if wanted.active is None else wanted.active  # silence lets nobody back in, and locks nobody out
    else:
        forms.patch_user(asked.payload(), wanted)
    active = (now.active if wanted.active is None else wanted.active) is not False
    after = (forms.details_of(wanted), active)
    if after != before or asked.if_match:
        directory.describe(asked.app, asked.token, asked.id, after[0], active=active, if_match=asked.if_match)
    return _shown(asked, _see_user(asked, asked.id))


def _see_user(asked: Asked, principal: str) -> forms.User:
    return forms.show_user(directory.person(asked.app, asked.directory, principal), asked.base)


def _list_users(asked: Asked, query: dict[str, Any]) -> dict[str, Any]:
    request = forms.asked_for(query, forms.User)
    start, count = _wanted(request)
    if request.filter is None and request.sort_by is None:
        found, total = directory.people(asked.app, asked.directory, offset=start - 1, limit=count)
        return forms.page_of([forms.show_user(each, asked.base) for each in found], total, request, forms.User)
    by_name = _BY_USER_NAME.fullmatch(str(request.filter or ""))
    found, _ = directory.people(asked.app, asked.directory, user_name=by_name[1] if by_name else "")
    return _page(request, [forms.show_user(each, asked.base) for each in found], start, count, forms.User)


# --- groups ----------------------------------------------------------------------------------------------------------


def _groups(asked: Asked) -> Done:
    if asked.method == "GET":
        return 200, _list_groups(asked, asked.query), {}
    group = forms.read_group(asked.payload())
    made = directory.define_group(
        asked.app, asked.token, "", group.display_name or "", forms.members_of(group), group.external_id or ""
    )  # fmt: skip
    return _shown(asked, _see_group(asked, made), 201)


def _group(asked: Asked) -> Done:
    now = _see_group(asked, asked.id)
    if asked.method == "GET":
        return _shown(asked, now)
    if asked.method == "DELETE":
        directory.remove_group(asked.app, asked.token, asked.id, if_match=asked.if_match)
        return 204, None, {}
    wanted = now.model_copy(deep=True)
    if asked.method == "PUT":
        wanted = forms.read_group(asked.payload(), replaces=now)
    else:
        forms.patch_group(asked.payload(), wanted)
    members = forms.members_of(wanted)
    before = (now.display_name, sorted(forms.members_of(now)), now.external_id or "")
    if (wanted.display_name, sorted(members), wanted.external_id or "") != before or asked.if_match:
        directory.define_group(
            asked.app, asked.token, asked.id, wanted.display_name or "", members, wanted.external_id or "", if_match=asked.if_match
        )
    return _shown(asked, _see_group(asked, asked.id))


def _see_group(asked: Asked, group_id: str) -> forms.Group:
    row = directory.group(asked.app, asked.directory, group_id)
    return forms.show_group(row, asked.base)


def _list_groups(asked: Asked, query: dict[str, Any]) -> dict[str, Any]:
    request = forms.asked_for(query, forms.Group)
    start, count = _wanted(request)
    found = directory.groups(asked.app, asked.directory)
    return _page(request, [forms.show_group(each, asked.base) for each in found], start, count, forms.Group)


# --- what we are -----------------------------------------------------------------------------------------------------


def _config(asked: Asked) -> Done:
    config = forms.CONFIG.model_copy(deep=True)
    forms.place(config, "ServiceProviderConfig", f"{asked.base}/ServiceProviderConfig")
    return 200, forms.dump(config), {}


def _described(what: str) -> Callable[[Asked], Done]:
    def describe(asked: Asked) -> Done:
        found: list[Any] = [
            each.model_copy(deep=True) for each in (forms.PROVIDER.schemas if what == "Schemas" else forms.PROVIDER.resource_types)
        ]
        for each in found:
            forms.place(each, what.removesuffix("s"), f"{asked.base}/{what}/{each.id}")
        if "filter" in asked.query:
            raise forms.refused(403, "what we are is not filtered (RFC 7644, section 4)")
        if asked.id:
            one = next((each for each in found if str(each.id).lower() == asked.id.lower()), None)
            if one is None:
                raise NotFound(f"`{asked.id[:80]}` is not in `{what}`")
            return 200, forms.dump(one), {}
        return 200, forms.page_of(found, len(found), forms.asked_for({}, type(found[0])), type(found[0])), {}

    return describe


def _nothing(asked: Asked) -> Done:
    raise NotFound(f"there is nothing at `{ROOT}` by that name", hint="Users, Groups, ServiceProviderConfig, ResourceTypes, Schemas")


# --- requests and answers --------------------------------------------------------------------------------------------


def _only(methods: list[str], handle: Callable[[Asked], Done]) -> Callable[[Asked], Done]:
    def checked(asked: Asked) -> Done:
        if asked.method not in methods:
            raise forms.refused(405, f"`{asked.method}` is not taken here: {', '.join(methods)}")
        return handle(asked)

    return checked


def _list_all(asked: Asked, query: dict[str, Any]) -> dict[str, Any]:
    request = forms.asked_for(query, forms.User | forms.Group)
    found: list[Any] = [forms.show_user(each, asked.base) for each in directory.people(asked.app, asked.directory)[0]]
    found += [forms.show_group(each, asked.base) for each in directory.groups(asked.app, asked.directory)]
    return _page(request, found, *_wanted(request), forms.User | forms.Group)


def _wanted(request: Any) -> tuple[int, int]:
    """Return the first one wanted, from 1, and how many."""
    return request.start_index or 1, min(forms.MOST_RESULTS, request.count if request.count is not None else forms.MOST_RESULTS)


def _search(look: Callable[[Asked, dict[str, Any]], dict[str, Any]]) -> Callable[[Asked], Done]:
    return lambda asked: (200, look(asked, asked.payload()), {})


def _page(request: Any, found: list[Any], start: int, count: int, model: Any) -> dict[str, Any]:
    if request.filter is not None:
        found = [each for each in found if request.filter.match(each)]
    ordered = request.sort(found)
    return forms.page_of(ordered[start - 1 : start - 1 + count], len(ordered), request, model)


def _shown(asked: Asked, resource: forms.User | forms.Group, status: int = 200) -> Done:
    assert resource.meta is not None, "every resource of ours says where it lies"
    tag = resource.meta.version or ""
    headers = {"etag": tag, "location": resource.meta.location or ""}
    if asked.method == "GET" and asked.if_none_match and asked.if_none_match in tag:
        return 304, None, {"etag": tag}
    named: dict[str, str] = {name: asked.query[name] for name in ("attributes", "excludedAttributes") if name in asked.query}
    return status, forms.dump(resource, forms.asked_for(named, type(resource)) if named else None), headers


def _tag(request: Request, header: str) -> str:
    """Return the event id in an entity tag; `*` and silence are nothing."""
    found = request.headers.get(header, "").strip()
    return found.removeprefix("W/").strip('"') if found != "*" else ""


async def _read(request: Request) -> bytes:
    length = request.headers.get("content-length", "0")
    raw = bytearray()
    if not (length.isdigit() and int(length) > MAX_BODY_BYTES):
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > MAX_BODY_BYTES:
                break
        else:
            if raw and request.headers.get("content-type", "").partition(";")[0].strip().lower() not in _TYPES:
                raise forms.refused(415, "the body is not `application/scim+json`")
            return bytes(raw)
    raise forms.refused(413, f"the body is larger than {MAX_BODY_BYTES} bytes: send members in several PATCHes")
