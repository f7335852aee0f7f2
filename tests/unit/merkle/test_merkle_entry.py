"""Entry bytes: pinned, reversible, strict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jurat.core.errors import Malformed
from jurat.merkle.entry import (
    ANCHOR_ENTRY_SIZE,
    ENTRY_SIZE,
    AnchorEntry,
    Entry,
    commit_event,
    pack_anchor_entry,
    pack_entry,
    unpack_anchor_entry,
    unpack_entry,
)

u16, u32, u64, hash32 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.binary(min_size=32, max_size=32)
ENTRY = Entry(0x0102, 0x03040506, 0x0708090A, 0x0B0C0D0E0F101112, 0x131415161718191A, bytes(range(0x1B, 0x3B)))


def test_the_layout_is_pinned() -> None:
    assert pack_entry(ENTRY) == bytes(range(1, 2)) + bytes(range(1, 0x3B))
    anchor = AnchorEntry(b"o" * 32, 1, 2, 3, b"r" * 32)
    assert pack_anchor_entry(anchor) == b"\x81" + b"o" * 32 + bytes(7) + b"\x01" + bytes(7) + b"\x02" + bytes(7) + b"\x03" + b"r" * 32


@given(st.builds(Entry, u16, u32, u32, u64, u64, hash32))
def test_entries_round_trip(entry: Entry) -> None:
    raw = pack_entry(entry)
    assert (len(raw), unpack_entry(raw)) == (ENTRY_SIZE, entry)


@given(st.builds(AnchorEntry, hash32, u64, u64, u64, hash32))
def test_anchor_entries_round_trip(entry: AnchorEntry) -> None:
    raw = pack_anchor_entry(entry)
    assert (len(raw), unpack_anchor_entry(raw)) == (ANCHOR_ENTRY_SIZE, entry)


@pytest.mark.parametrize(
    "change",
    [{"kind_code": 2**16}, {"producer": -1}, {"epoch": 2**32}, {"seq": 2**64}, {"commitment": b"short"}, {"commitment": bytes(33)}],
)
def test_what_does_not_fit_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        pack_entry(ENTRY._replace(**change))


def test_other_versions_and_lengths_are_refused() -> None:
    raw = pack_entry(ENTRY)
    for bad in (b"", raw[:-1], raw + b"\x00", b"\x02" + raw[1:], pack_anchor_entry(AnchorEntry(bytes(32), 0, 0, 0, bytes(32)))):
        with pytest.raises(Malformed):
            unpack_entry(bad)


def test_a_salt_is_16_bytes() -> None:
    for length in (0, 15, 17, 32):
        with pytest.raises(Malformed):
            commit_event(bytes(length), b"raw")
