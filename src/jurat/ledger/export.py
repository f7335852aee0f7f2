"""A log as a directory of plain files that any web server can serve: C2SP tlog-tiles, and what it takes to check it.

    DIR/checkpoint                      the public signed note, written last: an export is whole once it is there
    DIR/tile/<level>/<number>[.p/<W>]   the tree;  DIR/tile/entries/<number>[.p/<W>]: the entries
    DIR/minimum.tlog-proof              of a pruned log: from which index on it can be checked (see `minimum`)
    DIR/log-keys.json                   its public keys (and the anchor log's, if it is pruned), for convenience: an auditor has a copy
    DIR/verify_log.py                   the stand-alone verifier

Everything is checked on the way, from the entries up to the signed root: what does not verify does not leave. A run that
was broken off is simply done again; files that are there with the right bytes stay, and a log that has grown adds its new ones.
Source: C2SP tlog-tiles v0.1.0.
"""

from __future__ import annotations

import importlib.resources
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from jurat.core.errors import Conflict, JuratError, NotFound, Tampered, Unavailable
from jurat.core.files import write_whole
from jurat.ledger.arrays import ArrayReader, level_counts, root_of_edge
from jurat.ledger.keys import LogKeys, write_log_keys
from jurat.ledger.layout import ANCHOR, LogName, checkpoint_file
from jurat.ledger.minimum import MINIMUM_FILE, open_minimum, prove_minimum
from jurat.ledger.pruned import entry_floor, hash_floor
from jurat.ledger.verify_checkpoints import open_checkpoint
from jurat.ledger.witnessed import newest_anchor
from jurat.merkle.checkpoint import Checkpoint
from jurat.merkle.note import read_unverified_text
from jurat.merkle.tile import TILE_WIDTH, format_tile_path, parse_tile_path
from jurat.merkle.tree import hash_leaves, root_of

VERIFIER: Final = "verify_log.py"


class Exported(NamedTuple):
    """What lies in the directory now. `written`: files that were not there before."""

    log: str
    origin: str
    size: int
    root: bytes
    files: int
    written: int
    minimum: int = 0  # the log is pruned below this index
    removed: int = 0  # files that were there, and are pruned now


def read_verifier() -> bytes:
    """Return the stand-alone verifier's source."""
    return (importlib.resources.files("jurat.ledger") / "data" / VERIFIER).read_bytes()


def export_log(
    ledger_root: Path, log: LogName, keys: Sequence[LogKeys], directory: Path, *, progress: Callable[[int, int], None] | None = None
) -> Exported:
    """Put a log's published state into `directory`; durable and verified once this returns.

    Args:
        progress: called with (entries done, entries in all), often.
    Raises:
        NotFound: no keys of this log were given.
        Conflict: the directory holds something else than an earlier export of this log.
        Tampered: the log is not what its checkpoint signs, or is older than what was exported before. Nothing new is published.
        Unavailable: the disk refused.
    """
    mine = next((each for each in keys if each.log == str(log)), None)
    if mine is None:
        raise NotFound(f"there are no keys of log `{log}`", hint="`keys/log-keys.json` of the workspace has them")
    try:
        note = newest_anchor(ledger_root) if log == ANCHOR else checkpoint_file(ledger_root, log).read_bytes()
    except OSError as error:
        raise Tampered(f"log `{log}` has no public checkpoint", hint="run `jurat verify`", code="checkpoint_bad") from error
    checkpoint = open_checkpoint(note, mine)
    _check_earlier(directory, checkpoint, mine)
    proof, shown, minimum = _minimum(ledger_root, log, keys, mine)
    reader, files, written, removed = ArrayReader(log.directory(ledger_root), log.entry_size), 0, 0, 0
    try:
        for end, path, raw in tiles_of(reader, checkpoint, minimum):
            files, written = files + 1, written + _put(directory / path, raw)
            if progress:
                progress(end, checkpoint.size)
        os.sync()  # once for all of them, before the checkpoint that promises them
        write_log_keys(directory / "log-keys.json", shown)
        if proof is not None:
            write_whole(directory / MINIMUM_FILE, proof)  # before anything goes that it excuses
            removed = _remove_pruned(directory, minimum)
        write_whole(directory / VERIFIER, read_verifier())
        write_whole(directory / "checkpoint", note)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise Unavailable(
            f"`{directory}` could not be written: {why}", hint="repair that and run it again", code="storage_failed"
        ) from error
    finally:
        reader.close()
    return Exported(str(log), checkpoint.origin, checkpoint.size, checkpoint.root, files, written, minimum, removed)


def _minimum(ledger_root: Path, log: LogName, keys: Sequence[LogKeys], mine: LogKeys) -> tuple[bytes | None, list[LogKeys], int]:
    """Return the proof of the minimum index, the keys that it takes to read it, and the index."""
    anchor = next((each for each in keys if each.log == str(ANCHOR)), None)
    proof = None if log == ANCHOR or anchor is None else prove_minimum(ledger_root, log, keys)
    if proof is None or anchor is None:
        return None, [mine], 0
    return proof, [mine, anchor], open_minimum(proof, mine, anchor)


