"""The text that a log signs: origin, size, root. Nothing here is signed or trusted yet; see `note`.

    <origin> LF <size, decimal> LF <root, base64> LF [extension lines, which we neither write nor read]

Source: C2SP tlog-checkpoint v1.0.0. Extension lines of others are allowed and ignored: an ML-DSA-44 signature does
not even cover them.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final, NamedTuple

from jurat.core.errors import Malformed
from jurat.merkle.tree import EMPTY_ROOT, HASH_SIZE, MAX_SIZE

_NUMBER: Final = re.compile(r"(?:0|[1-9][0-9]{0,18})\Z")


class Checkpoint(NamedTuple):
    """One state of one log."""

    origin: str
    size: int
    root: bytes


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """Return the text to sign, without extension lines.

    Raises:
        Malformed: a field that has no such text.
    """
    text = f"{checkpoint.origin}\n{checkpoint.size}\n{format_base64(checkpoint.root)}\n"
    if parse_checkpoint(text) != checkpoint:
        raise Malformed(f"no checkpoint of origin `{checkpoint.origin[:120]}`")
    return text


def parse_checkpoint(text: str) -> Checkpoint:
    """Return the checkpoint that a note's text says. The inverse of `format_checkpoint`.

    Raises:
        Malformed: not a checkpoint, or one that no tree can have.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise Malformed("a checkpoint is three lines or more, each ended, none empty: origin, size, root")
    origin, size, root = lines[0], parse_number(lines[1], "size"), parse_base64(lines[2], "root")
    if len(root) != HASH_SIZE:
        raise Malformed(f"checkpoint root of `{len(root)}` bytes, expected {HASH_SIZE}")
    if size == 0 and root != EMPTY_ROOT:
        raise Malformed("checkpoint of size `0` whose root is not that of the empty tree", code="empty_root_wrong")
    return Checkpoint(origin, size, root)


def parse_number(text: str, what: str) -> int:
    """Return a decimal number without sign or leading zero, 0 to 2^63 - 1.

    Raises:
        Malformed: anything else.
    """
    if not _NUMBER.match(text) or int(text) > MAX_SIZE:
        raise Malformed(f"{what} `{text[:40]}` is not a plain decimal number up to 2^63 - 1")
    return int(text)


def format_base64(raw: bytes) -> str:
    """Return standard base64 with padding (RFC 4648 §4)."""
    return base64.b64encode(raw).decode("ascii")


def parse_base64(text: str, what: str) -> bytes:
    """Return the bytes of standard base64: one text for one value, so no loose bits. The inverse of `format_base64`.

    Raises:
        Malformed: another alphabet, missing padding, or bits set that carry nothing.
    """
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raw = None
    if raw is None or format_base64(raw) != text:
        raise Malformed(f"{what} `{text[:60]}` is not standard base64")
    return raw
