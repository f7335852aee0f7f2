"""Receipts that producers kept, held against the log: was each batch sealed where it was promised, as what it was?

A receipt is the log's own word, so a log that does not honour one convicts itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from jurat.core.errors import JuratError, Tampered
from jurat.ledger.faults import Faults
from jurat.ledger.pruned import entry_floor
from jurat.ledger.receipt import Receipt, open_receipt_of, parse_receipt
from jurat.ledger.verify_checkpoints import Claims
from jurat.merkle.entry import unpack_entry
from jurat.merkle.note import read_unverified_text
from jurat.merkle.tree import hash_leaves, root_of


def check_receipts(claims: Sequence[Claims], notes: Sequence[str | bytes], faults: Faults) -> dict[str, list[str]]:
    """Note each receipt that is none, and each that the log did not honour; return those whose entries are pruned, per log."""
    unjudged: dict[str, list[str]] = {}
    for note in notes:
        try:
            claim, receipt = _open(claims, note)
        except JuratError as error:
            faults.add("kept receipt", "receipt_bad", error.detail)
            continue
        first, end = receipt.first_index, receipt.first_index + receipt.count
        signed = claim.newest.size if claim.newest else 0
        if end <= signed and first < entry_floor(claim.files.minimum):  # what it promised was kept as long as it had to be
            unjudged.setdefault(str(claim.log), []).append(f"a receipt for entries {first} to {end - 1}")
            continue
        if detail := _broken(claim, receipt, end):
            faults.add(str(claim.log), "receipt_broken", detail, index=first, last_index=end - 1)
    return unjudged


def _open(claims: Sequence[Claims], note: str | bytes) -> tuple[Claims, Receipt]:
    origin = parse_receipt(read_unverified_text(note)).origin
    claim = next((claim for claim in claims if claim.keys.origin == origin), None)
    if claim is None:
        raise Tampered(f"it is of log `{origin[:120]}`, which is not among those that are verified")
    return claim, open_receipt_of(note, claim.keys)


def _broken(claim: Claims, receipt: Receipt, end: int) -> str:
    """Return in what the log does not have what the receipt promised, or nothing."""
    signed = claim.newest.size if claim.newest else 0
    if end > signed:
        return f"promised within {receipt.merge_delay_ms} ms of its receipt, and the log is signed up to size {signed} only"
    entries = claim.files.entries(receipt.first_index, end)
    if len(entries) != receipt.count or root_of(hash_leaves(entries)) != receipt.root:
        return "other entries were sealed there than were promised"
    first = unpack_entry(entries[0])
    if (first.producer, first.epoch, first.seq, first.received_ns) != (
        receipt.producer,
        receipt.epoch,
        receipt.first_seq,
        receipt.received_ns,
    ):
        return "the promise names another producer, number or time than the entries have"
    return ""
