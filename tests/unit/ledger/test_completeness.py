"""The gap report: each way in which a stream can be less than its producer sent is found and named; what is whole is not accused."""

from __future__ import annotations

from pathlib import Path

import pytest

from jurat.core.errors import Malformed
from jurat.core.statements import CLOSED, HEARTBEAT, OPENED, Stated, Statement, extend_hash, format_statement
from jurat.domain.kinds import BY_NAME
from jurat.ledger.arrays import LogArrays
from jurat.ledger.completeness import Completeness, Outbox, Span, survey
from jurat.ledger.layout import LogName
from jurat.ledger.producers import last_sequence
from jurat.ledger.pruned import Ended, Pruned, write_pruned
from jurat.ledger.stored import StoredEvent
from jurat.merkle.entry import ENTRY_SIZE, Entry, pack_entry

LOG = LogName("main", "inference")
PRODUCER, EPOCH, SECOND = 1000, 50, 10**9


class Written:
    """A log's entries, and the statements among them. Event `n` is received in second `n`."""

    def __init__(self, directory: Path) -> None:
        LOG.directory(directory).mkdir(parents=True)
        self.root, self.entries, self.statements = directory, list[Entry](), list[StoredEvent]()

    def event(self, seq: int, *, epoch: int = EPOCH, kind: str = "inference.observed.v1", raw: bytes = b"{}") -> Written:
        index = len(self.entries)
        entry = Entry(BY_NAME[kind].code, PRODUCER, epoch, seq, (index + 1) * SECOND, bytes([index]) * 32)
        self.entries.append(entry)
        if kind in (OPENED, HEARTBEAT, CLOSED):
            self.statements.append(
                StoredEvent(str(LOG), index, kind, PRODUCER, epoch, seq, entry.received_ns, entry.commitment, bytes(16), raw)
            )
        return self

    def state(self, kind: str, seq: int, *, epoch: int = EPOCH, hashed: int = 0, wrong: bool = False, **said: int) -> Written:
        own = [entry.commitment for entry in self.entries if entry.epoch == epoch and entry.seq <= hashed]
        running = extend_hash(bytes([wrong]) * 32, own).hex()
        data = Stated(epoch=epoch, last_seq=seq - 1, hashed_seq=hashed, running_hash=running, **said)
        return self.event(
            seq, epoch=epoch, kind=kind, raw=format_statement(Statement(kind=kind, at="2026-11-25T19:40:41.123456Z", data=data))
        )

    def survey(self, *, now_s: int = 20, span: Span = Span()) -> Completeness:  # noqa: B008
        arrays = LogArrays(LOG.directory(self.root), ENTRY_SIZE, 0)
        arrays.append_entries([pack_entry(entry) for entry in self.entries])
        arrays.close()
        return survey(self.root, [LOG], self.statements, now_s * SECOND, span=span)


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path)


def whats(found: Completeness) -> list[str]:
    return [finding.what for finding in found.findings]


def whole(written: Written) -> Written:
    return written.state(OPENED, 1).event(2).event(3).state(HEARTBEAT, 4, hashed=3).event(5)


def test_a_whole_stream_that_was_closed_is_complete(written: Written) -> None:
    found = whole(written).state(CLOSED, 6, hashed=5).survey(now_s=10**6)
    assert (whats(found), found.is_complete) == ([], True)
    (stream,) = found.streams
    assert (stream.first_seq, stream.last_seq, stream.count, stream.is_closed, stream.hashed_seq) == (1, 6, 6, True, 5)


def test_missing_numbers_are_named(written: Written) -> None:
    found = written.state(OPENED, 1).event(2).event(5).state(CLOSED, 6).survey()
    assert [(f.what, f.detail) for f in found.findings] == [("numbers_missing", "numbers 3 to 4 are not there")]
    assert (found.streams[0].missing, found.is_complete) == (2, False)


def test_a_beginning_that_is_not_there_is_missing(written: Written) -> None:
    assert [f.detail for f in written.event(3).survey().findings][:1] == ["numbers 1 to 2 are not there"]


def test_numbers_out_of_their_order_are_no_gap_but_a_fault(written: Written) -> None:
    found = written.event(1).event(2).event(2).event(3).survey()
    assert whats(found) == ["numbers_disordered", "not_stated"]
    assert not found.is_complete


