"""Indices are dense, sequences gapless, and nothing counts before it is confirmed."""

from __future__ import annotations

import pytest

from jurat.ledger.layout import ANCHOR, LogName
from jurat.ledger.record import Batch, pack_record, unpack_record
from jurat.ledger.sequencer import Fresh, Gap, Last, LogHead, ProducerKey, Repeated, Sequencer, Submission
from jurat.merkle.entry import ENTRY_SIZE, Entry, commit_event, pack_entry, unpack_entry
from jurat.merkle.tree import hash_leaf

LOG, OTHER = LogName("main", "inference"), LogName("main", "access")
KEY = ProducerKey(LOG, 2, 1)


def make_sequencer() -> Sequencer:
    return Sequencer({LOG: LogHead(b"inferenc", 0, 0), OTHER: LogHead(b"access--", 0, 0), ANCHOR: LogHead(b"anchor--", 5, 0)}, {})


def submit(key: ProducerKey, first_seq: int, count: int) -> Submission:
    return Submission(key, first_seq, [51] * count, [b"{%d}" % n for n in range(first_seq, first_seq + count)])


def payloads(batch: Batch) -> list[tuple[bytes, bytes]]:
    raw, _ = pack_record(batch, group=1, following=0, prev=bytes(32))
    record = unpack_record(raw[:80], raw[80:])
    assert record is not None
    return list(record.payloads())


def entries_of(fresh: Fresh) -> list[bytes]:
    return [fresh.batch.entries[at : at + ENTRY_SIZE] for at in range(0, len(fresh.batch.entries), ENTRY_SIZE)]


def test_vector_of_the_entry_format() -> None:
    """ledger.md §3.2: one event whose bytes, salt and time are known, down to the leaf."""
    key = ProducerKey(LOG, 3, 1)
    sequencer = Sequencer({LOG: LogHead(b"inferenc", 0, 0)}, {key: Last(41, 0)}, random=lambda size: bytes(range(size)))
    raw = b'{"kind":"model.promoted.v1","model":"churn@2.3.1"}'
    (fresh,) = sequencer.prepare([Submission(key, 42, [7], [raw])], 1763700000000000000)
    assert isinstance(fresh, Fresh)
    assert unpack_entry(entries_of(fresh)[0]).commitment.hex() == "60e752d3250c3780a1dbb386bd8c2044c87d0b2b5dfca52fdbae1b8163438d48"
    assert fresh.leaf_hashes.hex() == "09c261504b243865a30438eefa951c8cb0c435ec4aa974452e2874330c74708b"


@pytest.mark.parametrize("count", [1, 3, 47, 48, 1_000])
def test_entries_are_those_that_merkle_packs(count: int) -> None:
    sequencer = make_sequencer()
    raws = [b"{}", *(b"x" * 700 + b"%d" % n for n in range(count - 1))]
    (fresh,) = sequencer.prepare([Submission(KEY, 1, [50 + n for n in range(count)], raws)], 77)
    assert isinstance(fresh, Fresh)
    opened = payloads(fresh.batch)
    assert [raw for _, raw in opened] == raws
    assert len({salt for salt, _ in opened}) == count
    expected = [pack_entry(Entry(50 + n, 2, 1, n + 1, 77, commit_event(*each))) for n, each in enumerate(opened)]
    assert entries_of(fresh) == expected
    assert fresh.leaf_hashes == b"".join(hash_leaf(entry) for entry in expected)


def test_first_sequence_number_is_one() -> None:
    assert make_sequencer().prepare([submit(KEY, 2, 1)], 1) == [Gap(1)]


def test_submissions_of_one_group_follow_each_other() -> None:
    sequencer = make_sequencer()
    other = ProducerKey(LOG, 3, 1)
    verdicts = sequencer.prepare(
        [
            submit(KEY, 1, 3),
            submit(other, 1, 2),
            submit(KEY, 4, 1),
            submit(KEY, 2, 2),
            submit(KEY, 6, 1),
            submit(ProducerKey(OTHER, 2, 1), 1, 1),
        ],
        9,
    )
    assert [v.batch.first_index if isinstance(v, Fresh) else v for v in verdicts] == [0, 3, 5, Repeated(KEY), Gap(5), 0]


def test_nothing_counts_before_it_is_confirmed() -> None:
    sequencer = make_sequencer()
    first = sequencer.prepare([submit(KEY, 1, 3)], 9)
    again = sequencer.prepare([submit(KEY, 1, 3)], 9)
    assert isinstance(first[0], Fresh)
    assert isinstance(again[0], Fresh)
    sequencer.confirm(again)
    assert sequencer.prepare([submit(KEY, 1, 3)], 9) == [Repeated(KEY)]
    assert sequencer.heads[LOG].size == 3
    assert sequencer.lasts[KEY] == Last(3, 2)


def test_only_the_new_part_of_a_resent_batch_is_taken() -> None:
    sequencer = make_sequencer()
    sequencer.confirm(sequencer.prepare([submit(KEY, 1, 3)], 9))
    (fresh,) = sequencer.prepare([submit(KEY, 2, 4)], 9)
    assert isinstance(fresh, Fresh)
    assert (fresh.duplicates, fresh.batch.first_index, fresh.batch.count, fresh.last) == (2, 3, 2, Last(5, 4))
    assert [unpack_entry(entry).seq for entry in entries_of(fresh)] == [4, 5]
    assert [raw for _, raw in payloads(fresh.batch)] == [b"{4}", b"{5}"]


def test_epochs_and_logs_have_sequences_of_their_own() -> None:
    sequencer = make_sequencer()
    sequencer.confirm(sequencer.prepare([submit(KEY, 1, 3)], 9))
    keys = [ProducerKey(LOG, 2, 2), ProducerKey(OTHER, 2, 1), ProducerKey(LOG, 3, 1)]
    assert all(isinstance(each, Fresh) for each in sequencer.prepare([submit(key, 1, 1) for key in keys], 9))


def test_time_never_goes_back_and_tells_the_order_across_logs() -> None:
    sequencer = make_sequencer()
    sequencer.confirm(sequencer.prepare([submit(KEY, 1, 1)], 1_000))
    verdicts = sequencer.prepare([submit(KEY, 2, 1), submit(ProducerKey(OTHER, 2, 1), 1, 1)], 900)
    assert [each.received_ns for each in verdicts if isinstance(each, Fresh)] == [1_001, 1_002]


def test_anchor_entries_go_on_where_the_anchor_log_ends() -> None:
    sequencer = make_sequencer()
    fresh = sequencer.anchor(ANCHOR, [b"\x81" + bytes(88)] * 2)
    assert (fresh.batch.first_index, fresh.batch.sizes, fresh.batch.payload) == (5, bytes(8), b"")
    sequencer.confirm([fresh])
    assert sequencer.heads[ANCHOR].size == 7
