"""A command that finds nothing running hosts the workspace for a moment. What it recorded is in the ledger when it ends, refused or not."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jurat.app.bootstrap import init_workspace, remove_workspace
from jurat.app.walk import act
from jurat.app.wiring import open_app
from jurat.core.errors import JuratError
from jurat.core.workspace import Workspace
from jurat.domain.commands import ReadData
from jurat.ledger.query import Events


class _Killed(BaseException):
    """Not an error of ours: nothing is settled after it."""


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with tempfile.TemporaryDirectory(prefix="jurat-moment-") as folder:
        workspace = init_workspace(Path(folder) / "w", throwaway=True).workspace
        yield workspace
        remove_workspace(workspace.root)


def test_a_refusal_can_be_found_as_soon_as_it_was_said(workspace: Workspace) -> None:
    token = (workspace.credentials / "operator.token").read_text().strip()
    with pytest.raises(JuratError) as refused, open_app(workspace, throwaway=True) as app:
        act(app, token, ReadData(dataset="salaries@1", purpose="curiosity"))
    recorded = refused.value.fields["event"]
    found = Events(workspace.ledger, "main").find(str(recorded))
    assert found is not None
    assert found.kind == "act.denied.v1"


def test_what_a_killed_command_left_is_seen_by_the_next(workspace: Workspace) -> None:
    token = (workspace.credentials / "operator.token").read_text().strip()
    left: list[str] = []

    def be_refused_and_killed() -> None:
        with open_app(workspace, throwaway=True) as app:
            try:
                act(app, token, ReadData(dataset="salaries@1", purpose="curiosity"))
            except JuratError as error:
                left.append(str(error.fields["event"]))
            raise _Killed

    with pytest.raises(_Killed):
        be_refused_and_killed()
    assert Events(workspace.ledger, "main").find(left[0]) is None
    with open_app(workspace, throwaway=True) as app:
        assert app.events.find(left[0]) is not None
