"""A mirror of a tenant's record in an object store: what others verify without us, and what other engines read.

    <log>/tile/…  <log>/checkpoint  <log>/minimum.tlog-proof      as an export has them (`export`), for every log and the anchor log
    events/class=…/kind=…/date=…/part-….parquet                   the archive's files, as they lie here
    events/manifest-<n>.json                                      the one that lists them

Nothing is overwritten but a log's checkpoint, and only by one that continues it. In this order: tiles, files, manifest,
checkpoints of the logs, the anchor's last; then what is not listed or pruned goes, so an erasure reaches a mirror with
the next push. Run again, it goes on where it was. What does not verify does not leave.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from jurat.core.digests import digest_bytes
from jurat.core.errors import JuratError, NotFound, Tampered
from jurat.core.jsonio import dump_json
from jurat.ledger.arrays import ArrayReader
from jurat.ledger.consistency import prove_consistency, verify_continues
from jurat.ledger.export import tiles_of
from jurat.ledger.keys import LogKeys
from jurat.ledger.layout import ANCHOR, LogName, checkpoint_file, class_logs, events_directory
from jurat.ledger.manifest import Manifest, manifest_path, read_manifest, seal_manifest
from jurat.ledger.minimum import MINIMUM_FILE, prove_minimum
from jurat.ledger.objects import Held, ObjectStore
from jurat.ledger.verify_checkpoints import open_checkpoint
from jurat.ledger.witnessed import newest_anchor
from jurat.merkle.checkpoint import Checkpoint
from jurat.merkle.tile import parse_tile_path

_LANES: Final = 8
_PATIENCE: Final = 3  # times that the archive may move on while it is read


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """What a push did."""

    url: str
    logs: dict[str, int]  # the size of each in the mirror now
    tiles: int  # put, that were not there
    parts: int
    bytes: int
    removed: int
    manifest: int


class _State:
    """One log on its way."""

    def __init__(self, log: LogName, keys: LogKeys, note: bytes) -> None:
        self.log, self.keys, self.note = log, keys, note
        self.checkpoint = open_checkpoint(note, keys)
        self.held: Held | None = None
        self.mirrored = 0


def push_mirror(
    ledger_root: Path, tenant: str, keys: Sequence[LogKeys], store: ObjectStore, *, say: Callable[[str], None] = lambda _: None
) -> Pushed:
    """Bring a mirror up to date; it can be verified, and is as new as the ledger was when this began, once this returns.

    Raises:
        Conflict: the mirror holds something else, or somebody else pushes to it.
        Tampered: the ledger is not what it signs, or older than its mirror. Nothing of that log leaves.
        Unavailable: the store or the disk refused. Run it again.
    """
    known = {each.log: each for each in keys}
    logs = [ANCHOR, *class_logs(tenant)]
    if absent := next((log for log in logs if str(log) not in known), None):
        raise NotFound(f"there are no keys of log `{absent}`", hint="`keys/log-keys.json` of the workspace has them")
    notes = [newest_anchor(ledger_root), *(checkpoint_file(ledger_root, log).read_bytes() for log in logs[1:])]  # the anchor first
    states = [_State(log, known[str(log)], note) for log, note in zip(logs, notes, strict=True)]
    tiles = parts = size_bytes = 0
    with ThreadPoolExecutor(_LANES) as lanes:
        for state in states:
            _look(ledger_root, state, store.below(str(state.log)))
            say(f"`{state.log}`: {state.mirrored} entries are there, {state.checkpoint.size} are sealed")
            count, size = _push_tiles(ledger_root, state, store.below(str(state.log)), keys, lanes)
            tiles, size_bytes = tiles + count, size_bytes + size
        manifest, parts, size = _push_archive(ledger_root, tenant, store)
        for state in [*states[1:], states[0]]:
            if state.held is None or state.held.raw != state.note:
                store.below(str(state.log)).swap("checkpoint", state.held, state.note)
        removed = _remove_gone(ledger_root, store, states, manifest)
    return Pushed(
        url=store.url, logs={str(state.log): state.checkpoint.size for state in states}, tiles=tiles, parts=parts,
        bytes=size_bytes + size, removed=removed, manifest=manifest.number,
    )  # fmt: skip


def _look(ledger_root: Path, state: _State, store: ObjectStore) -> None:
    """See how far the mirror of a log is, and that ours continues it."""
    state.held = store.hold("checkpoint")
    if state.held is None:
        return
    try:
        there = open_checkpoint(state.held.raw, state.keys)
    except JuratError as error:
        raise Tampered(
            f"the checkpoint in `{store.url}` of log `{state.log}` cannot be believed: {error.detail}", code="checkpoint_bad"
        ) from error
    if there.size > state.checkpoint.size:
        raise Tampered(
            f"`{store.url}` holds size `{there.size}` of log `{state.log}`, which is at `{state.checkpoint.size}` now",
            hint="the ledger was rolled back: keep both, and run `jurat verify --since` with that checkpoint", code="rolled_back",
        )  # fmt: skip
    if there.size and there != state.checkpoint:
        _continues(ledger_root, state.log, there, state.checkpoint)
    state.mirrored = there.size


def _continues(ledger_root: Path, log: LogName, old: Checkpoint, new: Checkpoint) -> None:
    try:
        verify_continues(old, new, prove_consistency(ledger_root, log, old.size, new.size) if old.size < new.size else [])
    except NotFound as error:
        if error.code != "pruned":  # below the minimum index nobody can tell any more
            raise


def _push_tiles(
    ledger_root: Path, state: _State, store: ObjectStore, keys: Sequence[LogKeys], lanes: ThreadPoolExecutor
) -> tuple[int, int]:
    proof = None if state.log == ANCHOR else prove_minimum(ledger_root, state.log, keys)
    if proof is not None:
        store.swap(MINIMUM_FILE, store.hold(MINIMUM_FILE), proof)
    reader = ArrayReader(state.log.directory(ledger_root), state.log.entry_size)
    try:
        begin = max(reader.pruned.minimum, state.mirrored)  # what lies before is there; the root binds it all the same
        wanted = ((path, raw) for _, path, raw in tiles_of(reader, state.checkpoint, begin))
        return _put_all(store, wanted, lanes)
    finally:
        reader.close()


def _push_archive(ledger_root: Path, tenant: str, store: ObjectStore) -> tuple[Manifest, int, int]:
    """Put the archive's files, then the manifest that lists them; again, if they were rewritten meanwhile."""
    directory, parts, size_bytes = events_directory(ledger_root, tenant), 0, 0
    events = store.below("events")
    there = set(events.names())
    for left in range(_PATIENCE, -1, -1):
        manifest = read_manifest(directory)
        try:
            for part in manifest.parts:  # one at a time: each may be 128 MB
                if part.path not in there and events.create(part.path, _read_part(directory / part.path, part.sha256)):
                    parts, size_bytes = parts + 1, size_bytes + part.size_bytes
        except FileNotFoundError:
            if not left:
                raise Tampered("the archive's files vanish faster than they can be read", code="part_missing") from None
            continue
        break
    if manifest.number:
        shown = msgspec.structs.replace(manifest, retired=())  # what is retired here is not in a mirror
        events.create(f"manifest-{manifest.number}.json", _manifest_bytes(directory, manifest, shown))
    return manifest, parts, size_bytes


