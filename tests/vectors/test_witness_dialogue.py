"""The dialogue that litewitness is tested with: a log of another implementation (Sigsum's tree), its signatures and proofs.

Source: github.com/FiloSottile/torchwood, `cmd/litewitness/testdata/litewitness.txt`, ISC, Copyright 2023 The Torchwood
Authors. Statuses as there but for two: an unknown log is 404 in tlog-witness v1.0.0 (403 there), and a signature in
base64 with loose bits is no signature line for us (400), where theirs reads on to a signature that does not hold (403).
"""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from jurat.ledger.witness_desk import Witness, create_witness
from jurat.merkle.cosign import open_cosigned, parse_witness_vkey
from jurat.merkle.note import Ed25519Verifier

ORIGIN = "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562"
LOG = Ed25519Verifier(ORIGIN, bytes.fromhex("ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f"))
ROOTS = {1: "KgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 3: "RcCI1Nk56ZcSmIEfIn0SleqtV7uvrlXNccFx595Iwl0=",
         5: "QrtXrQZCCvpIgsSmOsah7HdICzMLLyDfxToMql9WTjY="}  # fmt: skip
SIGNED = {
    1: "UgIom7fPZTqpxWWhyjWduBvTvGVqsokMbqTArsQilegKoFBJQjUFAmQ0+YeSPM3wfUQMFSzVnnNuWRTYrajXpNUbIQY=",
    3: "UgIom2VbtIcdFbwFAy1n7s6IkAxIY6J/GQOTuZF2ORV39d75cbAj2aQYwyJre36kezNobZs4SUUdrcawfAB8WVrx6go=",
    5: "UgIomw/EOJmWi0i1FQsOj+etB7F8IccFam/jgd6wzRns4QPVmyEZtdvl1U2KEmLOZ/ASRcWJi0tW90dJWAShei7sDww=",
}


def node(*number: int) -> str:
    return base64.b64encode(bytes([0x2A, *number]).ljust(32, b"\0")).decode()


TO_3 = [node(1), node(2)]
TO_5 = [node(2), node(3), "wgiIFdZfYNv6WU1OllBKsWnLYIS/DBMqt8Uh/S4OukE=", node(4)]
DIALOGUE = [
    (0, [], 1, SIGNED[1], ORIGIN, 200, None),
    (1, TO_3, 3, SIGNED[3].replace("6go=", "6gx="), ORIGIN, 400, None),  # 403 there
    (1, TO_3, 3, SIGNED[5], ORIGIN, 403, None),
    (1, TO_3, 3, SIGNED[3], ORIGIN[:-1] + "3", 404, None),  # 403 there
    (1, [], 3, SIGNED[3], ORIGIN, 422, None),
    (1, [node(1), base64.b64encode(b"\x2a\2".ljust(30, b"\0") + b"\x10\0").decode()], 3, SIGNED[3], ORIGIN, 422, None),
    (1, TO_3, 3, SIGNED[3], ORIGIN, 200, None),
    (1, [node(1), "+fUDV+k970B4I3uKrqJM4aP1lloPZP8mvr2Z4wRw2LI=", node(4)], 5, SIGNED[5], ORIGIN, 409, b"3\n"),
    (3, TO_5, 5, SIGNED[5], ORIGIN, 200, None),
    (0, [], 5, SIGNED[5], ORIGIN, 409, b"5\n"),
]


def test_the_dialogue(tmp_path: Path) -> None:
    create_witness(tmp_path / "w", "example.com/witness")
    witness = Witness(tmp_path / "w")
    witness.add_log(ORIGIN, [LOG.vkey])
    keys = [parse_witness_vkey(vkey) for vkey in witness.public.vkeys]
    for turn, (old, proof, size, signature, origin, status, body) in enumerate(DIALOGUE):
        note = f"{origin}\n{size}\n{ROOTS[size]}\n\n— {origin} {signature}\n"
        answer = witness.answer("\n".join([f"old {old}", *proof, "", note]).encode())
        assert answer.status == status, (turn, answer)
        if body is not None:
            assert answer.body == body
        if status == 200:
            assert len(open_cosigned(note + answer.body.decode(), keys).signatures) == 2
    assert [known.last.size for known in witness.logs() if known.last] == [5]
    witness.close()


@pytest.mark.parametrize("size", SIGNED)
def test_the_signatures_are_the_logs(size: int) -> None:
    raw = base64.b64decode(SIGNED[size])
    assert raw[:4] == LOG.key_id
    LOG.verify(f"{ORIGIN}\n{size}\n{ROOTS[size]}\n", raw[4:])
