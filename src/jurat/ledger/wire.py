"""What producers and the sequencer say to each other: u32 size, then MessagePack of [id, message]; at most 24 MiB.

A reply carries its request's id. Requests of one connection are taken in order; `Flush` alone is answered late.
Knows messages and frames, no sockets.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from jurat.core.errors import Conflict, Denied, Exhausted, JuratError, Malformed, NotFound, Tampered, Unauthenticated, Unavailable

VERSION: Final = 1
MAX_FRAME_SIZE: Final = 24 * 1024 * 1024  # bytes
MAX_ITEMS: Final = 10_000  # events in one `Append`
MAX_ITEMS_BYTES: Final = 16 * 1024 * 1024  # of raw events in one `Append`
_PREFIX_SIZE: Final = 4
_FAMILIES: Final = {each.family: each for each in (Malformed, Unauthenticated, Denied, NotFound, Conflict, Unavailable, Tampered)}


class Hello(msgspec.Struct, tag=True, array_like=True):
    """The first message. Without an epoch the sequencer gives a fresh one."""

    version: int
    producer: int
    epoch: int | None


class Append(msgspec.Struct, tag=True, array_like=True, gc=False):
    log: str
    first_seq: int
    kinds: list[int]
    raws: list[bytes]
    want_receipt: bool
    want_commitments: bool = False


class LastSeq(msgspec.Struct, tag=True, array_like=True):
    """How far has this producer come in this log? 0: nowhere."""

    log: str


class ReceiptFor(msgspec.Struct, tag=True, array_like=True):
    log: str
    index: int


class SealedRoot(msgspec.Struct, tag=True, array_like=True):
    """Sign the root of a log's last committed checkpoint for a COSE receipt."""

    log: str


class Status(msgspec.Struct, tag=True, array_like=True):
    pass


class Rotate(msgspec.Struct, tag=True, array_like=True):
    """Begin a new journal segment with the next group, and let go the salts of these entries: (log, first, last)."""

    erased: list[tuple[str, int, int]]


class Flush(msgspec.Struct, tag=True, array_like=True):
    """Seal and publish what was acknowledged so far, and say when it is done."""


Request = Hello | Append | LastSeq | ReceiptFor | SealedRoot | Status | Rotate | Flush


class Welcome(msgspec.Struct, tag=True, array_like=True):
    epoch: int
    max_event_bytes: int


class Appended(msgspec.Struct, tag=True, array_like=True):
    """The events are durable. `duplicate`: some or all of them were there before, at their first place.

    `first_index` is the first event's. All lie one after the other, unless the first part of them was there before
    and the rest is new: then `receipt` is None, and whoever needs the others' indices asks the log.
    """

    first_index: int
    count: int
    received_ns: int
    receipt: str | None
    duplicate: bool
    commitments: bytes = b""  # 32 bytes an event, in the order of the append, if they were wanted


class Sequence(msgspec.Struct, tag=True, array_like=True):
    last: int


class Receipted(msgspec.Struct, tag=True, array_like=True):
    receipt: str


class SignedRoot(msgspec.Struct, tag=True, array_like=True):
    """A committed root and the log's signature for a COSE receipt (`merkle.cose`), with its protected header."""

    size: int
    root: bytes
    protected: bytes
    signature: bytes


class LogStatus(msgspec.Struct, tag=True, array_like=True):
    """One log: `size` entries are durable, `sealed_size` of them under the checkpoint of `sealed_ns`."""

    log: str
    size: int
    sealed_size: int
    sealed_ns: int


class Statuses(msgspec.Struct, tag=True, array_like=True):
    logs: list[LogStatus]


class Rotated(msgspec.Struct, tag=True, array_like=True):
    """The segment with which the journal goes on."""

    segment: int


class Flushed(msgspec.Struct, tag=True, array_like=True):
    pass


class Refused(msgspec.Struct, tag=True, array_like=True):
    """An error of the one tree, carried over."""

    family: str
    code: str
    detail: str
    hint: str
    fields: dict[str, Any]


Reply = Welcome | Appended | Sequence | Receipted | SignedRoot | Statuses | Rotated | Flushed | Refused

_encoder: Final = msgspec.msgpack.Encoder()
_requests: Final = msgspec.msgpack.Decoder(tuple[int, Request])
_replies: Final = msgspec.msgpack.Decoder(tuple[int, Reply])


def format_message(number: int, message: Request | Reply) -> bytes:
    """Return the frame of a message."""
    raw = _encoder.encode((number, message))
    return len(raw).to_bytes(_PREFIX_SIZE) + raw


def parse_request(raw: bytes) -> tuple[int, Request]:
    """Return (id, request) of a frame's content.

    Raises:
        Malformed: not one.
    """
    try:
        return _requests.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"not a request to the ledger: {error}") from error


def parse_reply(raw: bytes) -> tuple[int, Reply]:
    """Return (id, reply) of a frame's content.

    Raises:
        Malformed: not one.
    """
    try:
        return _replies.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"not a reply of the ledger: {error}") from error


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, raw: bytes) -> list[bytes]:
        """Add bytes; return the content of each frame that is complete.

        Raises:
            Malformed: a frame larger than any of ours; the connection makes no sense any more.
        """
        buffer = self._buffer
        buffer += raw
        frames, at = [], 0
        while len(buffer) - at >= _PREFIX_SIZE:
            size = int.from_bytes(buffer[at : at + _PREFIX_SIZE])
            if size > MAX_FRAME_SIZE:
                raise Malformed(f"a frame of `{size}` bytes, expected at most {MAX_FRAME_SIZE}", code="frame_too_large")
            end = at + _PREFIX_SIZE + size
            if len(buffer) < end:
                break
            frames.append(bytes(memoryview(buffer)[at + _PREFIX_SIZE : end]))
            at = end
        del buffer[:at]
        return frames


def refuse(error: JuratError) -> Refused:
    """Return an error as a reply."""
    return Refused(error.family, error.code, error.detail, error.hint, error.fields)


def error_of(refused: Refused) -> JuratError:
    """Return the error that a reply carries. The inverse of `refuse`."""
    fields = {name: value for name, value in refused.fields.items() if name not in {"detail", "hint", "code", "retry_after_s"}}
    if refused.family == Exhausted.family:
        retry_after_s = float(refused.fields.get("retry_after_s", 1))
        return Exhausted(refused.detail, retry_after_s=retry_after_s, hint=refused.hint, code=refused.code, **fields)
    return _FAMILIES.get(refused.family, Unavailable)(refused.detail, hint=refused.hint, code=refused.code, **fields)
