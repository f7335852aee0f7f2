"""Unpacking what was sent compressed, within a bound: a small body must not become a large one in memory.

gzip by zlib, zstd by Arrow's codec (the only one at hand, and this package is its importer). Both are stopped while they
unpack, not measured afterwards.
"""

from __future__ import annotations

import zlib
from typing import Final

import pyarrow as pa

from jurat.core.errors import Malformed

ENCODINGS: Final = ("gzip", "zstd")
_PIECE: Final = 256 * 1024  # bytes
_GZIP: Final = 16 + zlib.MAX_WBITS


def inflate(raw: bytes, encoding: str, max_bytes: int) -> bytes:
    """Return the bytes that were packed.

    Raises:
        Malformed: code `body_too_large`: more than `max_bytes` come out; code `encoding_unknown`; or it is damaged, cut off, or
            something follows it.
    """
    if encoding == "gzip":
        return _gunzip(raw, max_bytes)
    if encoding == "zstd":
        return _unzstd(raw, max_bytes)
    raise Malformed(f"content encoding `{encoding[:40]}` is not taken", hint=f"there are {', '.join(ENCODINGS)}", code="encoding_unknown")


def _gunzip(raw: bytes, max_bytes: int) -> bytes:
    unpacked, rest = bytearray(), raw
    try:
        while rest:  # a gzip file may have several members
            machine = zlib.decompressobj(_GZIP)
            unpacked += machine.decompress(rest, max_bytes + 1 - len(unpacked))
            if len(unpacked) > max_bytes:
                raise _too_large(max_bytes)
            if not machine.eof:
                raise Malformed("the gzip body is cut off", code="encoding_damaged")
            rest = machine.unused_data
    except zlib.error as error:
        raise Malformed(f"the gzip body is damaged: {error}".lower(), code="encoding_damaged") from error
    return bytes(unpacked)


def _unzstd(raw: bytes, max_bytes: int) -> bytes:
    unpacked = bytearray()
    try:
        with pa.input_stream(pa.BufferReader(raw), compression="zstd") as stream:
            while piece := stream.read(_PIECE):
                unpacked += piece
                if len(unpacked) > max_bytes:
                    raise _too_large(max_bytes)
    except (OSError, pa.ArrowException) as error:
        raise Malformed("the zstd body is damaged or cut off", code="encoding_damaged") from error
    if raw and not unpacked:
        raise Malformed("the zstd body holds nothing", code="encoding_damaged")
    return bytes(unpacked)


def _too_large(max_bytes: int) -> Malformed:
    return Malformed(f"the body unpacks to more than {max_bytes} bytes", hint="send smaller batches", code="body_too_large")
