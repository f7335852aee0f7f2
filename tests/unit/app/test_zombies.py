"""Zombies: in production, and unused or unreviewed. The ledger is a fake that tells when each version was last used."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import pytest
from tests.scenes.governed import NOW_NS, make_world
from tests.unit.domain.law import Law, digest

from jurat.app.zombies import zombies
from jurat.core.clock import format_at, from_ns
from jurat.core.errors import Malformed
from jurat.domain import rows
from jurat.domain.state import Put

DAY_NS = 86_400 * 10**9


class Told(NamedTuple):
    rows: list[tuple[Any, ...]]
    as_of: dict[str, int]


class Uses:
    """When each version was last used, in days before now."""

    def __init__(self, days: dict[str, int]) -> None:
        self._days = days

    def select(self, _query: str, _parameters: object, **_more: object) -> Told:
        return Told([(name, from_ns(NOW_NS - days * DAY_NS)) for name, days in self._days.items()], {})


def test_a_zombie_is_unused_or_unreviewed_and_never_younger_than_the_limit(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(tmp_path / "w", "ml_engineer")
    law = Law()
    row = law.register()
    system = law.state.get(rows.System, "credit")
    assert system is not None

    def put(name: str, *, in_production_days: int, measured_days: int | None = None) -> None:
        since = format_at(NOW_NS - in_production_days * DAY_NS)
        fields = {f: getattr(row, f) for f in row.__struct_fields__} | {"version": name, "stage": "production", "stage_since": since}
        world.store.state.apply([Put("versions", name, rows.Version(**fields))])
        if measured_days is not None:
            at = format_at(NOW_NS - measured_days * DAY_NS)
            seen = rows.Evidence(
                as_of="e", version=name, type="evaluation", version_digest=digest("a"), dataset="d", measured_at=at, metrics=[]
            )
            world.store.state.apply([Put("evidence", f"{name}/evaluation", seen)])

    world.store.state.apply([Put("systems", "credit", system)])
    put("used@1.0.0", in_production_days=200, measured_days=5)
    put("old@1.0.0", in_production_days=200)
    put("unread@1.0.0", in_production_days=200)
    put("new@1.0.0", in_production_days=3)
    monkeypatch.setattr(type(world.app), "settle", lambda _self: None)
    world.app.events = cast("Any", Uses({"used@1.0.0": 1, "old@1.0.0": 120, "unread@1.0.0": 2}))
    found = {each.version: each for each in zombies(world.app, world.tokens["ml_engineer"], 90).zombies}
    assert {name: each.reasons for name, each in found.items()} == {"old@1.0.0": ["unused", "unreviewed"], "unread@1.0.0": ["unreviewed"]}
    assert found["old@1.0.0"].owner == "prn_dan"
    with pytest.raises(Malformed):
        zombies(world.app, world.tokens["ml_engineer"], 0)
