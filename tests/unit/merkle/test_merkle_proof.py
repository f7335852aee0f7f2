"""Proof files: complete, strict, and only for the log they name."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jurat.core.errors import JuratError, Malformed, Tampered
from jurat.merkle.checkpoint import Checkpoint, format_checkpoint
from jurat.merkle.many import split_digests
from jurat.merkle.note import Ed25519Signer, sign_note
from jurat.merkle.proof import TlogProof, format_proof, parse_proof, verify_proof
from jurat.merkle.tree import hash_joined_pairs, hash_leaf, inclusion_path, root_of

ORIGIN = "jurat.test/main/access"
SIGNER = Ed25519Signer(ORIGIN, b"\x01" * 32)
ENTRIES = [bytes([number]) * 59 for number in range(7)]
LEVELS = [[hash_leaf(entry) for entry in ENTRIES]]
while len(LEVELS[-1]) > 1:
    LEVELS.append(split_digests(hash_joined_pairs(b"".join(LEVELS[-1]))))
CHECKPOINT = Checkpoint(ORIGIN, 7, root_of(LEVELS[0]))
NOTE = sign_note(format_checkpoint(CHECKPOINT), [SIGNER])
PROOF = TlogProof(4, inclusion_path(4, 7, lambda level, index: LEVELS[level][index]), NOTE, b"extra")
KEYS = [SIGNER.verifier]


def test_a_good_proof_gives_its_checkpoint() -> None:
    assert verify_proof(parse_proof(format_proof(PROOF)), ENTRIES[4], KEYS, ORIGIN) == CHECKPOINT


def test_a_tree_of_one_has_no_path() -> None:
    checkpoint = Checkpoint(ORIGIN, 1, LEVELS[0][0])
    proof = TlogProof(0, [], sign_note(format_checkpoint(checkpoint), [SIGNER]), None)
    assert parse_proof(format_proof(proof)) == proof
    assert verify_proof(proof, ENTRIES[0], KEYS, ORIGIN) == checkpoint


@given(st.integers(0, 2**63 - 1), st.lists(st.binary(min_size=32, max_size=32), max_size=63), st.none() | st.binary(max_size=99))
def test_proofs_round_trip(index: int, path: list[bytes], extra: bytes | None) -> None:
    proof = TlogProof(index, path, NOTE, extra)
    assert parse_proof(format_proof(proof)) == proof


@pytest.mark.parametrize(
    ("change", "entry", "origin"),
    [
        ({}, ENTRIES[3], ORIGIN),
        ({"index": 3}, ENTRIES[4], ORIGIN),
        ({"index": 7}, ENTRIES[4], ORIGIN),
        ({"path": PROOF.path[1:]}, ENTRIES[4], ORIGIN),
        ({"path": PROOF.path[::-1]}, ENTRIES[4], ORIGIN),
        ({}, ENTRIES[4], "jurat.test/main/error"),
        ({"checkpoint_note": NOTE.replace("\n7\n", "\n8\n")}, ENTRIES[4], ORIGIN),
        ({"checkpoint_note": sign_note(format_checkpoint(CHECKPOINT), [Ed25519Signer(ORIGIN, b"\x09" * 32)])}, ENTRIES[4], ORIGIN),
    ],
)
def test_a_wrong_proof_is_refused(change: dict[str, object], entry: bytes, origin: str) -> None:
    with pytest.raises(Tampered):
        verify_proof(dataclasses.replace(PROOF, **change), entry, KEYS, origin)


TEXT = format_proof(PROOF)


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT.replace("@v1", "@v2"),
        TEXT.replace("index 4", "index 04"),
        TEXT.replace("index 4", "index -4"),
        TEXT.replace("index 4\n", ""),
        TEXT.replace("extra ", "extra  "),
        TEXT.replace("index 4\n", "index 4\nAAAA\n"),
        TEXT.replace("index 4\n", "index 4\n" + 62 * f"{'A' * 43}=\n"),
        TEXT.replace("\n\n", "\n", 1),
        TEXT[:-1],
        TEXT.encode().replace(b"index", b"ind\xffx"),
        "x" * 2_200_000,
    ],
    ids=lambda text: str(text)[:20],
)
def test_what_is_not_a_proof(text: str | bytes) -> None:
    with pytest.raises(Malformed):
        parse_proof(text)


@given(st.integers(0, len(TEXT.encode()) * 8 - 1))
def test_one_flipped_bit_is_found_or_lies_in_extra(bit: int) -> None:
    raw = bytearray(TEXT.encode())
    raw[bit // 8] ^= 1 << bit % 8
    try:
        proof = parse_proof(bytes(raw))
        verify_proof(proof, ENTRIES[4], KEYS, ORIGIN)
    except JuratError:
        return
    assert dataclasses.replace(proof, extra=b"extra") == PROOF
