"""One state of a log continues another: the proof, as the text that a C2SP witness is sent, and its check.

    old <size> LF | path, one base64 hash a line | LF | the newer checkpoint, a signed note

Whoever kept the older checkpoint needs nothing else: its root, this text, and the log's keys.
Source: C2SP tlog-witness v1.0.0, `add-checkpoint`; RFC 9162 §2.1.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from jurat.core.errors import Malformed, NotFound, Tampered
from jurat.ledger.arrays import ArrayReader
from jurat.ledger.layout import LogName
from jurat.ledger.pruned import refuse_pruned
from jurat.merkle.checkpoint import Checkpoint, format_base64, parse_base64, parse_checkpoint, parse_number
from jurat.merkle.note import MAX_NOTE_SIZE, read_unverified_text
from jurat.merkle.tree import HASH_SIZE, consistency_path, verify_consistency

MAX_PATH: Final = 63
MAX_CONSISTENCY_SIZE: Final = MAX_NOTE_SIZE + 64 * 1024  # bytes


class Consistency(NamedTuple):
    """What such a text says. Nothing in it is verified yet."""

    old_size: int
    path: list[bytes]
    note: str


def format_consistency(proof: Consistency) -> str:
    """Return the text."""
    return "".join([f"old {proof.old_size}\n", *(f"{format_base64(each)}\n" for each in proof.path), "\n", proof.note])


def parse_consistency(text: str) -> Consistency:
    """Return what the text says. The inverse of `format_consistency`.

    Raises:
        Malformed: not such a text.
    """
    if len(text) > MAX_CONSISTENCY_SIZE:
        raise Malformed(f"a consistency proof of `{len(text)}` characters, expected at most {MAX_CONSISTENCY_SIZE}")
    head, separator, note = text.partition("\n\n")
    lines = head.split("\n")
    if not separator or not lines[0].startswith("old ") or len(lines) > MAX_PATH + 1:
        raise Malformed("a consistency proof is a line `old <size>`, up to 63 hashes, an empty line, and a checkpoint")
    path = [parse_base64(line, "path hash") for line in lines[1:]]
    if any(len(each) != HASH_SIZE for each in path):
        raise Malformed(f"a path hash is not {HASH_SIZE} bytes")
    parse_checkpoint(read_unverified_text(note))
    return Consistency(parse_number(lines[0].removeprefix("old "), "size"), path, note)


def verify_continues(old: Checkpoint, new: Checkpoint, path: Sequence[bytes]) -> None:
    """Pass if the log at `new` begins with the log at `old`. Both checkpoints have been opened with the log's keys.

    Raises:
        Malformed: numbers or hashes that no pair of trees has.
        Tampered: they are of two logs, or of two histories of one.
    """
    if old.origin != new.origin:
        raise Tampered(f"the checkpoints are of two logs, `{old.origin[:120]}` and `{new.origin[:120]}`", code="origin_wrong")
    try:
        verify_consistency(old.size, new.size, old.root, new.root, path)
    except Tampered as error:
        raise Tampered(
            f"log `{new.origin[:120]}` at size `{new.size}` does not continue the one of size `{old.size}`: {error.detail}",
            hint="one of the two is of another history: keep both checkpoints, they are the evidence",
            code="forked",
        ) from error


def prove_consistency(ledger_root: Path, log: LogName, old_size: int, new_size: int) -> list[bytes]:
    """Return the path between two sizes of a log, out of its arrays, which are not trusted.

    Raises:
        Malformed: not 1 <= old <= new.
        NotFound: the log is not that long, or pruned (code `pruned`).
        Tampered: its arrays are shorter than they should be.
    """
    reader = ArrayReader(log.directory(ledger_root), log.entry_size)
    try:
        _check_size(reader, log, old_size)
        _check_size(reader, log, new_size)
        return consistency_path(old_size, new_size, reader.node)
    finally:
        reader.close()


def read_root(ledger_root: Path, log: LogName, size: int) -> bytes:
    """Return the root that the log's arrays have at a size: a claim of whoever keeps them, signed by nobody.

    Raises:
        NotFound: the log is not that long.
    """
    reader = ArrayReader(log.directory(ledger_root), log.entry_size)
    try:
        _check_size(reader, log, size)
        return reader.root(size)
    finally:
        reader.close()


def _check_size(reader: ArrayReader, log: LogName, size: int) -> None:
    if size < reader.pruned.minimum:
        raise refuse_pruned(f"size `{size}`", log, reader.pruned.minimum)
    there = reader.whole_size()
    if size > there:
        raise NotFound(
            f"log `{log}` has `{there}` entries, not `{size}`",
            hint="if a signed checkpoint says so, the log was rolled back: run `jurat verify --since` with it",
        )
