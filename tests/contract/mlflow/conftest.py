"""One workspace for all of these tests, an unmodified MLflow client before it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.scenes.mlflow_site import Site, open_site


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_TOKEN", "")
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        with open_site() as found:
            yield found
