"""The door for enforcement points: one keeper of answers for all who come first."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from jurat.core.clock import SystemClock
from jurat.core.settings import Settings
from jurat.web import decision_door
from jurat.web.decision_door import DecisionDoor


def test_all_who_come_first_at_once_share_one_connection_and_one_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sequencer is a stand-in that takes a moment to greet: what matters is who else comes meanwhile."""
    greeted: list[int] = []

    async def connect(_run: Path, producer: int) -> object:
        greeted.append(producer)
        await asyncio.sleep(0)
        return object()

    monkeypatch.setattr(decision_door, "AsyncLedgerClient", SimpleNamespace(connect=connect))
    app = SimpleNamespace(store=None, clock=SystemClock(), workspace=SimpleNamespace(run=Path()), settings=Settings())

    async def come() -> list[object]:
        door = DecisionDoor(cast("Any", app))
        return list(await asyncio.gather(*[door._keeper() for _ in range(8)]))

    keepers = asyncio.run(come())
    assert len(greeted) == 1
    assert all(each is keepers[0] for each in keepers)
