"""The route table as an OpenAPI 3.1 document. Schemas come from the very types that requests are read into."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from jurat.core import errors
from jurat.core.errors import JuratError
from jurat.web.openapi_doors import DOORS
from jurat.web.shapes import PROBLEM_TYPE
from jurat.web.table import Route

Schema = dict[str, Any]
_REF: Final = "#/components/schemas/{name}"
_FAMILIES: Final[tuple[type[JuratError], ...]] = (
    errors.Malformed, errors.Unauthenticated, errors.Denied, errors.NotFound, errors.Conflict, errors.Exhausted, errors.Unavailable,
    errors.Tampered,
)  # fmt: skip
_HTTP_ONLY: Final = {405: "that method is not taken here", 413: "the body is too large", 415: "the body is not JSON"}


def make_document(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the document."""
    types = [t for route in routes for t in (route.gives, route.body, route.query) if t is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    _strict(components, {ref["$ref"].rpartition("/")[2] for t, ref in zip(types, schemas, strict=True) if "$ref" in ref and _is_body(t)})
    found = iter(schemas)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        gives = next(found)
        body = next(found) if route.body is not None else None
        query = components[next(found)["$ref"].rpartition("/")[2]]
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, gives, body, query)
    components["Problem"] = _PROBLEM
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "jurat",
            "version": importlib.metadata.version("jurat"),
            "summary": "Who may do what with which model, data set or decision; every act and every refusal on record.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {**paths, **_INGEST, **_PUBLIC, **DOORS},
        "components": {
            "schemas": components,
            "responses": {_response_name(status): _problem_response(text) for status, text in _problems().items()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "`jurat token issue` gives one"}},
        },
    }


def _operation(route: Route, gives: Schema, body: Schema | None, query: Schema) -> Schema:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1, "pattern": r"^[^/\x00]+$"}}
        for name in route.path_names
    ]
    fields = query.get("properties", {})
    parameters += [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in fields.items()]
    envelope = {
        "type": "object",
        "required": ["data", "next"],
        "properties": {"data": gives, "next": {"type": "string", "description": "cursor of the next page; empty at the end"}},
    }
    operation: Schema = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": parameters,
        "responses": {
            "200": {"description": "done", "content": {"application/json": {"schema": envelope}}},
            **{str(status): {"$ref": f"#/components/responses/{_response_name(status)}"} for status in _problems()},
        },
        "security": [{"token": []}],
    }
    if body is not None:
        content: dict[str, Any] = {"schema": body, "example": route.example}
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    return operation


def _strict(components: dict[str, Any], bodies: set[str]) -> None:
    """Say of every object inside a body that it takes no other field: intake refuses them."""
    todo = list(bodies)
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if components[name].get("type") == "object":
            components[name]["additionalProperties"] = False
        todo += [ref.rpartition("/")[2] for ref in _refs(components[name])]


def _refs(schema: Any) -> list[str]:
    if isinstance(schema, dict):
        own = [schema["$ref"]] if isinstance(schema.get("$ref"), str) else []
        return own + [ref for value in schema.values() for ref in _refs(value)]
    return [ref for item in schema for ref in _refs(item)] if isinstance(schema, list) else []


def _is_body(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__struct_config__.forbid_unknown_fields


def _problems() -> dict[int, str]:
    return {**{family.http_status: family.family.replace("_", " ") for family in _FAMILIES}, **_HTTP_ONLY}


def _response_name(status: int) -> str:
    return f"Problem{status}"


def _problem_response(text: str) -> dict[str, Any]:
    return {"description": text, "content": {PROBLEM_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}}}


