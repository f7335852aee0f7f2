"""The end of the story: the attacker comes, is found, and everything is put back."""

from __future__ import annotations

from pathlib import Path

from jurat.app.refold import compare_state, rebuild_state
from jurat.app.wiring import open_app
from jurat.core.settings import load_settings
from jurat.demo import cheat
from jurat.demo.played import FIRST, Played, Teller
from jurat.ledger.archive import Follower
from jurat.ledger.layout import ANCHOR, checkpoint_file, class_logs
from jurat.store.connect import attach_database
from jurat.store.rebuild import Difference
from jurat.store.store import Store


def cheat_ledger(played: Played, tell: Teller, older: Path) -> None:
    """Attack the files of the stopped ledger, six times.

    Args:
        older: a copy of `ledger/` and `lock/` from earlier in the story.
    """
    workspace, target = played.workspace, played.target
    assert target is not None
    settings = load_settings(workspace)
    with Follower(workspace.ledger, settings.tenant) as follower:
        follower.step(flush=True)  # so that there is an archive to attack
    kept = [checkpoint_file(workspace.ledger, log).read_text() for log in [*class_logs(settings.tenant), ANCHOR]]
    played.attacks = cheat.attack_ledger(workspace, settings, target, older, kept)
    for attack in played.attacks:
        tell.attack(attack.name, attack.done, attack.found)
    played.faults_after = [cheat.describe(fault) for fault in cheat.look(workspace, settings, kept)]


def cheat_view(played: Played, tell: Teller) -> None:
    """Edit a row as the database's owner, with the trigger off; fold the ledger again, find it, put it right."""
    with open_app(played.workspace, throwaway=True) as app:
        fay = played.players["fay"].token
        with Store.open(attach_database(app.workspace).dsn("owner"), application="attacker") as owner, owner.connection() as connection:
            connection.execute("ALTER TABLE view.versions DISABLE TRIGGER USER")
            connection.execute("UPDATE view.versions SET row = jsonb_set(row, '{stage}', '\"production\"') WHERE key = %s", [FIRST])
            connection.execute("ALTER TABLE view.versions ENABLE TRIGGER USER")
        played.edited_rows = compare_state(app, fay)
        found = [f"row `{d.key}` of view.{d.table} {d.what}: {_fields(d)}; its event is {d.as_of}" for d in played.edited_rows]
        tell.attack("edit a row of view.*", f"set the stage of `{FIRST}` to production, with the trigger off", found)
        rebuild_state(app, fay)
        played.faults_after += [f"view.{d.table} `{d.key}` {d.what}" for d in compare_state(app, fay)]
    tell.say("everything was put back; the workspace verifies" if not played.faults_after else f"NOT whole: {played.faults_after}")


def _fields(difference: Difference) -> str:
    return ", ".join(f"{name} is {found}, the ledger says {expected}" for name, (expected, found) in difference.fields.items())
