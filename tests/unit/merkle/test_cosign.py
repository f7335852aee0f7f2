"""Cosignatures of both kinds: the bytes that are signed, what is refused, and vectors of others."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from jurat.core.errors import Malformed, Tampered
from jurat.merkle.checkpoint import Checkpoint, format_checkpoint
from jurat.merkle.cosign import CosignatureSigner, CosignatureVerifier, open_cosigned, parse_witness_vkey
from jurat.merkle.note import Ed25519Signer, MlDsaSigner, format_signatures, parse_vkey, select_signatures, sign_note

TEXT = format_checkpoint(Checkpoint("example.com/behind-the-sofa", 20852163, bytes(range(32))))
SEED = b"\x2a" * 32
NOW_S = 1679315147
VKEYS = (Path(__file__).parents[2] / "vectors" / "cosign" / "vkeys.txt").read_text().splitlines()[1:]
LOG = Ed25519Signer("example.com/behind-the-sofa", b"\1" * 32)


def cosigner(now_s: int = NOW_S, name: str = "witness.example/w1") -> CosignatureSigner:
    return CosignatureSigner(name, SEED, lambda: now_s)


def mldsa(now_s: int = NOW_S) -> MlDsaSigner:
    return MlDsaSigner("witness.example/w1", SEED, lambda: now_s)


def test_ed25519_signs_a_header_a_time_and_the_whole_text() -> None:
    signature = cosigner().sign(TEXT)
    assert signature[:8] == NOW_S.to_bytes(8)
    message = b"cosignature/v1\ntime 1679315147\n" + TEXT.encode()
    Ed25519PrivateKey.from_private_bytes(SEED).public_key().verify(signature[8:], message)
    assert cosigner().verifier.verify(TEXT, signature) == NOW_S


def test_mldsa_signs_the_cosigner_the_time_and_the_whole_tree() -> None:
    signature = mldsa().sign(TEXT)
    name, origin = b"witness.example/w1", b"example.com/behind-the-sofa"
    message = b"subtree/v1\n\0" + bytes([len(name)]) + name + NOW_S.to_bytes(8) + bytes([len(origin)]) + origin
    message += (0).to_bytes(8) + (20852163).to_bytes(8) + bytes(range(32))
    MLDSA44PublicKey.from_public_bytes(mldsa().verifier.public).verify(signature[8:], message)
    assert mldsa().verifier.verify(TEXT, signature) == NOW_S


def test_extension_lines_are_covered_by_ed25519() -> None:
    signature = cosigner().sign(TEXT + "extension\n")
    with pytest.raises(Tampered):
        cosigner().verifier.verify(TEXT + "Extension\n", signature)


@pytest.mark.parametrize(
    "change", [lambda s: s[:-1], lambda s: s + b"\0", lambda s: bytes([s[0] ^ 1]) + s[1:], lambda s: s[:20] + b"\0" + s[21:]]
)
def test_a_changed_cosignature_does_not_hold(change) -> None:
    for signer in (cosigner(), mldsa()):
        with pytest.raises(Tampered):
            signer.verifier.verify(TEXT, change(signer.sign(TEXT)))


def test_times_beyond_the_format_are_refused() -> None:
    with pytest.raises(Malformed):
        cosigner(2**63).sign(TEXT)
    raw = bytearray(cosigner(2**63 - 1).sign(TEXT))
    raw[0] |= 0x80
    with pytest.raises(Tampered):
        cosigner().verifier.verify(TEXT, bytes(raw))


def test_a_log_signature_is_no_cosignature_and_the_other_way_round() -> None:
    with pytest.raises(Malformed, match="type `01`"):
        parse_witness_vkey(LOG.vkey)
    with pytest.raises(Malformed, match="type `04`"):
        parse_vkey(cosigner().vkey)
    assert parse_witness_vkey(cosigner().vkey).vkey == cosigner().vkey
    assert parse_witness_vkey(mldsa().vkey).vkey == mldsa().vkey


def test_a_key_of_small_order_is_no_witness() -> None:
    with pytest.raises(Malformed):
        CosignatureVerifier("w", (1).to_bytes(32, "little"))


def test_who_cosigned_and_when() -> None:
    note = sign_note(TEXT, [LOG])
    keys = [cosigner().verifier, mldsa().verifier]
    assert open_cosigned(note, keys).signatures == ()
    cosigned = note + format_signatures(TEXT, [cosigner(), mldsa(NOW_S + 5)])
    assert [each.timestamp_s for each in open_cosigned(cosigned, keys).signatures] == [NOW_S, NOW_S + 5]
    assert select_signatures(cosigned, keys[:1]) == format_signatures(TEXT, [cosigner()])
    assert open_cosigned(note + format_signatures(TEXT, [cosigner(0), mldsa(0)]), keys).signatures == (), "no time, no witness"


def test_a_known_witness_whose_signature_does_not_hold_spoils_the_note() -> None:
    with pytest.raises(Tampered):
        open_cosigned(sign_note(TEXT, [LOG]) + format_signatures(TEXT.replace("20852163", "20852164"), [cosigner()]), [cosigner().verifier])


@pytest.mark.parametrize("vkey", VKEYS, ids=["Ed25519", "ML-DSA-44"])
def test_vkeys_of_others(vkey: str) -> None:
    assert parse_witness_vkey(vkey).vkey == vkey
    name, key_id, key = vkey.split("+", 2)
    with pytest.raises(Malformed):
        parse_witness_vkey(f"{name}+00000000+{key}")
    other_type = base64.b64encode(b"\x02" + base64.b64decode(key)[1:]).decode()
    with pytest.raises(Malformed):
        parse_witness_vkey(f"{name}+{key_id}+{other_type}")
