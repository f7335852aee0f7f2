"""What was refused at the door for events: counted always, and recorded with a commitment to the bytes, within a rate.

The bytes themselves are not kept: they were refused because nobody should keep them. Whoever sent them gets the salt, and
can show later what it was that was refused. A producer that floods the door is counted, and one record says how many
more there were, so that its rubbish does not hold up everybody's acts. Counts are kept in `run/refused.json`, half a second
later, for `jurat status`.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from jurat.app.wiring import App
from jurat.core.clock import format_at
from jurat.core.errors import Denied, JuratError, Unavailable
from jurat.core.files import write_whole
from jurat.core.jsonio import dump_json, load_json
from jurat.core.workspace import Workspace
from jurat.domain.context import Context
from jurat.domain.events import Actor
from jurat.domain.facts import ActDenied, EventRejected
from jurat.merkle.entry import SALT_SIZE, commit_event

_BURST: Final = 20  # records of one producer at once
_PER_S: Final = 1.0
_SAVE_AFTER_S: Final = 0.5


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """How often each reason was given to each producer, since when."""

    since: str
    counts: dict[str, dict[str, int]] = {}  # by producer's number


def read_refused(workspace: Workspace) -> Refused | None:
    """Return what was counted; None if nothing was ever refused, or the file cannot be read."""
    try:
        return load_json(_file(workspace).read_bytes(), Refused, what="what was refused")
    except (OSError, JuratError):
        return None


def _file(workspace: Workspace) -> Path:
    return workspace.run / "refused.json"


class Refusals:
    """Counts by producer and reason, also over restarts. Thread-safe."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._lock = threading.Lock()
        before = read_refused(app.workspace)
        self._since = before.since if before else format_at(app.clock.now_ns())
        self._counts = {int(producer): Counter(counts) for producer, counts in before.counts.items()} if before else {}
        self._is_to_be_saved = False
        self._left: dict[int, tuple[float, float]] = {}  # records that are left, as of when
        self._unrecorded: Counter[int] = Counter()

    def counts(self, producer: int) -> dict[str, int]:
        """Return how often each reason was given to a producer."""
        with self._lock:
            return dict(self._counts.get(producer, {}))

    def keep(self, caller: Actor, producer: int, retention: str, raws: Sequence[bytes], error: JuratError) -> None:
        """Count a refusal and, within the rate, record it; the error then says under which event and with which salt."""
        self.count(producer, error.code)
        with self._lock:
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

    def count(self, producer: int, code: str) -> None:
        """Count one refusal. Producer 0: of whoever is none."""
        with self._lock:
            self._counts.setdefault(producer, Counter())[code] += 1
            if self._is_to_be_saved:
                return
            self._is_to_be_saved = True
        saver = threading.Timer(_SAVE_AFTER_S, self.save)
        saver.daemon = True
        saver.start()

    def save(self) -> None:
        """Write down what was counted so far."""
        with self._lock:
            self._is_to_be_saved = False
            counts = {str(producer): dict(counts) for producer, counts in sorted(self._counts.items())}
        with contextlib.suppress(Unavailable):  # a count is worth less than the answer to who sent it
            write_whole(_file(self._app.workspace), dump_json(Refused(since=self._since, counts=counts)), mode=0o600)

    def record_denial(self, caller: Actor, permission: str, place: str, error: Denied) -> None:
        """Record that the registry said no."""
        self.count(0, error.code)
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
