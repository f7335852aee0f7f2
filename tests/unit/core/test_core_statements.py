"""The bytes of statements, for ever; and the hash that they carry."""

from __future__ import annotations

import hashlib

import pytest

from jurat.core.errors import Malformed
from jurat.core.statements import HEARTBEAT, NO_HASH, Stated, Statement, cut_commitments, extend_hash, format_statement, parse_statement

GOLDEN = (
    b'{"at":"2026-11-25T19:40:41.123456Z","data":{"epoch":7,"from_seq":1,"hashed_seq":2,"last_seq":3,"period_s":10.0,"previous_epoch":5,'
    b'"previous_last_seq":9,"running_hash":"' + b"ab" * 32 + b'"},"kind":"producer.heartbeat.v1"}'
)


def test_the_golden_bytes_are_read_and_written_the_same() -> None:
    said = Stated(epoch=7, last_seq=3, hashed_seq=2, running_hash="ab" * 32, previous_epoch=5, previous_last_seq=9)
    statement = Statement(kind=HEARTBEAT, at="2026-11-25T19:40:41.123456Z", data=said)
    assert format_statement(statement) == GOLDEN
    assert parse_statement(GOLDEN) == statement


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"kind":"producer.heartbeat.v1"}', GOLDEN.replace(b"heartbeat", b"gossiping")])
def test_what_is_none_is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        parse_statement(raw)


def test_the_hash_is_over_the_commitments_one_after_the_other() -> None:
    one, other = bytes([1]) * 32, bytes([2]) * 32
    by_hand = hashlib.sha256(hashlib.sha256(bytes(32) + one).digest() + other).digest()
    assert extend_hash(NO_HASH, cut_commitments(one + other)) == by_hand == extend_hash(extend_hash(NO_HASH, [one]), [other])
    with pytest.raises(Malformed):
        cut_commitments(b"short")
