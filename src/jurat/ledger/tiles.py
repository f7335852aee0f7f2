"""tlog-tiles out of the flat arrays: what anybody may read of a log, and nothing beyond its published checkpoint.

A tile is a stretch of an array file, so serving one is one read. Source: C2SP tlog-tiles v0.1.0.
"""

from __future__ import annotations

from pathlib import Path

from jurat.core.errors import JuratError, NotFound, Unavailable
from jurat.ledger.arrays import ArrayReader
from jurat.ledger.layout import ANCHOR, LogName, checkpoint_file
from jurat.ledger.pruned import refuse_pruned
from jurat.ledger.witnessed import public_anchor
from jurat.merkle.checkpoint import parse_checkpoint
from jurat.merkle.note import read_unverified_text
from jurat.merkle.tile import TILE_WIDTH, parse_tile_path


def read_public(ledger_root: Path, log: LogName, path: str) -> bytes:
    """Return `checkpoint`, `tile/<level>/<number>` or `tile/entries/<number>` of a log, partial ones too.

    A partial tile may have any width up to what is published; a client that verifies a smaller checkpoint needs those.

    Raises:
        Malformed: no such form of path.
        NotFound: it lies beyond the published size, or (code `pruned`) below the minimum index.
        Unavailable: the log has no checkpoint that can be read.
        Tampered: the arrays are shorter than what was published.
    """
    try:
        note = checkpoint_file(ledger_root, log).read_bytes()
        size = parse_checkpoint(read_unverified_text(note)).size
    except (OSError, JuratError) as error:
        raise Unavailable(f"log `{log}` has no checkpoint that can be read", hint="ask the operator to run `jurat verify`") from error
    if path == "checkpoint":
        return public_anchor(ledger_root) if log == ANCHOR else note
    level, number, width = parse_tile_path(path)
    first = number * TILE_WIDTH
    published = size >> (8 * (level or 0))
    if first + width > published:
        raise NotFound(f"`{path}` of log `{log}` is not published: the checkpoint has size {size}")
    reader = ArrayReader(log.directory(ledger_root), log.entry_size)
    try:
        if reader.pruned.refuses(level, number):
            raise refuse_pruned(f"`{path}`", log, reader.pruned.minimum)
        return reader.raw_entries(first, first + width) if level is None else reader.raw_hashes(level, first, first + width)
    finally:
        reader.close()
