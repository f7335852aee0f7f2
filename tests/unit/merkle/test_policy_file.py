"""tlog-policy files: every rule of the specification, and quorums of groups of groups."""

from __future__ import annotations

import itertools

import pytest

from jurat.core.errors import Malformed, Tampered
from jurat.merkle.checkpoint import Checkpoint, format_checkpoint
from jurat.merkle.cosign import CosignatureSigner
from jurat.merkle.note import Ed25519Signer, MlDsaSigner, format_signatures, sign_note
from jurat.merkle.policy import MAX_DEFINITIONS, parse_policy, verify_quorum
from jurat.merkle.tree import EMPTY_ROOT

NOW_S = 1_764_000_000
LOG = Ed25519Signer("log.example", b"\1" * 32)
W = {n: CosignatureSigner(f"w{n}.example", bytes([10 + n]) * 32, lambda: NOW_S) for n in range(1, 7)}
TEXT = format_checkpoint(Checkpoint("log.example", 0, EMPTY_ROOT))
SIX = "".join(f"witness {name} {W[n].vkey}\n" for n, name in enumerate(("X1", "X2", "X3", "Y1", "Y2", "Y3"), start=1))
EXAMPLE = (
    f"log {LOG.vkey}\n\n{SIX}group X-witnesses 2 X1 X2 X3\ngroup Y-witnesses any Y1 Y2 Y3\n"
    "group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n"
)
ONE = f"witness X1 {W[1].vkey}\n"


def note(*who: int) -> str:
    return sign_note(TEXT, [LOG]) + format_signatures(TEXT, [W[n] for n in who])


def test_the_example_of_the_specification() -> None:
    policy = parse_policy(EXAMPLE.encode())
    for count in range(7):
        for names in itertools.combinations(("X1", "X2", "X3", "Y1", "Y2", "Y3"), count):
            expected = sum(name[0] == "X" for name in names) >= 2 and any(name[0] == "Y" for name in names)
            assert policy.is_quorum(set(names)) == expected
    assert len(verify_quorum(policy, note(1, 3, 5))) == 3
    for too_few in ((), (1, 2, 3), (1, 4, 5, 6), (4, 5, 6)):
        with pytest.raises(Tampered) as caught:
            verify_quorum(policy, note(*too_few))
        assert caught.value.code == "quorum_missing"


def test_a_quorum_of_one_and_of_none() -> None:
    one = parse_policy(f"{ONE}quorum X1\n".encode())
    assert verify_quorum(one, note(1))
    with pytest.raises(Tampered):
        verify_quorum(one, note(2))
    none = parse_policy(b"quorum none\n")
    assert verify_quorum(none, note()) == ()


def test_a_cosignature_counts_for_its_checkpoint_only() -> None:
    policy = parse_policy(f"{ONE}quorum X1\n".encode())
    other = format_checkpoint(Checkpoint("log.example", 1, b"\1" * 32))
    with pytest.raises(Tampered):
        verify_quorum(policy, sign_note(TEXT, [LOG]) + format_signatures(other, [W[1]]))


def test_the_same_name_with_another_key_is_nobody() -> None:
    policy = parse_policy(f"{ONE}quorum X1\n".encode())
    impostor = CosignatureSigner("w1.example", b"\x63" * 32, lambda: NOW_S)
    with pytest.raises(Tampered):
        verify_quorum(policy, sign_note(TEXT, [LOG]) + format_signatures(TEXT, [impostor]))


def test_a_cosignature_from_the_future_is_refused_if_that_is_asked() -> None:
    policy = parse_policy(f"{ONE}quorum X1\n".encode())
    assert verify_quorum(policy, note(1), latest_s=NOW_S)
    with pytest.raises(Tampered, match="future"):
        verify_quorum(policy, note(1), latest_s=NOW_S - 1)


def test_urls_spaces_tabs_comments_and_names_of_any_bytes() -> None:
    raw = f"\t# {'é'}\n \t \nwitness \t \N{KELVIN SIGN} {W[1].vkey}\thttps://w.example/a \nlog {LOG.vkey} https://log.example\n".encode()
    policy = parse_policy(raw + b"witness \xff " + W[2].vkey.encode() + b"\ngroup K 1 \xff \xe2\x84\xaa\nquorum K\n  #end\n")
    assert [each.url for each in policy.witnesses.values()] == ["https://w.example/a", ""]
    assert policy.logs[0].url == "https://log.example"
    assert policy.groups["K"].threshold == 1
    assert set(policy.groups["K"].members) == set(policy.witnesses)
    assert verify_quorum(policy, note(2))


