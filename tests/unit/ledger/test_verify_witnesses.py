"""Verifying with a policy: a whole ledger, and one evidence file, are believed as far as a quorum reaches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.scenes.sealed_ledger import START_NS, Scene, build, event_id, write

from jurat.core.clock import FixedClock
from jurat.core.errors import Tampered
from jurat.ledger.layout import ANCHOR, checkpoint_file
from jurat.ledger.prove import prove_event, verify_evidence
from jurat.ledger.query import Events
from jurat.ledger.tiles import read_public
from jurat.ledger.verify import verify_workspace
from jurat.ledger.verify_witnesses import GRACE_S
from jurat.ledger.witnessed import newest_anchor, unverified_checkpoint, witnessed_file, write_witnessed
from jurat.merkle.cosign import CosignatureSigner
from jurat.merkle.note import format_signatures, read_unverified_text
from jurat.merkle.policy import parse_policy

NOW_S = START_NS // 10**9 + 10
W1, W2 = (CosignatureSigner(f"w{n}.example", bytes([n]) * 32, lambda: NOW_S) for n in (1, 2))
BOTH = parse_policy(f"witness w1 {W1.vkey}\nwitness w2 {W2.vkey}\ngroup both all w1 w2\nquorum both\n".encode())


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return build(tmp_path / "ledger", (30, 20))


def cosign(scene: Scene, *who: CosignatureSigner) -> str:
    note = checkpoint_file(scene.root, ANCHOR).read_text()
    cosigned = note + format_signatures(read_unverified_text(note), who)
    write_witnessed(scene.root, cosigned)
    return cosigned


def verify(scene: Scene, *, policy=BOTH, now_s: float = NOW_S, since: tuple[str, ...] = ()):
    return verify_workspace(scene.root, scene.keys, scene.lock, policy=policy, now_s=now_s, since=since)


def grow(scene: Scene) -> None:
    write(scene, FixedClock(START_NS + 5 * 10**9), (5,), archived_rounds=0, epoch=2)


def evidence(scene: Scene) -> bytes:
    stored = Events(scene.root, "main").find(event_id(3))
    assert stored is not None
    return prove_event(scene.root, stored, scene.keys, None)


def test_with_the_quorum_all_is_well_and_its_reach_is_told(scene: Scene) -> None:
    cosign(scene, W1, W2)
    report = verify(scene)
    assert report.is_clean
    reach = {log.log: log.witnessed for log in report.logs}
    assert reach.pop("anchor") == unverified_checkpoint(newest_anchor(scene.root)).size > 0
    assert set(reach.values()) == {None}


@pytest.mark.parametrize("who", [(), (W1,)], ids=["none", "one of two"])
def test_without_the_quorum_nothing_is_believed(scene: Scene, who: tuple[CosignatureSigner, ...]) -> None:
    cosign(scene, *who)
    assert verify(scene, policy=None).is_clean
    fault = verify(scene).faults[0]
    assert (fault.log, fault.what, fault.index) == ("anchor", "not_witnessed", 0)
    assert fault.last_index == unverified_checkpoint(newest_anchor(scene.root)).size - 1


def test_a_ledger_that_nobody_was_asked_about(scene: Scene) -> None:
    assert [fault.what for fault in verify(scene).faults] == ["not_witnessed"]


def test_what_came_after_is_no_fault_while_it_is_young_and_one_afterwards(scene: Scene) -> None:
    cosign(scene, W1, W2)
    before = unverified_checkpoint(newest_anchor(scene.root)).size
    grow(scene)
    assert verify(scene).is_clean
    faults = verify(scene, now_s=START_NS / 1e9 + 5 + GRACE_S + 2).faults
    assert [(fault.what, fault.index) for fault in faults] == [("not_witnessed", before)]


def test_a_tree_that_is_not_the_one_that_was_cosigned_is_a_fork(scene: Scene, tmp_path: Path) -> None:
    twin = scene.copy_to(tmp_path / "twin")
    grow(scene)
    cosign(scene, W1, W2)
    write(twin, FixedClock(START_NS + 5 * 10**9), (6, 7), archived_rounds=0, epoch=3)
    witnessed_file(twin.root).write_bytes(witnessed_file(scene.root).read_bytes())
    assert "forked" in {fault.what for fault in verify(twin).faults}


def test_a_ledger_older_than_what_was_cosigned_is_found_by_a_kept_checkpoint_alone(scene: Scene, tmp_path: Path) -> None:
    old = scene.copy_to(tmp_path / "old")
    grow(scene)
    kept = cosign(scene, W1, W2)
    assert verify(old, policy=None).is_clean
    assert not verify(old, since=(kept,)).is_clean


def test_a_policy_for_another_log_is_refused(scene: Scene) -> None:
    cosign(scene, W1, W2)
    inference = next(each for each in scene.keys if each.log == "main/inference")
    other = parse_policy(f"log {inference.vkeys[0]}\nwitness w1 {W1.vkey}\nquorum w1\n".encode())
    assert [fault.what for fault in verify(scene, policy=other).faults] == ["not_witnessed"]
    with pytest.raises(Tampered):
        verify_evidence(evidence(scene), scene.keys, other)
    anchor = next(each for each in scene.keys if each.log == "anchor")
    mine = parse_policy(f"log {anchor.vkeys[0]}\nwitness w1 {W1.vkey}\nquorum w1\n".encode())
    assert verify(scene, policy=mine).is_clean
    assert verify_evidence(evidence(scene), scene.keys, mine)


def test_evidence_carries_the_cosignatures_and_proves_the_quorum(scene: Scene) -> None:
    cosign(scene, W1, W2)
    raw = evidence(scene)
    report = verify_evidence(raw, scene.keys, BOTH)
    assert report.steps[-1].number == 8
    assert report.steps[-1].is_checked
    assert "w1, w2" in report.steps[-1].what
    assert verify_evidence(raw, scene.keys).steps[-1].number == 7
    grow(scene)
    assert verify_evidence(evidence(scene), scene.keys, None)


def test_evidence_without_the_quorum_is_refused_when_it_is_demanded(scene: Scene) -> None:
    cosign(scene, W1)
    for raw in (evidence(scene), json.dumps({**json.loads(evidence(scene)), "anchor_proof": None}).encode()):
        assert verify_evidence(raw, scene.keys)
        with pytest.raises(Tampered) as caught:
            verify_evidence(raw, scene.keys, BOTH)
        assert caught.value.code == "quorum_missing"


def test_a_witnessed_file_of_somebody_else_is_not_taken_into_evidence(scene: Scene) -> None:
    for garbage in (b"", b"\xff", b"garbage\n\n", "x\n1\nAAAA\n\n— x AAAAAAAA\n".encode()):
        witnessed_file(scene.root).write_bytes(garbage)
        assert verify_evidence(evidence(scene), scene.keys)
        assert read_public(scene.root, ANCHOR, "checkpoint")


def test_everybody_is_served_the_cosigned_checkpoint(scene: Scene) -> None:
    note = cosign(scene, W1, W2)
    assert read_public(scene.root, ANCHOR, "checkpoint") == note.encode()
