"""Reads of the registry that share a statement: each gets its own answer, none is older than its question, none is left waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from tests.contract.store.samples import grant

from jurat.core.errors import Tampered, Unavailable
from jurat.core.jsonio import dump_json
from jurat.domain.registry import version_key
from jurat.domain.rows import RegistryModel, RegistryVersion
from jurat.store import registry_together
from jurat.store.registry import Found
from jurat.store.registry_together import RegistryTogether
from jurat.store.store import Store

Session = Callable[[str], psycopg.Connection[Any]]
EVENT = "evt_" + "0" * 26


def put_model(session: Session, name: str, versions: int) -> None:
    """As a rebuild would: the guard of the tables is off for a moment."""
    owner = session("owner")
    model = RegistryModel(
        as_of=EVENT, name=name, drawn=name, description="", tags={}, created_ms=1, updated_ms=1, created_by="prn_x", last_number=versions
    )
    rows: list[tuple[str, str, Any]] = [("registry_models", name, model)]
    for number in range(1, versions + 1):
        stage = "Production" if number == 1 else "None"
        version = RegistryVersion(
            as_of=EVENT, name=name, number=number, source=f"s3://b/{name}/{number}", storage="", run_id="",
            run_link="", description="", tags={}, created_ms=1, updated_ms=1, created_by="prn_x", registered=EVENT, stage=stage,
        )  # fmt: skip
        rows.append(("registry_versions", version_key(name, number), version))
    for table, key, row in rows:
        owner.execute(f"ALTER TABLE view.{table} DISABLE TRIGGER event_required".encode())
        owner.execute(f"INSERT INTO view.{table} (key, row, as_of) VALUES (%s, %s, %s)".encode(), [key, dump_json(row).decode(), EVENT])
        owner.execute(f"ALTER TABLE view.{table} ENABLE ALWAYS TRIGGER event_required".encode())


class Counted(RegistryTogether):
    """Counts its statements; each waits for `gate`, once it has begun or before."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.statements, self.gate = 0, asyncio.Event()
        self.gate.set()

    async def _execute(self, values: dict[str, list[str]]) -> Any:
        self.statements += 1
        found = await super()._execute(values)
        await self.gate.wait()
        return found


def test_many_reads_share_a_statement_and_each_gets_its_own_answer(store: Store, session: Session) -> None:
    put_model(session, "churn", 3)
    put_model(session, "fraud", 1)

    async def play() -> None:
        together = Counted(store)
        model, other, nothing, second, none = await asyncio.gather(
            together.model("churn"), together.model("fraud"), together.model("nobody's"),
            together.version("churn", 2), together.version("churn", 9),
        )  # fmt: skip
        assert together.statements == 1
        assert model.model is not None
        assert sorted(v.number for v in model.latest) == [1, 3]  # the newest of each stage
        assert other.model is not None
        assert [v.source for v in other.latest] == ["s3://b/fraud/1"]
        assert (nothing.model, nothing.latest) == (None, [])
        assert second.version is not None
        assert (second.version.number, second.model.name if second.model else "") == (2, "churn")
        assert (none.version, none.model is not None) == (None, True)

    asyncio.run(play())


def test_a_read_is_never_older_than_its_question(store: Store) -> None:
    def act(number: int) -> None:
        with store.transaction() as tx:
            tx.record([grant(f"grt_{number}")])

    async def play() -> None:
        together = Counted(store)
        before = (await together.model("churn")).position
        together.gate.clear()
        early = asyncio.create_task(together.model("churn"))
        while together.statements < 2:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)  # its statement has looked by now
        await asyncio.to_thread(act, 1)
        late = asyncio.create_task(together.model("churn"))
        await asyncio.sleep(0)
        together.gate.set()
        assert (await late).position == before + 1
        assert (await early).position in (before, before + 1)
        assert together.statements == 3

    asyncio.run(play())


def test_a_server_that_cut_us_off_is_asked_again(store: Store, session: Session) -> None:
    put_model(session, "churn", 1)

    async def play() -> None:
        together = Counted(store)
        await together.model("churn")
        session("app").execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'jurat test' AND pid <> pg_backend_pid()"
        )
        found = await asyncio.gather(*(together.model("churn") for _ in range(5)))
        assert all(each.model is not None for each in found)

    asyncio.run(play())


def test_when_the_database_is_away_everybody_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone() -> Any:
        raise psycopg.OperationalError("connection refused")

    async def play() -> None:
        together = RegistryTogether(store)
        monkeypatch.setattr(store, "connect_alone", gone)
        told = await asyncio.gather(*(together.version("churn", 1) for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in told] == [Unavailable] * 3
        monkeypatch.undo()
        assert (await together.model("churn")).model is None  # and the next ones are answered again

    asyncio.run(play())


def test_a_row_that_nobody_can_read_is_told_to_its_asker_alone(store: Store, session: Session) -> None:
    put_model(session, "churn", 1)
    put_model(session, "fraud", 1)
    owner = session("owner")
    owner.execute("ALTER TABLE view.registry_models DISABLE TRIGGER event_required")
    owner.execute("""UPDATE view.registry_models SET row = row - 'drawn' WHERE key = 'fraud'""")

    async def play() -> None:
        together = Counted(store)
        bad, good = await asyncio.gather(together.model("fraud"), together.model("churn"), return_exceptions=True)
        assert together.statements == 1
        assert isinstance(bad, Tampered)
        assert isinstance(good, Found)
        assert good.model is not None

    asyncio.run(play())


def test_a_database_that_does_not_answer_keeps_nobody_waiting(store: Store, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_together, "_PATIENCE_S", 0.2)
    put_model(session, "churn", 1)
    owner = session("owner")

    async def play() -> None:
        together = RegistryTogether(store)
        with owner.transaction():
            owner.execute("LOCK TABLE view.registry_models")
            with pytest.raises(Unavailable) as told:
                await asyncio.wait_for(together.model("churn"), 8)
            assert told.value.code == "database_busy"
        assert (await together.version("churn", 1)).version is not None

    asyncio.run(play())


def test_another_loop_gets_a_connection_of_its_own(store: Store) -> None:
    together = RegistryTogether(store)
    for _ in range(2):
        assert asyncio.run(together.model("churn")).model is None
