"""A producer of ours states its streams through the real sequencer, and the gap report computes its hashes again."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.ledger_workspace import ACCESS, BENCH_PRODUCER, INFERENCE, PREDICTION_MADE, RECORDS_READ, make_workspace, running

from jurat.core.statements import CLOSED, HEARTBEAT, OPENED, parse_statement
from jurat.ledger.async_client import AsyncLedgerClient
from jurat.ledger.completeness import Completeness, survey
from jurat.ledger.query import Events

KINDS = (OPENED, HEARTBEAT, CLOSED)


def look(root: Path, now_ns: int = 0) -> tuple[Completeness, list[str]]:
    events = Events(root, "main")
    said = list(events.scan(kinds=KINDS))
    return survey(root, [INFERENCE, ACCESS], said, now_ns), [event.kind for event in events.scan(classes=["inference"])]


def test_it_opens_beats_and_closes_in_each_log_it_writes_to(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")

    async def produce() -> None:
        client = await AsyncLedgerClient.connect(workspace.run, BENCH_PRODUCER, period_s=0.1)
        placed = await client.put(INFERENCE, PREDICTION_MADE, b'{"n":1}')
        assert placed.entry_index == 1  # the opening stands before it
        more = await asyncio.gather(*(client.put(INFERENCE, PREDICTION_MADE, b'{"n":%d}' % n) for n in range(2, 20)))
        assert [each.entry_index for each in more] == list(range(more[0].entry_index, more[0].entry_index + 18))
        await client.put(ACCESS, RECORDS_READ, b'{"n":1}')
        await asyncio.sleep(0.35)
        await client.close()

    with running(workspace) as daemon:
        asyncio.run(produce())
        with daemon.connect() as client:
            client.flush()
    found, kinds = look(workspace.ledger)
    assert (kinds[0], kinds[-1]) == (OPENED, CLOSED)
    assert kinds.count(HEARTBEAT) >= 2
    assert found.findings == []
    assert {(each.log, each.is_closed) for each in found.streams} == {("main/inference", True), ("main/access", True)}
    assert [each.hashed_seq for each in found.streams] == [each.count - 1 for each in found.streams]  # all but the last word itself


def test_killed_it_leaves_no_last_word_and_the_next_names_it(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")

    async def produce() -> None:
        client = await AsyncLedgerClient.connect(workspace.run, BENCH_PRODUCER, period_s=60)
        await client.put(INFERENCE, PREDICTION_MADE, b'{"n":1}')
        lane = next(iter(client._lanes.values()))
        lane._give_up([], RuntimeError())  # what an answer that never comes leads to
        await client.put(INFERENCE, PREDICTION_MADE, b'{"n":2}')
        await client.close()

    with running(workspace) as daemon:
        asyncio.run(produce())
        with daemon.connect() as client:
            client.flush()
    found, _ = look(workspace.ledger)
    assert [finding.what for finding in found.findings] == ["not_closed"]
    opened = [parse_statement(event.raw).data for event in Events(workspace.ledger, "main").scan(kinds=[OPENED])]
    assert (opened[1].previous_epoch, opened[1].previous_last_seq) == (opened[0].epoch, 2)
    assert found.is_complete
