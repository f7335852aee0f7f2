"""The follower: what it takes and when, what a crash leaves, what a merge may not do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.ledger_workspace import ACCESS, INFERENCE, PREDICTION_MADE, RECORDS_READ
from tests.scenes.archive import PREDICTION_REQUESTED, Bench, event, told

from jurat.core.errors import Conflict, Tampered, Unavailable
from jurat.ledger import archive, compact, parts, query
from jurat.ledger.compact import choose_runs
from jurat.ledger.journal import segment_file
from jurat.ledger.layout import journal_directory
from jurat.ledger.manifest import Part, manifest_path, read_manifest
from jurat.ledger.rows import SCHEMA
from jurat.ledger.tail import Tail


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def all_told(bench: Bench) -> bool:
    return told(bench.events()) == {str(log): raws for log, raws in bench.recorded.items() if raws}


def test_only_what_is_sealed_is_taken(bench: Bench) -> None:
    bench.append(5)
    with bench.follower() as follower:
        assert follower.step(flush=True) == 0
        bench.seal()
        bench.append(3)
        assert follower.step(flush=True) == 5
        assert follower.step(flush=True) == 0
        assert follower.manifest.high_water == {"main/inference": 5}


def test_a_log_is_due_by_rows_by_age_or_when_asked(bench: Bench) -> None:
    bench.append(9)
    bench.append(2, ACCESS, kinds=[RECORDS_READ])
    bench.seal()
    with bench.follower(flush_rows=10, flush_age_s=60.0) as follower:
        assert follower.step() == 0
        bench.append(1)
        bench.seal()
        assert follower.step() == 10  # inference only
        bench.clock.advance(59.9)
        assert follower.step() == 0
        bench.clock.advance(0.2)
        assert follower.step() == 2
    assert all_told(bench)


def test_much_to_catch_up_comes_in_bounded_steps(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_STEP_ROWS", 4)
    bench.append(10)
    bench.seal()
    with bench.follower() as follower:
        assert follower.step(flush=True) == 10
        assert [(part.first, part.last) for part in follower.manifest.parts] == [(0, 3), (4, 7), (8, 9)]
    assert all_told(bench)
    bench.append(9)
    assert [each.index for each in bench.events().scan(after={"main/inference": 14}, classes=["inference"])] == [14, 15, 16, 17, 18]


def test_one_table_is_written_while_the_next_is_made(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_TABLE_ROWS", 3)
    bench.append(10)
    bench.seal()
    write, asked = archive.write_part, []

    def fail_once(path: Path, tables: list[pa.Table], *, rows: int) -> parts.WrittenFile:
        asked.append(rows)
        if len(asked) == 2:
            raise Unavailable("the archive could not write", code="storage_failed")
        return write(path, tables, rows=rows)

    monkeypatch.setattr(archive, "write_part", fail_once)
    with bench.follower() as follower:
        with pytest.raises(Unavailable):
            follower.step(flush=True)
        assert (follower.manifest.parts, follower.manifest.high_water) == ((), {})
        assert follower.step(flush=True) == 10
        assert [(part.first, part.last) for part in follower.manifest.parts] == [(0, 2), (3, 5), (6, 8), (9, 9)]
    assert asked == [3, 3, 3, 3, 3, 1]
    assert all_told(bench)


def test_a_backlog_larger_than_memory_is_archived_piece_by_piece(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        bench.append(10)
        bench.append(3, ACCESS, kinds=[RECORDS_READ])
    bench.seal()
    bench.append(5)
    small = partial(Tail, most_bytes=10_000)
    monkeypatch.setattr(query, "Tail", small)
    with pytest.raises(Unavailable, match="too far behind"):
        bench.events().as_of()
    monkeypatch.setattr(archive, "_TAIL_BYTES", 10_000)
    with bench.follower() as follower:  # nothing of it is due by rows or by age
        assert follower.step() >= 40
        assert follower.step(flush=True) <= 25
        assert follower.manifest.high_water == {"main/inference": 50, "main/access": 15}
        assert len({part.first for part in follower.manifest.parts if part.log == "main/inference"}) > 2
    assert all_told(bench)


def test_a_part_has_its_schema_its_place_and_its_columns(bench: Bench) -> None:
    bench.append(6, kinds=[PREDICTION_REQUESTED, PREDICTION_MADE])
    bench.clock.advance(86_400)
    bench.append(2, kinds=[PREDICTION_MADE])
    assert bench.archive() == 8
    names = {str(path.relative_to(bench.events_dir)) for path in bench.parts()}
    assert names == {
        "class=inference/kind=prediction.requested.v1/date=2026-11-25/part-0-4.parquet",
        "class=inference/kind=prediction.made.v1/date=2026-11-25/part-1-5.parquet",
        "class=inference/kind=prediction.made.v1/date=2026-11-26/part-6-7.parquet",
    }
    with pq.ParquetFile(bench.events_dir / "class=inference/kind=prediction.made.v1/date=2026-11-25/part-1-5.parquet") as file:
        table = file.read()
        group = file.metadata.row_group(0)
        assert {group.column(at).compression for at in range(group.num_columns)} == {"ZSTD"}
        statistics = {name for at, name in enumerate(SCHEMA.names) if group.column(at).is_stats_set}
        assert {"commitment", "salt", "raw"} == set(SCHEMA.names) - statistics
    assert table.schema == SCHEMA
    row = table.slice(1, 1).to_pylist()[0]
    assert (row["idx"], row["kind_code"], row["producer"], row["epoch"], row["seq"], row["raw"]) == (3, 51, 900, 1, 4, event(INFERENCE, 3))
    assert (row["event_id"], row["principal"], row["version"], row["latency_ms"]) == ("evt_inference_3", "prn_3", "1.0.0", 0.75)
    assert row["erased_at"] is row["erased_reason"] is row["erased_by"] is None


def test_a_crash_between_part_and_manifest_leaves_one_copy(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.append(5)
    assert bench.archive() == 5
    bench.append(4)
    bench.seal()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, bench.follower() as follower:
        patch.setattr(archive, "write_manifest", die)
        with pytest.raises(KeyboardInterrupt):
            follower.step(flush=True)
    assert len(bench.parts()) == 2  # the second is nobody's
    assert all_told(bench)
    with bench.follower() as follower:
        assert len(bench.parts()) == 1
        assert follower.step(flush=True) == 4
    assert len(bench.parts()) == 2
    assert all_told(bench)


def test_a_full_disk_lists_nothing_and_the_next_step_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.append(5)
    bench.seal()

    def no_room(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with bench.follower() as follower:
        with monkeypatch.context() as patch:
            patch.setattr(parts.os, "fsync", no_room)
            with pytest.raises(Unavailable, match="no space left") as caught:
                follower.step(flush=True)
            assert caught.value.code == "storage_failed"
        assert [path for path in bench.events_dir.rglob("*") if path.is_file() and path.name != ".lock"] == []
        assert follower.step(flush=True) == 5
    assert all_told(bench)


def test_a_second_follower_is_refused_until_the_first_is_gone(bench: Bench) -> None:
    with bench.follower(), pytest.raises(Conflict, match="another process"):
        bench.follower()
    bench.follower().close()


def test_leftovers_are_removed_but_not_when_the_journal_lacks_what_they_may_hold(bench: Bench) -> None:
    bench.append(5)
    assert bench.archive() == 5
    newest = manifest_path(bench.events_dir, read_manifest(bench.events_dir).number)
    newest.unlink()  # an attacker's: the part is unlisted now
    segment_file(journal_directory(bench.root), 1).rename(bench.root / "elsewhere")
    with pytest.raises(Tampered, match="events 0 to 4 of log `main/inference` are neither"):
        bench.follower()
    assert len(bench.parts()) == 1


def test_merging_keeps_every_row_and_the_old_files_for_a_while(bench: Bench) -> None:
    for _ in range(9):
        bench.append(3, kinds=[PREDICTION_REQUESTED, PREDICTION_MADE])
        bench.archive()
    before = {path: path.read_bytes() for path in bench.parts()}
    with bench.follower(grace_s=100) as follower:
        assert follower.compact() == 16  # two kinds, nine parts each: two parts now
        assert [(part.kind, part.rows) for part in follower.manifest.parts] == [("prediction.made.v1", 13), ("prediction.requested.v1", 14)]
        assert all_told(bench)
        assert follower.compact() == 0
        assert all(path.read_bytes() == raw for path, raw in before.items())  # a reader of the old manifest still finds them
        bench.clock.advance(101)
        assert follower.compact() == 0
        assert len(bench.parts()) == 2
        assert follower.manifest.retired == ()
    assert all_told(bench)


def test_a_crash_after_a_merge_leaves_one_copy(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(8):
        bench.append(1)
        bench.archive()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, bench.follower() as follower:
        patch.setattr(archive, "write_manifest", die)
        with pytest.raises(KeyboardInterrupt):
            follower.compact()
    assert len(bench.parts()) == 9
    with bench.follower():
        assert len(bench.parts()) == 8
    assert all_told(bench)


def test_days_gone_by_are_merged_as_soon_as_there_are_two_parts(bench: Bench) -> None:
    for _ in range(2):
        bench.append(1)
        bench.archive()
    with bench.follower() as follower:
        assert follower.compact() == 0
        bench.clock.advance(86_400)
        assert follower.compact() == 1
    assert all_told(bench)


def test_a_merge_does_not_launder_an_altered_part(bench: Bench) -> None:
    for _ in range(2):
        bench.append(2)
        bench.archive()
    victim = bench.parts()[0]
    whole = victim.read_bytes()
    victim.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with bench.follower() as follower:
        with pytest.raises(Tampered, match=f"`{victim.name}` of the archive is damaged: its digest is"):
            follower.compact(everything=True)
        victim.unlink()
        with pytest.raises(Tampered, match=f"`{victim.name}` of the archive is missing"):
            follower.compact(everything=True)
        assert len(follower.manifest.parts) == 2


def test_a_merge_that_lost_a_row_is_not_swapped_in(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        bench.append(2)
        bench.archive()
    whole = compact.write_part

    def forgetful(path: Path, tables: Iterator[object], *, rows: int) -> object:
        kept = [table.slice(0, 1) for table in tables]  # type: ignore[attr-defined]
        return whole(path, kept, rows=rows)

    monkeypatch.setattr(compact, "write_part", forgetful)
    with bench.follower() as follower:
        with pytest.raises(Tampered, match="did not hold the rows"):
            follower.compact(everything=True)
        assert len(follower.manifest.parts) == 2
    assert len(bench.parts()) == 2


def part(first: int, rows: int, size_bytes: int = 100) -> Part:
    return Part(f"p{first}", "main/access", "k", "2026-01-01", first, first + rows - 1, rows, size_bytes, "")


def rows_of(runs: list[list[Part]]) -> list[list[int]]:
    return [[each.rows for each in run] for run in runs]


def test_a_large_part_waits_until_the_small_ones_weigh_as_much() -> None:
    small = [part(1000 + n * 10, 10) for n in range(8)]
    assert rows_of(choose_runs([part(0, 1000), *small], eager=False)) == [[10] * 8]
    assert rows_of(choose_runs([part(0, 80), *small], eager=False)) == [[80] + [10] * 8]
    assert choose_runs(small[:7], eager=False) == []
    assert rows_of(choose_runs(small[:2], eager=True)) == [[10, 10]]
    assert choose_runs(small[:1], eager=True) == []


def test_full_parts_are_left_alone() -> None:
    parts = [part(0, 1_900_000), part(1_900_000, 100_000), part(2_000_000, 10), part(2_000_010, 5)]
    assert rows_of(choose_runs(parts, eager=True)) == [[1_900_000, 100_000], [10, 5]], "a part is full once it has as much, and not before"
    half = compact.FULL_BYTES // 2
    assert rows_of(choose_runs([part(n, 1, half + 1) for n in range(4)], eager=True)) == [[1, 1], [1, 1]]
    assert choose_runs([part(0, 5, compact.FULL_BYTES), part(5, 5, compact.FULL_BYTES)], eager=True) == []


def test_rewriting_is_bounded_and_so_is_the_number_of_parts() -> None:
    parts: list[Part] = []
    rewritten = 0
    for number in range(3_000):
        parts.append(part(number * 10, 10))
        for run in choose_runs(parts, eager=False):
            rewritten += sum(each.rows for each in run)
            at = parts.index(run[0])
            parts[at : at + len(run)] = [part(run[0].first, sum(each.rows for each in run))]
    assert rewritten <= 12 * 30_000  # log2 of the largest part over the smallest
    assert len(parts) < 24
