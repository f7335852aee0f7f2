"""Paths of what is acted on: one tree, taken apart exactly or refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jurat.core.errors import Malformed
from jurat.policy.resources import Resource, format_resource, parse_resource


@pytest.mark.parametrize(
    ("path", "entity_type", "folder", "name", "version"),
    [
        ("models/prod/churn@2.3.1", "Model", ("Models", "prod"), "churn", "2.3.1"),
        ("models/dev/churn", "Model", ("Models", "dev"), "churn", ""),
        ("data/training/loans@v5-2025-11-20", "Dataset", ("Data", "training"), "loans", "v5-2025-11-20"),
        ("infrastructure/data/warehouse", "Machine", ("Infrastructure", "data"), "warehouse", ""),
        ("endpoints/credit", "Endpoint", None, "credit", ""),
        ("requests/req_01k9", "ApprovalRequest", None, "req_01k9", ""),
        ("principals/prn_01k9", "Account", None, "prn_01k9", ""),
        ("ledger/inference", "Log", None, "inference", ""),
        ("systems/credit-decisions", "System", None, "credit-decisions", ""),
        ("workspace", "Workspace", None, "workspace", ""),
    ],
)
def test_each_kind_of_path(path: str, entity_type: str, folder: tuple[str, str] | None, name: str, version: str) -> None:
    assert parse_resource(path) == Resource(path, entity_type, folder, name, version)
    assert format_resource(parse_resource(path)) == path


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "models", "models/", "models/prod", "models/prod/", "models/prod/churn/x", "models//churn", "models/prod/churn@",
        "models/prod/@1", "models/prod/a@1@2", "models/prod/../dev", "models/../prod/churn", "models/prod/ churn", "Models/prod/churn",
        "models/prod/churn\n", "models/prod/churn@1\n", "endpoints/credit@1", "endpoints/a/b", "workspace/x", "../workspace",
        "models/prod/*", "models/prod/é", "x" * 500, "models/prod/" + "x" * 129,
    ],
)  # fmt: skip
def test_anything_else_is_malformed_with_an_example(path: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse_resource(path)
    assert refused.value.hint


@given(st.text(alphabet="modelsdataprod/@.1-_*\n ", max_size=40))
def test_any_text_is_a_path_or_malformed(text: str) -> None:
    with contextlib.suppress(Malformed):
        assert format_resource(parse_resource(text)) == text
