"""What a receipt says, byte by byte, and who may have signed it."""

from __future__ import annotations

import pytest

from jurat.core.errors import Malformed, Tampered
from jurat.ledger.receipt import Receipt, describe_batch, format_receipt, open_receipt, parse_receipt, sign_receipt
from jurat.merkle.entry import Entry, pack_entry
from jurat.merkle.note import Ed25519Signer
from jurat.merkle.tree import hash_leaves, root_of

ORIGIN = "jurat.local/main/inference"
SIGNER = Ed25519Signer(f"{ORIGIN}/receipt", bytes(32))
ENTRIES = [pack_entry(Entry(51, 2, 7, seq, 1_763_700_000_000_000_000, bytes([seq]) * 32)) for seq in (41, 42, 43)]
RECEIPT = describe_batch(ORIGIN, 100, ENTRIES, 10_000)


def test_receipt_describes_the_batch() -> None:
    assert Receipt(ORIGIN, 100, 3, 2, 7, 41, root_of(hash_leaves(ENTRIES)), 1_763_700_000_000_000_000, 10_000) == RECEIPT


def test_text_is_the_one_that_is_written_down() -> None:
    text = format_receipt(Receipt(ORIGIN, 100, 3, 2, 7, 41, bytes(32), 5, 10_000))
    assert text == f"jurat-receipt/v1\n{ORIGIN}\n100 3 2 7 41\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n5 10000\n"
    assert parse_receipt(format_receipt(RECEIPT)) == RECEIPT


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("jurat-receipt/v1", "jurat-receipt/v2"),
        ("100 3 2 7 41", "100 3 2 7"),
        ("100 3 2 7 41", "100 0 2 7 41"),
        ("100 3 2 7 41", "-1 3 2 7 41"),
        ("100 3 2 7 41", "0100 3 2 7 41"),
        ("10000\n", "10000"),
        ("10000\n", "10000\nmore\n"),
        (f"{ORIGIN}\n", "\n"),
    ],
)
def test_anything_else_is_not_a_receipt(old: str, new: str) -> None:
    text = format_receipt(RECEIPT)
    assert old in text
    with pytest.raises(Malformed):
        parse_receipt(text.replace(old, new))


def test_signed_receipt_opens_with_the_receipt_key_only() -> None:
    note = sign_receipt(RECEIPT, SIGNER)
    assert open_receipt(note, SIGNER.verifier) == RECEIPT
    with pytest.raises(Tampered):
        open_receipt(note, Ed25519Signer(f"{ORIGIN}/receipt", bytes([1]) * 32).verifier)
    with pytest.raises(Tampered):
        open_receipt(note.replace("100 3", "101 3"), SIGNER.verifier)


def test_key_of_another_log_cannot_sign_for_this_one() -> None:
    other = Ed25519Signer("jurat.local/main/access/receipt", bytes(32))
    with pytest.raises(Tampered, match="signed by"):
        open_receipt(sign_receipt(RECEIPT, other), other.verifier)
