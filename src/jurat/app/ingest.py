"""Recording what producers outside say: who are they, may they, are these events, once, durable, and the receipt.

    (1) admit       the token proves a principal, the policy allows `events:record`, the registry gives it a number
    (2) check       every event is one (core.outside); one that is not refuses the whole batch, and is recorded as refused
    (3) once        by the producer's own numbers (epoch, seq), or by its `Idempotency-Key`
    (4) append      durable, under the class's `….observed.v1`, in the bytes that were received; the receipt is the answer

An observation: it changes no state and does not pass PostgreSQL. Knows no HTTP.
"""

from __future__ import annotations

import hashlib
import threading
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, NoReturn

import msgspec

from jurat.app.admit import admit, hash_token
from jurat.app.authorize import authorize
from jurat.app.lanes import Lanes
from jurat.app.look import See, refuse
from jurat.app.refusals import Refusals
from jurat.app.repeats import Repeat, Repeats, check_key
from jurat.app.turned_away import TurnedAway
from jurat.app.wiring import App
from jurat.core.clock import format_at
from jurat.core.errors import Conflict, Denied, JuratError, Malformed, NotFound, Unauthenticated, Unavailable
from jurat.core.jsonio import dump_json, load_json
from jurat.core.outside import MAX_BATCH_BYTES, MAX_EVENTS, check_events
from jurat.core.statements import KINDS, parse_statement
from jurat.domain import rows
from jurat.domain.events import Actor
from jurat.domain.kinds import BY_NAME, OBSERVED, RetentionClass
from jurat.ledger.client import Appended, LedgerClient
from jurat.ledger.crash_points import reach
from jurat.ledger.layout import LogName

_REMEMBERED_S: Final = 1.0  # how long a token or a grant that has ended may still record
_MOST_REMEMBERED: Final = 10_000
_AHEAD_OF_CLOCK_S: Final = 3_600  # epochs are seconds since 1970, or a little more
_STATEMENTS: Final = tuple(b'"' + kind.encode() + b'"' for kind in KINDS)


class RecordEvents(See, frozen=True, kw_only=True):
    """The right to record events in the log of one class."""

    permission: ClassVar[str] = "events:record"


