"""The witness's law, row by row; its memory; its directory. No sockets."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from tests.scenes.witnesses import ORIGIN, SmallLog

from jurat.core.clock import FixedClock
from jurat.core.errors import Conflict, Malformed, NotFound, Unavailable
from jurat.ledger.layout import hash_origin
from jurat.ledger.witness import MAX_REQUEST_SIZE, Request, format_request, parse_request
from jurat.ledger.witness_desk import Witness, create_witness, load_public_witness
from jurat.ledger.witness_store import MAX_EVIDENCE
from jurat.merkle.checkpoint import Checkpoint, format_checkpoint
from jurat.merkle.cosign import open_cosigned, parse_witness_vkey
from jurat.merkle.note import Ed25519Signer, open_note, sign_note
from jurat.merkle.tree import EMPTY_ROOT

LOG = SmallLog()
FORK = SmallLog(fork=5)
NOW_NS = 1_764_099_641_000_000_000


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW_NS)


@pytest.fixture
def witness(tmp_path: Path, clock: FixedClock):
    create_witness(tmp_path / "w", "witness.example/w1")
    made = Witness(tmp_path / "w", clock)
    made.add_log(ORIGIN, [LOG.signer.vkey])
    yield made
    made.close()


def verifiers(witness: Witness):
    return [parse_witness_vkey(vkey) for vkey in witness.public.vkeys]


def test_a_first_and_a_later_checkpoint_are_cosigned_by_both_keys(witness: Witness, clock: FixedClock) -> None:
    for old, size in ((0, 1), (1, 1), (1, 7), (7, 300)):
        answer = witness.answer(LOG.request(old, size))
        assert answer.status == 200, answer
        cosigned = open_cosigned(LOG.note(size) + answer.body.decode(), verifiers(witness)).signatures
        assert [each.timestamp_s for each in cosigned] == [NOW_NS // 10**9] * 2
        assert answer.body.decode().count("\n") == 2


def test_an_empty_tree_is_cosigned_and_followed(witness: Witness) -> None:
    assert witness.answer(LOG.request(0, 0)).status == 200
    assert witness.answer(LOG.request(0, 3)).status == 200


def test_an_unknown_origin_is_404(witness: Witness) -> None:
    assert witness.answer(SmallLog("other.example/log").request(0, 1)).status == 404


def test_no_signature_by_a_known_key_is_403(witness: Witness) -> None:
    stranger = SmallLog(seed=b"\2" * 32)
    assert witness.answer(stranger.request(0, 1)).status == 403


def test_a_known_keys_signature_that_does_not_hold_is_403(witness: Witness) -> None:
    note = LOG.note(3)
    other = LOG.note(4)
    swapped = note.rpartition("\n\n")[0] + "\n\n" + other.rpartition("\n\n")[2]
    assert witness.answer(format_request(Request(0, (), swapped))).status == 403


def test_of_a_log_with_two_keys_both_must_have_signed(witness: Witness) -> None:
    first, second = Ed25519Signer("two.example", b"\3" * 32), Ed25519Signer("two.example", b"\4" * 32)
    witness.add_log("two.example", [first.vkey, second.vkey])
    text = format_checkpoint(Checkpoint("two.example", 0, EMPTY_ROOT))
    assert witness.answer(format_request(Request(0, (), sign_note(text, [first])))).status == 403
    assert witness.answer(format_request(Request(0, (), sign_note(text, [second, first])))).status == 200


def test_an_old_size_beyond_the_checkpoint_is_400(witness: Witness) -> None:
    assert witness.answer(format_request(Request(9, (), LOG.note(3)))).status == 400


@pytest.mark.parametrize("old", [0, 1, 6, 8])
def test_another_old_size_than_the_last_is_409_with_that_size(witness: Witness, old: int) -> None:
    witness.answer(LOG.request(0, 7))
    answer = witness.answer(LOG.request(old, 9))
    assert (answer.status, answer.body, answer.content_type) == (409, b"7\n", "text/x.tlog.size")


def test_the_order_of_the_rows_400_before_409_before_422(witness: Witness) -> None:
    witness.answer(LOG.request(0, 7))
    assert witness.answer(format_request(Request(20, (), FORK.note(9)))).status == 400
    assert witness.answer(format_request(Request(3, (b"\0" * 32,), FORK.note(9)))).status == 409


def test_a_split_view_is_422_and_kept_with_what_was_held(witness: Witness) -> None:
    witness.answer(LOG.request(0, 7))
    split = FORK.request(7, 7)
    assert witness.answer(split).status == 422
    longer = FORK.request(7, 9)
    assert witness.answer(longer).status == 422
    assert witness.answer(longer).status == 422
    kept = witness.evidence()
    assert [each.request for each in kept] == [split, longer]
    assert all(each.at_ns == NOW_NS and each.origin == ORIGIN for each in kept)
    theirs, held = parse_request(kept[0].request).note, kept[0].held
    assert held is not None
    opened = [open_note(each, [LOG.signer.verifier]).text for each in (theirs, held)]
    assert opened[0] != opened[1]
    assert opened[0].split("\n")[1] == opened[1].split("\n")[1] == "7"
    assert witness.answer(LOG.request(7, 9)).status == 200, "a refused fork changes nothing"


@pytest.mark.parametrize(
    "request_",
    [
        Request(0, (b"\0" * 32,), LOG.note(7)),
        Request(0, (), sign_note(f"{ORIGIN}\n0\n{'A' * 43}=\n", [LOG.signer])),
    ],
    ids=["a proof from nothing", "an empty tree with another root"],
)  # fmt: skip
def test_what_no_honest_log_would_say_is_422_and_kept(witness: Witness, request_: Request) -> None:
    assert witness.answer(format_request(request_)).status == 422
    assert len(witness.evidence()) == 1


def test_a_proof_that_does_not_hold_is_422(witness: Witness) -> None:
    witness.answer(LOG.request(0, 7))
    request = parse_request(LOG.request(7, 9))
    for proof in (request.proof[:-1], (*request.proof, b"\0" * 32), (b"\0" * 32, *request.proof[1:]), ()):
        assert witness.answer(format_request(request._replace(proof=proof))).status == 422
    assert witness.answer(format_request(parse_request(LOG.request(7, 7))._replace(proof=(b"\0" * 32,)))).status == 422


@pytest.mark.parametrize(
    "body",
    [
        b"", b"old 0\n", b"old 0\n\n", b"new 0\n\n" + LOG.note(1).encode(), b"old 00\n\n" + LOG.note(1).encode(),
        b"old -1\n\n" + LOG.note(1).encode(), b"old 0\nAAAA=\n\n" + LOG.note(1).encode(), b"\xff\xff", b"old 0\n\nno note\n",
        b"old 0\n" + b"AAAA\n" * 64 + b"\n" + LOG.note(1).encode(), b"x" * (MAX_REQUEST_SIZE + 1),
        format_request(Request(0, (), sign_note(f"{ORIGIN}\nmany\n{'A' * 43}=\n", [LOG.signer]))),
    ],
)  # fmt: skip
def test_garbage_is_400_and_nothing_is_kept(witness: Witness, body: bytes) -> None:
    assert witness.answer(body).status == 400
    assert witness.evidence() == []
    assert witness.last_note(hash_origin(ORIGIN).hex()) is None


def test_what_monitors_read_has_the_logs_and_our_signatures_and_no_others(witness: Witness) -> None:
    assert witness.last_note(hash_origin(ORIGIN).hex()) is None
    grease = LOG.note(3) + "— grease.example AAAAAAAAAAAA\n"
    witness.answer(format_request(Request(0, (), grease)))
    note = witness.last_note(hash_origin(ORIGIN).hex())
    assert note is not None
    assert "grease" not in note
    assert len(open_note(note, [LOG.signer.verifier, *verifiers(witness)]).signatures) == 3


def test_the_time_of_cosignatures_never_goes_back(witness: Witness, clock: FixedClock, tmp_path: Path) -> None:
    witness.answer(LOG.request(0, 3))
    clock.advance(-3600)
    again = Witness(tmp_path / "w", clock)
    answer = again.answer(LOG.request(3, 4))
    again.close()
    assert {each.timestamp_s for each in open_cosigned(LOG.note(4) + answer.body.decode(), verifiers(witness)).signatures} == {
        NOW_NS // 10**9
    }


def test_evidence_is_bounded(witness: Witness) -> None:
    witness.answer(LOG.request(0, 1))
    for n in range(MAX_EVIDENCE + 20):
        assert witness.answer(format_request(Request(1, (n.to_bytes(32),), LOG.note(3)))).status == 422
    assert len(witness.evidence()) == MAX_EVIDENCE


def test_a_disk_that_refuses_means_no_answer(witness: Witness, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "w" / "witness.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    witness._store._memory._database.execute("PRAGMA busy_timeout = 10")
    with pytest.raises(Unavailable):
        witness.answer(LOG.request(0, 3))
    other.execute("ROLLBACK")
    other.close()
    assert witness.answer(LOG.request(0, 3)).status == 200


def test_a_witness_that_lost_its_memory_does_not_start(tmp_path: Path) -> None:
    create_witness(tmp_path / "w", "w")
    (tmp_path / "w" / "witness.sqlite").unlink()
    with pytest.raises(NotFound, match="memory"):
        Witness(tmp_path / "w")
    with pytest.raises(Conflict):
        create_witness(tmp_path / "w", "w")
    with pytest.raises(NotFound):
        load_public_witness(tmp_path / "elsewhere")


def test_a_logs_keys_are_its_own_and_stay(witness: Witness) -> None:
    with pytest.raises(Malformed):
        witness.add_log("another.example", [LOG.signer.vkey])
    with pytest.raises(Malformed):
        witness.add_log("another.example", [])
    with pytest.raises(Conflict):
        witness.add_log(ORIGIN, [SmallLog(seed=b"\2" * 32).signer.vkey])
    witness.add_log(ORIGIN, [LOG.signer.vkey])


def test_a_log_added_by_another_process_is_known_at_once(witness: Witness, tmp_path: Path) -> None:
    late = SmallLog("late.example/log")
    assert witness.answer(late.request(0, 1)).status == 404
    other = Witness(tmp_path / "w")
    other.add_log(late.origin, [late.signer.vkey])
    other.close()
    assert witness.answer(late.request(0, 1)).status == 200
    assert {each.origin for each in witness.logs()} == {ORIGIN, late.origin}


def test_two_processes_on_one_memory_cannot_be_led_into_a_fork(witness: Witness, tmp_path: Path) -> None:
    witness.answer(LOG.request(0, 4))
    others = [Witness(tmp_path / "w") for _ in range(4)]
    requests = [log.request(4, size) for log in (LOG, FORK) for size in (6, 7, 8, 9)]
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n, body=body: found.append(others[n % 4].answer(body).status)) for n, body in enumerate(requests)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.close()
    assert sorted(found) == [200, *[409] * 7], "one of them was first; the others are told its size"
