"""A reader of COSE receipts of its own: RFC 8949, 9052 and 9942 as they are written, and nothing of ours."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


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
