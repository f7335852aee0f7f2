"""Connections to the sequencer for others' events: each lane has an epoch and one append under way.

A *numbered* lane speaks in an epoch that its producer keeps and numbers. A *borrowed* one belongs to us: we number, for
producers that do not. After anything that leaves its outcome unknown a borrowed lane is thrown away, so a number is
never used for another event.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from jurat.core.errors import Exhausted, Malformed
from jurat.ledger.client import Appended
from jurat.ledger.layout import LogName

_LANES_EACH: Final = 4  # at work for one producer that does not number; more wait
_MOST_NUMBERED: Final = 64
_PATIENCE_S: Final = 5.0


class Client(Protocol):
    """What a lane needs of the ledger's client."""

    epoch: int

    def append(
        self, log: LogName, first_seq: int, items: list[tuple[int, bytes]], *, want_receipt: bool, want_commitments: bool
    ) -> Appended: ...
    def last_seq(self, log: LogName) -> int: ...
    def close(self) -> None: ...


Connect = Callable[[int, int | None], Client]


class Lane:
    """One epoch, numbered here."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._next: dict[LogName, int] = {}

    @property
    def epoch(self) -> int:
        return self.client.epoch

    def next_seq(self, log: LogName) -> int:
        """Return the number of the next event in a log."""
        return self._next.get(log, 1)

    def count(self, log: LogName, events: int) -> None:
        """Remember that so many more are durable."""
        self._next[log] = self.next_seq(log) + events


class _Numbered:
    def __init__(self, client: Client) -> None:
        self.client, self.lock = client, threading.Lock()


class Lanes:
    """All lanes of a process. Thread-safe."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._changed = threading.Condition()  # owns what follows
        self._idle: dict[int, list[Lane]] = {}
        self._at_work: dict[int, int] = {}
        self._numbered: OrderedDict[tuple[int, int], _Numbered] = OrderedDict()

    @contextlib.contextmanager
    def borrowed(self, producer: int) -> Iterator[Lane]:
        """A lane of ours for one producer, for one append.

        Raises:
            Exhausted: the producer's lanes are all at work, and stay so.
            Unavailable: there is no sequencer.
        """
        lane = self._take(producer)
        keep = False
        try:
            if lane is None:
                lane = Lane(self._connect(producer, None))
            yield lane
            keep = True
        except Malformed:
            keep = lane is not None  # refused before anything was written
            raise
        finally:
            with self._changed:
                self._at_work[producer] -= 1
                if lane is not None and keep:
                    self._idle.setdefault(producer, []).append(lane)
                self._changed.notify()
            if lane is not None and not keep:
                lane.client.close()

    @contextlib.contextmanager
    def numbered(self, producer: int, epoch: int) -> Iterator[Client]:
        """The lane of an epoch that the producer numbers."""
        with self._changed:
            found = self._numbered.get((producer, epoch))
            if found is not None:
                self._numbered.move_to_end((producer, epoch))
        if found is None:
            found = _Numbered(self._connect(producer, epoch))
            with self._changed:
                if other := self._numbered.get((producer, epoch)):
                    found.client.close()
                    found = other
                self._numbered[producer, epoch] = found
                self._drop_oldest()
        with found.lock:
            yield found.client

    def close(self) -> None:
        """Close every connection that is idle."""
        with self._changed:
            for lanes in self._idle.values():
                for lane in lanes:
                    lane.client.close()
            self._idle.clear()
            for numbered in self._numbered.values():
                if numbered.lock.acquire(blocking=False):
                    numbered.client.close()
                    numbered.lock.release()
            self._numbered.clear()

    def _take(self, producer: int) -> Lane | None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._at_work.get(producer, 0) < _LANES_EACH, _PATIENCE_S):
                raise Exhausted(
                    f"`{_LANES_EACH}` batches of producer `{producer}` are under way already",
                    retry_after_s=1,
                    hint="send larger batches, fewer",
                )
            self._at_work[producer] = self._at_work.get(producer, 0) + 1
            idle = self._idle.get(producer)
            return idle.pop() if idle else None

    def _drop_oldest(self) -> None:
        for key, numbered in list(self._numbered.items()):
            if len(self._numbered) <= _MOST_NUMBERED:
                return
            if numbered.lock.acquire(blocking=False):  # whoever waits for it would find it closed, and it connects anew by itself
                numbered.client.close()
                numbered.lock.release()
                del self._numbered[key]
