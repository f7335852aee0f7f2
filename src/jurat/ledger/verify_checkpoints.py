"""What the signatures say about each log: the newest signed size and root, and every other root that it must have had.

Sources: the public checkpoint, the lock store, the anchor log, and checkpoints that somebody kept. Each is opened with
the given keys and nothing else; a checkpoint counts only if *every* key of its log signed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from jurat.core.errors import JuratError, Tampered
from jurat.ledger.faults import Faults
from jurat.ledger.keys import LogKeys
from jurat.ledger.layout import LogName, checkpoint_file, hash_origin, parse_log_name
from jurat.ledger.lockstore import Locked, read_lock_store
from jurat.ledger.verify_log import LogFiles, Waypoint
from jurat.merkle.checkpoint import Checkpoint, parse_checkpoint
from jurat.merkle.entry import AnchorEntry, unpack_anchor_entry
from jurat.merkle.note import Verifier, open_note, read_unverified_text, verifiers_of

_ANCHORED: Final = "anchor_inconsistent"  # what it would be if an anchored root were not met


@dataclass
class Claims:
    """What is signed about one log."""

    log: LogName
    keys: LogKeys
    files: LogFiles
    newest: Checkpoint | None = None
    public: Checkpoint | None = None
    waypoints: list[Waypoint] = field(default_factory=list)

    def bind(self, checkpoint: Checkpoint, what: str, witness: str) -> None:
        """Take in a signed checkpoint: the newest is the measure, the others must lie on the way to it."""
        older = checkpoint
        if self.newest is None or checkpoint.size > self.newest.size:
            older, self.newest = self.newest or checkpoint, checkpoint
        if older is not self.newest and older.size:
            self.waypoints.append(Waypoint(older.size, older.root, what, witness))


def open_checkpoint(note: str | bytes, keys: LogKeys) -> Checkpoint:
    """Return the checkpoint in a note that every key signed which this log had at that size.

    Raises:
        Malformed: not a signed checkpoint, or a key that is none.
        Tampered: a signature is missing or does not hold, or it is another log's checkpoint. Code `key_retired`: only keys signed it
            whose last size lies before.
    """
    size = parse_checkpoint(read_unverified_text(note)).size if keys.periods else 0
    verifiers = verifiers_of(keys.vkeys_at(size))
    if keys.periods:
        _refuse_retired(note, keys, size, verifiers)
    opened = open_note(note, verifiers)
    if len(opened.signatures) != len(verifiers):
        missing = len(verifiers) - len(opened.signatures)
        raise Tampered(f"the checkpoint lacks `{missing}` of the {len(verifiers)} signatures of log `{keys.log}`", code="signature_missing")
    checkpoint = parse_checkpoint(opened.text)
    if checkpoint.origin != keys.origin:
        raise Tampered(f"the checkpoint is of log `{checkpoint.origin[:120]}`, expected `{keys.origin}`", code="origin_wrong")
    return checkpoint


def _refuse_retired(note: str | bytes, keys: LogKeys, size: int, verifiers: Sequence[Verifier]) -> None:
    """Pass unless retired keys signed a checkpoint that those of its size did not sign."""
    if _is_signed(note, verifiers):
        return
    for period in keys.retired_by(size):
        if _is_signed(note, verifiers_of(period.vkeys)):
            raise Tampered(
                f"a checkpoint of size `{size}` of log `{keys.log}` is signed by keys whose last size was {period.last_size}",
                hint="whoever has the old key made it: keep it as evidence, and ask the operator", code="key_retired",
            )  # fmt: skip


def _is_signed(note: str | bytes, verifiers: Sequence[Verifier]) -> bool:
    try:
        open_note(note, verifiers)
    except JuratError:
        return False
    return True


def gather_claims(
    ledger_root: Path, keys: Sequence[LogKeys], lock_path: Path | None, since: Sequence[str | bytes], faults: Faults
) -> list[Claims]:
    """Return what is signed about each log, the anchor log first. Reads the public checkpoints before the lock store."""
    claims = []
    for each in sorted(keys, key=lambda each: each.log != "anchor"):
        log = parse_log_name(each.log)
        claim = Claims(log, each, LogFiles(log.directory(ledger_root), log.entry_size))
        claim.public = _read_public(ledger_root, claim, faults)
        claims.append(claim)
    locked = _read_locked(lock_path, faults)
    for claim in claims:
        _bind_lock(claim, locked, faults)
    for note in since:
        bind_kept(claims, note, faults)
    return claims


def _read_public(ledger_root: Path, claim: Claims, faults: Faults) -> Checkpoint | None:
    path = checkpoint_file(ledger_root, claim.log)
    try:
        return open_checkpoint(path.read_bytes(), claim.keys)
    except (JuratError, OSError) as error:
        faults.add(str(claim.log), "checkpoint_bad", _why(error), file=path.relative_to(ledger_root).as_posix())
        return None


def _read_locked(lock_path: Path | None, faults: Faults) -> dict[str, Locked] | None:
    if lock_path is None:
        return None
    try:
        return read_lock_store(lock_path)
    except (JuratError, OSError) as error:
        faults.add("lock", "lock_unreadable", _why(error))
        return None


def _bind_lock(claim: Claims, locked: dict[str, Locked] | None, faults: Faults) -> None:
    public, log = claim.public, str(claim.log)
    held = None if locked is None else _open_locked(claim, locked, faults)
    if held is not None:
        claim.bind(held, "forked", f"the lock store at size {held.size}")
    if public is not None:
        claim.bind(public, "forked", f"the public checkpoint of size {public.size}")
    if public is not None and held is not None and public.size > held.size:
        detail = f"the lock store is at size {held.size}, the public checkpoint at {public.size}: the lock store is an older copy"
        faults.add(log, "rolled_back", detail)


def _open_locked(claim: Claims, locked: dict[str, Locked], faults: Faults) -> Checkpoint | None:
    row = locked.get(claim.keys.origin)
    if row is None:
        faults.add(str(claim.log), "lock_unreadable", "the lock store does not know this log")
        return None
    try:
        held = open_checkpoint(row.note, claim.keys)
        if (held.size, held.root) != (row.size, row.root):
            raise Tampered(f"its note says size `{held.size}`, its row `{row.size}`")
    except JuratError as error:
        faults.add(str(claim.log), "checkpoint_bad", f"in the lock store: {error.detail}")
        return None
    return held


def bind_kept(claims: Sequence[Claims], note: str | bytes, faults: Faults) -> None:
    """Hold a log to a checkpoint that somebody kept."""
    try:
        origin = parse_checkpoint(read_unverified_text(note)).origin
        claim = next((claim for claim in claims if claim.keys.origin == origin), None)
        if claim is None:
            raise Tampered(f"it is of log `{origin[:120]}`, of which no key was given")
        kept = open_checkpoint(note, claim.keys)
    except JuratError as error:
        faults.add("kept checkpoint", "checkpoint_bad", error.detail)
        return
    claim.bind(kept, "forked", f"a kept checkpoint of size {kept.size}")


def bind_anchors(claims: Sequence[Claims], anchor: Claims, damaged: set[int], faults: Faults) -> None:
    """Make each anchored checkpoint a waypoint of its log. `damaged`: indexes of the anchor log that are not authentic."""
    by_hash = {hash_origin(claim.keys.origin): claim for claim in claims if claim is not anchor}
    last: dict[bytes, AnchorEntry] = {}
    size = min(anchor.newest.size if anchor.newest else 0, anchor.files.count("entries"))
    for first in range(0, size, 4096):
        for index, raw in enumerate(anchor.files.entries(first, min(first + 4096, size)), start=first):
            if index in damaged:
                continue
            detail = ""
            try:
                entry = unpack_anchor_entry(raw)
            except JuratError as error:
                faults.add("anchor", "anchor_inconsistent", error.detail, index=index)
                continue
            claim, before = by_hash.get(entry.origin_hash), last.get(entry.origin_hash)
            if claim is None:
                faults.add("anchor", "anchor_inconsistent", "it names a log that is not in the given keys", index=index)
                continue
            if before is not None and not (before.size < entry.size or _only_pruned(before, entry)):
                detail = f"log `{claim.log}` goes from size {before.size} to {entry.size}"
            elif not (before.minimum_index if before else 0) <= entry.minimum_index <= entry.size:
                detail = f"the minimum index of log `{claim.log}` goes to {entry.minimum_index}, which cannot be"
            elif before is not None and entry.sealed_ns < before.sealed_ns:
                detail = f"log `{claim.log}` was sealed before its earlier checkpoint"
            if detail:
                faults.add("anchor", "anchor_inconsistent", detail, index=index)
            last[entry.origin_hash] = entry
            claim.files.minimum = max(claim.files.minimum, entry.minimum_index)
            claim.waypoints.append(Waypoint(entry.size, entry.root, _ANCHORED, f"anchor entry {index}"))
    for origin_hash, entry in last.items():
        claim = by_hash[origin_hash]
        if claim.newest is None or entry.size > claim.newest.size:
            newest = Checkpoint(claim.keys.origin, entry.size, entry.root)
            claim.bind(newest, "anchor_inconsistent", f"the anchor log's last size {entry.size}")


def judge_pruned(claims: Sequence[Claims], faults: Faults) -> dict[str, list[str]]:
    """Hold checkpoints of pruned sizes to the anchor log, which has their roots; return those that it does not know, per log."""
    unjudged: dict[str, list[str]] = {}
    for claim in claims:
        below = [each for each in claim.waypoints if 0 < each.size < claim.files.minimum]
        anchored = {each.size: each for each in below if each.what == _ANCHORED}
        for kept in (each for each in below if each.what != _ANCHORED):
            known = anchored.get(kept.size)
            if known is None:
                unjudged.setdefault(str(claim.log), []).append(kept.witness)
            elif known.root != kept.root:
                detail = f"{kept.witness} signs another tree than {known.witness}"
                faults.add(str(claim.log), kept.what, detail, index=0, last_index=kept.size - 1)
    return unjudged


def _only_pruned(before: AnchorEntry, entry: AnchorEntry) -> bool:
    return (before.size, before.root) == (entry.size, entry.root) and before.minimum_index < entry.minimum_index


def _why(error: Exception) -> str:
    if isinstance(error, JuratError):
        return error.detail
    return (getattr(error, "strerror", None) or str(error)).lower()
