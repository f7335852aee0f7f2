"""What a request to a guarded MLflow server would do there: pass, held, or not to be passed on. Pure: paths, methods, bodies.

Reads change nothing and pass. A write that names the registry must name it in the one plain way in which MLflow's own
clients do: whatever has to be decoded, merged or folded first could mean one thing here and another thing behind.
What is held is passed on as it was understood, never as it was sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from jurat.core.errors import Malformed
from jurat.domain.registry_names import canonical_stage

_READS: Final = ("GET", "HEAD", "OPTIONS")
_EXACT: Final = re.compile(r"((?:/[A-Za-z0-9._~-]+)*?)/((?:ajax-)?api/\d\.\d)/mlflow/(registered-models|model-versions)/([a-z-]+)\Z")
_REGISTRY: Final = re.compile(r"registered[-_]?models?|model[-_]?versions?|unity-?catalog")
_ARTIFACTS: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)*?/(?:ajax-)?api/2\.0/mlflow-artifacts/")
_OVERRIDES: Final = ("x-http-method-override", "x-http-method", "x-method-override")
_MUTATION: Final = re.compile(r"\bmutation\b|\bsubscription\b", re.IGNORECASE)
_MOST_DECODINGS: Final = 8

# Writes that touch no production: they say what there is, or what is said about it.
_HARMLESS: Final = frozenset({
    ("POST", "registered-models", "create"), ("PATCH", "registered-models", "update"), ("POST", "registered-models", "set-tag"),
    ("DELETE", "registered-models", "delete-tag"), ("POST", "registered-models", "get-latest-versions"),
    ("POST", "registered-models", "search"), ("POST", "model-versions", "search"),
    ("POST", "model-versions", "create"), ("PATCH", "model-versions", "update"), ("POST", "model-versions", "set-tag"),
    ("DELETE", "model-versions", "delete-tag"),
})  # fmt: skip
_HELD: Final = {
    ("POST", "registered-models", "alias"): "alias_set",
    ("DELETE", "registered-models", "alias"): "alias_deleted",
    ("POST", "registered-models", "rename"): "model_renamed",
    ("DELETE", "registered-models", "delete"): "model_deleted",
    ("DELETE", "model-versions", "delete"): "version_deleted",
    ("POST", "model-versions", "transition-stage"): "stage_moved",
}


class Path(NamedTuple):
    """A registry call, by its one plain path."""

    act: str  # of `_HELD`, or `pass`
    prefix: str  # what the server lies under


class Act(NamedTuple):
    """A held act, as it was understood: exactly this is passed on."""

    act: str
    name: str
    number: int | None = None
    alias: str = ""
    stage: str = ""
    new_name: str = ""
    body: dict[str, Any] = {}  # noqa: RUF012 - never changed


def read_path(method: str, raw_path: str, query: str, headers: Mapping[str, str]) -> Path | None:
    """Return which registry call a request is, None if it is something else that passes.

    Args:
        raw_path: as it was sent, not decoded.
        headers: names in lower case.
    Raises:
        Malformed: it could be understood in more than one way, or is a write that this guard does not know.
    """
    if used := [name for name in _OVERRIDES if name in headers]:
        raise _unclear(f"header `{used[0]}` says that another method is meant")
    if re.search(r"(?:^|[&;])_method=", _decoded(query).lower()):
        raise _unclear("the query says that another method is meant")
    plain = _plain(raw_path)
    if plain.rsplit("/", 1)[-1].rstrip("/") == "graphql" and method in _READS and _MUTATION.search(_decoded(query)):
        raise _unclear("a query by GET that is no query")
    if method in _READS:
        return None
    if method not in ("POST", "PUT", "PATCH", "DELETE"):
        raise _unclear(f"method `{method[:20]}` is not one of MLflow's")
    exact = _EXACT.match(raw_path)
    if exact is None:
        if _REGISTRY.search(plain) and not (_ARTIFACTS.match(raw_path) and _ARTIFACTS.match(plain)):
            raise _unclear(f"path `{raw_path[:120]}` could name the registry")
        return None
    key = (method, exact[3], exact[4])
    if key in _HARMLESS:
        return Path("pass", exact[1])
    if key not in _HELD:
        raise Malformed(
            f"`{method} {exact[3]}/{exact[4]}` is not known to this guard, and what it does not know it does not pass on",
            hint="ask an operator; a newer jurat may know it",
            code="act_unknown",
        )
    return Path(_HELD[key], exact[1])


def is_graphql(raw_path: str) -> bool:
    """Whether a path is that of MLflow's GraphQL endpoint."""
    return _plain(raw_path).rstrip("/").rsplit("/", 1)[-1] == "graphql"


