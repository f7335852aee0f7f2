"""Which workspace, and who acts: found in a fixed order, refused when others could read the token."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.scenes.governed import World
from tests.unit.cli.conftest import Jurat

from jurat.cli.session import Session
from jurat.core.errors import Malformed, NotFound, Unauthenticated


def test_the_workspace_is_the_nearest_parent_that_is_one(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = world.app.workspace.root
    (root / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(root / "deep" / "er")
    assert Session().workspace.root == root
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound):
        Session().workspace  # noqa: B018
    (tmp_path / "jurat-demo").mkdir()
    (tmp_path / "jurat-demo" / "jurat.toml").touch()
    assert Session().workspace.root == tmp_path / "jurat-demo"
    monkeypatch.setenv("JURAT_WORKSPACE", str(root))
    assert Session().workspace.root == root
    assert Session(workspace_given=str(tmp_path)).workspace.root == tmp_path


def test_the_token_comes_from_a_file_only_its_owner_reads(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = str(world.app.workspace.root)
    assert Session(workspace_given=given).token() == world.tokens["operator"]
    assert Session(workspace_given=given, as_name="data_scientist").token() == world.tokens["data_scientist"]
    monkeypatch.setenv("JURAT_TOKEN", "jrt_from_the_environment")
    assert Session(workspace_given=given).token() == "jrt_from_the_environment"
    assert Session(workspace_given=given, as_name="operator").token() == world.tokens["operator"]
    path = tmp_path / "t"
    path.write_text("jrt_x\n")
    path.chmod(0o600)
    assert Session(token_file=str(path)).token() == "jrt_x"
    path.chmod(0o640)
    with pytest.raises(Unauthenticated, match="others than its owner"):
        Session(token_file=str(path)).token()
    path.unlink()
    with pytest.raises(Unauthenticated, match="there is no token"):
        Session(token_file=str(path)).token()


@pytest.mark.parametrize("name", ["../operator", "/etc/passwd", ".hidden", "a b"])
def test_a_token_name_is_never_a_path(world: World, name: str) -> None:
    with pytest.raises(Malformed):
        Session(workspace_given=str(world.app.workspace.root), as_name=name).token()


def test_two_ways_to_say_who_acts_are_one_too_many(world: World) -> None:
    with pytest.raises(Malformed):
        Session(workspace_given=str(world.app.workspace.root), as_name="operator", token_file="x").token()


def test_an_issued_token_is_saved_for_its_owner_only_and_works(jurat: Jurat, world: World) -> None:
    jurat("principal", "register", "Ada Lovelace")
    said = jurat("token", "issue", "Ada Lovelace", "--for", "1h", "--save", "ada", "--json")
    assert said.code == 0, said.err
    shown = json.loads(said.out)
    path = Path(shown["file"])
    assert path == world.app.workspace.credentials / "ada.token"
    assert path.stat().st_mode & 0o777 == 0o600
    assert "token" not in shown
    assert "jrt_" not in said.out + said.err
    assert jurat("principal", "list", "--as", "ada").code == 3  # known, and not allowed
    revoked = jurat("token", "revoke", shown["token_id"], "--principal", "Ada Lovelace", "--reason", "lost")
    assert revoked.code == 0, revoked.err
    assert "not valid" in jurat("principal", "list", "--as", "ada").err


def test_a_shown_token_is_shown_once_and_on_stdout(jurat: Jurat, world: World) -> None:
    said = jurat("token", "issue", world.ids["data_scientist"], "--for", "1h")
    assert said.code == 0, said.err
    assert "jrt_" in said.out
    assert "jrt_" not in said.err
    assert not any("jrt_" in str(event) for event in world.store.events)
