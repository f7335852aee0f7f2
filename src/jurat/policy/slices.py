"""Entity slices: what Cedar is told of one principal and one resource, and of nothing else in the world.

A slice holds both, always, each checked against the schema: a resource that is missing from it could make a `forbid` err
and be skipped. Texts of entities are kept, and slices; answers never are.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import cedarpy
import msgspec

from jurat.core.errors import Malformed
from jurat.policy.resources import parse_resource
from jurat.policy.values import Value, pack_values

PRINCIPAL_TYPES: Final = {"person": "Person", "service": "Service", "agent": "Agent", "process": "Process"}
_SLICES_KEPT: Final = 4096
_HANDLES_KEPT: Final = 16_384
_TEXTS_KEPT: Final = 32_768
_encode: Final = msgspec.json.Encoder().encode


class Entity(NamedTuple):
    """One entity as Cedar's JSON.

    Attributes:
        shape: two entities of one shape have the same type, parents, attribute names and attribute types: if one fits the
            schema, so does the other.
    """

    type: str
    id: str
    text: str
    shape: str

    @property
    def uid(self) -> dict[str, str]:
        return {"type": self.type, "id": self.id}


@lru_cache(maxsize=_TEXTS_KEPT)
def principal_entity(principal_type: str, principal_id: str, roles: frozenset[str], attributes: str) -> Entity:
    """Return a principal with its roles. `attributes` are packed (`values.pack_values`).

    Raises:
        Malformed: no such type of principal, or no id.
    """
    if principal_type not in PRINCIPAL_TYPES or not principal_id:
        raise Malformed(f"principal `{principal_id[:80]}` of type `{principal_type[:40]}` is none of {', '.join(PRINCIPAL_TYPES)}")
    given = _unpack(attributes)
    if "id" in given:
        raise Malformed("attribute `id` is who asks, and cannot be given beside it")
    parents = [("Role", role) for role in sorted(roles)]
    return _entity(PRINCIPAL_TYPES[principal_type], principal_id, {**given, "id": principal_id}, parents)


@lru_cache(maxsize=_TEXTS_KEPT)
def resource_entity(path: str, attributes: str) -> Entity:
    """Return a resource in its folder, named by its path. `attributes` are packed.

    Raises:
        Malformed: not a path of the tree, or an attribute that comes from the path is given beside it.
    """
    parts = parse_resource(path)
    given = _unpack(attributes)
    if given.keys() & {"name", "version"}:
        raise Malformed("attributes `name` and `version` come from the path, and cannot be given beside it")
    own = {key: text for key, text in (("name", parts.name), ("version", parts.version)) if text and parts.entity_type != "Workspace"}
    return _entity(parts.entity_type, path, {**given, **own}, [parts.folder] if parts.folder else [])


def plain_entity(entity_type: str, entity_id: str, attributes: Mapping[str, Value]) -> Entity:
    """Return an entity of any type, outside every tree."""
    return _entity(entity_type, entity_id, _unpack(pack_values(attributes)), [])


class Slices:
    """Slices for one schema. Thread-safe."""

    def __init__(self, schema: cedarpy.Schema, *, has_action_groups: bool) -> None:
        self._schema = schema
        self._has_action_groups = has_action_groups  # then Cedar has to add the actions, which it does while checking
        self._fitting: set[tuple[str, str]] = set()
        self.of = lru_cache(maxsize=_SLICES_KEPT)(self._build)
        self._alone = lru_cache(maxsize=_HANDLES_KEPT)(cedarpy.Entities.from_json_str)

    def _build(self, principal: Entity, resource: Entity) -> cedarpy.Entities:
        """Return both as parsed entities, checked against the schema.

        Raises:
            Malformed: one of them does not fit.
        """
        shapes = (principal.shape, resource.shape)
        if shapes in self._fitting:  # a resource is read once, then joined by whoever asks: a third of reading both
            return self._alone(f"[{resource.text}]").with_added_json_str(f"[{principal.text}]")
        try:
            checked = cedarpy.Entities.from_json_str(f"[{principal.text},{resource.text}]", self._schema)
        except ValueError as error:
            raise Malformed(f"`{resource.id}` and its attributes do not fit the policies' schema: {error}") from error
        if self._has_action_groups:
            return checked
        self._fitting.add(shapes)  # bounded by the schema: types, roles, folders and attribute names are finite
        return self._alone(f"[{resource.text}]").with_added_json_str(f"[{principal.text}]")


def _entity(entity_type: str, entity_id: str, attributes: Mapping[str, Any], parents: list[tuple[str, str]]) -> Entity:
    above = [{"type": kind, "id": name} for kind, name in parents]
    text = _encode({"uid": {"type": entity_type, "id": entity_id}, "attrs": attributes, "parents": above}).decode()
    kinds = sorted((name, value["__extn"]["fn"] if isinstance(value, dict) else type(value).__name__) for name, value in attributes.items())
    return Entity(entity_type, entity_id, text, f"{entity_type} {parents} {kinds}")


@lru_cache(maxsize=_TEXTS_KEPT)
def _unpack_kept(attributes: str) -> dict[str, Any]:
    return msgspec.json.decode(attributes, type=dict[str, Any])


def _unpack(attributes: str) -> dict[str, Any]:
    return {} if attributes == "{}" else _unpack_kept(attributes)
