"""A ledger to archive and to read: the real write path in this process, and events whose every column is told by their number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.ledger_workspace import ACCESS, INFERENCE, PREDICTION_MADE, OpenLedger, make_workspace

from jurat.core.clock import FixedClock, format_at
from jurat.core.jsonio import dump_json
from jurat.core.workspace import Workspace
from jurat.ledger.archive import Follower
from jurat.ledger.journal import segment_numbers
from jurat.ledger.layout import LogName, events_directory, journal_directory
from jurat.ledger.manifest import high_water
from jurat.ledger.query import Events

START_NS = 1_795_635_641_123_456_789  # 2026-11-25
PREDICTION_REQUESTED, ACT_DENIED = 50, 14


def event_id(log: LogName, number: int) -> str:
    return f"evt_{log.name}_{number}"


def prediction_id(number: int) -> str:
    return f"prd_{number:026d}"


def event(log: LogName, number: int) -> bytes:
    """Return the bytes of event `number` of a log. Two events speak of each prediction."""
    return dump_json(
        {
            "id": event_id(log, number),
            "kind": "prediction.made.v1",
            "at": format_at(START_NS + number),
            "actor": {"principal": f"prn_{number % 7}", "type": "service", "chain": [f"prn_{number % 7}"]},
            "decision": {"effect": "allow", "policies": ["p"], "policy_set": "sha256:0"},
            "resource": f"models/prod/credit@1.0.{number % 3}",
            "because": [],
            "data": {
                "prediction": prediction_id(number // 2),
                "version": f"1.0.{number % 3}",
                "latency_ms": number / 4,
                "confidence": 0.5,
                "outcome": "released",
            },
        }
    )


class Bench:
    """One open ledger with its follower's settings and a list of what was recorded, per log, to compare with."""

    def __init__(self, directory: Path, *, segment_size: int = 1 << 20) -> None:
        self.clock = FixedClock(START_NS)
        self.workspace: Workspace = make_workspace(directory / "ws")
        self.root = self.workspace.ledger
        self.events_dir = events_directory(self.root, "main")
        self.ledger = OpenLedger(self.workspace, clock=self.clock, segment_size=segment_size)
        self.recorded: dict[LogName, list[bytes]] = {INFERENCE: [], ACCESS: []}

    def append(self, count: int, log: LogName = INFERENCE, *, kinds: Sequence[int] = (PREDICTION_MADE,)) -> None:
        """Record `count` events: of one kind in one batch, of several in turn, one by one."""
        done = self.recorded[log]
        raws = [event(log, number) for number in range(len(done), len(done) + count)]
        step = count if len(kinds) == 1 else 1
        for at in range(0, count, step):
            self.ledger.append(log, len(done) + 1, raws[at : at + step], kind=kinds[len(done) % len(kinds)])
            done += raws[at : at + step]

    def seal(self) -> None:
        self.ledger.publish()

    def follower(self, **settings: float) -> Follower:
        return Follower(self.root, "main", clock=self.clock, **settings)  # type: ignore[arg-type]

    def archive(self) -> int:
        """Seal and archive everything; return how many rows that were."""
        self.seal()
        with self.follower() as follower:
            return follower.step(flush=True)

    def shorten_journal(self) -> int:
        """Remove what the archive has; return the number of segments that went."""
        before = len(segment_numbers(journal_directory(self.root)))
        self.ledger.publisher.remove_segments(high_water(self.events_dir))
        return before - len(segment_numbers(journal_directory(self.root)))

    def events(self) -> Events:
        return Events(self.root, "main")

    def parts(self) -> list[Path]:
        return sorted(self.events_dir.rglob("*.parquet"))

    def close(self) -> None:
        self.ledger.close()


def told(events: Events) -> dict[str, list[bytes]]:
    """Return the bytes that a scan tells, per log that has any, and see that every index is at its place."""
    found: dict[str, list[bytes]] = {}
    for each in events.scan():
        assert each.index == len(found.setdefault(each.log, []))
        found[each.log].append(each.raw)
    return found