@dataclass(frozen=True)
class Batch:
    """What a producer sends."""

    retention: str
    raws: Sequence[bytes]
    epoch: int | None = None  # both, or neither
    first_seq: int | None = None
    key: str | None = None  # `Idempotency-Key`
    want_commitments: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Where a batch lies, for ever."""

    log: str
    producer: int
    epoch: int
    first_seq: int
    first_index: int
    count: int
    received_at: str
    duplicate: bool
    receipt: str | None
    commitments: str = ""  # base64 of 32 bytes an event, if they were wanted


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """What the registry says of a caller, and what was refused of it so far, by reason."""

    producer: int
    name: str
    classes: list[str]
    refused: dict[str, int]


@dataclass
class _Known:
    until_s: float
    caller: Actor
    producer: rows.Producer


@dataclass
class Ingest:
    """The one door for events from outside. Thread-safe."""

    app: App
    _known: dict[tuple[bytes, str], _Known] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _repeats: Repeats | None = None

    def __post_init__(self) -> None:
        self._lanes = Lanes(lambda producer, epoch: LedgerClient.connect(self.app.workspace.run, producer, epoch=epoch))
        self.refusals = Refusals(self.app)
        self.turned_away = TurnedAway(self.app, "events")

    def record(self, token: str, batch: Batch) -> Answer:
        """Return once the batch is durable.

        Raises:
            Unauthenticated, Denied: who are you; you may not. A denial is recorded.
            Malformed: an event is none, or may not be recorded; none of the batch was. Recorded as refused.
            Conflict: `sequence_gap` (field `expected`), `sequence_reused`, `epoch_closed`.
            Exhausted, Unavailable: later; nothing is known to be recorded.
        """
        known = self._admitted(token, batch.retention)
        try:
            kinds = self._check(batch)
            return self._append(known.producer.producer, batch, kinds)
        except (Malformed, Conflict) as error:
            self.refusals.keep(known.caller, known.producer.producer, batch.retention, batch.raws, error)
            raise

    def refuse_unread(self, token: str, retention: str, body: bytes, error: JuratError) -> NoReturn:
        """Record that a body was refused before it could be cut into events, and raise the refusal."""
        known = self._admitted(token, retention)
        self.refusals.keep(known.caller, known.producer.producer, retention, [body], error)
        raise error

    def who(self, token: str) -> Registered:
        """Return what the registry says of the caller.

        Raises:
            Denied: it is no producer.
        """
        with self.turned_away.noted(RecordEvents(place="workspace")), self.app.store.reading() as state:
            caller = admit(state, state.vault, token, self.app.clock.now_ns())
            row = _row_of(state.find(rows.Producer), caller)
        counts = self.refusals.counts(row.producer)
        return Registered(producer=row.producer, name=row.name, classes=row.classes, refused=counts)

    def fresh_epoch(self, token: str) -> int:
        """Return an epoch that this producer never had."""
        client = LedgerClient.connect(self.app.workspace.run, self.who(token).producer)
        client.close()
        return client.epoch

    def last_seq(self, token: str, retention: str, epoch: int) -> int:
        """Return the number of the last event that the ledger has of one of the caller's epochs; 0: none."""
        producer = self._admit(token, retention).producer.producer
        with self._lanes.numbered(producer, self._check_epoch(epoch)) as client:
            return client.last_seq(self._log(retention))

    def close(self) -> None:
        self.refusals.save()
        self.turned_away.close()
        self._lanes.close()
        if self._repeats is not None:
            self._repeats.close()

    # ── (1) admit ───────────────────────────────────────────────────────────────────────────────────────────────

    def _admitted(self, token: str, retention: str) -> _Known:
        """As `_admit`; whoever may not is counted."""
        try:
            return self._admit(token, retention)
        except (Unauthenticated, NotFound) as error:
            self.refusals.count(0, error.code)
            raise
        except Denied as error:
            if error.code == "policy_denied":  # the registry's own no is counted where it is recorded
                self.refusals.count(0, error.code)
            raise

    def _admit(self, token: str, retention: str) -> _Known:
        if retention not in set(RetentionClass):
            raise NotFound(f"class `{retention[:40]}` is unknown", hint=f"there are {', '.join(RetentionClass)}", code="class_unknown")
        key, now_s = (hash_token(token), retention), time.monotonic()
        known = self._known.get(key)
        if known is not None and now_s < known.until_s:
            return known
        see = RecordEvents(place=f"ledger/{retention}")
        with self.turned_away.noted(see), self.app.store.reading() as state:
            now_ns = self.app.clock.now_ns()
            caller = admit(state, state.vault, token, now_ns)
            allowed = authorize(self.app, state, caller, see, now_ns).refusal is None
            registered = state.find(rows.Producer)
        if not allowed:
            refuse(self.app, token, see)
        try:
            row = _row_of(registered, caller)
            if retention not in row.classes:
                raise Denied(
                    f"producer `{row.producer}` may record in {', '.join(row.classes)}, not in `{retention}`",
                    hint="ask an operator: `jurat producer list`",
                    code="class_not_registered",
                )
        except Denied as error:
            self.refusals.record_denial(caller, see.permission, see.place, error)
            raise
        with self._lock:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[key] = known = _Known(now_s + _REMEMBERED_S, caller, row)
        return known

    # ── (2) check ───────────────────────────────────────────────────────────────────────────────────────────────

    def _check(self, batch: Batch) -> list[int]:
        """Return the kind code of each event."""
        count, size = len(batch.raws), sum(map(len, batch.raws))
        if not 0 < count <= MAX_EVENTS or size > MAX_BATCH_BYTES:
            raise Malformed(
                f"a batch of `{count}` events and `{size}` bytes, expected 1 to {MAX_EVENTS} events and {MAX_BATCH_BYTES} bytes",
                hint="send it in parts",
                code="body_too_large" if count else "nothing_to_record",
            )
        is_numbered = batch.epoch is not None
        if is_numbered != (batch.first_seq is not None):
            raise Malformed("an epoch and a first number are given together, or neither", hint="`Jurat-Epoch` and `Jurat-Seq`")
        if is_numbered and batch.key is not None:
            raise Malformed("numbers and an `Idempotency-Key` are given", hint="one of them is enough: leave the key out")
        check_events(batch.raws, self.app.clock.now_ns(), max_bytes=self.app.settings.max_event_bytes, may_state=is_numbered)
        kinds = [OBSERVED[RetentionClass(batch.retention)].code] * count
        if batch.epoch is not None and batch.first_seq is not None:
            self._check_epoch(batch.epoch)
            if not 0 < batch.first_seq < 2**62:
                raise Malformed(f"`{batch.first_seq}` is not a number of an event; the first is 1")
            for number, raw in enumerate(batch.raws):
                if any(name in raw for name in _STATEMENTS) and (kind := _stated(raw, batch.epoch, batch.first_seq + number)):
                    kinds[number] = kind
        return kinds

    def _check_epoch(self, epoch: int) -> int:
        newest = self.app.clock.now_ns() // 10**9 + _AHEAD_OF_CLOCK_S
        if not 0 < epoch <= newest:
            raise Malformed(f"epoch `{epoch}` was never given out", hint="`POST /api/v1/ingest/epochs` gives one", code="epoch_unknown")
        return epoch

    # ── (3) once, (4) append ────────────────────────────────────────────────────────────────────────────────────

    def _append(self, producer: int, batch: Batch, kinds: Sequence[int]) -> Answer:
        if batch.epoch is not None and batch.first_seq is not None:
            return self._send_numbered(producer, batch, kinds, batch.epoch, batch.first_seq)
        if batch.key is not None:
            return self._append_once(producer, batch, kinds, check_key(batch.key))
        with self._lanes.borrowed(producer) as lane:
            log = self._log(batch.retention)
            first_seq = lane.next_seq(log)
            appended = lane.client.append(log, first_seq, _items(kinds, batch), want_receipt=True, want_commitments=batch.want_commitments)
            lane.count(log, appended.count)
            return _answer(log, producer, lane.epoch, first_seq, appended)

    def _send_numbered(self, producer: int, batch: Batch, kinds: Sequence[int], epoch: int, first_seq: int) -> Answer:
        log = self._log(batch.retention)
        with self._lanes.numbered(producer, epoch) as client:
            appended = client.append(log, first_seq, _items(kinds, batch), want_receipt=True, want_commitments=batch.want_commitments)
        return _answer(log, producer, epoch, first_seq, appended)

    def _append_once(self, producer: int, batch: Batch, kinds: Sequence[int], key: str) -> Answer:
        repeats, now_s = self._open_repeats(), self.app.clock.now_ns() // 10**9
        log, digest = self._log(batch.retention), _digest(batch.raws)
        if found := repeats.find(producer, key, now_s):
            return self._repeat(producer, batch, kinds, key, found, digest)
        with self._lanes.borrowed(producer) as lane:
            first_seq = lane.next_seq(log)
            is_ours = repeats.begin(producer, key, Repeat(str(log), digest, lane.epoch, first_seq, None), now_s)
            if is_ours:
                reach("ingest_before_append")
                try:
                    appended = lane.client.append(
                        log, first_seq, _items(kinds, batch), want_receipt=True, want_commitments=batch.want_commitments
                    )
                except Malformed:
                    repeats.forget(producer, key)  # the ledger refused it: there is nothing to repeat
                    raise
                reach("ingest_after_append")
                lane.count(log, appended.count)
                answer = _answer(log, producer, lane.epoch, first_seq, appended)
                repeats.finish(producer, key, dump_json(answer))
                return answer
        found = repeats.find(producer, key, now_s)
        if found is None:
            raise Unavailable("another request with this `Idempotency-Key` has just failed", hint="send it again")
        return self._repeat(producer, batch, kinds, key, found, digest)

    def _repeat(self, producer: int, batch: Batch, kinds: Sequence[int], key: str, found: Repeat, digest: bytes) -> Answer:
        if found.digest != digest or found.log != str(self._log(batch.retention)):
            raise Malformed(
                "this `Idempotency-Key` was used for other events",
                hint="a key stands for one batch, for a day: take a fresh one",
                code="idempotency_key_reused",
            )
        if found.answer is not None:
            return msgspec.structs.replace(load_json(found.answer, Answer, what="a kept answer"), duplicate=True)
        answer = self._send_numbered(producer, batch, kinds, found.epoch, found.first_seq)
        self._open_repeats().finish(producer, key, dump_json(answer))
        return answer

    def _open_repeats(self) -> Repeats:
        with self._lock:
            if self._repeats is None:
                self._repeats = Repeats(self.app.workspace.run / "repeats.sqlite")
            return self._repeats

    def _log(self, retention: str) -> LogName:
        return LogName(self.app.settings.tenant, RetentionClass(retention))


