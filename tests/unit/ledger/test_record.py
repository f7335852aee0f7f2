"""The journal record's bytes are those of its description, and damage is never read as a record."""

from __future__ import annotations

import hashlib
import struct
import zlib

import pytest

from jurat.ledger.record import Batch, first_link, pack_record, pack_sizes, unpack_header, unpack_record
from jurat.merkle.entry import AnchorEntry, Entry, pack_anchor_entry, pack_entry

SALTS = [bytes([n]) * 16 for n in range(3)]
RAWS = [b"{}", b"", b'{"a":1}']
ENTRIES = [pack_entry(Entry(51, 2, 1, n, 10, bytes([n]) * 32)) for n in range(3)]
BATCH = Batch(b"originha", 7, 3, b"".join(ENTRIES), pack_sizes(RAWS), b"".join(s + r for s, r in zip(SALTS, RAWS, strict=True)))


def test_record_is_laid_out_as_written_down() -> None:
    prev = first_link(bytes(16))
    raw, link = pack_record(BATCH, group=5, following=2, prev=prev)
    body = raw[80:]
    assert raw[:32] == b"JWL1" + bytes([1, 0]) + struct.pack(">H", 2) + b"originha" + struct.pack(">QII", 7, 3, len(body))
    assert raw[32:80] == struct.pack(">QI", 5, zlib.crc32(body)) + prev + struct.pack(">I", zlib.crc32(raw[:76]))
    assert body == b"".join(ENTRIES) + struct.pack(">III", 2, 0, 7) + SALTS[0] + b"{}" + SALTS[1] + SALTS[2] + b'{"a":1}'
    assert link == hashlib.sha256(raw[: 80 + 3 * 59 + 3 * 4]).digest()
    assert prev == hashlib.sha256(b"jurat/journal/v1\0" + bytes(16)).digest()


def test_record_reads_back() -> None:
    raw, link = pack_record(BATCH, group=5, following=2, prev=bytes(32))
    record = unpack_record(raw[:80], raw[80:])
    assert record is not None
    assert (record.header.group, record.header.following, record.link, record.end_index) == (5, 2, link, 10)
    assert record.entries() == ENTRIES
    assert list(record.payloads()) == list(zip(SALTS, RAWS, strict=True))


def test_anchor_record_has_no_payload() -> None:
    entries = [pack_anchor_entry(AnchorEntry(bytes(32), n, 0, 1, bytes(32))) for n in (1, 2)]
    raw, _ = pack_record(Batch(b"anchorha", 0, 2, b"".join(entries), bytes(8), b""), group=1, following=0, prev=bytes(32))
    record = unpack_record(raw[:80], raw[80:])
    assert record is not None
    assert record.entries() == entries
    assert list(record.payloads()) == []


def test_every_single_flipped_bit_is_seen() -> None:
    raw, _ = pack_record(BATCH, group=5, following=2, prev=bytes(32))
    for at in range(len(raw) * 8):
        bad = bytearray(raw)
        bad[at // 8] ^= 1 << at % 8
        assert unpack_record(bytes(bad[:80]), bytes(bad[80:])) is None, at


@pytest.mark.parametrize(
    "batch",
    [
        Batch(b"originha", 7, 0, b"", b"", b""),
        Batch(b"originha", 7, 4, BATCH.entries, BATCH.sizes, BATCH.payload),
        Batch(b"originha", 7, 3, BATCH.entries, pack_sizes([b"", b"", b""]), BATCH.payload),
        Batch(b"originha", 7, 3, BATCH.entries[:59] + bytes(118), BATCH.sizes, BATCH.payload),
        Batch(b"originha", 7, 1, bytes(59), bytes(4), bytes(16)),
    ],
    ids=["empty", "count_too_large", "sizes_too_small", "mixed_versions", "unknown_version"],
)
def test_body_that_does_not_add_up_is_no_record(batch: Batch) -> None:
    raw, _ = pack_record(batch, group=1, following=0, prev=bytes(32))
    assert unpack_header(raw[:80]) is not None
    assert unpack_record(raw[:80], raw[80:]) is None
