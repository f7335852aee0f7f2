"""The route table is whole: every command has a route or a reason, every route is documented, every example can be sent."""

from __future__ import annotations

import msgspec
import pytest

from jurat.app.intake import read_as
from jurat.domain.decide import DECIDERS
from jurat.web.openapi import make_document
from jurat.web.table import NOT_ROUTED, ROUTES, Route

DOCUMENT = make_document(ROUTES)


def test_every_command_has_a_route_or_a_reason() -> None:
    routed = {route.command for route in ROUTES if route.command}
    assert routed | NOT_ROUTED.keys() == DECIDERS.keys()
    assert not routed & NOT_ROUTED.keys()


def test_every_route_is_documented_with_every_problem_it_can_answer() -> None:
    for route in ROUTES:
        operation = DOCUMENT["paths"][route.path][route.method.lower()]
        assert {"200", "400", "401", "403", "404", "405", "409", "413", "415", "429", "500", "503"} <= operation["responses"].keys()
        assert operation["security"] == [{"token": []}]
        named = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert named == set(route.path_names)


def test_names_are_unique() -> None:
    assert len({route.name for route in ROUTES}) == len(ROUTES)
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)


@pytest.mark.parametrize("route", [r for r in ROUTES if r.body], ids=lambda r: r.name)
def test_the_example_of_a_route_can_be_sent(route: Route) -> None:
    assert route.body is not None
    body = read_as(route.body, route.example, what="the example")
    if route.command:
        fields = {name: getattr(body, name) for name in body.__struct_fields__}
        route.command(**dict.fromkeys(route.path_names, "x"), **fields)


def test_bodies_take_no_other_field_at_any_depth() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for name in ("RegisterVersionBody", "Artefacts", "Artefact", "TrainingData", "DataSheet", "PromoteBody"):
        assert schemas[name]["additionalProperties"] is False, name
    assert "additionalProperties" not in schemas["Story"]


def test_every_reference_resolves() -> None:
    schemas, responses = DOCUMENT["components"]["schemas"], DOCUMENT["components"]["responses"]
    for ref in _refs(DOCUMENT):
        kind, name = ref.split("/")[-2:]
        assert name in {"schemas": schemas, "responses": responses}[kind], ref


def _refs(value: object) -> list[str]:
    if isinstance(value, dict):
        return [r for k, v in value.items() for r in ([v] if k == "$ref" else _refs(v))]
    return [r for item in value for r in _refs(item)] if isinstance(value, list) else []


def test_the_document_is_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(DOCUMENT))["openapi"] == "3.1.0"
