"""COSE receipts and their CBOR, read back by a foreign reader (`scenes/cose_reader`)."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidSignature
from tests.scenes.cose_reader import check_receipt, read_cbor

from jurat.core.errors import Malformed
from jurat.merkle.cose import format_cbor, format_cose_receipt, format_protected, signed_bytes
from jurat.merkle.note import Ed25519Signer
from jurat.merkle.tree import hash_leaf, inclusion_path, root_of

ENTRIES = [b"entry %d" % number for number in range(300)]
LEAVES = [hash_leaf(entry) for entry in ENTRIES]
SIGNER = Ed25519Signer("example.org/log/receipt", bytes(range(32)))


def node(level: int, index: int) -> bytes:
    return root_of(LEAVES[index << level : (index + 1) << level])


def receipt_of(index: int, size: int) -> bytes:
    protected = format_protected("example.org/log", SIGNER.key_id)
    signature = SIGNER.sign_bytes(signed_bytes(protected, root_of(LEAVES[:size])))
    return format_cose_receipt(protected, size, index, inclusion_path(index, size, node), signature)


@pytest.mark.parametrize(("index", "size"), [(0, 2), (1, 2), (2, 3), (0, 255), (255, 256), (256, 257), (299, 300), (23, 24), (24, 25)])
def test_a_foreign_reader_accepts_it(index: int, size: int) -> None:
    assert check_receipt(receipt_of(index, size), ENTRIES[index], SIGNER.verifier.public, "example.org/log") == (size, index)


def test_a_flipped_bit_proves_nothing_else_but_perhaps_another_size() -> None:
    """The tree's size is not signed in this form (RFC 9942), only the root: what is proved of the entry stays the same."""
    raw, accepted = receipt_of(5, 300), 0
    for at in range(len(raw)):
        changed = raw[:at] + bytes([raw[at] ^ 1 << at % 8]) + raw[at + 1 :]
        try:
            _, index = check_receipt(changed, ENTRIES[5], SIGNER.verifier.public, "example.org/log")
        except (AssertionError, InvalidSignature, ValueError, KeyError, TypeError, IndexError):
            continue
        accepted += 1
        assert index == 5, at
    assert accepted <= 2  # the two bytes of the size


@pytest.mark.parametrize(
    ("value", "expected"),
    [  # RFC 8949, appendix A
        (0, "00"), (10, "0a"), (23, "17"), (24, "1818"), (25, "1819"), (100, "1864"), (1000, "1903e8"), (1000000, "1a000f4240"),
        (1000000000000, "1b000000e8d4a51000"), (18446744073709551615, "1bffffffffffffffff"), (-1, "20"), (-10, "29"), (-100, "3863"),
        (-1000, "3903e7"), (None, "f6"), (b"", "40"), (bytes.fromhex("01020304"), "4401020304"), ("", "60"), ("IETF", "6449455446"),
        ("ü", "62c3bc"), ([], "80"), ([1, 2, 3], "83010203"), ([1, [2, 3], [4, 5]], "8301820203820405"),
        (list(range(1, 26)), "98190102030405060708090a0b0c0d0e0f101112131415161718181819"), ({}, "a0"), ({1: 2, 3: 4}, "a201020304"),
        ({396: 1, -1: 2, 4: 3}, "a3040319018c012002"),
    ],
)  # fmt: skip
def test_cbor_is_that_of_the_specification(value: object, expected: str) -> None:
    assert format_cbor(value).hex() == expected
    assert read_cbor(bytes.fromhex(expected)) == (value, b"")


def test_what_has_no_receipt_is_refused() -> None:
    with pytest.raises(Malformed, match="one leaf"):
        format_cose_receipt(b"", 1, 0, [], bytes(64))
    with pytest.raises(Malformed):
        format_cose_receipt(b"", 5, 5, [bytes(32)], bytes(64))
    with pytest.raises(Malformed):
        format_cose_receipt(b"", 5, 1, [bytes(31)], bytes(64))
    with pytest.raises(Malformed):
        format_cbor(1 << 64)


def test_a_key_signs_nothing_here_that_could_be_a_note() -> None:
    assert signed_bytes(b"", bytes(32))[:1] == b"\x84"  # a byte that begins no UTF-8 text
    with pytest.raises(AssertionError):
        SIGNER.sign_bytes(b"jurat-receipt/v1\n")
