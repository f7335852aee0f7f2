"""However the ledger's events are split between archive and tail, and however often files are swapped, a scan is the plain list."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.ledger_workspace import ACCESS, INFERENCE, PREDICTION_MADE, RECORDS_READ
from tests.scenes.archive import PREDICTION_REQUESTED, Bench, event_id, told

from jurat.ledger.query import Events


class ArchiveAndTail(RuleBasedStateMachine):
    """One writer, one follower that comes and goes, one reader that stays and one that is new each time."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(prefix="archive-and-tail-")
        self.bench = Bench(Path(self.directory.name), segment_size=8_192)
        self.stays = self.bench.events()

    @rule(count=st.integers(1, 9), log=st.sampled_from([INFERENCE, ACCESS]))
    def append(self, count: int, log: object) -> None:
        if log == ACCESS:
            self.bench.append(count, ACCESS, kinds=[RECORDS_READ])
        else:
            self.bench.append(count, kinds=[PREDICTION_REQUESTED, PREDICTION_MADE])

    @rule()
    def seal(self) -> None:
        self.bench.seal()

    @rule(days=st.integers(1, 2))
    def wait(self, days: int) -> None:
        self.bench.clock.advance(days * 86_400)

    @rule(rows=st.sampled_from([1, 5, 20]))
    def follow(self, rows: int) -> None:
        with self.bench.follower(flush_rows=rows) as follower:
            follower.step()
            assert follower.step() == 0

    @rule(everything=st.booleans())
    def merge(self, everything: bool) -> None:
        with self.bench.follower(grace_s=0) as follower:
            follower.compact(everything=everything)
            follower.compact()
            listed = {part.path for part in follower.manifest.parts}
        assert {str(path.relative_to(self.bench.events_dir)) for path in self.bench.parts()} == listed

    @rule()
    def shorten_journal(self) -> None:
        self.bench.shorten_journal()

    @rule(log=st.sampled_from([INFERENCE, ACCESS]), choice=st.randoms(use_true_random=False))
    def find(self, log: object, choice: object) -> None:
        recorded = self.bench.recorded[log]
        if recorded:
            number = choice.randrange(len(recorded))
            found = self.stays.find(event_id(log, number))
            assert (found.log, found.index, found.raw) == (str(log), number, recorded[number])
            start = choice.randrange(len(recorded))
            assert [each.raw for each in self.stays.scan(classes=[log.name], after={str(log): start})] == recorded[start:]

    @invariant()
    def nothing_is_missing_or_twice(self) -> None:
        expected = {str(log): raws for log, raws in self.bench.recorded.items() if raws}
        assert told(self.stays) == expected
        assert told(Events(self.bench.root, "main")) == expected

    def teardown(self) -> None:
        self.bench.close()
        self.directory.cleanup()


TestArchiveAndTail = ArchiveAndTail.TestCase
TestArchiveAndTail.settings = settings(max_examples=12, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck))
