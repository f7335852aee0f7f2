"""One site for all of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.wire.identity.identity_site import IdentitySite, identity_site


@pytest.fixture(scope="session")
def site() -> Iterator[IdentitySite]:
    with identity_site() as found:
        yield found