def test_post_quantum_witnesses_count_too() -> None:
    signer = MlDsaSigner("w.example", b"\7" * 32, lambda: NOW_S)
    policy = parse_policy(f"witness w {signer.vkey}\nquorum w\n".encode())
    assert verify_quorum(policy, sign_note(TEXT, [LOG]) + format_signatures(TEXT, [signer]))


COSIGNER_OF_SAME_KEY = CosignatureSigner("another.name", bytes([11]) * 32, lambda: NOW_S)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "ends with a line feed"),
        (ONE, "exactly one `quorum`"),
        (f"{ONE}quorum X1", "ends with a line feed"),
        (f"{ONE}quorum X1\nquorum X1\n", "second `quorum`"),
        (f"{ONE}quorum none\nquorum X1\n", "second `quorum`"),
        ("quorum X1\n", "not defined above"),
        (f"quorum X1\n{ONE}", "not defined above"),
        (f"{ONE}group g all X1 X2\nquorum g\n", "not defined above"),
        (f"{ONE}group g all g\nquorum g\n", "not defined above"),
        (f"{ONE}group g all none\nquorum g\n", "not defined above"),
        (f"{ONE}group g all\nquorum X1\n", "`group`"),
        (f"{ONE}group g 0 X1\nquorum g\n", "threshold `0`"),
        (f"{ONE}group g 2 X1\nquorum g\n", "threshold `2`"),
        (f"{ONE}group g 01 X1\nquorum g\n", "threshold `01`"),
        (f"{ONE}group g -1 X1\nquorum g\n", "threshold"),
        (f"{ONE}group g ALL X1\nquorum g\n", "threshold"),
        (f"{ONE}group g all X1 X1\nquorum g\n", "once only"),
        (f"{ONE}group g all X1\ngroup h all X1\nquorum h\n", "once only"),
        (f"{ONE}group X1 all X1\nquorum X1\n", "is taken"),
        (f"{ONE}group none all X1\nquorum none\n", "is taken"),
        (f"witness none {W[1].vkey}\nquorum none\n", "is taken"),
        (f"{ONE}witness X1 {W[2].vkey}\nquorum X1\n", "is taken"),
        (f"{ONE}witness X2 {W[1].vkey}\nquorum X1\n", "one key counts once"),
        (f"{ONE}witness X2 {COSIGNER_OF_SAME_KEY.vkey}\nquorum X1\n", "one key counts once"),
        (f"log {LOG.vkey}\nlog {LOG.vkey}\nquorum none\n", "one key counts once"),
        (f"log {W[1].vkey}\nquorum none\n", "type `04`"),
        (f"witness X1 {LOG.vkey}\nquorum X1\n", "type `01`"),
        (f"{ONE}quorum X1 X1\n", "`quorum`"),
        (f"{ONE}quorum\n", "`quorum`"),
        (f"{ONE}Quorum X1\n", "`Quorum`"),
        (f"witness X1 {W[1].vkey} https://a b\nquorum X1\n", "`witness`"),
        (f"{ONE}quorum X1\r\n", "control character"),
        (f"{ONE}quorum X1\0\n", "control character"),
        (f"{ONE}quorum\x0bX1\n", "control character"),
        (f"{ONE}quorum\u00a0X1\n", "`quorum\u00a0X1`"),
        ("witness X1 nonsense\nquorum X1\n", "`name+id+key`"),
        (f"{ONE}quorum X1 # why\n", "`quorum`"),
    ],
)  # fmt: skip
def test_what_is_not_a_policy(text: str, says: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_policy(text.encode())
    assert says in caught.value.detail


def test_limits_are_far_above_32_and_there() -> None:
    def many(count: int) -> bytes:
        lines = [f"witness w{n} {CosignatureSigner('w', n.to_bytes(32), lambda: 1).vkey}\ngroup g{n} any w{n}\n" for n in range(count)]
        return ("".join(lines) + "quorum g0\n").encode()

    assert len(parse_policy(many(64)).groups) == 64
    with pytest.raises(Malformed, match=f"more than {MAX_DEFINITIONS}"):
        parse_policy(many(MAX_DEFINITIONS + 1))
    with pytest.raises(Malformed, match="bytes"):
        parse_policy(b"#" * 2_000_000 + b"\n")
