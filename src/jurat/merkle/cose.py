"""COSE receipts: an inclusion proof in the form that SCITT tools read. Made here, read by others.

    18([protected, {396: {-1: [inclusion]}}, null, signature])
    protected   << {1: -8 (EdDSA), 4: key id, 15: {1: origin}, 395: 1 (RFC9162_SHA256)} >>
    inclusion   << [tree size, leaf index, [+ hash]] >>, the leaf's sibling first
    signature   Ed25519 over << ["Signature1", protected, h'', root] >>; the root is detached: a verifier computes it

Tree and path are those of every other proof, only written in CBOR. Neither size nor index is signed, the root is; whoever
wants them signed takes a `.tlog-proof`. CBOR is written deterministically (RFC 8949 §4.2): shortest numbers, keys in order.
Source: RFC 9942 (COSE receipts), RFC 9052 §4.4, RFC 9597 (claims in headers).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from jurat.core.errors import Malformed
from jurat.merkle.tree import HASH_SIZE

_SIGN1_TAG: Final = 18
_ALGORITHM, _KEY_ID, _CLAIMS, _STRUCTURE, _PROOFS = 1, 4, 15, 395, 396
_EDDSA: Final = -8
_RFC9162_SHA256: Final = 1
_INCLUSION: Final = -1
_ISSUER: Final = 1

Cbor = int | bytes | str | None | Sequence["Cbor"] | dict[int, "Cbor"]


def format_cbor(value: Cbor) -> bytes:
    """Return the deterministic CBOR of a value: integers, bytes, text, null, arrays, and maps with integer keys.

    Raises:
        Malformed: an integer beyond 64 bits.
    """
    match value:
        case None:
            return b"\xf6"
        case int():
            return _head(0, value) if value >= 0 else _head(1, -1 - value)
        case bytes():
            return _head(2, len(value)) + value
        case str():
            raw = value.encode()
            return _head(3, len(raw)) + raw
        case dict():
            pairs = sorted((format_cbor(key), format_cbor(item)) for key, item in value.items())
            return _head(5, len(pairs)) + b"".join(key + item for key, item in pairs)
        case _:
            return _head(4, len(value)) + b"".join(map(format_cbor, value))


def format_protected(origin: str, key_id: bytes) -> bytes:
    """Return the protected header of a receipt by this log's key."""
    return format_cbor({_ALGORITHM: _EDDSA, _KEY_ID: key_id, _CLAIMS: {_ISSUER: origin}, _STRUCTURE: _RFC9162_SHA256})


def signed_bytes(protected: bytes, root: bytes) -> bytes:
    """Return what the signature of a receipt is over."""
    return format_cbor(["Signature1", protected, b"", root])


def format_cose_receipt(protected: bytes, size: int, index: int, path: Sequence[bytes], signature: bytes) -> bytes:
    """Return the receipt of leaf `index` in the tree of `size`.

    Raises:
        Malformed: there is no such leaf, or the tree has one leaf only, for which the form has no proof.
    """
    if not 0 <= index < size or any(len(each) != HASH_SIZE for each in path):
        raise Malformed(f"no receipt of leaf `{index}` in a tree of `{size}`")
    if not path:
        raise Malformed("a tree of one leaf has no COSE receipt: the form asks for one hash at least", hint="take a `.tlog-proof`")
    inclusion = format_cbor([size, index, list(path)])
    unprotected: Cbor = {_PROOFS: {_INCLUSION: [inclusion]}}
    return _head(6, _SIGN1_TAG) + format_cbor([protected, unprotected, None, signature])


def _head(major: int, number: int) -> bytes:
    """Return the first bytes of an item: its kind and a number, as short as can be."""
    if number < 24:
        return bytes([major << 5 | number])
    for code, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * width:
            return bytes([major << 5 | code]) + number.to_bytes(width)
    raise Malformed(f"number `{number}` does not fit into CBOR's 64 bits")
