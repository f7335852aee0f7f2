"""A real ledger, written in this process by the real write path: 700 predictions, a few other events, six seals, an archive.

inference    #0…#599 in the archive, #600…#699 in the journal only (all sealed), in six rounds
deployment   one event a round
anchor       what the publisher put there
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from jurat.core.clock import FixedClock
from jurat.core.jsonio import dump_json
from jurat.core.settings import Settings, lock_file
from jurat.core.workspace import Workspace
from jurat.ledger.archive import Follower
from jurat.ledger.create import create_ledger, load_signers
from jurat.ledger.engine import Engine
from jurat.ledger.faults import Report
from jurat.ledger.keys import LogKeys, load_log_keys
from jurat.ledger.layout import LogName, checkpoint_file, log_keys_file
from jurat.ledger.lockstore import LockStore
from jurat.ledger.publish import Publisher
from jurat.ledger.recover import recover
from jurat.ledger.sequencer import ProducerKey, Submission
from jurat.ledger.verify import verify_workspace

INFERENCE, DEPLOYMENT = LogName("main", "inference"), LogName("main", "deployment")
ROUNDS = (100, 156, 200, 144, 60, 40)  # predictions per seal
ARCHIVED_ROUNDS = 4
PREDICTION_KIND, PROMOTION_KIND = 51, 36
START_NS = 1_764_099_641_123_456_789


def event_id(number: int) -> str:
    return f"evt_{number:026d}"


def prediction(number: int) -> bytes:
    return dump_json(
        {
            "id": event_id(number),
            "kind": "prediction.made.v1",
            "at": "2025-11-25T19:40:41.123456Z",
            "actor": {"principal": "prn_gateway", "type": "service", "chain": ["prn_gateway"]},
            "decision": {"effect": "allow", "policies": ["serve"], "policy_set": "sha256:" + "0" * 64},
            "resource": "models/prod/credit@1.0.0",
            "because": [],
            "data": {
                "prediction": f"prd_{number:026d}",
                "version": "1.0.0",
                "output": True,
                "latency_ms": 1.5,
                "confidence": 0.75,
                "outcome": "released",
            },
        }
    )


def promotion(number: int) -> bytes:
    return dump_json(
        {"id": event_id(1_000_000 + number), "kind": "version.promoted.v1", "resource": "models/prod/credit@1.0.0", "data": {}}
    )


@dataclass
class Scene:
    """One workspace's ledger and what an auditor holds of it."""

    workspace: Workspace
    settings: Settings

    @property
    def root(self) -> Path:
        return self.workspace.ledger

    @property
    def lock(self) -> Path:
        return lock_file(self.workspace, self.settings)

    @property
    def keys(self) -> list[LogKeys]:
        return load_log_keys(log_keys_file(self.workspace.keys))

    def verify(self, *, lock: bool = True, since: tuple[str, ...] = ()) -> Report:
        return verify_workspace(self.root, self.keys, self.lock if lock else None, since=since)

    def checkpoint(self, log: LogName) -> str:
        return checkpoint_file(self.root, log).read_text()

    def copy_to(self, directory: Path) -> Scene:
        shutil.copytree(self.workspace.root, directory)
        return Scene(Workspace(directory), self.settings)


def build(directory: Path, rounds: tuple[int, ...] = ROUNDS) -> Scene:
    """Make the ledger at `directory`; afterwards no process holds it."""
    scene = Scene(Workspace(directory), Settings())
    clock = FixedClock(START_NS)
    create_ledger(scene.workspace, scene.settings, clock)
    write(scene, clock, rounds, archived_rounds=ARCHIVED_ROUNDS)
    return scene


def write(scene: Scene, clock: FixedClock, rounds: tuple[int, ...], *, archived_rounds: int, epoch: int = 1) -> None:
    """Append, seal, and archive the first rounds of them."""
    signers = load_signers(scene.workspace, scene.settings, clock)
    lock = LockStore(scene.lock)
    engine, state = recover(scene.root, signers, lock, segment_size=1 << 20)
    publisher = Publisher(
        scene.root, signers, lock, engine.arrays, state, clock, lambda entries: engine.append_anchors(entries, clock.now_ns())
    )
    number = engine.arrays[INFERENCE].size
    seqs = {INFERENCE: 1, DEPLOYMENT: 1}
    for turn, count in enumerate(rounds):
        submissions = [
            Submission(
                ProducerKey(INFERENCE, 2, epoch),
                seqs[INFERENCE],
                [PREDICTION_KIND] * count,
                [prediction(number + at) for at in range(count)],
            ),
            Submission(ProducerKey(DEPLOYMENT, 1, epoch), seqs[DEPLOYMENT], [PROMOTION_KIND], [promotion(number)]),
        ]
        number += count
        seqs = {INFERENCE: seqs[INFERENCE] + count, DEPLOYMENT: seqs[DEPLOYMENT] + 1}
        _commit(engine, submissions, clock)
        publisher.publish(engine.snapshot())
        clock.advance(1)
        if turn + 1 == archived_rounds:
            with Follower(scene.root, "main", clock=clock) as follower:
                follower.step(flush=True)
    engine.close()
    lock.close()


def _commit(engine: Engine, submissions: list[Submission], clock: FixedClock) -> None:
    engine.settle(engine.write(submissions, clock.now_ns()))
