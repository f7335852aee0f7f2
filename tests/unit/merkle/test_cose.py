"""COSE receipts, read back by a decoder of this test's own: RFC 8949, 9052 and 9942, and nothing of ours."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from jurat.core.errors import Malformed
from jurat.merkle.cose import format_cbor, format_cose_receipt, format_protected, signed_bytes
from jurat.merkle.note import Ed25519Signer
from jurat.merkle.tree import hash_leaf, inclusion_path, root_of


def read_cbor(raw: bytes) -> tuple[object, bytes]:
    """Return (value, rest). Tags become ("tag", number, value). Refuses what is not deterministic."""
    major, low, rest = raw[0] >> 5, raw[0] & 31, raw[1:]
    if major == 7:
        assert low == 22, "null only"
        return None, rest
    if low < 24:
        number = low
    else:
        width = 1 << low - 24
        number, rest = int.from_bytes(rest[:width], "big"), rest[width:]
        assert number >= (24 if width == 1 else 1 << 4 * width), "not the shortest form"
    if major == 0:
        return number, rest
    if major == 1:
        return -1 - number, rest
    if major in (2, 3):
        assert len(rest) >= number
        return (rest[:number] if major == 2 else rest[:number].decode()), rest[number:]
    if major == 4:
        items = []
        for _ in range(number):
            item, rest = read_cbor(rest)
            items.append(item)
        return items, rest
    if major == 5:
        pairs, keys = {}, []
        for _ in range(number):
            before = rest
            key, rest = read_cbor(rest)
            keys.append(before[: len(before) - len(rest)])
            pairs[key], rest = read_cbor(rest)
        assert keys == sorted(keys), "keys out of order"
        return pairs, rest
    value, rest = read_cbor(rest)
    return ("tag", number, value), rest


def check_receipt(receipt: bytes, leaf: bytes, public: bytes, origin: str) -> tuple[int, int]:
    """Return (size, index) of a receipt that holds, as RFC 9942 says to check one."""
    value, rest = read_cbor(receipt)
    assert rest == b""
    tag, number, (protected_raw, unprotected, payload, signature) = value
    assert (tag, number, payload) == ("tag", 18, None)
    protected, rest = read_cbor(protected_raw)
    assert rest == b""
    assert protected[1] == -8
    assert protected[395] == 1
    assert protected[15] == {1: origin}
    (proof,) = unprotected[396][-1]
    (size, index, path), rest = read_cbor(proof)
    assert rest == b""
    assert path
    node, fn, sn = hashlib.sha256(b"\0" + leaf).digest(), index, size - 1
    for sibling in path:
        assert sn
        if fn & 1 or fn == sn:
            node = hashlib.sha256(b"\1" + sibling + node).digest()
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = hashlib.sha256(b"\1" + node + sibling).digest()
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0
    to_sign = b"\x84\x6aSignature1" + head(2, len(protected_raw)) + protected_raw + b"\x40\x58\x20" + node
    Ed25519PublicKey.from_public_bytes(public).verify(signature, to_sign)
    return size, index


def head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    return bytes([major << 5 | 24, number]) if number < 256 else bytes([major << 5 | 25]) + number.to_bytes(2, "big")


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
