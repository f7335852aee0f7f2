"""For all tests: names that workers agree on, and no stopwatch on examples."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("jurat", deadline=None)  # a busy machine is not a wrong answer; pytest-timeout bounds each test
settings.load_profile("jurat")
_LONGEST = 60


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Long values are called by their argument: a signature is another one in each worker, and nobody reads it."""
    return argname if isinstance(val, str | bytes) and len(val) > _LONGEST else None
