"""Who was heard of last: the newest epoch of each producer, its last number, and whether it said that it ends; look by look."""

from __future__ import annotations

from pathlib import Path

import pytest

from jurat.core.statements import CLOSED, HEARTBEAT, OPENED
from jurat.domain.kinds import BY_NAME
from jurat.ledger import voices
from jurat.ledger.arrays import LogArrays
from jurat.ledger.layout import LogName
from jurat.ledger.voices import Voice, Voices
from jurat.merkle.entry import ENTRY_SIZE, Entry, pack_entry

LOG = LogName("main", "inference")
OBSERVED = "inference.observed.v1"


class Written:
    """A log that grows; entry `n` is received in second `n`."""

    def __init__(self, root: Path) -> None:
        LOG.directory(root).mkdir(parents=True)
        self.arrays = LogArrays(LOG.directory(root), ENTRY_SIZE, 0)

    def add(self, kind: str, producer: int, epoch: int, seq: int) -> None:
        index = self.arrays.size
        self.arrays.append_entries([pack_entry(Entry(BY_NAME[kind].code, producer, epoch, seq, index * 10**9, bytes(32)))])


@pytest.mark.parametrize("chunk", [1, 3, 65_536])
def test_each_look_goes_on_where_the_last_one_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(voices, "_CHUNK", chunk)
    written, watch = Written(tmp_path), Voices(tmp_path, [LOG])
    assert watch.look() == []
    written.add(OPENED, 7, 100, 1)
    written.add(OBSERVED, 8, 5, 1)
    written.add(OBSERVED, 7, 100, 2)
    expected = {
        Voice("main/inference", 7, 100, 2, 2 * 10**9, 0, is_closed=False),
        Voice("main/inference", 8, 5, 1, 10**9, None, is_closed=False),
    }
    assert set(watch.look()) == expected
    assert set(watch.look()) == expected, "nothing new"
    written.add(HEARTBEAT, 7, 100, 3)
    written.add(CLOSED, 7, 100, 4)
    assert Voice("main/inference", 7, 100, 4, 4 * 10**9, 4, is_closed=True) in watch.look()
    written.add(OBSERVED, 7, 101, 1)  # a fresh epoch, of which nothing is stated
    assert Voice("main/inference", 7, 101, 1, 5 * 10**9, None, is_closed=False) in watch.look()
    written.add(HEARTBEAT, 7, 101, 2)
    written.add(OBSERVED, 7, 101, 3)
    assert set(watch.look()) == set(Voices(tmp_path, [LOG]).look()), "as if it had been read at once"
    assert Voice("main/inference", 7, 101, 3, 7 * 10**9, 6, is_closed=False) in watch.look()


def test_the_first_look_goes_back_only_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voices, "MOST_AT_FIRST", 2)
    written = Written(tmp_path)
    for seq in range(1, 5):
        written.add(OBSERVED, seq, 1, 1)
    assert {voice.producer for voice in Voices(tmp_path, [LOG]).look()} == {3, 4}
