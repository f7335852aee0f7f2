"""The routes beside the table in the OpenAPI document: tokens (OAuth), signing in, directories (SCIM), enforcement points (AuthZEN).

Their shapes are those of other people's standards, named here and not written anew. A test holds this list against the routes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

_JSON: Final = "application/json"
_SCIM: Final = "application/scim+json"
_FORM: Final = "application/x-www-form-urlencoded"
_OBJECT: Final = {"type": "object"}
_TEXT: Final = {"type": "string"}
_SEGMENT: Final = {"type": "string", "minLength": 1, "pattern": r"^[^/\x00]+$"}
_OAUTH_ERROR: Final = {
    "type": "object",
    "description": "RFC 6749 §5.2; `code` is jurat's own, stable name",
    "required": ["error", "error_description", "code"],
    "properties": {"error": _TEXT, "error_description": _TEXT, "code": _TEXT},
}
_SCIM_ERROR: Final = {
    "type": "object",
    "description": "RFC 7644 §3.12",
    "required": ["schemas", "status"],
    "properties": {"schemas": {"type": "array", "items": _TEXT}, "status": _TEXT, "scimType": _TEXT, "detail": _TEXT},
}
_PROBLEMS: Final = (400, 401, 403, 404, 405, 409, 413, 415, 429, 500, 503)
_TOKEN: Final[list[dict[str, list[str]]]] = [{"token": []}]
_PUBLIC: Final[list[dict[str, list[str]]]] = []


def _operation(
    summary: str, tag: str, *, names: Sequence[str] = (), query: Sequence[str] = (), takes: Mapping[str, Any] | None = None,
    status: int = 200, gives: str = _JSON, schema: Mapping[str, Any] = _OBJECT, error: tuple[str, Mapping[str, Any]] | None = None,
    security: list[dict[str, list[str]]] = _TOKEN,
) -> dict[str, Any]:  # fmt: skip
    """Return one operation. `error`: media type and schema of refusals, where they are not problems (RFC 9457)."""
    content = {"content": {gives: {"schema": schema}}} if gives else {}
    refusals = {
        str(each): {"$ref": f"#/components/responses/Problem{each}"}
        if error is None or (each == 405 and tag != "directories")
        else {"description": "refused", "content": {error[0]: {"schema": error[1]}}}
        for each in _PROBLEMS
    }
    found: dict[str, Any] = {
        "summary": summary,
        "tags": [tag],
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": _SEGMENT} for name in names),
            *({"name": name, "in": "query", "required": False, "schema": _TEXT} for name in query),
        ],
        "responses": {str(status): {"description": "done", **content}, **refusals},
        "security": security,
    }
    if takes:
        found["requestBody"] = {"required": True, "content": {media: {"schema": schema} for media, schema in takes.items()}}
    return found


def _oauth(summary: str, fields: Mapping[str, str], schema: Mapping[str, Any], gives: str = _JSON) -> dict[str, Any]:
    form = {
        "type": "object",
        "required": [name for name, needed in fields.items() if needed],
        "properties": dict.fromkeys(fields, _TEXT),
    }
    error = (_JSON, _OAUTH_ERROR)
    found = _operation(summary, "tokens", takes={_FORM: form}, schema=schema, gives=gives, error=error, security=_PUBLIC)
    found["responses"]["409"] = {"$ref": "#/components/responses/Problem409"}
    return {"post": found}


def _known(summary: str, tag: str = "tokens") -> dict[str, Any]:
    return {"get": _operation(summary, tag, security=_PUBLIC)}


def _posted(summary: str, *fields: str, security: list[dict[str, list[str]]] = _PUBLIC) -> dict[str, Any]:
    shapes = {name: _OBJECT if name == "credential" else _TEXT for name in fields}
    needed = [name for name in fields if name != "label"]
    body = {"type": "object", "required": needed, "properties": shapes, "additionalProperties": False}
    return {"post": _operation(f"{summary}; `Origin` must be ours", "signing in", takes={_JSON: body}, security=security)}


def _scim(summary: str, methods: str, *names: str) -> dict[str, Any]:
    found = {}
    for method in methods.split():
        body = {_SCIM: _OBJECT} if method in ("post", "put", "patch") else None
        made = method == "post" and not summary.startswith("Search")
        status = 201 if made else 204 if method == "delete" else 200
        found[method] = _operation(
            summary, "directories", names=names, takes=body, status=status, gives="" if method == "delete" else _SCIM,
            error=(_SCIM, _SCIM_ERROR),
        )  # fmt: skip
        found[method]["responses"]["412"] = {"description": "changed meanwhile", "content": {_SCIM: {"schema": _SCIM_ERROR}}}
        if method == "patch":
            found[method]["responses"]["204"] = {"description": "nothing to change"}
        if method == "get":
            found[method]["responses"]["304"] = {"description": "unchanged since that version"}
    return found


def _asked(summary: str) -> dict[str, Any]:
    return {"post": _operation(f"{summary} (OpenID AuthZEN 1.0)", "enforcement points", takes={_JSON: _OBJECT})}


_GIVEN: Final = {
    "type": "object",
    "required": ["access_token", "token_type", "expires_in"],
    "properties": {
        "access_token": _TEXT, "token_type": {"enum": ["Bearer", "DPoP"]}, "expires_in": {"type": "integer"}, "refresh_token": _TEXT,
        "issued_token_type": _TEXT,
    },
}  # fmt: skip
_TOKEN_FIELDS: Final = {
    "grant_type": "needed", "refresh_token": "", "client_id": "", "client_secret": "", "subject_token": "", "subject_token_type": "",
    "actor_token": "", "actor_token_type": "", "assertion": "", "audience": "", "resource": "",
}  # fmt: skip

DOORS: Final[dict[str, Any]] = {
    "/oauth/token": _oauth("An access token: RFC 6749, 7523, 8693, 9449", _TOKEN_FIELDS, _GIVEN),
    "/oauth/revoke": _oauth("End a session by its refresh token, or a token (RFC 7009)", {"token": "needed"}, {}, gives=""),
    "/.well-known/jwks.json": _known("The public keys of access tokens (RFC 7517)"),
    "/.well-known/oauth-authorization-server": _known("Which grants are given here (RFC 8414)"),
    "/.well-known/authzen-configuration": _known("Where enforcement points ask (OpenID AuthZEN 1.0)", "enforcement points"),
    "/access/v1/evaluation": _asked("Whether somebody may do that"),
    "/access/v1/evaluations": _asked("Whether somebody may do each of these"),
    **{f"/access/v1/search/{what}": _asked(f"Which {what} fits, in pages") for what in ("subject", "resource", "action")},
    "/login/{provider}": {
        "get": _operation(
            "To an identity provider, to sign in", "signing in", names=["provider"], query=["invitation"], status=303, gives="",
            security=_PUBLIC,
        ),
    },
    "/login/callback": {
        "get": _operation(
            "Back from an identity provider, once, in the browser that began", "signing in", query=["code", "state", "iss", "error"],
            security=_PUBLIC,
        ),
    },
    "/logout": {"post": _operation("End the session, and everything that lives by it", "signing in")},
    "/auth/enrol/begin": _posted("What a device is asked, to make the first passkey by a link", "link"),
    "/auth/enrol/finish": _posted("Keep that passkey, use the link up, open a session", "link", "credential", "label"),
    "/auth/sign-in/begin": _posted("What a device is asked, to sign in"),
    "/auth/sign-in/finish": _posted("Open a session for whoever the passkey proves", "credential", "label"),
    "/auth/passkeys/begin": _posted("What a device is asked, to make another passkey", security=_TOKEN),
    "/auth/passkeys/finish": _posted("Keep another passkey", "credential", "label", security=_TOKEN),
    "/auth/passkeys/remove": _posted("Take away one of one's own passkeys", "passkey", security=_TOKEN),
    "/auth/me": {"get": _operation("Who is signed in, with which passkeys", "signing in")},
    "/auth/ways": _known("Which identity providers there are to sign in at", "signing in"),
    "/scim/v2/Users": _scim("The directory's people (RFC 7644)", "get post"),
    "/scim/v2/Users/{id}": _scim("One of the directory's people", "get put patch delete", "id"),
    "/scim/v2/Groups": _scim("The directory's groups", "get post"),
    "/scim/v2/Groups/{id}": _scim("One of the directory's groups", "get put patch delete", "id"),
    **{f"/scim/v2{what}/.search": _scim("Search, with the question in the body", "post") for what in ("", "/Users", "/Groups")},
    "/scim/v2/ServiceProviderConfig": _scim("What of SCIM is spoken here", "get"),
    **{f"/scim/v2/{what}": _scim("What resources look like", "get") for what in ("ResourceTypes", "Schemas")},
    **{f"/scim/v2/{what}/{{id}}": _scim("What one kind of resource looks like", "get", "id") for what in ("ResourceTypes", "Schemas")},
}  # fmt: skip
