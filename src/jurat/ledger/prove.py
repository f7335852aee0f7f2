"""Makes evidence, `.tlog-proof` files and COSE receipts, and checks each before it leaves.

Reads an event's entry, its path and the checkpoints that are public: the arrays of a ledger, which are not trusted. Needs
no private key and writes nothing. `verify_evidence` is the other half, and does not need this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jurat.core.errors import JuratError, Malformed, NotFound, Tampered, Unavailable
from jurat.core.jsonio import dump_json
from jurat.ledger.arrays import ArrayReader
from jurat.ledger.evidence import FORMAT, EvidenceReport, decode_event_bytes, pack_extra, verify_evidence
from jurat.ledger.keys import LogKeys
from jurat.ledger.layout import ANCHOR, LogName, checkpoint_file, hash_origin, parse_log_name
from jurat.ledger.pruned import read_pruned, refuse_pruned
from jurat.ledger.rows import kind_name
from jurat.ledger.stored import StoredEvent
from jurat.ledger.verify_checkpoints import open_checkpoint
from jurat.ledger.wire import SignedRoot
from jurat.ledger.witnessed import read_witnessed
from jurat.merkle.checkpoint import Checkpoint
from jurat.merkle.cose import format_cose_receipt, signed_bytes
from jurat.merkle.entry import pack_entry, unpack_entry
from jurat.merkle.note import Ed25519Verifier, verifiers_of
from jurat.merkle.proof import TlogProof, format_proof
from jurat.merkle.tree import hash_leaf, inclusion_path, verify_inclusion

__all__ = ["EvidenceReport", "entry_alone", "prove_cose", "prove_event", "prove_inclusion", "verify_evidence"]

_BLOCK = 4096  # anchor entries read at once


def prove_event(ledger_root: Path, stored: StoredEvent, keys: Sequence[LogKeys], receipt: str | None) -> bytes:
    """Return the evidence file of an event: deterministic JSON for the same event, receipt and checkpoints.

    Raises:
        Unavailable: the event is not sealed yet; flush the ledger, or wait for a second.
        NotFound: no keys of the event's log were given.
        Tampered: the ledger does not prove what it holds. Nothing leaves.
    """
    log, checkpoint, proof = _prove_stored(ledger_root, stored, keys)
    evidence: dict[str, Any] = {
        "format": FORMAT,
        "log": str(log),
        "origin": checkpoint.origin,
        "index": stored.index,
        "event": decode_event_bytes(stored.raw),
        "receipt": receipt,
        "proof": format_proof(proof),
        "anchor_proof": _prove_anchored(ledger_root, checkpoint, keys),
    }
    raw = dump_json(evidence) + b"\n"
    verify_evidence(raw, keys)  # nothing leaves that a stranger would refuse
    return raw


def entry_alone(ledger_root: Path, log: LogName, index: int) -> StoredEvent:
    """Return what is left of an event that was erased or has expired: its entry, by which its place can be proved.

    Raises:
        NotFound: code `pruned`: not even that is left.
        Tampered: the log does not have it.
    """
    _refuse_pruned(ledger_root, log, index)
    reader = ArrayReader(log.directory(ledger_root), log.entry_size)
    try:
        entry = unpack_entry(reader.entries(index, index + 1)[0])
    finally:
        reader.close()
    fields = entry._asdict()
    return StoredEvent(str(log), index, kind_name(fields.pop("kind_code")), **fields, salt=b"", raw=b"")


def prove_inclusion(ledger_root: Path, stored: StoredEvent, keys: Sequence[LogKeys]) -> bytes:
    """Return the `.tlog-proof` of an event, which carries the event in `extra`.

    Raises:
        Unavailable, NotFound, Tampered: as `prove_event`.
    """
    raw = format_proof(_prove_stored(ledger_root, stored, keys)[2]).encode()
    verify_evidence(raw, keys)
    return raw


def prove_cose(ledger_root: Path, stored: StoredEvent, keys: Sequence[LogKeys], signed: SignedRoot) -> bytes:
    """Return the COSE receipt of an event's entry under a root that the log has signed for it.

    Raises:
        Unavailable: the event is not sealed yet.
        NotFound: no keys of the event's log were given.
        Malformed: the tree has one leaf only.
        Tampered: arrays, root and signature do not fit. Nothing leaves.
    """
    log = parse_log_name(stored.log)
    mine = _keys_of(log, keys)
    if stored.index >= signed.size:
        raise _not_sealed(log, stored.index, signed.size)
    entry, path = _read_proof(ledger_root, log, stored.index, signed.size)
    if entry != pack_entry(stored.entry):
        raise Tampered(f"entry {stored.index} of log `{log}` is not the event's", hint="run `jurat verify`", code="entry_altered")
    verify_inclusion(hash_leaf(entry), stored.index, signed.size, path, signed.root)
    _verify_cose(mine, signed)
    return format_cose_receipt(signed.protected, signed.size, stored.index, path, signed.signature)


def _verify_cose(keys: LogKeys, signed: SignedRoot) -> None:
    """Pass if a key of receipts that the log has at this size signed the root."""
    refused: JuratError = Tampered(f"log `{keys.log}` has no key of receipts at size `{signed.size}`", code="signature_bad")
    for verifier in verifiers_of(keys.receipt_vkeys_at(max(0, signed.size - 1))):
        if not isinstance(verifier, Ed25519Verifier):
            raise Malformed(f"the receipt key of log `{keys.log}` is not an Ed25519 key")
        try:
            return verifier.verify_bytes(signed_bytes(signed.protected, signed.root), signed.signature)
        except Tampered as error:
            refused = error
    raise refused


def _prove_stored(ledger_root: Path, stored: StoredEvent, keys: Sequence[LogKeys]) -> tuple[LogName, Checkpoint, TlogProof]:
    log = parse_log_name(stored.log)
    note, checkpoint = _published(ledger_root, log, keys)
    if stored.index >= checkpoint.size:
        raise _not_sealed(log, stored.index, checkpoint.size)
    entry, path = _read_proof(ledger_root, log, stored.index, checkpoint.size)
    return log, checkpoint, TlogProof(stored.index, path, note, pack_extra(entry, stored.salt, stored.raw))


def _not_sealed(log: LogName, index: int, size: int) -> Unavailable:
    return Unavailable(
        f"event {index} of log `{log}` is not sealed yet: the checkpoint has size {size}",
        hint="the log is sealed about once a second; try again",
        code="not_sealed",
    )


def _published(ledger_root: Path, log: LogName, keys: Sequence[LogKeys]) -> tuple[str, Checkpoint]:
    mine = _keys_of(log, keys)
    try:
        note = checkpoint_file(ledger_root, log).read_bytes()
    except OSError as error:
        raise Tampered(f"log `{log}` has no public checkpoint", hint="run `jurat verify`", code="checkpoint_bad") from error
    return note.decode(), open_checkpoint(note, mine)


def _opened(note: str, keys: LogKeys) -> Checkpoint | None:
    try:
        return open_checkpoint(note, keys)
    except JuratError:
        return None


def _keys_of(log: LogName, keys: Sequence[LogKeys]) -> LogKeys:
    for each in keys:
        if each.log == str(log):
            return each
    raise NotFound(f"there are no keys of log `{log}`", hint="`keys/log-keys.json` of the workspace has them")


def _refuse_pruned(ledger_root: Path, log: LogName, index: int) -> None:
    pruned = read_pruned(log.directory(ledger_root))
    if index < pruned.floor:
        raise refuse_pruned(f"entry `{index}`", log, pruned.minimum)


def _read_proof(ledger_root: Path, log: LogName, index: int, size: int) -> tuple[bytes, list[bytes]]:
    _refuse_pruned(ledger_root, log, index)
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
    cosigned = read_witnessed(ledger_root)
    wanted = hash_origin(checkpoint.origin) + checkpoint.size.to_bytes(8)
    reader = ArrayReader(ANCHOR.directory(ledger_root), ANCHOR.entry_size)
    try:
        for end in range(anchor.size, 0, -_BLOCK):
            first = max(0, end - _BLOCK)
            for index, entry in reversed(list(enumerate(reader.entries(first, end), start=first))):
                if entry[1 : 1 + len(wanted)] == wanted:
                    if cosigned is not None and (at := _opened(cosigned, _keys_of(ANCHOR, keys))) is not None and index < at.size:
                        note, anchor = cosigned, at  # an older one, perhaps, that others vouch for
                    return format_proof(TlogProof(index, inclusion_path(index, anchor.size, reader.node), note, entry))
    finally:
        reader.close()
    return None
