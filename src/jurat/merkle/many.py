"""Many SHA-256 in one call, for whoever hashes every event of a log: digests end to end, as bytes.

Half of what `hashlib` takes for sixty bytes is not the hash but the call. `many.c`, if it was compiled when this package was
built, loops over OpenSSL's own functions (those of the library that `hashlib` itself uses) and lets other threads run
meanwhile. Without it, or if it answers a test question wrong, the same digests come from `hashlib`: it is never needed.
Knows bytes and sizes; what a prefix means is `tree`'s and `entry`'s. Source: decision 0108.
"""

from __future__ import annotations

import ctypes
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

DIGEST_SIZE: Final = 32
_LIBRARY: Final = Path(__file__).with_name("libmany.so")
_FEW: Final = 6  # digests; below, a call into C costs more than it saves
_QUESTION: Final = (b"\x00", bytes(range(177)), 59, bytes(range(100)), (7, 7, 100))

Kernel = Callable[[bytes, bytes, int, bytes, bytes | None, int], bytes]


def hash_rows(prefix: bytes, rows: bytes, width: int) -> bytes:
    """Return SHA256(prefix ‖ row) of each row of `width` bytes.

    Raises:
        ValueError: `rows` are not whole rows.
    """
    if width <= 0 or len(rows) % width:
        raise ValueError(f"{len(rows)} bytes are not rows of {width}")
    count = len(rows) // width
    if _kernel is not None and count >= _FEW:
        return _kernel(prefix, rows, width, b"", None, count)
    sha256 = hashlib.sha256
    return b"".join([sha256(prefix + rows[at : at + width]).digest() for at in range(0, len(rows), width)])


def hash_pieces(prefix: bytes, pieces: bytes, ends: bytes, *, rows: bytes = b"", width: int = 0) -> bytes:
    """Return SHA256(prefix ‖ row ‖ piece) of each piece, which ends where `ends` says; with no rows, of the piece alone.

    Args:
        ends: native u64 each, ascending; the first piece begins at 0.
        rows: as many of `width` bytes as there are pieces.

    Raises:
        ValueError: a piece does not lie within `pieces`, or there are not as many rows.
    """
    count = len(ends) // 8
    if len(ends) % 8 or len(rows) != count * width:
        raise ValueError(f"{len(rows)} bytes are not {count} rows of {width}")
    if _kernel is not None and count >= _FEW:
        return _kernel(prefix, rows, width, pieces, ends, count)
    sha256, begin, digests = hashlib.sha256, 0, []
    for at, end in enumerate(struct.unpack(f"={count}Q", ends)):
        if not begin <= end <= len(pieces):
            raise ValueError(f"piece {at} does not lie within {len(pieces)} bytes")
        digests.append(sha256(prefix + rows[at * width : at * width + width] + pieces[begin:end]).digest())
        begin = end
    return b"".join(digests)


def split_digests(digests: bytes) -> list[bytes]:
    """Return digests end to end as a list."""
    return [digests[at : at + DIGEST_SIZE] for at in range(0, len(digests), DIGEST_SIZE)]


def load_kernel(library: Path = _LIBRARY) -> Kernel | None:
    """Return the compiled loop, or None if it is not there, cannot be used here, or does not hash as `hashlib` does."""
    try:
        import _hashlib

        openssl, loop = ctypes.CDLL(_hashlib.__file__), ctypes.CDLL(str(library)).jurat_hash_many
        functions = [ctypes.cast(getattr(openssl, f"SHA256_{name}"), ctypes.c_void_p) for name in ("Init", "Update", "Final")]
    except (ImportError, OSError, AttributeError):
        return None
    size, text, place = ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p
    loop.argtypes = [place, place, place, text, size, text, size, text, size, text, size, place]
    loop.restype = ctypes.c_int

    def kernel(prefix: bytes, rows: bytes, width: int, pieces: bytes, ends: bytes | None, count: int) -> bytes:
        out = ctypes.create_string_buffer(DIGEST_SIZE * count)
        failed: Any = loop(*functions, prefix, len(prefix), rows, width, pieces, len(pieces), ends, count, out)
        if failed:
            raise ValueError(f"a piece does not lie within {len(pieces)} bytes")
        return out.raw

    prefix, rows, width, pieces, stops = _QUESTION
    try:
        answer = split_digests(kernel(prefix, rows, width, pieces, struct.pack("=3Q", *stops), 3))
    except ValueError:
        return None
    starts = (0, *stops)
    expected = [prefix + rows[at * width : (at + 1) * width] + pieces[starts[at] : starts[at + 1]] for at in range(3)]
    return kernel if answer == [hashlib.sha256(each).digest() for each in expected] else None


_kernel: Kernel | None = load_kernel()