_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457. `code` is stable, `detail` and `hint` are for people, further members are typed facts",
    "required": ["type", "title", "status", "code", "detail", "hint"],
    "properties": {
        "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"}, "code": {"type": "string"},
        "detail": {"type": "string"}, "hint": {"type": "string"}, "instance": {"type": "string"},
        "event": {"type": "string", "description": "the event under which a refusal was recorded"},
    },
}  # fmt: skip
_LOG_ANSWERS: Final[dict[str, Any]] = {
    "400": {"$ref": "#/components/responses/Problem400"},
    "404": {"$ref": "#/components/responses/Problem404"},
    "405": {"$ref": "#/components/responses/Problem405"},
    "500": {"$ref": "#/components/responses/Problem500"},
    "503": {"$ref": "#/components/responses/Problem503"},
}


def _public(summary: str, media_type: str, *names: str) -> dict[str, Any]:
    schema = {"type": "string"} if media_type != "application/json" else {"type": "object"}
    return {
        "get": {
            "summary": summary,
            "tags": ["public"],
            "parameters": [{"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in names],
            "responses": {"200": {"description": "done", "content": {media_type: {"schema": schema}}}, **_LOG_ANSWERS},
            "security": [],
        }
    }


_PUBLIC: Final[dict[str, Any]] = {
    "/healthz": _public("Whether this process answers and its database does", "application/json"),
    "/openapi.json": _public("This document", "application/json"),
    "/log/anchor/checkpoint": _public("The anchor log's signed checkpoint", "text/plain"),
    "/log/{tenant}/{log}/checkpoint": _public("A log's signed checkpoint (C2SP tlog-tiles)", "text/plain", "tenant", "log"),
    "/log/{tenant}/{log}/tile/{level}/{number}": _public(
        "A tile of hashes, or of entries (C2SP tlog-tiles)", "application/octet-stream", "tenant", "log", "level", "number"
    ),
}


def _recording(name: str, summary: str, gives: dict[str, Any], *parameters: dict[str, Any], takes: Sequence[str] = ()) -> dict[str, Any]:
    envelope = {"type": "object", "required": ["data"], "properties": {"data": {"type": "object", "properties": gives}}}
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "tags": ["producers"],
        "parameters": list(parameters),
        "responses": {
            "200": {"description": "done", "content": {"application/json": {"schema": envelope}}},
            **{str(status): {"$ref": f"#/components/responses/{_response_name(status)}"} for status in _problems()},
            "422": _problem_response("an `Idempotency-Key` was used for other events"),
        },
        "security": [{"token": []}],
    }
    if takes:
        content = {media: {"schema": {"type": "string", "format": "binary"}} for media in takes}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer"}
_CLASS: Final = {"name": "class", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1, "pattern": r"^[^/\x00]+$"}}
_HEADERS: Final = ("Idempotency-Key", "Jurat-Epoch", "Jurat-Seq")
_INGEST: Final[dict[str, Any]] = {
    "/api/v1/ingest": {
        "get": _recording("get_ingest", "Who the caller is as a producer, and what was refused of it", {"producer": _COUNT, "name": _TEXT}),
    },
    "/api/v1/ingest/epochs": {"post": _recording("post_ingest_epochs", "An epoch that this producer never had", {"epoch": _COUNT})},
    "/api/v1/ingest/{class}": {
        "post": _recording(
            "post_ingest_class", "Record events, in their own bytes, once; the answer is the receipt",
            {"log": _TEXT, "epoch": _COUNT, "first_seq": _COUNT, "first_index": _COUNT, "count": _COUNT, "duplicate": {"type": "boolean"}},
            _CLASS,
            *({"name": name, "in": "header", "required": False, "schema": _TEXT} for name in _HEADERS),
            takes=("application/x-ndjson", "application/json", "application/cloudevents+json", "application/cloudevents-batch+json"),
        ),
        "get": _recording(
            "get_ingest_class", "How far one of the caller's epochs has come", {"epoch": _COUNT, "last_seq": _COUNT},
            _CLASS, {"name": "epoch", "in": "query", "required": True, "schema": {"type": "integer", "minimum": 1}},
        ),
    },
}  # fmt: skip
