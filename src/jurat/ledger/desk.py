"""Every request that a producer can make, and its answer. Knows the engine and the messages, no sockets.

Appends are taken together: as many as wait make one group, one sync. They are answered before the arrays get them, but
for those that were there before: where those lie, and whether they are the same, the arrays say.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from jurat.core.clock import Clock
from jurat.core.errors import Conflict, JuratError, Malformed, NotFound, Tampered, Unavailable
from jurat.domain.kinds import CATALOGUE, CLOSED, is_producer
from jurat.ledger import wire
from jurat.ledger.engine import Engine
from jurat.ledger.keys import LogSigners
from jurat.ledger.layout import ANCHOR, LogName, parse_log_name
from jurat.ledger.lockstore import Locked
from jurat.ledger.producers import find_sequences
from jurat.ledger.pruned import refuse_pruned
from jurat.ledger.receipt import describe_hashed, sign_receipt
from jurat.ledger.sequencer import Fresh, Gap, ProducerKey, Submission, Verdict
from jurat.merkle.cose import format_protected, signed_bytes
from jurat.merkle.entry import ENTRY_SIZE, commit_event, unpack_entry
from jurat.merkle.tree import HASH_SIZE, hash_leaf, hash_leaves

_GROUP_ITEMS: Final = 2_000  # caches suffer above some 4,000
_GROUP_BYTES: Final = 16 * 1024 * 1024


class Caller:
    """Who asks: the producer at the other end of a connection. Epoch 0: it has not said hello yet."""

    def __init__(self, reply: Callable[[int, wire.Reply], None]) -> None:
        self.reply = reply
        self.producer = 0
        self.epoch = 0


class Waiting(NamedTuple):
    """A request that is not answered yet."""

    caller: Caller
    number: int
    request: wire.Request


class Append(NamedTuple):
    """An append that may be written."""

    waiting: Waiting
    request: wire.Append
    submission: Submission


class AnchorWish:
    """Anchor entries that the sealing thread wants written, and the event that says they are."""

    def __init__(self, entries: Sequence[bytes]) -> None:
        self.entries = entries
        self.done = threading.Event()


class Desk:
    """Answers requests in their order. Belongs to the writing thread, but for `wishes` and `refuse_appends`."""

    def __init__(
        self,
        engine: Engine,
        signers: dict[LogName, LogSigners],
        clock: Clock,
        *,
        max_event_bytes: int,
        merge_delay_ms: int,
        sealed: Callable[[LogName], Locked],
        wish_to_seal: threading.Event,
    ) -> None:
        self._engine = engine
        self._signers = signers
        self._clock = clock
        self._max_event_bytes = max_event_bytes
        self._merge_delay_ms = merge_delay_ms
        self._sealed = sealed
        self._wish_to_seal = wish_to_seal
        self._kinds = {log: frozenset(kind.code for kind in CATALOGUE if kind.belongs_in(log.name)) for log in signers if log != ANCHOR}
        self._flushes: deque[tuple[int, Waiting]] = deque()
        self._last_epoch: dict[int, int] = {}
        for key in engine.sequencer.lasts:
            self._last_epoch[key.producer] = max(self._last_epoch.get(key.producer, 0), key.epoch)
        self.wishes: deque[AnchorWish] = deque()
        self.refuse_appends: Unavailable | None = None  # set while the disk is nearly full

    def answer_some(self, requests: deque[Waiting]) -> None:
        """Take one question, or one group of appends and anchor entries, from the front and answer it."""
        appends: list[Append] = []
        last_seqs: dict[ProducerKey, int] = {}  # of this group
        closed: set[ProducerKey] = set()  # by this group
        items = size = 0
        while requests and items < _GROUP_ITEMS and size < _GROUP_BYTES:
            waiting = requests[0]
            if not isinstance(waiting.request, wire.Append):
                if not appends:
                    self._answer_question(requests.popleft())
                    return
                break
            try:
                submission = self._read_append(waiting.caller, waiting.request)
                if submission.first_seq <= last_seqs.get(submission.key, 0):
                    break  # repeats something of this group: it can be compared once that is written
                self._check_repetition(submission)
                self._check_not_closed(submission, closed)
            except JuratError as error:
                requests.popleft()
                waiting.caller.reply(waiting.number, wire.refuse(error))
                continue
            requests.popleft()
            appends.append(Append(waiting, waiting.request, submission))
            last_seqs[submission.key] = submission.first_seq + len(submission.raws) - 1
            if submission.kinds[-1] == CLOSED.code:
                closed.add(submission.key)
            items += len(submission.raws)
            size += sum(map(len, submission.raws))
        self._write_group(appends)

    def answer_flushes(self, sealed_group: int) -> None:
        """Answer those who wait for a journal group that is sealed and public now."""
        while self._flushes and self._flushes[0][0] <= sealed_group:
            _, waiting = self._flushes.popleft()
            waiting.caller.reply(waiting.number, wire.Flushed())

    # ── appends ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _read_append(self, caller: Caller, request: wire.Append) -> Submission:
        if self.refuse_appends is not None:
            raise self.refuse_appends
        if not caller.epoch:
            raise Malformed("the first request must be `hello`")
        log = parse_log_name(request.log)
        if log not in self._kinds:
            raise NotFound(f"there is no log `{request.log[:80]}` here", hint=f"logs: {', '.join(map(str, self._kinds))}")
        count = len(request.raws)
        if not 0 < count <= wire.MAX_ITEMS or len(request.kinds) != count or not 0 < request.first_seq < 2**63 - count:
            raise Malformed(f"an append of `{count}` events with `{len(request.kinds)}` kinds from seq `{request.first_seq}`")
        if not self._kinds[log].issuperset(request.kinds):
            wrong = next(kind for kind in request.kinds if kind not in self._kinds[log])
            raise Malformed(f"kind code `{wrong}` does not belong in log `{log}`", hint="see jurat.domain.kinds", code="kind_unknown")
        largest = max(map(len, request.raws))
        if largest > self._max_event_bytes or not all(request.raws):
            raise Malformed(
                f"an event of `{largest}` bytes, expected 1 to {self._max_event_bytes}",
                hint="keep large things as artefacts and name their digest; the limit is `max_event_bytes`",
                code="event_too_large" if largest > self._max_event_bytes else "event_empty",
            )
        return Submission(ProducerKey(log, caller.producer, caller.epoch), request.first_seq, request.kinds, request.raws)

    def _check_repetition(self, submission: Submission) -> None:
        """Pass if what was there before under these sequence numbers is the same, as far as that can be known.

        The kind is in the clear; the bytes can be compared while the salt is at hand. A producer whose counter was
        set back (a database restored from a backup) must not be told that its new events are recorded.
        """
        key, last = submission.key, self._engine.sequencer.lasts.get(submission.key)
        if last is None or submission.first_seq > last.seq:
            return
        arrays, salts = self._engine.arrays[key.log], self._engine.salts[key.log]
        count = min(len(submission.raws), last.seq - submission.first_seq + 1)
        places = self._find(key, last.at + 1, submission.first_seq, count)
        for place, kind, raw in zip(places, submission.kinds, submission.raws, strict=False):
            entry, salt = unpack_entry(arrays.entries(place, place + 1)[0]), salts.at(place)
            if entry.kind_code != kind or (salt is not None and commit_event(salt, raw) != entry.commitment):
                raise Conflict(
                    f"seq `{entry.seq}` of producer `{key.producer}` epoch `{key.epoch}` in log `{key.log}` is another event already",
                    hint="the producer's counter was set back, or two share one epoch: go on in a fresh epoch",
                    code="sequence_reused",
                    seq=entry.seq,
                    entry_index=place,
                )

    def _check_not_closed(self, submission: Submission, closed: set[ProducerKey]) -> None:
        """Pass if nothing new follows the producer's own word that its stream in this log has ended."""
        key, last = submission.key, self._engine.sequencer.lasts.get(submission.key)
        ends_early = CLOSED.code in submission.kinds[:-1]
        if not ends_early and key not in closed:
            if last is None or submission.first_seq + len(submission.raws) - 1 <= last.seq:
                return
            arrays = self._engine.arrays[key.log]
            if last.at < arrays.pruned.floor:
                is_closed = arrays.pruned.is_closed(key.producer, key.epoch)
            else:
                is_closed = unpack_entry(arrays.entries(last.at, last.at + 1)[0]).kind_code == CLOSED.code
            if not is_closed:
                return
        raise Conflict(
            f"producer `{key.producer}` has closed its epoch `{key.epoch}` in log `{key.log}`",
            hint="go on in a fresh epoch",
            code="epoch_closed",
        )

    def _write_group(self, appends: list[Append]) -> None:
        wishes = [self.wishes.popleft() for _ in range(len(self.wishes))]
        anchors = [entry for wish in wishes for entry in wish.entries]
        if not appends and not anchors:
            return
        try:
            verdicts = self._engine.write([append.submission for append in appends], self._clock.now_ns(), anchors)
        except Unavailable as error:
            if wishes:
                raise  # sealing cannot go on without them
            for append in appends:
                append.waiting.caller.reply(append.waiting.number, wire.refuse(error))
            return
        late: list[tuple[Append, Verdict]] = []
        for append, verdict in zip(appends, verdicts, strict=False):  # the last verdict may be the anchors'
            if isinstance(verdict, Fresh) and not verdict.duplicates:
                append.waiting.caller.reply(append.waiting.number, self._describe_fresh(append.request, verdict))
            else:
                late.append((append, verdict))
        self._engine.settle(verdicts)
        for wish in wishes:
            wish.done.set()
        for append, verdict in late:
            append.waiting.caller.reply(append.waiting.number, self._describe_late(append, verdict))

    def _describe_fresh(self, request: wire.Append, fresh: Fresh) -> wire.Appended:
        first, receipt = fresh.batch.first_index, None
        if request.want_receipt:
            receipt = self._sign_receipt(fresh.key.log, first, fresh.batch.entries[:ENTRY_SIZE], fresh.leaf_hashes)
        commitments = _commitments(fresh.batch.entries) if request.want_commitments else b""
        return wire.Appended(first, fresh.batch.count, fresh.received_ns, receipt, False, commitments)

    def _describe_late(self, append: Append, verdict: Verdict) -> wire.Reply:
        key, first_seq, count = append.submission.key, append.submission.first_seq, len(append.submission.raws)
        if isinstance(verdict, Gap):
            detail = f"producer `{key.producer}` sent seq `{first_seq}` to `{key.log}`, expected `{verdict.expected}`"
            return wire.refuse(Conflict(detail, hint="send the missing ones first", code="sequence_gap", expected=verdict.expected))
        arrays = self._engine.arrays[key.log]
        places = self._find(key, arrays.size, first_seq, count)
        first, is_one_run = places[0], places[-1] - places[0] == count - 1
        entries = arrays.entries(first, first + (count if is_one_run else 1))
        receipt = None
        if append.request.want_receipt and is_one_run:
            receipt = self._sign_receipt(key.log, first, entries[0], b"".join(hash_leaves(entries)))
        commitments = b""
        if append.request.want_commitments:
            found = entries if is_one_run else [arrays.entries(place, place + 1)[0] for place in places]
            commitments = _commitments(b"".join(found))
        return wire.Appended(first, count, unpack_entry(entries[0]).received_ns, receipt, True, commitments)

    def _find(self, key: ProducerKey, size: int, first_seq: int, count: int) -> list[int]:
        """Return where events lie that were recorded before; what is pruned cannot be compared any more, so it is not repeated."""
        arrays = self._engine.arrays[key.log]
        try:
            return find_sequences(arrays, size, key.producer, key.epoch, first_seq, count, floor=arrays.pruned.floor)
        except Tampered:
            if not arrays.pruned.floor:
                raise
        raise Conflict(
            f"seq `{first_seq}` of producer `{key.producer}` epoch `{key.epoch}` in log `{key.log}` was recorded once, and is pruned",
            hint="its time is over: do not send it again",
            code="repeated_pruned",
        )

    def _sign_receipt(self, log: LogName, first_index: int, first_entry: bytes, leaf_hashes: bytes) -> str:
        signers = self._signers[log]
        receipt = describe_hashed(signers.public.origin, first_index, first_entry, leaf_hashes, self._merge_delay_ms)
        return sign_receipt(receipt, signers.receipt_at(first_index))

    # ── questions ───────────────────────────────────────────────────────────────────────────────────────────────

    def _answer_question(self, waiting: Waiting) -> None:
        caller, number, request = waiting
        if isinstance(request, wire.Flush):
            self._flushes.append((self._engine.journal.end.group, waiting))
            self._wish_to_seal.set()
            return
        try:
            caller.reply(number, self._answer(caller, request))
        except JuratError as error:
            caller.reply(number, wire.refuse(error))

    def _answer(self, caller: Caller, request: wire.Request) -> wire.Reply:
        match request:
            case wire.Hello():
                return self._welcome(caller, request)
            case wire.LastSeq():
                last = self._engine.sequencer.lasts.get(ProducerKey(parse_log_name(request.log), caller.producer, caller.epoch))
                return wire.Sequence(last.seq if last else 0)
            case wire.ReceiptFor():
                log = parse_log_name(request.log)
                if log not in self._kinds or not 0 <= request.index < self._engine.arrays[log].size:
                    raise NotFound(f"log `{request.log}` has no entry `{request.index}`")
                arrays = self._engine.arrays[log]
                if request.index < arrays.pruned.floor:
                    raise refuse_pruned(f"entry `{request.index}`", log, arrays.pruned.minimum)
                entry = arrays.entries(request.index, request.index + 1)[0]
                return wire.Receipted(self._sign_receipt(log, request.index, entry, hash_leaf(entry)))
            case wire.SealedRoot():
                return self._sign_root(parse_log_name(request.log))
            case wire.Rotate():
                for name, first_index, last_index in request.erased:
                    if (log := parse_log_name(name)) in self._engine.salts:
                        self._engine.salts[log].forget(first_index, last_index)
                return wire.Rotated(self._engine.journal.rotate())
            case _:
                return wire.Statuses([self._status(log) for log in self._engine.arrays])

    def _sign_root(self, log: LogName) -> wire.SignedRoot:
        if log not in self._signers:
            raise NotFound(f"there is no log `{log}` here")
        sealed = self._sealed(log)  # only ever a root that is committed already
        signer = self._signers[log].receipt_at(max(0, sealed.size - 1))
        protected = format_protected(sealed.origin, signer.key_id)
        return wire.SignedRoot(sealed.size, sealed.root, protected, signer.sign_bytes(signed_bytes(protected, sealed.root)))

    def _status(self, log: LogName) -> wire.LogStatus:
        sealed = self._sealed(log)
        return wire.LogStatus(str(log), self._engine.arrays[log].size, sealed.size, sealed.sealed_ns)

    def _welcome(self, caller: Caller, hello: wire.Hello) -> wire.Welcome:
        if hello.version != wire.VERSION:
            raise Malformed(f"protocol version `{hello.version}`, expected {wire.VERSION}", hint="both sides must be of one jurat")
        if not is_producer(hello.producer):
            raise Malformed(f"producer `{hello.producer}` is not in the catalogue", hint="see jurat.domain.kinds")
        if hello.epoch is not None and not 0 < hello.epoch < 2**32:
            raise Malformed(f"epoch `{hello.epoch}`, expected 1 to 2^32 - 1")
        # Seconds since 1970: an epoch that was handed out before a crash and never used is not handed out again.
        fresh = max(self._last_epoch.get(hello.producer, 0) + 1, self._clock.now_ns() // 1_000_000_000)
        caller.producer, caller.epoch = hello.producer, hello.epoch or fresh
        self._last_epoch[hello.producer] = max(self._last_epoch.get(hello.producer, 0), caller.epoch)
        return wire.Welcome(caller.epoch, self._max_event_bytes)


def _commitments(entries: bytes) -> bytes:
    return b"".join([entries[at - HASH_SIZE : at] for at in range(ENTRY_SIZE, len(entries) + 1, ENTRY_SIZE)])
