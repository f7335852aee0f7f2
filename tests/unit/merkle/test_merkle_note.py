"""Signed notes: who is believed, who is ignored, what is refused."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jurat.core.errors import JuratError, Malformed, Tampered
from jurat.merkle.checkpoint import Checkpoint, format_checkpoint, parse_base64, parse_checkpoint, parse_number
from jurat.merkle.note import (
    MAX_NOTE_SIZE,
    Ed25519Signer,
    Ed25519Verifier,
    MlDsaSigner,
    open_note,
    parse_vkey,
    read_unverified_text,
    sign_note,
)
from jurat.merkle.tree import EMPTY_ROOT

ORIGIN = "jurat.test/main/inference"
SEALED_S = 1_764_099_641
ED = Ed25519Signer(ORIGIN, b"\x01" * 32)
ML = MlDsaSigner(ORIGIN, b"\x02" * 32, lambda: SEALED_S)
STRANGER = Ed25519Signer("stranger.example/log", b"\x03" * 32)
TEXT = format_checkpoint(Checkpoint(ORIGIN, 7, b"\x07" * 32))
NOTE = sign_note(TEXT, [ED, ML])
KEYS = [parse_vkey(ED.vkey), parse_vkey(ML.vkey)]


def swap(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


def test_both_signatures_are_found() -> None:
    opened = open_note(NOTE, KEYS)
    assert opened.text == TEXT
    assert [(s.name, s.key_id, s.timestamp_s) for s in opened.signatures] == [(ORIGIN, ED.key_id, None), (ORIGIN, ML.key_id, SEALED_S)]
    assert open_note(NOTE.encode(), KEYS) == opened
    assert read_unverified_text(NOTE) == TEXT


def test_one_known_key_is_enough_and_others_are_ignored() -> None:
    note = sign_note(TEXT, [STRANGER, ED, ML])
    assert [s.key_id for s in open_note(note, [KEYS[1]]).signatures] == [ML.key_id]
    with pytest.raises(Tampered, match="carries no signature"):
        open_note(NOTE, [STRANGER.verifier])
    with pytest.raises(Tampered, match="none was given"):
        open_note(NOTE, [])


def test_a_signature_with_a_known_name_and_another_id_is_ignored() -> None:
    namesake = Ed25519Signer(ORIGIN, b"\x04" * 32)
    note = sign_note(TEXT, [namesake, ED])
    assert [s.key_id for s in open_note(note, KEYS).signatures] == [ED.key_id]


@pytest.mark.parametrize("signer", [ED, ML])
def test_a_bad_signature_of_a_known_key_rejects_the_note(signer: Ed25519Signer | MlDsaSigner) -> None:
    other = sign_note(swap(TEXT, "\n7\n", "\n8\n"), [signer]).split("\n\n")[1]
    good = sign_note(TEXT, [s for s in (ED, ML) if s is not signer])
    assert open_note(good, KEYS)
    with pytest.raises(Tampered, match="does not fit the text"):
        open_note(good + other, KEYS)


def test_a_second_bad_signature_of_one_key_rejects_too() -> None:
    other = sign_note("other text\n", [ED]).split("\n\n")[1]
    with pytest.raises(Tampered):
        open_note(NOTE + other, KEYS)


def test_the_time_of_an_ml_dsa_signature_is_signed() -> None:
    head, name, blob = NOTE.splitlines()[-1].split(" ")
    raw = bytearray(base64.b64decode(blob))
    raw[11] ^= 1
    note = NOTE[: NOTE.rindex(head)] + f"{head} {name} {base64.b64encode(raw).decode()}\n"
    assert open_note(note, KEYS[:1])
    with pytest.raises(Tampered):
        open_note(note, KEYS)


def test_ml_dsa_signs_checkpoints_only() -> None:
    with pytest.raises(Malformed):
        sign_note("not a checkpoint\n", [ML])


def test_the_text_may_hold_empty_lines() -> None:
    text = "a\n\n— looks like a signature\n\nb\n"
    assert open_note(sign_note(text, [ED]), KEYS).text == text


@pytest.mark.parametrize(
    "note",
    [
        "",
        TEXT,
        NOTE[:-1],
        NOTE + "\n",
        NOTE + "more\n",
        NOTE.replace("—", "-"),
        NOTE.replace("\n\n", "\n"),
        NOTE.replace("\n\n", "\r\n\n"),
        NOTE.replace("main", "ma\x00in"),
        NOTE.encode().replace(b"main", b"m\xffin"),
        TEXT + "\n— " + ORIGIN + " AAAA\n",
        TEXT + "\n— with+plus AAAAAAAA\n",
        TEXT + "\n— with\u2003space AAAAAAAA\n",
        TEXT + "\n—  AAAAAAAA\n",
        TEXT + "\n— " + ORIGIN + " AAAAAAA\n",
        TEXT + "\n" + 65 * "— other.example AAAAAAAA\n",
        "x" * MAX_NOTE_SIZE + "\n\n— other.example AAAAAAAA\n",
    ],
)
def test_what_is_not_a_note(note: str | bytes) -> None:
    with pytest.raises(Malformed):
        open_note(note, KEYS)


def test_64_signatures_are_read() -> None:
    note = TEXT + "\n" + 63 * "— other.example AAAAAAAA\n" + sign_note(TEXT, [ED]).split("\n\n")[1]
    assert len(open_note(note, KEYS).signatures) == 1


@given(st.integers(0, len(NOTE.encode()) * 8 - 1))
def test_one_flipped_bit_never_passes_with_both_keys(bit: int) -> None:
    raw = bytearray(NOTE.encode())
    raw[bit // 8] ^= 1 << bit % 8
    try:
        opened = open_note(bytes(raw), KEYS)
    except JuratError:
        return
    # A flip in a name or a key id makes that signature a stranger's: ignored, so one of two is left.
    assert (opened.text, len(opened.signatures)) == (TEXT, 1)


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_noise_is_refused_by_name(noise: str | bytes) -> None:
    with pytest.raises((Malformed, Tampered)):
        open_note(noise, KEYS)


@pytest.mark.parametrize("vkey", [ED.vkey, ML.vkey])
def test_vkeys_round_trip(vkey: str) -> None:
    assert parse_vkey(vkey).vkey == vkey


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "name",
        "name+00000000",
        "+" + ED.vkey.split("+", 1)[1],
        ED.vkey.upper(),
        ED.vkey + "\n",
        ED.vkey[:-4],
        swap(ED.vkey, ED.key_id.hex(), "00000000"),
        swap(ED.vkey, ORIGIN, "other.example"),
        f"n+{'0' * 8}+{base64.b64encode(bytes([2]) + bytes(32)).decode()}",
        f"n+{'0' * 8}+",
        ML.vkey[:-8],
    ],
    ids=lambda vkey: vkey[:60],
)
def test_what_is_not_a_vkey(vkey: str) -> None:
    with pytest.raises(Malformed):
        parse_vkey(vkey)


FIELD, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493


def points_of_small_order() -> set[int]:
    """Return y of the points whose order divides 8, found by arithmetic on the curve (RFC 8032 §5.1)."""
    d = -121665 * pow(121666, -1, FIELD) % FIELD

    def recover_x(y: int) -> int | None:
        square = (y * y - 1) * pow(d * y * y + 1, -1, FIELD) % FIELD
        x = pow(square, (FIELD + 3) // 8, FIELD)
        if (x * x - square) % FIELD:
            x = x * pow(2, (FIELD - 1) // 4, FIELD) % FIELD
        return None if (x * x - square) % FIELD else x

    def add(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
        (x1, y1), (x2, y2) = one, other
        k = d * x1 * x2 * y1 * y2 % FIELD
        return (x1 * y2 + x2 * y1) * pow(1 + k, -1, FIELD) % FIELD, (y1 * y2 + x1 * x2) * pow(1 - k, -1, FIELD) % FIELD

    def times(number: int, point: tuple[int, int]) -> tuple[int, int]:
        result = (0, 1)
        while number:
            if number & 1:
                result = add(result, point)
            point, number = add(point, point), number >> 1
        return result

    found: set[int] = set()
    for y in range(2, 20):
        if (x := recover_x(y)) is not None:
            small = times(ORDER, (x, y))
            found |= {times(k, small)[1] for k in range(8)}
    return found


def test_keys_for_which_anybody_can_sign_are_refused() -> None:
    small = points_of_small_order()
    assert len(small) == 5
    for y in small | {FIELD, FIELD + 1, 2**255 - 1}:  # the last three: not canonical
        for sign in (0, 1):
            with pytest.raises(Malformed, match="anybody could sign"):
                Ed25519Verifier("odd.example/log", (y | sign << 255).to_bytes(32, "little"))


def test_a_signature_has_one_form() -> None:
    signature = ED.sign(TEXT)
    other = signature[:32] + (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")
    ED.verifier.verify(TEXT, signature)
    with pytest.raises(Tampered):
        ED.verifier.verify(TEXT, other)


def test_ed25519_of_rfc_8032() -> None:
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")  # §7.1, test 2: the message is one byte, 0x72
    signer = Ed25519Signer("rfc8032.example", seed)
    assert signer.verifier.public.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    expected = (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert signer.sign("r").hex() == expected


def test_two_verifiers_of_one_label_are_refused() -> None:
    with pytest.raises(Malformed, match="one name and one id"):
        open_note(NOTE, [KEYS[0], KEYS[0]])


@given(st.integers(1, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_checkpoints_round_trip(size: int, root: bytes) -> None:
    checkpoint = Checkpoint(ORIGIN, size, root)
    assert parse_checkpoint(format_checkpoint(checkpoint)) == checkpoint


def test_extension_lines_are_ignored() -> None:
    assert parse_checkpoint(TEXT + "extension\n") == parse_checkpoint(TEXT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n\n",
        TEXT[:-1],
        TEXT + "\n",
        swap(TEXT, "\n7\n", "\n07\n"),
        swap(TEXT, "\n7\n", "\n+7\n"),
        swap(TEXT, "\n7\n", "\n٧\n"),
        swap(TEXT, "\n7\n", f"\n{2**63}\n"),
        swap(TEXT, "\n7\n", "\n0\n"),
        swap(TEXT, "=\n", "\n"),
        f"{ORIGIN}\n7\nAAAA\n",
    ],
)
def test_what_is_not_a_checkpoint(text: str) -> None:
    with pytest.raises(Malformed):
        parse_checkpoint(text)


def test_no_checkpoint_is_written_that_nobody_could_read() -> None:
    for bad in (
        Checkpoint("", 1, bytes(32)),
        Checkpoint("a\nb", 1, bytes(32)),
        Checkpoint(ORIGIN, -1, bytes(32)),
        Checkpoint(ORIGIN, 0, bytes(32)),
    ):
        with pytest.raises(Malformed):
            format_checkpoint(bad)
    assert parse_checkpoint(format_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT))).size == 0


def test_base64_has_one_text_for_one_value() -> None:
    assert parse_base64("AA==", "x") == b"\x00"
    for loose in ("AB==", "AA", "AA= =", "-_==", " AA=="):
        with pytest.raises(Malformed):
            parse_base64(loose, "x")
    with pytest.raises(Malformed):
        parse_number("9" * 5000, "x")
