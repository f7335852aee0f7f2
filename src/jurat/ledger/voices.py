"""Who was heard of last in which log, from the entries alone: each look reads what came since the one before.

Kind, producer, epoch, number and time lie in the clear there, so nothing is decoded, and a hundred thousand new entries cost
some milliseconds. What a producer stated is in its events' bytes, and not read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from jurat.core.statements import CLOSED, HEARTBEAT, OPENED
from jurat.domain.kinds import BY_NAME
from jurat.ledger.arrays import ENTRY_FIELDS
from jurat.ledger.layout import LogName
from jurat.ledger.verify_log import LogFiles

MOST_AT_FIRST: Final = 20_000_000  # entries of a log that the first look goes back; a minute's work at most
_CHUNK: Final = 65_536  # entries
_CLOSED: Final = BY_NAME[CLOSED].code
_STATEMENTS: Final = np.array([BY_NAME[kind].code for kind in (OPENED, HEARTBEAT, CLOSED)], np.uint16)


class Voice(NamedTuple):
    """The newest epoch of a producer in a log. `stated`: index of its last statement; None: it never made one."""

    log: str
    producer: int
    epoch: int
    last_seq: int
    last_received_ns: int
    stated: int | None
    is_closed: bool


class Voices:
    """Remembers how far it has looked. One for each who watches."""

    def __init__(self, ledger_root: Path, logs: Sequence[LogName]) -> None:
        self._files = {str(log): LogFiles(log.directory(ledger_root), log.entry_size) for log in logs}
        self._seen: dict[str, int] = {}
        self._voices: dict[tuple[str, int], Voice] = {}

    def look(self) -> list[Voice]:
        """Return every producer in every log, as of now."""
        for log, files in self._files.items():
            size = files.count("entries")
            begin = self._seen.get(log, max(0, size - MOST_AT_FIRST))
            while begin < size:
                raw = np.frombuffer(files.read("entries", begin, min(size, begin + _CHUNK)), np.uint8)
                rows = raw[: len(raw) - len(raw) % files.stride].reshape(-1, files.stride)
                if not len(rows):
                    break  # cut while we looked
                self._hear(log, begin, np.ascontiguousarray(rows[:, 2:]).view(ENTRY_FIELDS)[:, 0])
                begin += len(rows)
            self._seen[log] = begin
        return list(self._voices.values())

    def _hear(self, log: str, begin: int, rows: np.ndarray[tuple[int], np.dtype[np.void]]) -> None:
        backwards = rows["producer"][::-1]
        is_statement = np.isin(rows["kind_code"], _STATEMENTS)
        for producer, at in zip(*np.unique(backwards, return_index=True), strict=True):
            last = rows[len(rows) - 1 - int(at)]
            old = self._voices.get((log, int(producer)))
            mine = np.flatnonzero(is_statement & (rows["producer"] == producer) & (rows["epoch"] == last["epoch"]))
            is_same = old is not None and old.epoch == int(last["epoch"])
            stated = begin + int(mine[-1]) if len(mine) else old.stated if old is not None and is_same else None
            is_closed = int(rows["kind_code"][mine[-1]]) == _CLOSED if len(mine) else bool(old and is_same and old.is_closed)
            self._voices[log, int(producer)] = Voice(
                log, int(producer), int(last["epoch"]), int(last["seq"]), int(last["received_ns"]), stated, is_closed
            )
