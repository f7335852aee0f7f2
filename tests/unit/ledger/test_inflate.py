"""Packed bodies come out whole or not at all, and never larger than the bound."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pytest

from jurat.core.errors import Malformed
from jurat.ledger.inflate import inflate


def zstd(raw: bytes) -> bytes:
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, "zstd") as stream:
        stream.write(raw)
    return bytes(packed.getvalue().to_pybytes())


PACKERS = {"gzip": gzip.compress, "zstd": zstd}


@pytest.mark.parametrize("encoding", PACKERS)
def test_what_was_packed_comes_out_up_to_the_bound_and_not_beyond(encoding: str) -> None:
    raw = b"some events " * 1000
    packed = PACKERS[encoding](raw)
    assert inflate(packed, encoding, len(raw)) == raw
    assert inflate(packed + packed, encoding, 2 * len(raw)) == raw + raw
    with pytest.raises(Malformed) as found:
        inflate(packed, encoding, len(raw) - 1)
    assert found.value.code == "body_too_large"


@pytest.mark.parametrize("encoding", PACKERS)
def test_damage_is_never_an_answer(encoding: str) -> None:
    packed = PACKERS[encoding](b"some events " * 1000)
    for broken in (packed[:-1], packed[: len(packed) // 2], packed + b"more", b"not packed"):
        with pytest.raises(Malformed) as found:
            inflate(broken, encoding, 10**6)
        assert found.value.code == "encoding_damaged"


def test_an_unknown_encoding() -> None:
    with pytest.raises(Malformed, match="br"):
        inflate(b"x", "br", 10)
