"""PostgreSQL dies in the middle of acts. What was acknowledged is there afterwards, once, and numbered without a gap."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from tests.contract.store.samples import grant

from jurat.core.errors import Unavailable
from jurat.core.jsonio import load_json
from jurat.core.settings import Settings
from jurat.core.workspace import Workspace
from jurat.domain import rows
from jurat.store.cluster import Location
from jurat.store.connect import Database, open_database, remove_database
from jurat.store.rebuild import compare
from jurat.store.server import read_pid_file
from jurat.store.store import Store

SETTINGS = Settings()


class Actor(threading.Thread):
    """Acts as fast as it can until the database is away. Knows what was acknowledged, and what nobody knows."""

    def __init__(self, store: Store, name: str) -> None:
        super().__init__()
        self.store, self.prefix = store, name
        self.acknowledged: list[str] = []
        self.unknown: list[str] = []
        self.refused = 0

    def run(self) -> None:
        for number in range(100_000):
            key = f"grt_{self.prefix}_{number}"
            try:
                with self.store.transaction() as tx:
                    tx.record([grant(key)])
            except Unavailable as error:
                if error.code == "outcome_unknown":
                    self.unknown.append(key)
                self.refused += 1
                return
            self.acknowledged.append(key)


def postmaster(workspace: Workspace) -> int:
    location = load_json((workspace.postgres / "location.json").read_bytes(), Location)
    found = read_pid_file(Path(location.directory, "data"))
    assert found is not None
    return found.pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT, signal.SIGINT])
def test_nothing_acknowledged_is_lost_when_postgresql_dies(number: signal.Signals, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    try:
        acknowledged: list[str] = []
        unknown: list[str] = []
        for turn in range(2):
            database = open_database(workspace, SETTINGS, throwaway=True)
            _acts_until_it_dies(database, workspace, number, turn, acknowledged, unknown)
        with (
            open_database(workspace, SETTINGS, throwaway=True) as database,
            Store.open(database.dsn("owner"), application="owner") as owner,
        ):
            with owner.reading() as state:
                there = {row.grant for row in state.find(rows.Grant)}
                as_of = state.as_of
            assert set(acknowledged) <= there
            assert there <= set(acknowledged) | set(unknown), "an act that was refused must not have happened"
            assert as_of == len(there), "one position for each act that happened: no gap, nothing twice"
            assert compare(owner, []) == [], "events and rows tell the same story"
    finally:
        remove_database(workspace, SETTINGS)


def _acts_until_it_dies(
    database: Database, workspace: Workspace, number: signal.Signals, turn: int, acknowledged: list[str], unknown: list[str]
) -> None:
    with Store.open(database.dsn("app"), application="crash", timeout_s=2.0) as store:
        actors = [Actor(store, f"{turn}_{name}") for name in "abc"]
        for actor in actors:
            actor.start()
        deadline = time.monotonic() + 30
        while sum(len(actor.acknowledged) for actor in actors) < 60 and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(postmaster(workspace), number)
        if number == signal.SIGKILL:
            # Without its postmaster a backend lives on as long as its client does; the crash is complete when they are gone.
            store.close()
        for actor in actors:
            actor.join(60)
        deadline = time.monotonic() + 30
        while database.is_running() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not database.is_running()
        assert all(actor.refused == 1 for actor in actors), "each actor must have met the crash"
        for actor in actors:
            acknowledged += actor.acknowledged
            unknown += actor.unknown
    assert len(acknowledged) >= 60