def test_a_silent_producer_is_noted_after_two_periods_and_not_before(written: Written) -> None:
    whole(written)
    assert whats(written.survey(now_s=5 + 20)) == []
    found = written.survey(now_s=5 + 21)
    assert (whats(found), found.is_complete) == (["silent"], True)


def test_an_epoch_that_ended_without_a_word(written: Written) -> None:
    found = whole(written).state(OPENED, 1, epoch=60, previous_epoch=EPOCH, previous_last_seq=5).survey()
    assert whats(found) == ["not_closed"]


def test_a_tail_that_was_cut_shows_in_the_next_epochs_word(written: Written) -> None:
    found = whole(written).state(OPENED, 1, epoch=60, previous_epoch=EPOCH, previous_last_seq=7).survey()
    assert "tail_cut" in whats(found)
    assert not found.is_complete
    gone = Written(written.root / "gone").state(OPENED, 1, epoch=60, previous_epoch=EPOCH, previous_last_seq=7).survey()
    assert [(f.what, f.epoch) for f in gone.findings] == [("tail_cut", EPOCH)]


def test_events_that_are_not_those_that_were_sent(written: Written) -> None:
    found = written.state(OPENED, 1).event(2).state(HEARTBEAT, 3, hashed=2, wrong=True).survey()
    assert whats(found) == ["hash_wrong"]
    assert not found.is_complete


def test_a_statement_that_speaks_of_something_else(written: Written) -> None:
    written.event(1).event(2, kind=HEARTBEAT, raw=b"{}")
    assert "statement_wrong" in whats(written.survey())
    other = Written(written.root / "other").event(1)
    data = Stated(epoch=EPOCH, last_seq=7)
    other.event(2, kind=HEARTBEAT, raw=format_statement(Statement(kind=HEARTBEAT, at="2026-11-25T19:40:41.123456Z", data=data)))
    assert "statement_wrong" in whats(other.survey())


def test_a_span_of_time_begins_where_it_begins(written: Written) -> None:
    found = whole(written).survey(span=Span(3 * SECOND, 5 * SECOND))
    (stream,) = found.streams
    assert (stream.first_seq, stream.last_seq, stream.count, stream.missing) == (3, 4, 2, 0)
    with pytest.raises(Malformed, match="ends before"):
        written.survey(span=Span(5, 5))


def test_the_outbox_and_the_ledger_count_the_same(written: Written) -> None:
    found = written.event(1).event(2).survey()
    for before, after, expected in ((3, 3, []), (2, 4, []), (4, 4, ["outbox_ahead"]), (2, 2, ["outbox_behind"]), (1, 1, ["outbox_behind"])):
        compared = found.with_outbox({LOG: 2}, Outbox(PRODUCER, EPOCH, {"inference": before}, {"inference": after}))
        assert [what for what in whats(compared) if what.startswith("outbox")] == expected
        assert compared.is_complete == (not expected)
        assert "not_stated" not in whats(compared), "its end is known by the outbox's own count"
        assert [stream.is_counted for stream in compared.streams] == [True]
    nothing = found.with_outbox({LOG: 0}, Outbox(1, 7, {"inference": 2}, {"inference": 2}))
    assert {"outbox_ahead", "not_stated"} <= set(whats(nothing))


def test_how_far_the_outbox_came_does_not_depend_on_the_span_nor_on_what_is_pruned(written: Written) -> None:
    written.event(1).event(2)
    outbox = Outbox(PRODUCER, EPOCH, {"inference": 3}, {"inference": 3})
    later = written.survey(span=Span(from_ns=3 * SECOND))
    assert later.streams == []
    reached = {LOG: last_sequence(written.root, LOG, PRODUCER, EPOCH)}
    assert later.with_outbox(reached, outbox).is_complete
    assert (last_sequence(written.root, LOG, PRODUCER, EPOCH + 1), last_sequence(written.root, LOG, PRODUCER + 1, EPOCH)) == (0, 0)
    write_pruned(LOG.directory(written.root), Pruned(minimum=2, ended=(Ended(9, 4, 17, 1, False),)))
    assert last_sequence(written.root, LOG, 9, 4) == 17