def _manifest_bytes(directory: Path, manifest: Manifest, shown: Manifest) -> bytes:
    """Return the manifest's own bytes where nothing is left out of it."""
    if manifest == shown:
        try:
            return manifest_path(directory, manifest.number).read_bytes()
        except FileNotFoundError:  # a newer one came
            pass
    return dump_json(seal_manifest(shown))


def _read_part(path: Path, digest: str) -> bytes:
    raw = path.read_bytes()
    if digest_bytes(raw) != digest:
        raise Tampered(
            f"part `{path.name}` of the archive is not what the manifest says", hint="run `jurat verify`", code="parquet_altered"
        )
    return raw


def _put_all(store: ObjectStore, wanted: Iterator[tuple[str, bytes]], lanes: ThreadPoolExecutor) -> tuple[int, int]:
    """Put all of them, a few at once and few in memory; return how many were not there, and their bytes."""
    count = size_bytes = 0
    while batch := tuple(itertools.islice(wanted, _LANES * 4)):
        for (_, raw), is_new in zip(batch, lanes.map(lambda each: store.create(*each), batch), strict=True):
            count, size_bytes = count + is_new, size_bytes + (len(raw) if is_new else 0)
    return count, size_bytes


def _remove_gone(ledger_root: Path, store: ObjectStore, states: Sequence[_State], manifest: Manifest) -> int:
    """Take away what the newest manifest does not list, and what is pruned."""
    listed = {part.path for part in manifest.parts} | {f"manifest-{manifest.number}.json"}
    events = store.below("events")
    gone = [name for name in events.names() if name not in listed]
    events.remove(gone)
    removed = len(gone)
    for state in states:
        pruned = ArrayReader(state.log.directory(ledger_root), state.log.entry_size).pruned
        if pruned.minimum:
            mine = store.below(str(state.log))
            old = [path for path in mine.names("tile/") if pruned.refuses(*parse_tile_path(path)[:2])]
            mine.remove(old)
            removed += len(old)
    return removed
