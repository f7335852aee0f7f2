"""Archive files checked by several processes: `python -m jurat.ledger.verify_crew`, one file after the other until stdin ends.

    to it     per file: u32 size, MessagePack of `Work`
    from it   u32 size, MessagePack of a number (rows done), or of `Seen` once the file is done

A process that dies over a file (its decoder met something built to kill it) is a fault of that file; another takes the next.
"""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final

import msgspec
import numpy as np
import numpy.typing as npt

from jurat.domain.facts_keeping import Stretch
from jurat.ledger.faults import Fault, Faults
from jurat.ledger.layout import parse_log_name
from jurat.ledger.manifest import Part
from jurat.ledger.verify_events import EventCheck, Suspect
from jurat.ledger.verify_log import LogFiles

_PREFIX: Final = 4


class Work(msgspec.Struct, frozen=True):
    """One archive file to check against its log."""

    path: str
    part: Part
    file: str  # how faults name it
    size: int  # of the log, as signed
    log_directory: str
    may_be_gone: list[Stretch] = []
    must_be_gone: list[Stretch] = []
    minimum: int = 0  # index below which the log is pruned


class _Seen(msgspec.Struct, frozen=True):
    indexes: bytes  # u64 each
    suspects: list[tuple[int, Suspect]]
    checked: int
    faults: list[Fault]


class Seen(msgspec.Struct, frozen=True):
    """What was seen in one file."""

    indexes: npt.NDArray[np.uint64]
    suspects: Sequence[tuple[int, Suspect]]
    checked: int
    faults: Sequence[Fault]


def check_in_children(work: Sequence[Work], jobs: int, tick: Callable[[int], None]) -> list[Seen]:
    """Return what was seen in each file, in the order of `work`. No process outlives this call."""
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in sorted(range(len(work)), key=lambda number: -work[number].part.rows):
        waiting.put(number)
    ticks: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    found: dict[int, Seen] = {}
    mates = [_Mate() for _ in range(jobs)]

    def drive(mate: _Mate) -> None:
        try:
            while True:
                try:
                    number = waiting.get_nowait()
                except queue.Empty:
                    return
                found[number] = mate.check(work[number], ticks.put)
        finally:
            ticks.put(None)

    threads = [threading.Thread(target=drive, args=(mate,), daemon=True) for mate in mates]
    try:
        for thread in threads:
            thread.start()
        left = len(threads)
        while left:  # in this thread: whoever counts need not be ready for several
            count = ticks.get()
            left -= count is None
            tick(count or 0)
    finally:
        for mate in mates:
            mate.end()
    return [found[number] for number in range(len(work))]


class _Mate:
    """One process, started when it is needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # owns: `_process` and `_is_over`
        self._is_over = False

    def check(self, work: Work, tick: Callable[[int], None]) -> Seen:
        process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            _put(process.stdin, msgspec.msgpack.encode(work))
            while (raw := _get(process.stdout)) is not None:
                reply = msgspec.msgpack.decode(raw, type=int | _Seen)
                if isinstance(reply, _Seen):
                    return Seen(np.frombuffer(reply.indexes, np.uint64), reply.suspects, reply.checked, reply.faults)
                tick(reply)
        except (OSError, msgspec.DecodeError):
            pass
        self._stop()
        detail = f"whatever it holds, the process that read it died of it (exit status {process.returncode})"
        part = work.part
        fault = Fault(log=part.log, what="parquet_altered", detail=detail, index=part.first, last_index=part.last, file=work.file)
        return Seen(np.zeros(0, np.uint64), (), 0, (fault,))

    def end(self) -> None:
        """End it, whatever it is doing."""
        with self._lock:
            self._is_over = True
        self._stop()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._process is None:
                assert not self._is_over
                command = [sys.executable, "-m", "jurat.ledger.verify_crew"]
                self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            return self._process

    def _stop(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def main() -> None:
    """Check one file after the other."""
    from jurat.ledger.verify_parts import check_part

    into, out = sys.stdin.buffer, sys.stdout.buffer
    while (raw := _get(into)) is not None:
        work = msgspec.msgpack.decode(raw, type=Work)
        log, faults = parse_log_name(work.part.log), Faults()
        files = LogFiles(Path(work.log_directory), log.entry_size)
        files.minimum = work.minimum
        check = _Recorder(work.part.log, files, work.size, faults)
        check.expect_gone(work.may_be_gone, work.must_be_gone)
        check_part(Path(work.path), work.part, work.file, check, faults, lambda count: _put(out, msgspec.msgpack.encode(count)))
        suspects = [(index, suspect) for index, some in check.suspects.items() for suspect in some]
        seen = _Seen(b"".join(check.indexes), suspects, check.checked, faults.all())
        _put(out, msgspec.msgpack.encode(seen))


class _Recorder(EventCheck):
    """Remembers which indexes were counted, to tell them elsewhere."""

    def __init__(self, log: str, files: LogFiles, size: int, faults: Faults) -> None:
        super().__init__(log, files, size, faults)
        self.indexes: list[bytes] = []

    def count_archived(self, indexes: npt.NDArray[np.uint64], file: str) -> None:
        super().count_archived(indexes, file)
        self.indexes.append(indexes.astype(np.uint64).tobytes())


def _put(pipe: IO[bytes], raw: bytes) -> None:
    pipe.write(len(raw).to_bytes(_PREFIX) + raw)
    pipe.flush()


def _get(pipe: IO[bytes]) -> bytes | None:
    """Return the next frame, or None at the end."""
    head = pipe.read(_PREFIX)
    if len(head) < _PREFIX:
        return None
    size = int.from_bytes(head)
    raw = pipe.read(size)
    return raw if len(raw) == size else None


if __name__ == "__main__":
    main()
