"""A version that is held answers nobody, and says which change it waits for."""

from __future__ import annotations

import msgspec
import pytest
from tests.unit.domain.law import Law

from jurat.core.errors import Conflict
from jurat.domain.rows import Endpoint
from jurat.gateway.checks import check_stage


def test_what_is_held_is_not_served() -> None:
    version = msgspec.structs.replace(Law().register(), stage="production")
    endpoint = Endpoint(
        as_of="evt", endpoint="churn", version=version.version, version_digest=version.digest, stage="production", system="credit",
        upstream="http://127.0.0.1:1", confidence_floor=0.0, requests_per_minute=1, blocked_patterns=[],
    )  # fmt: skip
    assert check_stage(endpoint, version).status == "ran"
    with pytest.raises(Conflict) as caught:
        check_stage(endpoint, msgspec.structs.replace(version, held="chg_1"))
    assert caught.value.code == "version_held"
    assert "chg_1" in caught.value.detail
