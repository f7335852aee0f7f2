"""Gives every event its index, once. Pure but for the salts: no file, no socket, no clock.

Per (log, producer, epoch) a producer's sequence is gapless and begins with 1. `prepare` looks at requests in order and
says what is new, what is a duplicate and what would leave a gap; nothing counts before `confirm`, which is called
when the group is durable. So a group that could not be written leaves no trace here.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from jurat.ledger.arrays import ENTRY_FIELDS
from jurat.ledger.layout import LogName
from jurat.ledger.record import Batch, pack_sizes
from jurat.merkle.entry import ANCHOR_ENTRY_SIZE, COMMIT_DOMAIN, ENTRY_SIZE, SALT_SIZE
from jurat.merkle.many import hash_pieces, split_digests
from jurat.merkle.tree import hash_joined_leaves

_pack_entry: Final = struct.Struct(">BHIIQQ32s").pack  # `merkle.entry` packs one; here many are packed, and a test holds them equal
_MANY: Final = 48  # entries; fewer are packed sooner one by one


class ProducerKey(NamedTuple):
    """Whose sequence it is."""

    log: LogName
    producer: int
    epoch: int


class Submission(NamedTuple):
    """What a producer sends: events of one log, numbered from `first_seq` without a gap."""

    key: ProducerKey
    first_seq: int
    kinds: Sequence[int]
    raws: Sequence[bytes]


class Last(NamedTuple):
    """The last event of a producer's sequence, and where it lies."""

    seq: int
    at: int  # index


class Fresh(NamedTuple):
    """New events, ready for the journal and the arrays. The first `duplicates` of the submission were there before."""

    key: ProducerKey
    duplicates: int
    batch: Batch
    leaf_hashes: bytes  # end to end
    salts: bytes
    received_ns: int
    last: Last


class Repeated(NamedTuple):
    """Every event of the submission was there before."""

    key: ProducerKey


class Gap(NamedTuple):
    """The submission begins after the next expected sequence number."""

    expected: int


Verdict = Fresh | Repeated | Gap


class LogHead(NamedTuple):
    """Where a log goes on."""

    origin_hash: bytes  # 8 bytes
    size: int
    received_ns: int  # of the last entry; time never goes back


class Sequencer:
    """The heads of all logs, and the last sequence number of every producer in them."""

    def __init__(
        self, heads: dict[LogName, LogHead], lasts: dict[ProducerKey, Last], *, random: Callable[[int], bytes] = os.urandom
    ) -> None:
        self.heads = heads
        self.lasts = lasts
        self._random = random

    def prepare(self, submissions: Iterable[Submission], now_ns: int) -> list[Verdict]:
        """Return a verdict on each submission, as if those before it had been confirmed.

        No two batches are received at one time, in whatever logs they lie, and time never goes back: so the order of
        what one producer appended can be read from the ledger, across logs too.
        """
        latest_ns = max(head.received_ns for head in self.heads.values())
        heads: dict[LogName, LogHead] = {}
        lasts: dict[ProducerKey, Last] = {}
        verdicts: list[Verdict] = []
        for submission in submissions:
            key, first_seq = submission.key, submission.first_seq
            expected = (lasts.get(key) or self.lasts.get(key) or Last(0, 0)).seq + 1
            if first_seq > expected:
                verdicts.append(Gap(expected))
            elif first_seq + len(submission.raws) <= expected:
                verdicts.append(Repeated(key))
            else:
                head = heads.get(key.log) or self.heads[key.log]
                latest_ns = max(now_ns, latest_ns + 1)
                fresh = self._make(submission, expected - first_seq, head, latest_ns)
                heads[key.log] = LogHead(head.origin_hash, head.size + fresh.batch.count, fresh.received_ns)
                lasts[key] = fresh.last
                verdicts.append(fresh)
        return verdicts

    def confirm(self, verdicts: Iterable[Verdict]) -> None:
        """Count what is durable now."""
        for verdict in verdicts:
            if isinstance(verdict, Fresh):
                log = verdict.key.log
                self.heads[log] = LogHead(self.heads[log].origin_hash, verdict.last.at + 1, verdict.received_ns)
                self.lasts[verdict.key] = verdict.last

    def anchor(self, log: LogName, entries: list[bytes]) -> Fresh:
        """Return anchor entries as something to write; they are clear text and have no producer."""
        head, raw = self.heads[log], b"".join(entries)
        batch = Batch(head.origin_hash, head.size, len(entries), raw, bytes(4 * len(entries)), b"")
        leaf_hashes = hash_joined_leaves(raw, ANCHOR_ENTRY_SIZE)
        return Fresh(ProducerKey(log, 0, 0), 0, batch, leaf_hashes, b"", 0, Last(0, head.size + len(entries) - 1))

    def _make(self, submission: Submission, skip: int, head: LogHead, received_ns: int) -> Fresh:
        key = submission.key
        raws = list(submission.raws[skip:])
        count, seq = len(raws), submission.first_seq + skip
        salts, sizes = self._random(SALT_SIZE * count), pack_sizes(raws)
        parts: list[bytes] = [b""] * (2 * count)
        parts[0::2] = [salts[at : at + SALT_SIZE] for at in range(0, SALT_SIZE * count, SALT_SIZE)]
        parts[1::2] = raws
        payload = b"".join(parts)
        ends = np.cumsum(np.frombuffer(sizes, ">u4") + SALT_SIZE, dtype=np.uint64).tobytes()
        entries = _pack_entries(key, seq, submission.kinds[skip:], received_ns, hash_pieces(COMMIT_DOMAIN, payload, ends))
        batch = Batch(head.origin_hash, head.size, count, entries, sizes, payload)
        leaf_hashes = hash_joined_leaves(entries, ENTRY_SIZE)
        return Fresh(key, skip, batch, leaf_hashes, salts, received_ns, Last(seq + count - 1, head.size + count - 1))


def _pack_entries(key: ProducerKey, seq: int, kinds: Sequence[int], received_ns: int, commitments: bytes) -> bytes:
    """Return the entries end to end, numbered from `seq` on."""
    count, producer, epoch = len(kinds), key.producer, key.epoch
    if count < _MANY:
        entries = zip(kinds, range(seq, seq + count), split_digests(commitments), strict=True)
        return b"".join([_pack_entry(1, kind, producer, epoch, at, received_ns, each) for kind, at, each in entries])
    table = np.empty(count, ENTRY_FIELDS)
    table["version"], table["kind_code"], table["producer"], table["epoch"] = 1, kinds, producer, epoch
    table["seq"], table["received_ns"], table["commitment"] = np.arange(seq, seq + count), received_ns, np.frombuffer(commitments, "V32")
    return table.tobytes()
