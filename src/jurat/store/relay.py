"""The relay: moves the outbox to the ledger, oldest first, each event exactly once.

An event leaves the outbox only after the ledger has acknowledged it. A crash in between repeats the append with the same
sequence number, which the ledger answers with the first index. A number that is missing means that somebody removed a
row before the ledger had it; a ledger that has more than this database ever numbered means that the database is an older
one, restored: in both cases the relay stops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from jurat.core.errors import Conflict, Tampered
from jurat.store.store import CHANNEL, FIRST_SEQ, Store

_LOCK: Final = 0x7265_6C61  # "rela": one relay at a time
_MAX_STEP_BYTES: Final = 8 * 1024 * 1024


L = TypeVar("L")
L_contra = TypeVar("L_contra", contravariant=True)


class LedgerAppends(Protocol[L_contra]):
    """What the relay needs of the ledger."""

    def append(self, log: L_contra, first_seq: int, items: Sequence[tuple[int, bytes]]) -> object:
        """Return when the items (kind code, bytes) are durable under consecutive sequence numbers.

        Numbers that the ledger has already are answered, not written again.

        Raises:
            Conflict: code `sequence_gap`: a number before `first_seq` never came.
        """
        ...

    def last_seq(self, log: L_contra) -> int:
        """Return the last number that the ledger has of this producer and epoch in a log; 0 if none."""
        ...


class _Waiting(NamedTuple):
    position: int
    log: str
    seq: int
    kind_code: int
    raw: bytes


class Relay(Generic[L]):
    """The one reader of the outbox.

    Args:
        store: opened with the relay's role.
        ledger: speaks as the producer `relay`, in the epoch `store.relay_epoch()`: a new database begins a new sequence.
        logs: retention class → the log's name as the ledger knows it.
    """

    def __init__(self, store: Store, ledger: LedgerAppends[L], logs: Mapping[str, L]) -> None:
        self._store = store
        self._ledger = ledger
        self._logs = logs

    def check_start(self) -> None:
        """Pass if the ledger has nothing that this database did not number.

        A database restored from an older backup would give numbers again that history has already, and would hold as
        state what was changed since. The ledger is asked first, so acts that happen meanwhile cannot look like that.

        Raises:
            Tampered: it has.
            Unavailable: the database or the ledger is away.
        """
        in_ledger = {name: self._ledger.last_seq(log) for name, log in self._logs.items()}
        numbered = self._store.next_seqs()
        for name, last in in_ledger.items():
            here = numbered.get(name, FIRST_SEQ) - 1
            if last > here:
                raise Tampered(
                    f"the ledger has event {last} of log `{name}` from this database, which itself has numbered only {here}",
                    hint="an older copy of the database was put in its place: restore the newest one; nothing was changed",
                    code="database_rolled_back",
                )

    def step(self, max_events: int = 1000) -> int:
        """Move the oldest events; returns how many, 0 when there are none or another relay is at work.

        Events of one log that follow each other go in one append. The order across logs is kept, too, so the times at
        which the ledger received them tell the order of the acts.

        Raises:
            Tampered: an event is missing from the outbox that the ledger never got.
            Unavailable: the database or the ledger is away; nothing is lost, call again.
        """
        with self._store.connection() as connection, connection.transaction():
            row = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK]).fetchone()
            if row is None or not row[0]:
                return 0
            waiting = [
                _Waiting(*found)
                for found in connection.execute(
                    "SELECT position, log, seq, kind_code, raw FROM ("
                    " SELECT *, sum(octet_length(raw)) OVER (ORDER BY position) - octet_length(raw) AS before FROM ("
                    "  SELECT * FROM outbox.event ORDER BY position LIMIT %s) AS oldest) AS measured"
                    " WHERE before < %s ORDER BY position",
                    [max_events, _MAX_STEP_BYTES],
                )
            ]
            for log, group in groupby(waiting, key=lambda event: event.log):
                self._append(log, list(group))
            if waiting:
                connection.execute("DELETE FROM outbox.event WHERE position <= %s", [waiting[-1].position])
            return len(waiting)

    def wait(self, timeout_s: float) -> bool:
        """Return True as soon as there is something to move, False after the timeout."""
        with self._store.connection() as connection:
            connection.execute(f"LISTEN {CHANNEL}")  # first listen, then look: nothing falls between
            try:
                if connection.execute("SELECT 1 FROM outbox.event LIMIT 1").fetchone() is not None:
                    return True
                return any(True for _ in connection.notifies(timeout=timeout_s, stop_after=1))
            finally:
                if not connection.closed:
                    connection.execute(f"UNLISTEN {CHANNEL}")

    def _append(self, log: str, events: list[_Waiting]) -> None:
        for earlier, later in pairwise(events):
            if later.seq != earlier.seq + 1:
                raise _removed(log, earlier.seq + 1, later.seq)
        try:
            self._ledger.append(self._logs[log], events[0].seq, [(event.kind_code, event.raw) for event in events])
        except Conflict as error:
            if error.code == "sequence_gap":
                raise _removed(log, error.fields.get("expected"), events[0].seq) from error
            raise


def _removed(log: str, expected: object, found: int) -> Tampered:
    return Tampered(
        f"the outbox has event {found} of log `{log}`, but the ledger still waits for event {expected}",
        hint="somebody removed events before the ledger had them: stop, keep the database as it is, and find out who",
        code="outbox_gap",
    )
