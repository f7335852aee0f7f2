"""Writer, sequencer, follower and readers at once, with small segments so that the journal's front keeps vanishing."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from tests.ledger_workspace import INFERENCE, PREDICTION_MADE, make_workspace, running
from tests.scenes.archive import event, event_id

from jurat.ledger.archive import Follower
from jurat.ledger.journal import segment_numbers
from jurat.ledger.layout import journal_directory
from jurat.ledger.query import Events

BATCH = 25
LEAST_BATCHES = 40
LONGEST_S = 60.0


def test_every_answer_is_a_whole_prefix_while_everything_moves(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws")
    acknowledged = [0]
    done = threading.Event()
    failures: list[BaseException] = []
    seen = {"scans": 0, "finds": 0, "archived": 0, "merged": 0}

    def guarded(work: object) -> threading.Thread:
        def run() -> None:
            try:
                work()  # type: ignore[operator]
            except BaseException as error:
                failures.append(error)
                done.set()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def follow() -> None:
        with Follower(workspace.ledger, "main", flush_rows=50, grace_s=0.2) as follower:
            while not done.is_set():
                seen["archived"] += follower.step()
                seen["merged"] += follower.compact()
                done.wait(0.02)

    def read() -> None:
        stays = Events(workspace.ledger, "main")
        while not done.is_set():
            for events in (stays, Events(workspace.ledger, "main")):
                least = acknowledged[0]
                raws = [each.raw for each in events.scan(classes=["inference"])]
                assert len(raws) >= least
                assert raws == [event(INFERENCE, number) for number in range(len(raws))]
                seen["scans"] += 1
            if least:
                found = stays.find(event_id(INFERENCE, least - 1))
                assert found is not None
                assert found.index == least - 1
                seen["finds"] += 1

    with running(workspace, segment_bytes=32 * 1024) as daemon, daemon.connect() as client:
        threads = [guarded(follow), guarded(read)]
        deadline = time.monotonic() + LONGEST_S
        while not done.is_set() and time.monotonic() < deadline:
            number = acknowledged[0]
            client.append(INFERENCE, number + 1, [(PREDICTION_MADE, event(INFERENCE, at)) for at in range(number, number + BATCH)])
            acknowledged[0] = number + BATCH
            client.flush()
            removed = segment_numbers(journal_directory(workspace.ledger))[0] - 1
            enough = number >= LEAST_BATCHES * BATCH and seen["scans"] >= 6 and seen["finds"] >= 3
            if enough and seen["archived"] and seen["merged"] and removed >= 5:
                break
        done.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
    assert removed >= 5, "the journal was never shortened: nothing was tried"
    assert all(seen.values()), seen
