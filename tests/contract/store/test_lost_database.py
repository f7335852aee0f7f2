"""PostgreSQL is gone and the ledger is not: what holds comes back, for whoever has the ledger's key, and for nobody else."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jurat.app import lost_database
from jurat.app.bootstrap import init_workspace, remove_workspace
from jurat.app.lost_database import recover_database
from jurat.app.refold import compare_state
from jurat.app.walk import act
from jurat.app.wiring import open_app
from jurat.cli.main import run
from jurat.cli.session import Session
from jurat.core.errors import Conflict, Denied, Malformed, Unauthenticated
from jurat.core.jsonio import load_json
from jurat.core.settings import load_settings
from jurat.core.workspace import Workspace
from jurat.domain import commands, rows
from jurat.domain.values import PrincipalType
from jurat.ledger.keys import create_signing_key
from jurat.ledger.layout import signing_key_file
from jurat.store.cluster import Location
from jurat.store.connect import remove_database

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]  # five starts of PostgreSQL


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with tempfile.TemporaryDirectory(prefix="jurat-lost-") as folder:
        root = Path(folder) / "w"
        init_workspace(root, throwaway=True)
        yield Workspace(root)
        remove_workspace(root)


def lose_database(workspace: Workspace) -> None:
    """What a lost volume leaves: nothing."""
    location = load_json((workspace.postgres / "location.json").read_bytes(), Location)
    remove_database(workspace, load_settings(workspace))
    shutil.rmtree(workspace.postgres, ignore_errors=True)
    assert not Path(location.directory).exists()


def interrupted() -> tuple[str, bytes]:
    raise KeyboardInterrupt


def test_what_holds_comes_back_from_the_ledger_for_whoever_has_its_key(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    token_file = workspace.credentials / "operator.token"
    before = token_file.read_text().strip()
    with open_app(workspace, throwaway=True) as app:
        with pytest.raises(Conflict, match="it is not lost"):
            recover_database(app, "a try")
        person = act(app, before, commands.RegisterPrincipal(type=PrincipalType.PERSON, name="Ada")).reply["principal"]
        with app.store.reading() as state:
            known = {row.principal for row in state.find(rows.Principal)}
            (operator,) = {row.granted_by for row in state.find(rows.Grant)}
    lose_database(workspace)
    lost_seed = signing_key_file(workspace.keys).read_bytes()
    workspace.postgres.mkdir(mode=0o700)

    with open_app(workspace, throwaway=True) as app:
        with pytest.raises(Unauthenticated):
            act(app, before, commands.RegisterPrincipal(type=PrincipalType.PERSON, name="Eve"))
        signing_key_file(workspace.keys).unlink()
        create_signing_key(signing_key_file(workspace.keys))
        with pytest.raises(Denied) as refused:
            recover_database(app, "somebody else's key")
        assert refused.value.code == "no_proof"
        signing_key_file(workspace.keys).unlink()
        with pytest.raises(Denied):
            recover_database(app, "no key")
        signing_key_file(workspace.keys).write_bytes(lost_seed)
        signing_key_file(workspace.keys).chmod(0o600)
        with pytest.raises(Malformed, match="is not an operator"):
            recover_database(app, "who?", operator=person)
        with pytest.raises(Malformed, match="needs a reason"):
            recover_database(app, " ")
        with app.store.reading() as state:
            assert state.find(rows.Principal) == [], "a refusal leaves the database as it was"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lost_database, "new_token", interrupted)
            with pytest.raises(KeyboardInterrupt):
                recover_database(app, "whoever is killed before the token begins again")

    def again() -> int:
        words = ["rebuild", "--lost-database", "--reason", "the volume was lost", "--json"]
        return run(words, Session(workspace_given=str(workspace.root), opener=lambda found: open_app(found, throwaway=True)))

    assert again() == 0
    done = json.loads(capsys.readouterr().out)
    assert done["operator"] == operator
    assert again() == 4, "it is not lost any more"
    after = token_file.read_text().strip()
    assert after != before
    with open_app(workspace, throwaway=True) as app:
        assert compare_state(app, after) == []
        act(app, after, commands.RegisterPrincipal(type=PrincipalType.PERSON, name="Bob"))
        with pytest.raises(Unauthenticated):
            act(app, before, commands.RegisterPrincipal(type=PrincipalType.PERSON, name="Eve"))
        with app.store.reading() as state:
            assert known < {row.principal for row in state.find(rows.Principal)}
            assert sorted(person.name for person in state.vault.people()) == ["Bob", "operator"], "the other names are gone"
        app.settle()
        (event,) = app.events.scan(kinds=["database.recovered.v1"])
        assert json.loads(event.raw)["data"]["operator"] == operator
