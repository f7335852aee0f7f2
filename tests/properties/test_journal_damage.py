"""The journal against a plain list: what was written comes back; any cut is a torn tail; any flip before the last group is found."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jurat.core.errors import Tampered
from jurat.ledger.journal import JournalWriter, Placed, first_position, scan, segment_file, segment_numbers
from jurat.ledger.record import Batch, pack_sizes
from jurat.merkle.entry import Entry, pack_entry

SEGMENT_SIZE = 2048

raws = st.lists(st.binary(max_size=60) | st.just(b"JWL1" + bytes(76)), min_size=1, max_size=4)
groups = st.lists(st.lists(raws, min_size=1, max_size=3), min_size=1, max_size=8)
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@contextmanager
def journal_of(written: list[list[list[bytes]]]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="jurat-journal-") as name:
        directory = Path(name)
        (directory / "uuid").write_text("00" * 16)
        writer = JournalWriter(directory, first_position(directory), segment_size=SEGMENT_SIZE)
        index = 0
        for group in written:
            batches = []
            for batch in group:
                batches.append(make_batch(index, batch))
                index += len(batch)
            writer.append(batches)
        writer.close()
        yield directory


def make_batch(first_index: int, batch: list[bytes]) -> Batch:
    entries = b"".join(pack_entry(Entry(51, 2, 1, first_index + n + 1, 10, bytes(32))) for n in range(len(batch)))
    return Batch(b"originha", first_index, len(batch), entries, pack_sizes(batch), b"".join(bytes(16) + raw for raw in batch))


def raws_of(placed: list[Placed]) -> list[list[bytes]]:
    return [[raw for _, raw in each.record.payloads()] for each in placed]


def spans(placed: list[Placed]) -> list[tuple[int, int, int, int]]:
    """Return (segment, begin, end, group) of each record."""
    return [
        (each.start.segment, each.start.offset if each.start.segment == each.end.segment else 0, each.end.offset, each.end.group)
        for each in placed
    ]


@quick
@given(groups)
def test_what_was_written_comes_back(written: list[list[list[bytes]]]) -> None:
    with journal_of(written) as directory:
        placed = list(scan(directory))
    assert raws_of(placed) == [batch for group in written for batch in group]
    assert [each.end.group for each in placed] == [n + 1 for n, group in enumerate(written) for _ in group]


@quick
@given(groups, st.integers(0, 2**32), st.booleans())
def test_any_cut_of_the_last_group_is_a_torn_tail(written: list[list[list[bytes]]], where: int, is_short: bool) -> None:
    """Cut anywhere inside the last group, by zeros or by the file's end: what lies before comes back, and no more."""
    with journal_of(written) as directory:
        before = list(scan(directory))
        last = [span for span in spans(before) if span[3] == len(written)]
        begin, end = last[0][1], last[-1][2]
        cut = begin + where % (end - begin)
        path = segment_file(directory, last[0][0])
        raw = path.read_bytes()
        path.write_bytes(raw[:cut] if is_short else raw[:cut] + bytes(len(raw) - cut))
        after = list(scan(directory))
        kept = before[: -len(last)]
        # Zeros over bytes that were zero anyway change nothing.
        assert after == kept or (after == before and not is_short and not any(raw[cut:end]))


@quick
@given(groups.filter(lambda written: len(written) > 1), st.integers(0, 2**32), st.integers(0, 7))
def test_any_flip_before_the_last_group_is_tampered_and_located(written: list[list[list[bytes]]], where: int, bit: int) -> None:
    with journal_of(written) as directory:
        before = list(scan(directory))
        earlier = [span for span in spans(before) if span[3] < len(written)]
        offsets = [(segment, at) for segment, begin, end, _ in earlier for at in range(begin, end)]
        segment, at = offsets[where % len(offsets)]
        flip(segment_file(directory, segment), at, bit)
        seen: list[Placed] = []
        with pytest.raises(Tampered) as caught:
            seen.extend(scan(directory))
        (begin,) = (span[1] for span in earlier if span[0] == segment and span[1] <= at < span[2])
        assert (caught.value.fields["segment"], caught.value.fields["offset"]) == (segment, begin)
        assert seen == before[: len(seen)]


@quick
@given(groups, st.integers(0, 2**32), st.integers(0, 7), raws)
def test_after_a_flip_in_the_last_group_the_journal_goes_on_from_what_is_left(
    written: list[list[list[bytes]]], where: int, bit: int, more: list[bytes]
) -> None:
    with journal_of(written) as directory:
        before = list(scan(directory))
        last = [span for span in spans(before) if span[3] == len(written)]
        begin, end = last[0][1], last[-1][2]
        flip(segment_file(directory, last[0][0]), begin + where % (end - begin), bit)
        left = list(scan(directory))
        assert left == before[: -len(last)]
        position = left[-1].end if left else first_position(directory)
        writer = JournalWriter(directory, position, segment_size=SEGMENT_SIZE)
        writer.repair_tail(next((each.start for each in left if each.end.group == position.group), position))
        writer.append([make_batch(sum(len(batch) for batch in raws_of(left)), more)])
        writer.append([make_batch(0, more)])
        writer.close()
        assert raws_of(list(scan(directory))) == [*raws_of(left), more, more]


def flip(path: Path, at: int, bit: int) -> None:
    with path.open("r+b") as file:
        byte = os.pread(file.fileno(), 1, at)[0]
        os.pwrite(file.fileno(), bytes([byte ^ 1 << bit]), at)


def test_segments_are_many_enough_for_these_properties_to_mean_something() -> None:
    with journal_of([[[b"x" * 60] * 4] * 3] * 8) as directory:
        assert len(segment_numbers(directory)) > 2
