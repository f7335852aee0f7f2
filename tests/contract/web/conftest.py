"""A real workspace, hosted by this process: embedded PostgreSQL, the sequencer, the relay. One per run of these tests."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from jurat.app.bootstrap import init_workspace, remove_workspace
from jurat.app.walk import act
from jurat.app.wiring import App, open_app
from jurat.domain.commands import GrantRole, IssueToken, RegisterPrincipal
from jurat.domain.roles import expiry
from jurat.domain.values import PrincipalType


class Live(NamedTuple):
    """The app, and a token per role."""

    app: App
    tokens: dict[str, str]


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    with tempfile.TemporaryDirectory(prefix="jurat-web-") as folder:
        root = Path(folder) / "w"
        init_workspace(root, throwaway=True)
        try:
            with open_app(_workspace(root), throwaway=True) as app:
                operator = (root / "credentials" / "operator.token").read_text().strip()
                roles = ["auditor", "data_scientist", "business_analyst"]
                yield Live(app, {"operator": operator, **{role: _join(app, operator, role) for role in roles}})
        finally:
            with contextlib.suppress(Exception):
                remove_workspace(root)


def _workspace(root: Path):
    from jurat.core.workspace import Workspace

    return Workspace(root)


def _join(app: App, operator: str, role: str) -> str:
    person = act(app, operator, RegisterPrincipal(type=PrincipalType.PERSON, name=role)).reply["principal"]
    ends = expiry(app.clock.now_ns(), 3600)
    act(app, operator, GrantRole(principal=person, role=role, reason="test", expires_at=ends))
    return act(app, operator, IssueToken(principal=person, lifetime_s=3600)).reply["token"]
