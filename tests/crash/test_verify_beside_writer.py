"""The verifier beside a ledger that lives: seals, archive, compaction and vanishing journal segments are no faults."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.scenes.sealed_ledger import INFERENCE, PREDICTION_KIND, START_NS, Scene, prediction

from jurat.core.clock import FixedClock
from jurat.core.settings import Settings
from jurat.core.workspace import Workspace
from jurat.ledger.archive import Follower
from jurat.ledger.create import create_ledger, load_signers
from jurat.ledger.layout import events_directory
from jurat.ledger.lockstore import LockStore
from jurat.ledger.manifest import high_water
from jurat.ledger.publish import Publisher
from jurat.ledger.recover import recover
from jurat.ledger.sequencer import ProducerKey, Submission

ROUNDS = 40


def test_a_living_ledger_is_clean_at_every_look(tmp_path: Path) -> None:
    scene = Scene(Workspace(tmp_path / "ws"), Settings())
    clock = FixedClock(START_NS)
    create_ledger(scene.workspace, scene.settings, clock)
    failures: list[BaseException] = []
    removed: list[int] = []
    done = threading.Event()

    def live() -> None:
        try:
            signers, lock = load_signers(scene.workspace, scene.settings, clock), LockStore(scene.lock)
            engine, state = recover(scene.root, signers, lock, segment_size=1 << 17)
            publisher = Publisher(
                scene.root, signers, lock, engine.arrays, state, clock, lambda entries: engine.append_anchors(entries, clock.now_ns())
            )
            with Follower(scene.root, "main", clock=clock, grace_s=3600) as follower:
                for turn in range(ROUNDS):
                    batch = [prediction(turn * 50 + at) for at in range(50)]
                    key = ProducerKey(INFERENCE, 2, 1)
                    engine.settle(engine.write([Submission(key, turn * 50 + 1, [PREDICTION_KIND] * 50, batch)], clock.now_ns()))
                    publisher.publish(engine.snapshot())
                    clock.advance(1)
                    if turn % 3 == 0:
                        follower.step(flush=True)
                        removed.extend(publisher.remove_segments(high_water(events_directory(scene.root, "main"))))
                    if turn % 12 == 0:
                        follower.compact(everything=True)
            engine.close()
            lock.close()
        except BaseException as error:
            failures.append(error)
        finally:
            done.set()

    writer = threading.Thread(target=live)
    writer.start()
    looks, sizes = 0, set()
    while not done.is_set() or not looks:
        report = scene.verify(lock=looks % 2 == 0)
        assert report.faults == []
        looks += 1
        sizes.add(next(each.sealed for each in report.logs if each.log == "main/inference"))
    writer.join()
    assert failures == []
    assert removed, "the journal lost no segment: the test shows nothing"
    assert looks > 3
    assert len(sizes) > 2
    final = scene.verify()
    assert final.is_clean
    assert next(each.sealed for each in final.logs if each.log == "main/inference") == ROUNDS * 50
