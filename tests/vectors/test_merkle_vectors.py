"""Published vectors for proofs, notes and keys; our own for the commitment.

Proofs: `merkle/inclusion`, `merkle/consistency`, copied unchanged from github.com/transparency-dev/merkle (commit in
`merkle/README.md`), Copyright Google LLC and contributors, Apache-2.0. Key: the example in C2SP `signed-note.md`.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from jurat.core.errors import Malformed, Tampered
from jurat.merkle.entry import Entry, commit_event, pack_entry
from jurat.merkle.note import parse_vkey
from jurat.merkle.tree import hash_leaf, verify_consistency, verify_inclusion

HERE = Path(__file__).parent / "merkle"
INCLUSION = sorted((HERE / "inclusion").rglob("*.json"))
CONSISTENCY = sorted((HERE / "consistency").rglob("*.json"))


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def hashes_of(case: dict[str, object], *names: str) -> list[bytes]:
    return [base64.b64decode(str(case[name])) for name in names]


def proof_of(case: dict[str, list[str] | None]) -> list[bytes]:
    return [base64.b64decode(text or "") for text in case["proof"] or ()]


def test_all_vectors_are_here() -> None:
    assert (len(INCLUSION), len(CONSISTENCY)) == (82, 84)
    assert sum(not json.loads(path.read_text())["wantErr"] for path in INCLUSION + CONSISTENCY) == 10


@pytest.mark.timeout(1)
@pytest.mark.parametrize("path", INCLUSION, ids=name_of)
def test_inclusion(path: Path) -> None:
    case = json.loads(path.read_text())
    leaf, root = hashes_of(case, "leafHash", "root")
    arguments = leaf, case["leafIdx"], case["treeSize"], proof_of(case), root
    if case["wantErr"]:
        with pytest.raises((Tampered, Malformed)):
            verify_inclusion(*arguments)
    else:
        verify_inclusion(*arguments)


@pytest.mark.timeout(1)
@pytest.mark.parametrize("path", CONSISTENCY, ids=name_of)
def test_consistency(path: Path) -> None:
    case = json.loads(path.read_text())
    root1, root2 = hashes_of(case, "root1", "root2")
    arguments = case["size1"], case["size2"], root1, root2, proof_of(case)
    if case["wantErr"]:
        with pytest.raises((Tampered, Malformed)):
            verify_consistency(*arguments)
    else:
        verify_consistency(*arguments)


def test_commitment_and_leaf() -> None:
    raw = b'{"kind":"model.promoted.v1","model":"churn@2.3.1"}'
    commitment = commit_event(bytes(range(16)), raw)
    assert commitment.hex() == "60e752d3250c3780a1dbb386bd8c2044c87d0b2b5dfca52fdbae1b8163438d48"
    entry = pack_entry(Entry(kind_code=7, producer=3, epoch=1, seq=42, received_ns=1763700000000000000, commitment=commitment))
    assert hash_leaf(entry).hex() == "09c261504b243865a30438eefa951c8cb0c435ec4aa974452e2874330c74708b"


def test_vkey_of_the_specification() -> None:
    vkey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
    verifier = parse_vkey(vkey)
    assert (verifier.name, verifier.key_type, verifier.vkey) == ("example.com/foo", 1, vkey)
