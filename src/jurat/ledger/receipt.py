"""Receipts: the ledger's signed word that it has a producer's batch, and will seal it within the merge delay.

    jurat-receipt/v1
    <origin>
    <first index> <count> <producer> <epoch> <first seq>
    <base64 of the RFC 6962 root over the batch's leaf hashes, as a tree of its own>
    <received, Unix ns> <merge delay, ms>

A signed note by the key `<origin>/receipt`. Not sealed within the delay, or sealed as something else: evidence
against the operator. The root is over this batch only; where it lies in the log, the first index says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from jurat.core.errors import Malformed, Tampered
from jurat.ledger.keys import LogKeys
from jurat.merkle.checkpoint import format_base64, parse_base64, parse_number
from jurat.merkle.entry import unpack_entry
from jurat.merkle.note import Signer, Verifier, open_note, read_unverified_text, sign_note, verifiers_of
from jurat.merkle.tree import HASH_SIZE, hash_leaves, root_of_joined

_HEADING: Final = "jurat-receipt/v1"


class Receipt(msgspec.Struct, frozen=True):
    """What a receipt says."""

    origin: str
    first_index: int
    count: int
    producer: int
    epoch: int
    first_seq: int
    root: bytes
    received_ns: int
    merge_delay_ms: int


def describe_batch(origin: str, first_index: int, entries: Sequence[bytes], merge_delay_ms: int) -> Receipt:
    """Return the receipt of entries that lie in the log one after the other, from one producer."""
    return describe_hashed(origin, first_index, entries[0], b"".join(hash_leaves(entries)), merge_delay_ms)


def describe_hashed(origin: str, first_index: int, first_entry: bytes, leaf_hashes: bytes, merge_delay_ms: int) -> Receipt:
    """Return the same, of entries whose leaf hashes are at hand, end to end."""
    first, count = unpack_entry(first_entry), len(leaf_hashes) // HASH_SIZE
    root = root_of_joined(leaf_hashes)
    return Receipt(origin, first_index, count, first.producer, first.epoch, first.seq, root, first.received_ns, merge_delay_ms)


def format_receipt(receipt: Receipt) -> str:
    """Return the text that is signed."""
    numbers = f"{receipt.first_index} {receipt.count} {receipt.producer} {receipt.epoch} {receipt.first_seq}"
    return f"{_HEADING}\n{receipt.origin}\n{numbers}\n{format_base64(receipt.root)}\n{receipt.received_ns} {receipt.merge_delay_ms}\n"


def parse_receipt(text: str) -> Receipt:
    """Return the receipt that a note's text says. The inverse of `format_receipt`.

    Raises:
        Malformed: not a receipt.
    """
    lines = text.split("\n")
    if len(lines) != 6 or lines[0] != _HEADING or lines[5] or not lines[1]:
        raise Malformed(f"not a receipt: expected five lines that begin with `{_HEADING}`")
    batch, times = lines[2].split(" "), lines[4].split(" ")
    if len(batch) != 5 or len(times) != 2:
        raise Malformed("a receipt's third line has five numbers and its fifth has two")
    first_index, count, producer, epoch, first_seq = (parse_number(each, "number in a receipt") for each in batch)
    received_ns, merge_delay_ms = (parse_number(each, "time in a receipt") for each in times)
    root = parse_base64(lines[3], "root")
    if len(root) != HASH_SIZE or count == 0:
        raise Malformed("a receipt is for one event or more, with a root of 32 bytes")
    return Receipt(lines[1], first_index, count, producer, epoch, first_seq, root, received_ns, merge_delay_ms)


def sign_receipt(receipt: Receipt, signer: Signer) -> str:
    """Return the signed note."""
    return sign_note(format_receipt(receipt), [signer])


def open_receipt(note: str | bytes, *verifiers: Verifier) -> Receipt:
    """Return what a receipt says, if this log signed it, with one of these keys.

    Raises:
        Malformed: not a receipt.
        Tampered: the signature does not hold, or it is not this log's.
    """
    opened = open_note(note, verifiers)
    receipt = parse_receipt(opened.text)
    if other := next((each.name for each in opened.signatures if each.name != f"{receipt.origin}/receipt"), ""):
        raise Tampered(f"receipt of `{receipt.origin}` is signed by `{other}`", code="signature_bad")
    return receipt


def open_receipt_of(note: str | bytes, keys: LogKeys) -> Receipt:
    """Return what a receipt says, if it is signed by a key of receipts that the log had at its first entry.

    Raises:
        Malformed, Tampered: as `open_receipt`.
    """
    index = parse_receipt(read_unverified_text(note)).first_index if keys.periods else 0
    return open_receipt(note, *verifiers_of(keys.receipt_vkeys_at(index)))
