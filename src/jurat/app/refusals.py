"""What was refused at the door for events: counted always, and recorded with a commitment to the bytes, within a rate.

The bytes themselves are not kept: they were refused because nobody should keep them. Whoever sent them gets the salt, and
can show later what it was that was refused. A producer that floods the door is counted, and one record says how many
more there were, so that its rubbish does not hold up everybody's acts.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

from jurat.app.wiring import App
from jurat.core.errors import Denied, JuratError
from jurat.domain.context import Context
from jurat.domain.events import Actor
from jurat.domain.facts import ActDenied, EventRejected
from jurat.merkle.entry import SALT_SIZE, commit_event

_BURST: Final = 20  # records of one producer at once
_PER_S: Final = 1.0


class Refusals:
    """Counts since the process began, by producer and reason. Thread-safe."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._counts: dict[int, Counter[str]] = {}
        self._left: dict[int, tuple[float, float]] = {}  # records that are left, as of when
        self._unrecorded: Counter[int] = Counter()

    def counts(self, producer: int) -> dict[str, int]:
        """Return how often each reason was given to a producer."""
        with self._lock:
            return dict(self._counts.get(producer, {}))

    def keep(self, caller: Actor, producer: int, retention: str, raws: Sequence[bytes], error: JuratError) -> None:
        """Count a refusal and, within the rate, record it; the error then says under which event and with which salt."""
        with self._lock:
            self._counts.setdefault(producer, Counter())[error.code] += 1
            if not self._may_record(producer):
                self._unrecorded[producer] += 1
                return
            more, self._unrecorded[producer] = self._unrecorded[producer], 0
        line = error.fields.get("line")
        raw = raws[line - 1] if isinstance(line, int) and 0 < line <= len(raws) else b"\n".join(raws)
        salt = os.urandom(SALT_SIZE)
        reason = error.code + (f"; {more} more refusals before it were counted, not recorded" if more else "")
        with self._app.store.transaction() as tx:
            context = Context(caller, self._app.clock.now_ns(), None, f"ledger/{retention}")
            event = context.event(EventRejected(producer=str(producer), reason=reason, commitment=commit_event(salt, raw).hex()))
            tx.record([event])
        error.fields |= {"event": event.id, "commitment_salt": salt.hex()}

    def record_denial(self, caller: Actor, permission: str, place: str, error: Denied) -> None:
        """Record that the registry said no."""
        with self._app.store.transaction() as tx:
            context = Context(caller, self._app.clock.now_ns(), None, place)
            event = context.event(
                ActDenied(
                    command="RecordEvents",
                    permission=permission,
                    by="rule",
                    rule=error.code,
                    detail=error.detail,
                    hint=error.hint,
                    reasons=[],
                )
            )
            tx.record([event])
        error.fields["event"] = event.id

    def _may_record(self, producer: int) -> bool:
        now_s = time.monotonic()
        left, then_s = self._left.get(producer, (float(_BURST), now_s))
        left = min(float(_BURST), left + (now_s - then_s) * _PER_S)
        self._left[producer] = (left - 1 if left >= 1 else left, now_s)
        return left >= 1