def _remove_pruned(directory: Path, minimum: int) -> int:
    """Remove the full tiles and bundles that are pruned now, which an earlier export has left, and their partial ones."""
    removed = 0
    for folder in directory.glob("tile/*"):
        level = None if folder.name == "entries" else int(folder.name)
        for path in [path for path in folder.rglob("*") if path.is_file()]:
            number = parse_tile_path(path.relative_to(directory).as_posix()).number
            if (number + 1) << 8 * ((level or 0) + 1) <= minimum:
                path.unlink()
                removed += 1
    return removed


def _check_earlier(directory: Path, checkpoint: Checkpoint, keys: LogKeys) -> None:
    """Pass if the directory is empty, or holds an earlier, perhaps broken off, export of this log."""
    directory.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in directory.iterdir()}
    if not names <= {"tile", "checkpoint", "log-keys.json", VERIFIER, MINIMUM_FILE}:
        raise Conflict(f"`{directory}` holds other things than an export", hint="choose an empty directory", code="not_an_export")
    for path in directory.rglob(".*.tmp"):  # what a run that was killed had in hand
        path.unlink()
    if "checkpoint" not in names:
        return
    try:
        text = read_unverified_text((directory / "checkpoint").read_bytes())
        if text.partition("\n")[0] != keys.origin:
            raise Conflict(
                f"`{directory}` holds log `{text.partition(chr(10))[0][:120]}`, not `{keys.origin}`",
                hint="one directory for each log", code="not_an_export",
            )  # fmt: skip
        earlier = open_checkpoint((directory / "checkpoint").read_bytes(), keys)
    except Conflict:
        raise
    except JuratError as error:
        raise Tampered(f"the checkpoint in `{directory}` cannot be believed: {error.detail}", code="checkpoint_bad") from error
    if earlier.size > checkpoint.size or (earlier.size == checkpoint.size and earlier.root != checkpoint.root):
        raise Tampered(
            f"`{directory}` holds size `{earlier.size}` of log `{keys.log}`, which is at `{checkpoint.size}` now",
            hint="the ledger was rolled back or forked: keep both, and run `jurat verify --since` with that checkpoint",
            code="rolled_back",
        )


def tiles_of(reader: ArrayReader, checkpoint: Checkpoint, minimum: int) -> Iterator[tuple[int, str, bytes]]:
    """Yield (entries done, path, bytes) of every resource that is not pruned, each level once it fits the one below.

    Raises:
        Tampered: some stored bytes are not what the signed root says.
    """
    size, counts = checkpoint.size, level_counts(checkpoint.size)
    expected: list[bytes] = []  # the roots of the full tiles of the level below
    edge: list[list[bytes]] = []
    for level, count in enumerate(counts):
        above, rest = [], []
        begin = hash_floor(minimum, level) if level else entry_floor(minimum)
        known = begin if not level else min(count, entry_floor(minimum) >> 8 * level)  # below: the tile under it is pruned
        expected = reader.hashes(level, begin, known) + expected
        for first in range(begin, count, TILE_WIDTH):
            number, end = first // TILE_WIDTH, min(first + TILE_WIDTH, count)
            hashes = reader.hashes(level, first, end)
            done = size if level else end
            if level == 0:
                if hash_leaves(reader.entries(first, end)) != hashes:
                    raise _altered(level, first, end)
                yield done, format_tile_path(None, number, end - first), reader.raw_entries(first, end)
            elif hashes != expected[first - begin : end - begin]:
                raise _altered(level, first, end)
            yield done, format_tile_path(level, number, end - first), b"".join(hashes)
            if end - first == TILE_WIDTH:
                above.append(root_of(hashes))
            else:
                rest = hashes
        expected = above
        edge.append(rest)
    if root_of_edge(edge) != checkpoint.root:
        raise Tampered(
            f"the {size} entries do not give the root that the checkpoint signs",
            hint="run `jurat verify`, which says where they differ", code="entry_altered",
        )  # fmt: skip


def _altered(level: int, first: int, end: int) -> Tampered:
    detail = f"hashes `{first}` to `{end - 1}` of `L{level}` are not those of the entries below them"
    return Tampered(detail, hint="run `jurat verify`, which says what was altered", code="tree_altered")


def _put(path: Path, raw: bytes) -> bool:
    """Put `raw` at `path`, whole or not at all; return whether it was not there. Not synced.

    Raises:
        Conflict: something else is there.
    """
    try:
        if path.read_bytes() == raw:
            return False
        raise Conflict(
            f"`{path}` is there with other bytes", hint="choose an empty directory, and ask who changed this one", code="export_altered"
        )
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    neighbour = path.parent / f".{path.name}.{secrets.token_hex(6)}.tmp"
    try:
        neighbour.write_bytes(raw)
        neighbour.rename(path)
    finally:
        neighbour.unlink(missing_ok=True)
    return True
