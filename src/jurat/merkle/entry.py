"""The records in our logs, byte by byte, and the salted commitment that stands for an event.

LAW OF THESE FORMATS: the first byte is the version; a version's layout never changes, a new one gets a new byte.
All integers are big-endian. Both records have a fixed size, so entry i lies at a place that anyone can compute.

    entry v1, 59 bytes     u8 1 | u16 kind code | u32 producer | u32 epoch | u64 producer seq | u64 received, Unix ns | commitment[32]
    anchor entry, 89 bytes u8 0x81 | SHA256(origin)[32] | u64 size | u64 minimum index | u64 sealed, Unix ns | root[32]
    commitment             SHA256("jurat/commit/v1" 0x00 | salt[16] | raw bytes of the event)

Nothing personal is in the clear: kinds and producers are registered names of ours, and the salt is random and
deleted with the event, so that afterwards the commitment tells nothing.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Any, Final, NamedTuple

from jurat.core.errors import Malformed

ENTRY_SIZE: Final = 59
ANCHOR_ENTRY_SIZE: Final = 89
SALT_SIZE: Final = 16
_ENTRY: Final = struct.Struct(">BHIIQQ32s")
_ANCHOR: Final = struct.Struct(">B32sQQQ32s")
_ENTRY_VERSION: Final = 0x01
_ANCHOR_VERSION: Final = 0x81
COMMIT_DOMAIN: Final = b"jurat/commit/v1\x00"


class Entry(NamedTuple):
    """One event in a class log."""

    kind_code: int
    producer: int
    epoch: int
    seq: int
    received_ns: int
    commitment: bytes


class AnchorEntry(NamedTuple):
    """One checkpoint of a class log in the anchor log."""

    origin_hash: bytes
    size: int
    minimum_index: int
    sealed_ns: int
    root: bytes


def commit_event(salt: bytes, raw: bytes) -> bytes:
    """Return the commitment to an event's exact bytes, 32 bytes.

    Raises:
        Malformed: the salt is not 16 bytes.
    """
    if len(salt) != SALT_SIZE:
        raise Malformed(f"a salt of `{len(salt)}` bytes, expected {SALT_SIZE}")
    return hashlib.sha256(COMMIT_DOMAIN + salt + raw).digest()


def pack_entry(entry: Entry) -> bytes:
    """Return the 59 bytes of an entry.

    Raises:
        Malformed: a field does not fit.
    """
    return _pack(_ENTRY, _ENTRY_VERSION, entry, entry.commitment)


def unpack_entry(raw: bytes) -> Entry:
    """Return the entry of 59 bytes. The inverse of `pack_entry`.

    Raises:
        Malformed: another length or version.
    """
    return Entry(*_unpack(_ENTRY, _ENTRY_VERSION, raw, "entry"))


def pack_anchor_entry(entry: AnchorEntry) -> bytes:
    """Return the 89 bytes of an anchor entry.

    Raises:
        Malformed: a field does not fit.
    """
    return _pack(_ANCHOR, _ANCHOR_VERSION, entry, entry.origin_hash, entry.root)


def unpack_anchor_entry(raw: bytes) -> AnchorEntry:
    """Return the anchor entry of 89 bytes. The inverse of `pack_anchor_entry`.

    Raises:
        Malformed: another length or version.
    """
    return AnchorEntry(*_unpack(_ANCHOR, _ANCHOR_VERSION, raw, "anchor entry"))


def _pack(form: struct.Struct, version: int, fields: tuple[object, ...], *hashes: bytes) -> bytes:
    if any(len(found) != 32 for found in hashes):  # struct would cut or pad it in silence
        raise Malformed("a hash in an entry is not 32 bytes")
    try:
        return form.pack(version, *fields)
    except struct.error as error:
        raise Malformed(f"an entry's field does not fit: {error}") from error


def _unpack(form: struct.Struct, version: int, raw: bytes, what: str) -> tuple[Any, ...]:
    if len(raw) != form.size or raw[0] != version:
        raise Malformed(f"not an {what}: `{len(raw)}` bytes that begin with `{raw[:1].hex()}`, expected {form.size} and `{version:02x}`")
    return form.unpack(raw)[1:]
