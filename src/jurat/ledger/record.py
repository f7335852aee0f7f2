"""A journal record, byte by byte: one batch of one log, with everything that cannot be computed again.

    header 80 B  "JWL1"[4] | u8 1 | u8 flags 0 | u16 following | SHA256(origin)[:8] | u64 first index | u32 count | u32 body size
                 | u64 group | u32 crc32(body) | prev[32] | u32 crc32(header[0:76])
    body         count × entry[59] | count × u32 raw size | count × (salt[16] | raw)
    link         SHA256(header[0:80] | entries | sizes): `prev` of the next record
                 of the first record: SHA256("jurat/journal/v1" 0x00 | journal uuid)
    anchor log   entries of 89 B, sizes 0, no salts

`following` counts the records of the same group that come after this one, so that a reader who meets damage knows
which group it lies in without its header. Salts and bytes are not linked: the entries' commitments bind them already.
Knows bytes only; files are `journal`'s.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from jurat.merkle.entry import ANCHOR_ENTRY_SIZE, ENTRY_SIZE, SALT_SIZE

MAGIC: Final = b"JWL1"
HEADER_SIZE: Final = 80
MAX_FOLLOWING: Final = 0xFFFF
_VERSION: Final = 1
_HEADER: Final = struct.Struct(">4sBBH8sQIIQI32s")
_CRC: Final = struct.Struct(">I")
_ENTRY_SIZES: Final = {0x01: ENTRY_SIZE, 0x81: ANCHOR_ENTRY_SIZE}  # by the entry's first byte, its version


class Batch(msgspec.Struct, frozen=True, gc=False):
    """What one record holds, before it has a place. `sizes` and `payload` are the encoded parts of the body."""

    origin_hash: bytes  # 8 bytes
    first_index: int
    count: int
    entries: bytes
    sizes: bytes
    payload: bytes


class Header(msgspec.Struct, frozen=True, gc=False):
    """A record's first 80 bytes, decoded. `following`: records of the same group after this one."""

    following: int
    origin_hash: bytes
    first_index: int
    count: int
    body_size: int
    group: int
    body_crc: int
    prev: bytes


class Record(NamedTuple):
    """One record, whole and sound. `prev` still has to be compared with the link of the record before."""

    header: Header
    body: bytes
    link: bytes

    @property
    def entry_size(self) -> int:
        """Bytes of one entry: 59, or 89 in the anchor log."""
        return _ENTRY_SIZES[self.body[0]]

    @property
    def end_index(self) -> int:
        """The index after the last entry."""
        return self.header.first_index + self.header.count

    def entries(self) -> list[bytes]:
        """Return the entries, in order."""
        raw, size = self.raw_entries(), self.entry_size
        return [raw[at : at + size] for at in range(0, len(raw), size)]

    def raw_entries(self) -> bytes:
        """Return the same, end to end."""
        return self.body[: self.entry_size * self.header.count]

    def payloads(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield (salt, raw) of each entry; nothing for the anchor log."""
        if self.entry_size == ANCHOR_ENTRY_SIZE:
            return
        at = (ENTRY_SIZE + 4) * self.header.count
        for size in _unpack_sizes(self.body, ENTRY_SIZE, self.header.count):
            middle, end = at + SALT_SIZE, at + SALT_SIZE + size
            yield self.body[at:middle], self.body[middle:end]
            at = end


def first_link(journal_uuid: bytes) -> bytes:
    """Return what the journal's first record names as `prev`."""
    return hashlib.sha256(b"jurat/journal/v1\x00" + journal_uuid).digest()


def pack_sizes(raws: list[bytes]) -> bytes:
    """Return the encoded sizes of the events' bytes."""
    return struct.pack(f">{len(raws)}I", *map(len, raws))


def pack_record(batch: Batch, *, group: int, following: int, prev: bytes) -> tuple[bytes, bytes]:
    """Return a record's bytes and its link."""
    body_size = len(batch.entries) + len(batch.sizes) + len(batch.payload)
    body_crc = zlib.crc32(batch.payload, zlib.crc32(batch.sizes, zlib.crc32(batch.entries)))
    head = _HEADER.pack(MAGIC, _VERSION, 0, following, batch.origin_hash, batch.first_index, batch.count, body_size, group, body_crc, prev)
    header = head + _CRC.pack(zlib.crc32(head))
    return b"".join((header, batch.entries, batch.sizes, batch.payload)), hashlib.sha256(header + batch.entries + batch.sizes).digest()


def unpack_header(raw: bytes) -> Header | None:
    """Return the header that `raw` begins with, or None if its magic, version or CRC is not right."""
    if len(raw) < HEADER_SIZE or raw[:4] != MAGIC:
        return None
    head = raw[: HEADER_SIZE - 4]
    if _CRC.unpack(raw[HEADER_SIZE - 4 : HEADER_SIZE])[0] != zlib.crc32(head):
        return None
    _, version, flags, *fields = _HEADER.unpack(head)
    return Header(*fields) if version == _VERSION and flags == 0 else None


def unpack_record(raw_header: bytes, body: bytes) -> Record | None:
    """Return the record of a header and its body, or None if any part of it is damaged."""
    header = unpack_header(raw_header)
    if header is None or len(body) != header.body_size or zlib.crc32(body) != header.body_crc or not _is_whole(header, body):
        return None
    bound = body[: (_ENTRY_SIZES[body[0]] + 4) * header.count]
    return Record(header, body, hashlib.sha256(raw_header + bound).digest())


def _is_whole(header: Header, body: bytes) -> bool:
    """Tell whether the body's parts add up, so that no reader of them runs out of it."""
    if header.count == 0 or not body or body[0] not in _ENTRY_SIZES:
        return False
    entry_size = _ENTRY_SIZES[body[0]]
    fixed = (entry_size + 4) * header.count
    if len(body) < fixed or body[: entry_size * header.count : entry_size].count(body[0]) != header.count:
        return False
    sizes = _unpack_sizes(body, entry_size, header.count)
    salts = 0 if entry_size == ANCHOR_ENTRY_SIZE else SALT_SIZE * header.count
    return fixed + salts + sum(sizes) == len(body) and (bool(salts) or not any(sizes))


def _unpack_sizes(body: bytes, entry_size: int, count: int) -> tuple[int, ...]:
    return struct.unpack_from(f">{count}I", body, entry_size * count)
