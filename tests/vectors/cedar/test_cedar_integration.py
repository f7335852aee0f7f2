"""Cedar's own integration tests, through the binding we decide with: 22 files, 74 requests (see README.md here)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cedarpy
import pytest

HERE = Path(__file__).parent
FILES = sorted((HERE / "tests").rglob("*.json"))


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HERE / "tests")))
def test_every_request_of_a_file_is_decided_as_published(path: Path) -> None:
    case = load(path)
    policies_text, schema_text = (HERE / case["policies"]).read_text(), (HERE / case["schema"]).read_text()
    policies, schema = cedarpy.PolicySet.from_str(policies_text), cedarpy.Schema.from_str(schema_text)
    assert cedarpy.validate_policies(policies_text, schema_text).validation_passed is case["shouldValidate"]
    entities = cedarpy.Entities.from_json_str((HERE / case["entities"]).read_text(), schema)
    assert case["requests"]
    for request in case["requests"]:
        question = {key: request[key] for key in ("principal", "action", "resource", "context")}
        answer = cedarpy.is_authorized(question, policies, entities, schema)
        assert answer.decision.value.lower() == request["decision"], request["description"]
        assert set(answer.diagnostics.reasons) == set(request["reason"]), request["description"]
        assert len(answer.diagnostics.errors) == len(request["errors"]), request["description"]


def test_all_seventy_four_requests_are_here() -> None:
    assert len(FILES) == 22
    assert sum(len(load(path)["requests"]) for path in FILES) == 74
