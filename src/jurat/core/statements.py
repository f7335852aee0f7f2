"""A producer's word about its own stream: it began, it goes on, it ended. With these a tail that was cut shows.

LAW OF THESE BYTES: fields are only added, last, with a default; golden bytes lie in `tests/unit/core`. They are not in the
envelope of events, since a client outside must be able to write them, who knows nothing of policies and principals.

A stream is one (log, producer, epoch); its numbers begin with 1. The hash runs over the commitments of the events
`from_seq` … `hashed_seq` in their order, beginning with 32 zero bytes: h' = SHA256(h ‖ commitment). Commitments stay when
events are erased, so it can be checked for ever; the statements themselves are events of the stream and count too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec

from jurat.core.errors import Malformed
from jurat.core.jsonio import dump_json, load_json

OPENED: Final = "producer.opened.v1"
HEARTBEAT: Final = "producer.heartbeat.v1"
CLOSED: Final = "producer.closed.v1"
KINDS: Final = frozenset({OPENED, HEARTBEAT, CLOSED})
PERIOD_S: Final = 10.0  # of heartbeats; a stream that is silent for two of them is a silent one
NO_HASH: Final = bytes(32)


class Stated(msgspec.Struct, frozen=True, kw_only=True):
    """What a statement says of the stream of `epoch`."""

    epoch: int
    last_seq: int  # the last number given out before this statement
    from_seq: int = 1  # where the hash begins
    hashed_seq: int = 0  # where the hash ends; `from_seq - 1`: over nothing yet
    running_hash: str = NO_HASH.hex()
    period_s: float = PERIOD_S  # a heartbeat at least so often
    previous_epoch: int = 0  # of the same producer, in this log, as far as it knows; 0: none
    previous_last_seq: int = 0


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One of the three, with its moment."""

    kind: str
    at: str  # RFC 3339
    data: Stated


def format_statement(statement: Statement) -> bytes:
    """Return the bytes of a statement."""
    return dump_json(statement)


def parse_statement(raw: bytes) -> Statement:
    """Return the statement in some bytes. The inverse of `format_statement`.

    Raises:
        Malformed: it is none.
    """
    found = load_json(raw, Statement, what="a producer's statement")
    if found.kind not in KINDS:
        raise Malformed(f"`{found.kind[:80]}` is no kind of statement", hint=f"there are {', '.join(sorted(KINDS))}")
    return found


def extend_hash(running: bytes, commitments: Iterable[bytes]) -> bytes:
    """Return the running hash after some more commitments, 32 bytes each."""
    for commitment in commitments:
        running = hashlib.sha256(running + commitment).digest()
    return running


def cut_commitments(raw: bytes) -> list[bytes]:
    """Return the commitments that lie one after the other in some bytes.

    Raises:
        Malformed: they do not.
    """
    if len(raw) % 32:
        raise Malformed(f"commitments of `{len(raw)}` bytes, expected a multiple of 32")
    return [raw[at : at + 32] for at in range(0, len(raw), 32)]