def check_graphql(body: Any) -> None:
    """Pass if a GraphQL request reads only.

    Raises:
        Malformed: it holds the word of a mutation anywhere, or is nothing that can be looked into.
    """
    text = body.get("query") if isinstance(body, dict) else None
    if not isinstance(text, str):
        raise _unclear("a GraphQL request without a query")
    if _MUTATION.search(text):
        raise Malformed("GraphQL may read only here", hint="use the registry's own calls for what changes something", code="act_unknown")


def read_act(act: str, body: Any) -> Act:
    """Return what a held call says; its `body` has exactly the parameters that MLflow knows, each once, each of its type.

    Raises:
        Malformed: a parameter is missing or of another type, or comes in a spelling that only some would read.
    """
    if not isinstance(body, dict):
        raise Malformed("the body is not a JSON object")
    wanted = {
        "alias_set": ("name", "alias", "version"), "alias_deleted": ("name", "alias"), "model_renamed": ("name", "new_name"),
        "model_deleted": ("name",), "version_deleted": ("name", "version"), "stage_moved": ("name", "version", "stage"),
    }[act]  # fmt: skip
    optional = ("archive_existing_versions",) if act == "stage_moved" else ()
    if unknown := [key for key in body if key not in wanted + optional]:
        raise Malformed(f"parameter `{str(unknown[0])[:60]}` is not one of this call", hint=f"expected {', '.join(wanted)}")
    values: dict[str, str] = {}
    for key in wanted:
        value = body.get(key)
        value = str(value) if key == "version" and isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(value, str) or not value or "\0" in value:
            raise Malformed(f"invalid value for parameter `{key}`: expected a string")
        values[key] = value
    number = values.get("version")
    if number is not None and not re.fullmatch(r"[1-9][0-9]{0,9}", number):
        raise Malformed(f"parameter `version` must be a positive integer, got `{number[:40]}`")
    sent: dict[str, Any] = dict(values)
    if "stage" in values:
        sent["stage"] = canonical_stage(values["stage"])
    for key in optional:
        flag = body.get(key, False)
        if not isinstance(flag, bool):
            raise Malformed(f"invalid value for parameter `{key}`: expected true or false")
        sent[key] = flag
    alias, new_name = values.get("alias", ""), values.get("new_name", "")
    return Act(act, values["name"], int(number) if number else None, alias, sent.get("stage", ""), new_name, sent)


def _plain(raw_path: str) -> str:
    """Return a path as the most eager server could read it: decoded to the end, one kind of slash, folded, lower case."""
    parts: list[str] = []
    for part in _decoded(raw_path).replace("\\", "/").split("/"):
        name = part.partition(";")[0]
        if name == "..":
            parts = parts[:-1]
        elif name not in ("", "."):
            parts.append(name)
    return "/" + "/".join(parts).lower()


def _decoded(text: str) -> str:
    for _ in range(_MOST_DECODINGS):
        again = unquote(text, errors="replace")
        if again == text:
            return text
        text = again
    raise _unclear("the path is encoded again and again")


def _unclear(what: str) -> Malformed:
    return Malformed(f"this request is not passed on: {what}", hint="send it plainly, as MLflow's own clients do", code="path_unclear")
