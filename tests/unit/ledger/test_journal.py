"""Segments, groups, torn tails and damage."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jurat.core.errors import Tampered, Unavailable
from jurat.ledger.journal import JournalWriter, Placed, Position, first_position, scan, segment_file, segment_numbers
from jurat.ledger.record import Batch, pack_sizes
from jurat.merkle.entry import Entry, pack_entry

SEGMENT_SIZE = 4096


def make_batch(first_index: int, count: int = 2) -> Batch:
    raws = [f'{{"n":{first_index + n}}}'.encode() for n in range(count)]
    entries = [pack_entry(Entry(51, 2, 1, first_index + n + 1, 10, bytes(32))) for n in range(count)]
    return Batch(b"originha", first_index, count, b"".join(entries), pack_sizes(raws), b"".join(bytes(16) + raw for raw in raws))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "uuid").write_text("00" * 16 + "\n")
    return tmp_path


def write_groups(directory: Path, groups: int, *, records: int = 2) -> list[Position]:
    """Write groups of records of two entries; return the end of each group."""
    writer = JournalWriter(directory, first_position(directory), segment_size=SEGMENT_SIZE)
    ends = []
    for group in range(groups):
        writer.append([make_batch(2 * (group * records + n)) for n in range(records)])
        ends.append(writer.end)
    writer.close()
    return ends


def indices(placed: list[Placed]) -> list[int]:
    return [each.record.header.first_index for each in placed]


def damage(directory: Path, position: Position, raw: bytes = b"\xff") -> None:
    descriptor = os.open(segment_file(directory, position.segment), os.O_RDWR)
    os.pwrite(descriptor, raw, position.offset)
    os.close(descriptor)


def test_empty_journal_has_no_records(directory: Path) -> None:
    assert list(scan(directory)) == []


def test_records_come_back_in_order_over_several_segments(directory: Path) -> None:
    ends = write_groups(directory, 30)
    placed = list(scan(directory))
    assert indices(placed) == list(range(0, 120, 2))
    assert placed[-1].end == ends[-1]
    assert len(segment_numbers(directory)) > 2
    assert {segment_file(directory, n).stat().st_size for n in segment_numbers(directory)} == {SEGMENT_SIZE}
    assert segment_file(directory, 1).stat().st_mode & 0o777 == 0o600


def test_scan_goes_on_from_any_position(directory: Path) -> None:
    write_groups(directory, 30)
    everything = list(scan(directory))
    for at, placed in enumerate(everything):
        assert list(scan(directory, placed.end)) == everything[at + 1 :]


def test_reader_at_the_end_sees_what_is_written_later(directory: Path) -> None:
    (end,) = write_groups(directory, 1)
    assert list(scan(directory, end)) == []
    writer = JournalWriter(directory, end, segment_size=SEGMENT_SIZE)
    writer.append([make_batch(4)])
    writer.close()
    assert indices(list(scan(directory, end))) == [4]


def test_group_larger_than_a_segment_gets_its_own(directory: Path) -> None:
    writer = JournalWriter(directory, first_position(directory), segment_size=SEGMENT_SIZE)
    writer.append([make_batch(0)])
    writer.append([make_batch(2, 200)])
    writer.append([make_batch(202)])
    writer.close()
    assert indices(list(scan(directory))) == [0, 2, 202]


def test_damage_in_the_last_group_is_a_torn_tail(directory: Path) -> None:
    ends = write_groups(directory, 5)
    damage(directory, ends[3])
    assert indices(list(scan(directory))) == list(range(0, 16, 2))


def test_group_whose_second_record_is_lost_is_not_read_at_all(directory: Path) -> None:
    write_groups(directory, 2)
    damage(directory, list(scan(directory))[3].start)
    assert indices(list(scan(directory))) == [0, 2]


def test_first_record_of_the_last_group_lost_is_a_torn_tail_though_its_second_is_whole(directory: Path) -> None:
    ends = write_groups(directory, 3)
    damage(directory, ends[1], bytes(80))
    assert indices(list(scan(directory))) == [0, 2, 4, 6]


@pytest.mark.parametrize("record", range(8))
@pytest.mark.parametrize("raw", [b"\xff", bytes(80)], ids=["flipped", "zeroed"])
def test_damage_before_the_last_group_stops_the_reader(directory: Path, record: int, raw: bytes) -> None:
    write_groups(directory, 5)
    start = list(scan(directory))[record].start
    damage(directory, start, raw)
    with pytest.raises(Tampered, match=f"{start.segment:08d}.wal:{start.offset}") as caught:
        list(scan(directory))
    assert caught.value.code == "journal_damaged"


def test_damaged_body_before_the_last_group_stops_the_reader(directory: Path) -> None:
    write_groups(directory, 3)
    start = list(scan(directory))[1].start
    damage(directory, start._replace(offset=start.offset + 100))
    with pytest.raises(Tampered):
        list(scan(directory))


def test_missing_segment_in_the_middle_stops_the_reader(directory: Path) -> None:
    write_groups(directory, 30)
    segment_file(directory, 2).unlink()
    with pytest.raises(Tampered):
        list(scan(directory))


def test_missing_first_segments_are_what_removal_leaves(directory: Path) -> None:
    write_groups(directory, 30)
    expected = [placed.record for placed in scan(directory) if placed.start.segment > 2]
    segment_file(directory, 1).unlink()
    segment_file(directory, 2).unlink()
    assert [placed.record for placed in scan(directory)] == expected


def test_swapped_records_stop_the_reader(directory: Path) -> None:
    write_groups(directory, 4, records=1)
    path = segment_file(directory, 1)
    raw, placed = bytearray(path.read_bytes()), list(scan(directory))
    size = placed[0].end.offset
    raw[0:size], raw[size : 2 * size] = raw[size : 2 * size], raw[0:size]
    path.write_bytes(raw)
    with pytest.raises(Tampered):
        list(scan(directory))


def test_journal_of_another_identity_is_not_read(directory: Path) -> None:
    write_groups(directory, 3)
    (directory / "uuid").write_text("11" * 16)
    with pytest.raises(Tampered):
        list(scan(directory))
    (directory / "uuid").write_text("11")
    with pytest.raises(Tampered, match="identity"):
        list(scan(directory))


def test_repair_clears_the_torn_tail_so_that_no_trace_of_it_is_read_later(directory: Path) -> None:
    write_groups(directory, 3, records=3)
    before = list(scan(directory))
    damage(directory, before[6].start, bytes(80))  # the last group's first record; its second and third are whole
    end = before[5].end
    writer = JournalWriter(directory, end, segment_size=SEGMENT_SIZE)
    writer.repair_tail(before[3].start)
    tail = segment_file(directory, end.segment).read_bytes()[end.offset :]
    assert not any(tail)
    writer.append([make_batch(12)])
    writer.close()
    assert indices(list(scan(directory))) == [0, 2, 4, 6, 8, 10, 12]


def test_repair_removes_a_segment_that_a_crash_left_empty(directory: Path) -> None:
    (end,) = write_groups(directory, 1)
    segment_file(directory, 2).write_bytes(bytes(SEGMENT_SIZE))
    writer = JournalWriter(directory, end, segment_size=SEGMENT_SIZE)
    writer.repair_tail(end)
    assert segment_numbers(directory) == [1]
    writer.append([make_batch(4, 60)])
    writer.close()
    assert indices(list(scan(directory))) == [0, 2, 4]


def test_no_room_for_a_segment_is_refused_and_may_be_tried_again(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = JournalWriter(directory, first_position(directory), segment_size=SEGMENT_SIZE)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        with pytest.raises(Unavailable) as caught:
            writer.append([make_batch(0)])
    assert caught.value.code == "storage_failed"
    assert segment_numbers(directory) == []
    writer.append([make_batch(0)])
    writer.close()
    assert indices(list(scan(directory))) == [0]


def test_failed_sync_leaves_as_oserror_and_the_position_does_not_move(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = JournalWriter(directory, first_position(directory), segment_size=SEGMENT_SIZE)
    writer.append([make_batch(0)])
    end = writer.end

    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fails)
    with pytest.raises(OSError, match="Input/output"):
        writer.append([make_batch(2)])
    assert writer.end == end
    writer.close()


def test_magic_in_an_event_is_not_taken_for_a_record(directory: Path) -> None:
    writer = JournalWriter(directory, first_position(directory), segment_size=SEGMENT_SIZE)
    batch = make_batch(0, 1)
    raw = b"JWL1" * 40
    writer.append([Batch(batch.origin_hash, 0, 1, batch.entries, pack_sizes([raw]), bytes(16) + raw)])
    writer.append([make_batch(1, 1)])
    writer.close()
    end = next(scan(directory)).end
    damage(directory, end)
    assert indices(list(scan(directory))) == [0]
