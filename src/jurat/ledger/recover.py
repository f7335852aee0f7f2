"""The start: find out where the ledger stands, and refuse rather than fork. `ledger.md` §4, steps 2 to 8.

    (2) scan the journal; a torn tail goes, damage before it stops the start; what is kept is synced again
    (3) cut the arrays to the length that the lock store vouches for, replay the journal into them
    (4) the root at the locked size must be the locked root, and the journal must reach the locked group
    (5) temporary files go
    (6) the public checkpoint may be behind the lock store, never ahead or beside it
    (8) the last bundle and the right edge are hashed again

Step 1, the flock, is the caller's; step 7, asking the witnesses, is done before this process starts (`worker.start_check`).
Replaying is deterministic: salts, times and indices lie in the journal.
"""

from __future__ import annotations

from pathlib import Path

from jurat.core.errors import Conflict, Malformed, Tampered
from jurat.ledger.arrays import ArrayReader, LogArrays
from jurat.ledger.engine import Engine
from jurat.ledger.journal import JournalWriter, Position, first_position, journal_uuid, scan
from jurat.ledger.keys import LogSigners
from jurat.ledger.layout import ANCHOR, LogName, checkpoint_file, hash_origin, journal_directory
from jurat.ledger.lockstore import Locked, LockStore
from jurat.ledger.producers import ended_sequences, last_anchored, last_sequences
from jurat.ledger.publish import Anchored, SealedState, SegmentEnds
from jurat.ledger.record import Record
from jurat.ledger.salts import RecentSalts
from jurat.ledger.sequencer import Last, LogHead, ProducerKey, Sequencer
from jurat.ledger.verify_checkpoints import open_checkpoint
from jurat.merkle.checkpoint import Checkpoint
from jurat.merkle.entry import unpack_entry


def recover(ledger_root: Path, signers: dict[LogName, LogSigners], lock: LockStore, *, segment_size: int) -> tuple[Engine, SealedState]:
    """Return the engine, ready to write, and where sealing goes on.

    Raises:
        Tampered: the ledger is damaged, was rolled back, or a checkpoint is public that we never committed.
        Conflict: the lock store is that of another ledger.
    """
    locked = _locked_logs(signers, lock)
    public = {log: _check_public(ledger_root, log, signers[log], locked[log]) for log in signers}
    arrays: dict[LogName, LogArrays] = {}
    for log in signers:
        _drop_temporary_files(log.directory(ledger_root))
        arrays[log] = _open_arrays(ledger_root, log, locked[log])
    salts = {log: RecentSalts() for log in signers}
    journal, read_to, ends = _replay(ledger_root, lock, locked, arrays, salts, segment_size)
    for log in signers:
        _check_root(log, arrays[log], locked[log])
    sequencer = _make_sequencer(signers, arrays)
    origins = {log: hash_origin(signers[log].public.origin) for log in signers if log != ANCHOR}
    entries = last_anchored(arrays[ANCHOR], arrays[ANCHOR].size, [origins[log] for log in origins if locked[log].size])
    anchored = {log: Anchored(found.size, found.minimum_index) for log, origin in origins.items() if (found := entries.get(origin))}
    return Engine(journal, arrays, sequencer, salts), SealedState(read_to, ends, anchored, public)


def _locked_logs(signers: dict[LogName, LogSigners], lock: LockStore) -> dict[LogName, Locked]:
    """Return the lock store's word on each log, its signature checked."""
    locked = {}
    for log, signer in signers.items():
        origin = signer.public.origin
        if origin not in lock.logs:
            raise Conflict(
                f"the lock store knows no log `{origin}`, only {', '.join(f'`{each}`' for each in sorted(lock.logs))}",
                hint="`tenant` and `log_host` of a workspace never change; set them back",
                code="log_unknown",
            )
        entry = lock.logs[origin]
        checkpoint = _open_own(entry.note, signer, f"the lock store's note for `{origin}`")
        if checkpoint != (origin, entry.size, entry.root):
            raise Tampered(f"the lock store's row for `{origin}` does not say what its signed note says", code="checkpoint_bad")
        locked[log] = entry
    return locked


def _check_public(ledger_root: Path, log: LogName, signer: LogSigners, locked: Locked) -> str:
    """Return the public checkpoint, empty if there is none, once it is known to be no further than the lock store."""
    path = checkpoint_file(ledger_root, log)
    try:
        note = path.read_bytes()
    except FileNotFoundError:
        return ""
    checkpoint = _open_own(note, signer, f"`{path}`")
    if checkpoint.origin != locked.origin:
        raise Tampered(f"`{path}` is the checkpoint of `{checkpoint.origin}`, expected `{locked.origin}`", code="checkpoint_bad")
    if checkpoint.size > locked.size or (checkpoint.size == locked.size and checkpoint.root != locked.root):
        raise Tampered(
            f"log `{log}`: the public checkpoint has size `{checkpoint.size}`, the lock store `{locked.size}`, and the two do not agree",
            hint="the lock store was rolled back, or somebody else signs with this key; going on would show two histories",
            code="rolled_back",
        )
    return note.decode()