def _row_of(registered: Sequence[rows.Producer], caller: Actor) -> rows.Producer:
    for row in registered:
        if row.principal == caller.principal:
            return row
    raise Denied(
        f"`{caller.principal}` is not registered as a producer", hint="ask an operator: `jurat producer register`", code="producer_unknown"
    )


def _stated(raw: bytes, epoch: int, seq: int) -> int | None:
    """Return the kind code of a producer's statement, None for any other event.

    Raises:
        Malformed: it says something else than the place where it stands.
    """
    kind = msgspec.json.decode(raw).get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        return None
    said = parse_statement(raw).data
    if said.epoch != epoch or said.last_seq != seq - 1:
        raise Malformed(
            f"a statement speaks of epoch `{said.epoch}` up to seq `{said.last_seq}`, but stands at epoch `{epoch}` seq `{seq}`",
            hint="a statement says what came before it",
            code="statement_wrong",
        )
    return BY_NAME[kind].code


def _items(kinds: Sequence[int], batch: Batch) -> list[tuple[int, bytes]]:
    return list(zip(kinds, batch.raws, strict=True))


def _answer(log: LogName, producer: int, epoch: int, first_seq: int, appended: Appended) -> Answer:
    return Answer(
        log=str(log), producer=producer, epoch=epoch, first_seq=first_seq, first_index=appended.first_index, count=appended.count,
        received_at=format_at(appended.received_ns), duplicate=appended.duplicate, receipt=appended.receipt,
        commitments=b64encode(appended.commitments).decode(),
    )  # fmt: skip


def _digest(raws: Sequence[bytes]) -> bytes:
    found = hashlib.sha256()
    for raw in raws:
        found.update(len(raw).to_bytes(8))
        found.update(raw)
    return found.digest()
