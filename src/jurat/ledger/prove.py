"""Makes evidence: reads an event's entry, its path and the checkpoints that are public, and checks it all before it leaves.

Knows the arrays and public checkpoints of a ledger; needs no private key and writes nothing. `verify_evidence` is the
other half, and does not need this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jurat.core.errors import NotFound, Tampered, Unavailable
from jurat.core.jsonio import dump_json
from jurat.ledger.arrays import ArrayReader
from jurat.ledger.evidence import FORMAT, EvidenceReport, decode_event_bytes, pack_extra, verify_evidence
from jurat.ledger.keys import LogKeys
from jurat.ledger.layout import ANCHOR, LogName, checkpoint_file, hash_origin, parse_log_name
from jurat.ledger.stored import StoredEvent
from jurat.merkle.checkpoint import Checkpoint, parse_checkpoint
from jurat.merkle.note import open_note, verifiers_of
from jurat.merkle.proof import TlogProof, format_proof
from jurat.merkle.tree import inclusion_path

__all__ = ["EvidenceReport", "prove_event", "verify_evidence"]

_BLOCK = 4096  # anchor entries read at once


def prove_event(ledger_root: Path, stored: StoredEvent, keys: Sequence[LogKeys], receipt: str | None) -> bytes:
    """Return the evidence file of an event: deterministic JSON for the same event, receipt and checkpoints.

    Raises:
        Unavailable: the event is not sealed yet; flush the ledger, or wait for a second.
        NotFound: no keys of the event's log were given.
        Tampered: the ledger does not prove what it holds. Nothing leaves.
    """
    log = parse_log_name(stored.log)
    note, checkpoint = _published(ledger_root, log, keys)
    if stored.index >= checkpoint.size:
        raise Unavailable(
            f"event {stored.index} of log `{log}` is not sealed yet: the checkpoint has size {checkpoint.size}",
            hint="the log is sealed about once a second; try again",
            code="not_sealed",
        )
    entry, path = _read_proof(ledger_root, log, stored.index, checkpoint.size)
    evidence: dict[str, Any] = {
        "format": FORMAT,
        "log": str(log),
        "origin": checkpoint.origin,
        "index": stored.index,
        "event": decode_event_bytes(stored.raw),
        "receipt": receipt,
        "proof": format_proof(TlogProof(stored.index, path, note, pack_extra(entry, stored.salt, stored.raw))),
        "anchor_proof": _prove_anchored(ledger_root, checkpoint, keys),
    }
    raw = dump_json(evidence) + b"\n"
    verify_evidence(raw, keys)  # nothing leaves that a stranger would refuse
    return raw


def _published(ledger_root: Path, log: LogName, keys: Sequence[LogKeys]) -> tuple[str, Checkpoint]:
    mine = next((each for each in keys if each.log == str(log)), None)
    if mine is None:
        raise NotFound(f"there are no keys of log `{log}`", hint="`keys/log-keys.json` of the workspace has them")
    try:
        note = checkpoint_file(ledger_root, log).read_bytes()
    except OSError as error:
        raise Tampered(f"log `{log}` has no public checkpoint", hint="run `jurat verify`", code="checkpoint_bad") from error
    opened = open_note(note, verifiers_of(mine.vkeys))
    return note.decode(), parse_checkpoint(opened.text)


def _read_proof(ledger_root: Path, log: LogName, index: int, size: int) -> tuple[bytes, list[bytes]]:
    reader = ArrayReader(log.directory(ledger_root), log.entry_size)
    try:
        return reader.entries(index, index + 1)[0], inclusion_path(index, size, reader.node)
    finally:
        reader.close()


def _prove_anchored(ledger_root: Path, checkpoint: Checkpoint, keys: Sequence[LogKeys]) -> str | None:
    """Return the proof that the anchor log holds this checkpoint; None if it does not yet, or its keys were not given."""
    if not any(each.log == str(ANCHOR) for each in keys):
        return None
    note, anchor = _published(ledger_root, ANCHOR, keys)
    wanted = hash_origin(checkpoint.origin) + checkpoint.size.to_bytes(8)
    reader = ArrayReader(ANCHOR.directory(ledger_root), ANCHOR.entry_size)
    try:
        for end in range(anchor.size, 0, -_BLOCK):
            first = max(0, end - _BLOCK)
            for index, entry in reversed(list(enumerate(reader.entries(first, end), start=first))):
                if entry[1 : 1 + len(wanted)] == wanted:
                    return format_proof(TlogProof(index, inclusion_path(index, anchor.size, reader.node), note, entry))
    finally:
        reader.close()
    return None