def _open_own(note: str | bytes, signer: LogSigners, what: str) -> Checkpoint:
    """Return what a note of ours says; every key that was to sign at that size must have."""
    try:
        return open_checkpoint(note, signer.public)
    except (Malformed, Tampered) as error:
        raise Tampered(
            f"{what} is not a checkpoint that this ledger's keys signed: {error.detail}",
            hint="is this the right signing key? checkpoints are written whole, so no crash did this",
            code="checkpoint_bad",
        ) from error


def _drop_temporary_files(directory: Path) -> None:
    for path in directory.glob(".*.tmp"):
        path.unlink()


def _open_arrays(ledger_root: Path, log: LogName, locked: Locked) -> LogArrays:
    directory = log.directory(ledger_root)
    reader = ArrayReader(directory, log.entry_size)
    try:
        size = min(reader.whole_size(), locked.size)
    finally:
        reader.close()
    return LogArrays(directory, log.entry_size, size)


def _replay(
    ledger_root: Path,
    lock: LockStore,
    locked: dict[LogName, Locked],
    arrays: dict[LogName, LogArrays],
    salts: dict[LogName, RecentSalts],
    segment_size: int,
) -> tuple[JournalWriter, Position, SegmentEnds]:
    """Return the journal's writer, the place before the first record that is not sealed, and what the segments hold."""
    directory = journal_directory(ledger_root)
    if journal_uuid(directory) != lock.journal_uuid:
        raise Tampered("the journal is not the one that the lock store knows", hint="was another ledger copied here?", code="rolled_back")
    by_hash = {hash_origin(entry.origin)[:8]: log for log, entry in locked.items()}
    end = last_group = first_position(directory)
    unsealed: Position | None = None
    ends: SegmentEnds = {}
    for placed in scan(directory):
        log = by_hash.get(placed.record.header.origin_hash)
        if log is None:
            raise Tampered(f"journal segment `{placed.start.segment}` has a record of a log that is not ours", code="journal_damaged")
        _replay_record(log, arrays[log], placed.record)
        salts[log].add(placed.record.header.first_index, b"".join(salt for salt, _ in placed.record.payloads()))
        if placed.start.following == 0:
            last_group = placed.start
        if unsealed is None and placed.record.end_index > locked[log].size:
            unsealed = placed.start
        ends.setdefault(placed.start.segment, {})[log] = placed.record.end_index
        end = placed.end
    if end.group < lock.sealed_group:
        raise Tampered(
            f"the journal ends with group `{end.group}`, the lock store has seen group `{lock.sealed_group}`",
            hint="the ledger was rolled back to an older copy: put the newer one back; what was sealed must not be forgotten",
            code="rolled_back",
        )
    journal = JournalWriter(directory, end, segment_size=segment_size)
    journal.repair_tail(last_group)
    return journal, unsealed or end, ends


def _replay_record(log: LogName, arrays: LogArrays, record: Record) -> None:
    first = record.header.first_index
    if first > arrays.size:
        raise Tampered(
            f"log `{log}`: entries `{arrays.size}` to `{first - 1}` are neither in the arrays nor in the journal",
            hint="the ledger was rolled back or cut: put the newer copy back",
            code="entries_missing",
        )
    if record.entry_size != log.entry_size:
        raise Tampered(f"log `{log}`: a journal record has entries of `{record.entry_size}` bytes", code="journal_damaged")
    if record.end_index > arrays.size:
        arrays.append_entries(record.entries()[arrays.size - first :])


def _check_root(log: LogName, arrays: LogArrays, locked: Locked) -> None:
    hint = "the ledger was rolled back or altered: run `jurat verify`, and put the right copy back"
    if arrays.size < locked.size:
        raise Tampered(f"log `{log}` has `{arrays.size}` entries, `{locked.size}` were sealed", hint=hint, code="rolled_back")
    if arrays.root(locked.size) != locked.root:
        raise Tampered(f"log `{log}` does not have the root that was sealed at size `{locked.size}`", hint=hint, code="rolled_back")
    if locked.size:
        first = (locked.size - 1) // 256 * 256
        arrays.check_read_back(first, b"".join(arrays.entries(first, locked.size)))


def _make_sequencer(signers: dict[LogName, LogSigners], arrays: dict[LogName, LogArrays]) -> Sequencer:
    heads: dict[LogName, LogHead] = {}
    lasts: dict[ProducerKey, Last] = {}
    for log, signer in signers.items():
        size, received_ns = arrays[log].size, 0
        if log != ANCHOR:
            lasts.update(ended_sequences(log, arrays[log].pruned.ended))
            lasts.update(last_sequences(log, arrays[log], arrays[log].pruned.floor, size))
            if size:
                received_ns = unpack_entry(arrays[log].entries(size - 1, size)[0]).received_ns
        heads[log] = LogHead(hash_origin(signer.public.origin)[:8], size, received_ns)
    return Sequencer(heads, lasts)
