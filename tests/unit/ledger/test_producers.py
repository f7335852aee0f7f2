"""What the entries say about producers, over pieces larger than one read."""

from __future__ import annotations

from pathlib import Path

import pytest

from jurat.core.errors import Tampered
from jurat.ledger.arrays import LogArrays
from jurat.ledger.layout import ANCHOR, LogName
from jurat.ledger.producers import find_sequences, last_anchored, last_sequences
from jurat.ledger.sequencer import Last, ProducerKey
from jurat.merkle.entry import AnchorEntry, Entry, pack_anchor_entry, pack_entry

LOG = LogName("main", "inference")
SIZE = 70_000  # more than one piece


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> LogArrays:
    """Producer 2 in epochs 1 and 2 takes turns with producer 3; producer 4 was there once, long ago."""
    found = LogArrays(tmp_path_factory.mktemp("producers"), 59, 0)
    entries = [pack_entry(Entry(51, 4, 9, 1, 10, bytes(32)))]
    entries += [pack_entry(Entry(51, 2 + at % 2, 1 + (at > 50_000), at // 2 + 1, 10, bytes(32))) for at in range(SIZE - 1)]
    found.append_entries(entries)
    return found


def test_last_sequences_are_those_of_a_plain_loop(arrays: LogArrays) -> None:
    expected = {
        ProducerKey(LOG, 4, 9): Last(1, 0),
        ProducerKey(LOG, 2, 1): Last(25_001, 50_001),
        ProducerKey(LOG, 3, 1): Last(25_000, 50_000),
        ProducerKey(LOG, 2, 2): Last(35_000, 69_999),
        ProducerKey(LOG, 3, 2): Last(34_999, 69_998),
    }
    assert last_sequences(LOG, arrays, 0, SIZE) == expected
    assert last_sequences(LOG, arrays, 50_002, SIZE).keys() == {ProducerKey(LOG, 2, 2), ProducerKey(LOG, 3, 2)}
    assert last_sequences(LOG, arrays, 0, 0) == {}


def test_sequences_are_found_wherever_they_lie(arrays: LogArrays) -> None:
    assert find_sequences(arrays, SIZE, 2, 2, 34_998, 3) == [69_995, 69_997, 69_999]
    assert find_sequences(arrays, SIZE, 4, 9, 1, 1) == [0]
    first_piece_ends_at = SIZE - 65_536
    around = find_sequences(arrays, SIZE, 3, 1, first_piece_ends_at // 2 - 3, 6)
    assert around == [2 * seq for seq in range(first_piece_ends_at // 2 - 3, first_piece_ends_at // 2 + 3)]
    assert around[0] < first_piece_ends_at < around[-1]


def test_missing_sequence_is_tampered(arrays: LogArrays) -> None:
    for asked in ((2, 1, 25_001, 2), (2, 3, 1, 1), (5, 1, 1, 1)):
        with pytest.raises(Tampered):
            find_sequences(arrays, SIZE, *asked)


def test_what_is_anchored_last_is_found(tmp_path: Path) -> None:
    anchor = LogArrays(tmp_path, ANCHOR.entry_size, 0)
    old, busy, never = (bytes([n]) * 32 for n in range(3))
    sizes = [(old, 5)] + [(busy, n) for n in range(1, 66_000)]
    anchor.append_entries([pack_anchor_entry(AnchorEntry(origin, size, 0, 1, bytes(32))) for origin, size in sizes])
    assert last_anchored(anchor, anchor.size, [busy])[busy].size == 65_999
    for wanted in ([busy, old], [never]):
        assert {origin: entry.size for origin, entry in last_anchored(anchor, anchor.size, wanted).items()} == {busy: 65_999, old: 5}
    anchor.close()
