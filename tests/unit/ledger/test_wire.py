"""Messages come back as they were, errors as the errors they were, and a stream is cut wherever it is cut."""

from __future__ import annotations

import pytest

from jurat.core.errors import Conflict, Denied, Exhausted, JuratError, Malformed, NotFound, Tampered, Unauthenticated, Unavailable
from jurat.ledger import wire

REQUESTS = [
    wire.Hello(1, 2, None),
    wire.Hello(1, 2, 7),
    wire.Append("main/inference", 1, [51, 51], [b"{}", b""], True),
    wire.LastSeq("anchor"),
    wire.ReceiptFor("main/access", 2**40),
    wire.Status(),
    wire.Flush(),
]
REPLIES = [
    wire.Welcome(7, 1024),
    wire.Appended(5, 2, 10**18, None, False),
    wire.Sequence(3),
    wire.Receipted("note"),
    wire.Statuses([wire.LogStatus("anchor", 3, 2, 1)]),
    wire.Flushed(),
    wire.Refused("conflict", "sequence_gap", "detail", "hint", {"expected": 4}),
]


@pytest.mark.parametrize("step", [1, 3, 7, 10_000])
def test_messages_come_back_however_the_stream_is_cut(step: int) -> None:
    stream = b"".join(wire.format_message(number, message) for number, message in enumerate(REQUESTS))
    reader, found = wire.FrameReader(), []
    for at in range(0, len(stream), step):
        found += [wire.parse_request(frame) for frame in reader.feed(stream[at : at + step])]
    assert found == list(enumerate(REQUESTS))


def test_replies_come_back() -> None:
    frames = wire.FrameReader().feed(b"".join(wire.format_message(number, reply) for number, reply in enumerate(REPLIES)))
    assert [wire.parse_reply(frame) for frame in frames] == list(enumerate(REPLIES))


@pytest.mark.parametrize(
    "error",
    [
        kind("detail", hint="hint", code="some_code", expected=4)
        for kind in (Malformed, Unauthenticated, Denied, NotFound, Conflict, Unavailable, Tampered)
    ],
    ids=lambda error: error.family,
)
def test_errors_cross_the_socket_as_themselves(error: JuratError) -> None:
    came = wire.error_of(wire.refuse(error))
    assert type(came) is type(error)
    assert (came.detail, came.hint, came.code, came.fields) == (error.detail, error.hint, error.code, error.fields)


def test_exhausted_keeps_its_wait() -> None:
    came = wire.error_of(wire.refuse(Exhausted("detail", retry_after_s=3.5)))
    assert isinstance(came, Exhausted)
    assert came.retry_after_s == 3.5


def test_unknown_family_is_never_a_success() -> None:
    assert isinstance(wire.error_of(wire.Refused("brand_new", "x", "detail", "", {})), Unavailable)


@pytest.mark.parametrize(
    "raw", [b"", b"\x91\x01", b"\x92\x01\x91\xa5Hello", b"\x92\x01\x92\xa6Nobody\x01", b"\xc1", b"\x92\x01\x93\xa6Append\x01\x02"]
)
def test_garbage_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        wire.parse_request(raw)
    with pytest.raises(Malformed):
        wire.parse_reply(raw)


def test_huge_frame_is_refused_before_it_is_read() -> None:
    with pytest.raises(Malformed) as caught:
        wire.FrameReader().feed((wire.MAX_FRAME_SIZE + 1).to_bytes(4))
    assert caught.value.code == "frame_too_large"
