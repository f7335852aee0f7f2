"""The minimum index of a pruned log, as a stranger believes it: `minimum.tlog-proof`, beside its checkpoint and tiles.

A log alone cannot show that its prefix was pruned and not merely lost; the anchor log can. The file proves the newest anchor
entry of the log, in the C2SP tlog-proof form; whoever has the anchor log's key learns from it what may be refused. A log that
is not pruned has no such file. Whether the events below had really expired is for whoever sees events to judge (`verify`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from jurat.core.errors import NotFound, Tampered
from jurat.ledger.arrays import ArrayReader
from jurat.ledger.keys import LogKeys
from jurat.ledger.layout import ANCHOR, LogName, hash_origin
from jurat.ledger.producers import last_anchored
from jurat.ledger.verify_checkpoints import open_checkpoint
from jurat.ledger.witnessed import newest_anchor
from jurat.merkle.entry import ANCHOR_ENTRY_SIZE, unpack_anchor_entry
from jurat.merkle.proof import TlogProof, format_proof, parse_proof
from jurat.merkle.tree import hash_leaf, inclusion_path, verify_inclusion

MINIMUM_FILE: Final = "minimum.tlog-proof"


def prove_minimum(ledger_root: Path, log: LogName, keys: Sequence[LogKeys]) -> bytes | None:
    """Return the proof of a log's minimum index, which holds; None of a log that is not pruned.

    Raises:
        NotFound: the keys of the log or of the anchor log were not given.
        Tampered: the anchor log does not prove what it holds.
    """
    mine, anchor_keys = (_keys_of(each, keys) for each in (log, ANCHOR))
    try:
        note = newest_anchor(ledger_root)
    except OSError as error:
        raise Tampered("the anchor log has no public checkpoint", hint="run `jurat verify`", code="checkpoint_bad") from error
    size, origin = open_checkpoint(note, anchor_keys).size, hash_origin(mine.origin)
    reader = ArrayReader(ANCHOR.directory(ledger_root), ANCHOR.entry_size)
    try:
        found = last_anchored(reader, size, [origin]).get(origin)
        if found is None or not found.minimum_index:
            return None
        index = _index_of(reader, size, origin, found.minimum_index)
        entry = reader.entries(index, index + 1)[0]
        proof = TlogProof(index, inclusion_path(index, size, reader.node), note.decode(), entry)
    finally:
        reader.close()
    raw = format_proof(proof).encode()
    open_minimum(raw, mine, anchor_keys)  # nothing leaves that a stranger would refuse
    return raw


def open_minimum(raw: bytes, keys: LogKeys, anchor_keys: LogKeys) -> int:
    """Return the minimum index that a proof states for a log.

    Raises:
        Malformed: not such a proof.
        Tampered: the anchor log did not seal it, or it is of another log.
    """
    proof = parse_proof(raw)
    checkpoint = open_checkpoint(proof.checkpoint_note, anchor_keys)
    entry = proof.extra or b""
    if len(entry) != ANCHOR_ENTRY_SIZE or proof.index >= checkpoint.size:
        raise Tampered(f"the proof of the minimum index of log `{keys.log}` carries no anchor entry", code="minimum_false")
    verify_inclusion(hash_leaf(entry), proof.index, checkpoint.size, proof.path, checkpoint.root)
    found = unpack_anchor_entry(entry)
    if found.origin_hash != hash_origin(keys.origin) or found.minimum_index > found.size:
        raise Tampered(f"the proof of the minimum index of log `{keys.log}` is another log's, or none", code="minimum_false")
    return found.minimum_index


def _index_of(reader: ArrayReader, size: int, origin: bytes, minimum: int) -> int:
    """Return the index of the newest entry of that log."""
    for end in range(size, 0, -4096):
        first = max(0, end - 4096)
        for index, raw in reversed(list(enumerate(reader.entries(first, end), start=first))):
            if raw[1:33] == origin and unpack_anchor_entry(raw).minimum_index == minimum:
                return index
    raise Tampered("the anchor log changed while it was read", code="anchor_inconsistent")


def _keys_of(log: LogName, keys: Sequence[LogKeys]) -> LogKeys:
    for each in keys:
        if each.log == str(log):
            return each
    raise NotFound(f"there are no keys of log `{log}`", hint="`keys/log-keys.json` of the workspace has them")
