from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import NamedTuple

import pytest
from tests.scenes.governed import World, make_world

from jurat.cli.main import run
from jurat.cli.session import Session


class Said(NamedTuple):
    """What one call of `jurat` left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


Jurat = Callable[..., Said]


@pytest.fixture
def world(tmp_path, monkeypatch: pytest.MonkeyPatch) -> World:
    for name in ("JURAT_WORKSPACE", "JURAT_TOKEN", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return make_world(tmp_path / "w", "data_scientist", "business_analyst", "product_owner")


@pytest.fixture
def jurat(world: World, capsys: pytest.CaptureFixture[str]) -> Jurat:
    """Call the command line on the world in memory: `jurat("model", "list", "--json")`."""

    def call(*arguments: str) -> Said:
        capsys.readouterr()
        session = Session(workspace_given=str(world.app.workspace.root), opener=lambda _workspace: contextlib.nullcontext(world.app))
        code = run(arguments, session)
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return call
