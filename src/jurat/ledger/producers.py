"""What the entries say about producers: how far each has come, and where one of its events lies.

The entries carry (producer, epoch, seq) in the clear, so nothing else has to be kept for a duplicate to be recognised
after any crash. Reads flat arrays in large pieces, with numpy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from jurat.core.errors import Tampered
from jurat.ledger.arrays import ArrayReader
from jurat.ledger.layout import LogName
from jurat.ledger.pruned import Ended
from jurat.ledger.sequencer import Last, ProducerKey
from jurat.merkle.entry import ENTRY_SIZE, AnchorEntry, unpack_anchor_entry

_CHUNK: Final = 65_536  # entries
_ROW: Final = np.dtype(
    {
        "names": ["producer", "epoch", "seq"],
        "formats": [">u4", ">u4", ">u8"],
        "offsets": [5, 9, 13],
        "itemsize": ENTRY_SIZE + 2,  # the size prefix first
    }
)


def last_sequences(log: LogName, arrays: ArrayReader, first: int, end: int) -> dict[ProducerKey, Last]:
    """Return the last event of each producer and epoch among the entries [first, end)."""
    found: dict[ProducerKey, Last] = {}
    for begin in range(first, end, _CHUNK):
        rows = _rows(arrays, begin, min(begin + _CHUNK, end))
        key = rows["producer"].astype(np.uint64) << np.uint64(32) | rows["epoch"].astype(np.uint64)
        _, from_the_end = np.unique(key[::-1], return_index=True)
        for at in len(rows) - 1 - from_the_end:
            row = rows[at]
            found[ProducerKey(log, int(row["producer"]), int(row["epoch"]))] = Last(int(row["seq"]), begin + int(at))
    return found


def ended_sequences(log: LogName, ended: Iterable[Ended]) -> dict[ProducerKey, Last]:
    """Return the last event of each producer and epoch that lies where the log is pruned."""
    return {ProducerKey(log, each.producer, each.epoch): Last(each.seq, each.at) for each in ended}


def find_sequences(arrays: ArrayReader, size: int, producer: int, epoch: int, first_seq: int, count: int, *, floor: int = 0) -> list[int]:
    """Return the indices of `count` events of a producer that are known to be there, looking from the end backwards.

    Args:
        floor: the first entry that is not pruned.

    Raises:
        Tampered: one of them is not there.
    """
    found: list[int] = []
    for end in range(size, floor, -_CHUNK):
        begin = max(floor, end - _CHUNK)
        rows = _rows(arrays, begin, end)
        is_mine = (rows["producer"] == producer) & (rows["epoch"] == epoch)
        places = np.flatnonzero(is_mine & (rows["seq"] >= first_seq) & (rows["seq"] < first_seq + count))
        found = [*(begin + places).tolist(), *found]
        if len(found) >= count:
            return found
    raise Tampered(
        f"of producer `{producer}` epoch `{epoch}`, `{count}` events from seq `{first_seq}` were acknowledged, but are not all there",
        hint="stop, and run `jurat verify`",
        code="entries_missing",
    )


def last_sequence(ledger_root: Path, log: LogName, producer: int, epoch: int) -> int:
    """Return the number of a producer's last event in a log, pruned or not; 0 if it has none there."""
    arrays = ArrayReader(log.directory(ledger_root), log.entry_size)
    try:
        for end in range(arrays.whole_size(), arrays.pruned.floor, -_CHUNK):
            rows = _rows(arrays, max(arrays.pruned.floor, end - _CHUNK), end)
            mine = rows["seq"][(rows["producer"] == producer) & (rows["epoch"] == epoch)]
            if len(mine):
                return int(mine[-1])
        return next((each.seq for each in arrays.pruned.ended if (each.producer, each.epoch) == (producer, epoch)), 0)
    finally:
        arrays.close()


def last_anchored(arrays: ArrayReader, end: int, wanted: Collection[bytes]) -> dict[bytes, AnchorEntry]:
    """Return the last entry that the anchor log has for each wanted log, by SHA256(origin); those that it has not are missing."""
    found: dict[bytes, AnchorEntry] = {}
    for last in range(end, 0, -_CHUNK):
        for raw in reversed(arrays.entries(max(0, last - _CHUNK), last)):
            entry = unpack_anchor_entry(raw)
            found.setdefault(entry.origin_hash, entry)
        if found.keys() >= set(wanted):
            break
    return found


def _rows(arrays: ArrayReader, begin: int, end: int) -> NDArray[np.void]:
    return np.frombuffer(arrays.raw_entries(begin, end), dtype=_ROW)
