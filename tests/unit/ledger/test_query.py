"""One answer from two sources: nothing missing, nothing twice, nothing that was not recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.ledger_workspace import ACCESS, INFERENCE, PREDICTION_MADE, RECORDS_READ
from tests.scenes.archive import PREDICTION_REQUESTED, START_NS, Bench, event, event_id, prediction_id, told

from jurat.core.digests import digest_file
from jurat.core.errors import Malformed, NotFound, Tampered
from jurat.ledger.layout import checkpoint_file
from jurat.ledger.manifest import read_manifest, write_manifest
from jurat.ledger.query import Events
from jurat.ledger.stored import events_of_parts
from jurat.merkle.entry import commit_event


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Inference #0…#11 archived in two parts a kind, #12…#15 sealed, #16…#17 acknowledged only; two access events in the tail."""
    bench = Bench(tmp_path)
    for _ in range(2):
        bench.append(6, kinds=[PREDICTION_REQUESTED, PREDICTION_MADE])
        bench.archive()
    bench.append(4, kinds=[PREDICTION_REQUESTED, PREDICTION_MADE])
    bench.append(2, ACCESS, kinds=[RECORDS_READ])
    bench.seal()
    bench.append(2, kinds=[PREDICTION_REQUESTED, PREDICTION_MADE])
    yield bench
    bench.close()


def indexes(found: Iterator[object]) -> list[tuple[str, int]]:
    return [(each.log, each.index) for each in found]  # type: ignore[attr-defined]


def test_a_scan_tells_every_log_in_order(bench: Bench) -> None:
    assert told(bench.events()) == {str(log): raws for log, raws in bench.recorded.items()}
    assert bench.events().as_of() | {"main/inference": 18, "main/access": 2} == bench.events().as_of()


@pytest.mark.parametrize("start", [0, 5, 6, 11, 12, 13, 16, 17, 18, 99])
def test_a_scan_goes_on_where_an_earlier_answer_ended(bench: Bench, start: int) -> None:
    found = bench.events().scan(classes=["inference"], after={"main/inference": start})
    assert indexes(found) == [("main/inference", index) for index in range(start, 18)]


def test_a_scan_by_kind_and_by_limit(bench: Bench) -> None:
    events = bench.events()
    made = [index for index in range(18) if index % 2]
    assert indexes(events.scan(kinds=["prediction.made.v1"])) == [("main/inference", index) for index in made]
    assert indexes(events.scan(classes=["inference", "access"], limit=14)) == [("main/inference", index) for index in range(14)]
    assert indexes(events.scan(limit=19))[-1] == ("main/access", 0)
    assert list(events.scan(limit=0)) == []


@pytest.mark.parametrize(
    "question", [{"classes": []}, {"kinds": []}, {"classes": ["inferences"]}, {"kinds": ["made"]}, {"after": {"other/access": 1}}]
)
def test_a_question_that_cannot_be_meant_is_refused(bench: Bench, question: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        list(bench.events().scan(**question))  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [0, 3, 11, 12, 15, 16, 17])
def test_an_event_is_found_by_its_id_wherever_it_is(bench: Bench, number: int) -> None:
    found = bench.events().find(event_id(INFERENCE, number))
    assert found is not None
    assert (found.log, found.index, found.raw, found.seq, found.producer) == (
        "main/inference",
        number,
        event(INFERENCE, number),
        number + 1,
        900,
    )
    assert found.kind == ("prediction.made.v1" if number % 2 else "prediction.requested.v1")
    assert commit_event(found.salt, found.raw) == found.commitment
    assert bench.events().at("main/inference", number) == bench.events().at(INFERENCE, number) == found


def test_an_id_that_only_occurs_inside_other_events_is_not_found(bench: Bench) -> None:
    events = bench.events()
    assert events.find("evt_inference_1") is not None
    for absent in ("evt_inference", "prn_1", "models", "evt_inference_18", ""):
        assert events.find(absent) is None


def test_of_two_events_with_one_id_the_first_counts(bench: Bench) -> None:
    forged = json.dumps({"id": event_id(INFERENCE, 17), "resource": "mine"}).encode()
    bench.clock.advance(1)
    bench.ledger.append(INFERENCE, 19, [forged])
    found = bench.events().find(event_id(INFERENCE, 17))
    assert found is not None
    assert found.index == 17


def test_a_predictions_events_come_in_the_order_of_receipt(bench: Bench) -> None:
    for number in (1, 5, 6, 8):
        assert indexes(iter(bench.events().find_prediction(prediction_id(number)))) == [
            ("main/inference", 2 * number),
            ("main/inference", 2 * number + 1),
        ]
    assert len(bench.events().find_prediction(prediction_id(0))) == 4  # two of another log, and of the same moment
    assert bench.events().find_prediction(prediction_id(9)) == []


def test_beyond_the_end_is_not_found(bench: Bench) -> None:
    with pytest.raises(NotFound, match="has no index `18`, it ends before 18"):
        bench.events().at(INFERENCE, 18)
    with pytest.raises(Malformed):
        bench.events().at("main/nothing", 0)


def test_a_select_joins_archive_and_tail(bench: Bench) -> None:
    answer = bench.events().select(
        "SELECT log, kind, count(*) AS n, max(latency_ms), any_value(as_of), min(received_at) FROM events GROUP BY ALL ORDER BY ALL"
    )
    assert answer.columns == ["log", "kind", "n", "max(latency_ms)", "any_value(as_of)", "min(received_at)"]
    assert [row[:5] for row in answer.rows] == [
        ("main/access", "records.read.v1", 2, 0.25, 2),
        ("main/inference", "prediction.made.v1", 9, 4.25, 18),
        ("main/inference", "prediction.requested.v1", 9, 4.0, 18),
    ]
    assert answer.rows[0][5].timestamp() == pytest.approx(START_NS / 1e9)
    assert answer.as_of["main/inference"] == 18
    row = bench.events().select("SELECT event->>'$.data.prediction', date, raw FROM events WHERE event_id = ?", [event_id(INFERENCE, 13)])
    assert [(name, str(date), raw) for name, date, raw in row.rows] == [(prediction_id(6), "2026-11-25", event(INFERENCE, 13))]
    cut = bench.events().select("SELECT idx FROM events ORDER BY idx", max_rows=5)
    assert cut.is_cut
    assert len(cut.rows) == 5


def test_one_reader_follows_as_the_ledger_grows_and_shrinks(bench: Bench) -> None:
    events = bench.events()
    for _ in range(4):
        assert told(events) == {str(log): raws for log, raws in bench.recorded.items()}
        bench.append(3)
        assert events.find(event_id(INFERENCE, len(bench.recorded[INFERENCE]) - 1)) is not None
        bench.archive()
        bench.shorten_journal()
    assert told(events) == told(bench.events()) == {str(log): raws for log, raws in bench.recorded.items()}


def test_a_reader_whose_place_in_the_journal_was_removed_begins_anew(tmp_path: Path) -> None:
    bench = Bench(tmp_path, segment_size=4_096)
    events = bench.events()
    bench.append(3)
    assert len(told(events)["main/inference"]) == 3
    for _ in range(3):
        bench.append(20)
        bench.archive()
        assert bench.shorten_journal() > 1
    bench.append(1)
    assert told(events) == {"main/inference": bench.recorded[INFERENCE]}
    bench.close()


def test_the_archive_may_move_on_between_a_readers_two_looks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest was read; before the journal is, everything is archived and the journal shortened."""
    events = bench.events()
    refresh, moved = events._tail.refresh, []

    def late(high_water: dict[str, int]) -> None:
        if not moved:
            moved.append(bench.append(30))
            bench.archive()
            for segment in sorted((bench.root / "journal").glob("*.wal")):
                segment.unlink()
        refresh(high_water)

    monkeypatch.setattr(events._tail, "refresh", late)
    assert told(events) == {str(log): raws for log, raws in bench.recorded.items()}


def test_files_may_be_merged_and_deleted_in_the_middle_of_a_scan(bench: Bench) -> None:
    bench.archive()
    found = bench.events().scan(classes=["inference"])
    seen = [next(found) for _ in range(8)]
    with bench.follower(grace_s=0) as follower:
        assert follower.compact(everything=True) > 0
        follower.compact()
        assert len(bench.parts()) == 3
    seen += list(found)
    assert [each.raw for each in seen] == bench.recorded[INFERENCE]


@pytest.mark.parametrize("is_open", [True, False])
def test_a_lookup_whose_files_were_deleted_looks_again(bench: Bench, monkeypatch: pytest.MonkeyPatch, is_open: bool) -> None:
    events = bench.events()
    if is_open:
        events.find(event_id(INFERENCE, 4))
    stale = events.snapshot()
    snapshot = events.snapshot
    answers = iter([stale])
    monkeypatch.setattr(events, "snapshot", lambda: next(answers, None) or snapshot())
    with bench.follower(grace_s=0) as follower:
        follower.compact(everything=True)
        follower.compact()
    found = events.find(event_id(INFERENCE, 3))
    assert found is not None
    assert found.index == 3


# ---------------------------------------------------------------- what somebody with the disk in his hands may try


def rewrite(path: Path, bench: Bench, change: Callable[[pa.Table], pa.Table], *, forge_manifest: bool = True) -> None:
    """Change a part's rows, and let the manifest say that this is right."""
    pq.write_table(change(pq.read_table(path, partitioning=None)), path)
    if forge_manifest:
        manifest = read_manifest(bench.events_dir)
        parts = tuple(
            msgspec.structs.replace(part, sha256=digest_file(path)) if path.name in part.path and part.path in str(path) else part
            for part in manifest.parts
        )
        write_manifest(bench.events_dir, msgspec.structs.replace(manifest, parts=parts))


def part_with(bench: Bench, name: str) -> Path:
    return next(path for path in bench.parts() if path.name == name)


def set_column(table: pa.Table, row: int, **values: object) -> pa.Table:
    for name, value in values.items():
        column = table[name].to_pylist()
        column[row] = value
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), pa.array(column, table.schema.field(at).type))
    return table


def test_an_altered_byte_in_the_archive_is_named(bench: Bench) -> None:
    rewrite(
        part_with(bench, "part-1-5.parquet"), bench, lambda rows: set_column(rows, 1, raw=event(INFERENCE, 3).replace(b"allow", b"nevER"))
    )
    for ask in (
        lambda: bench.events().find(event_id(INFERENCE, 3)),
        lambda: bench.events().at(INFERENCE, 3),
        lambda: list(bench.events().scan()),
    ):
        with pytest.raises(Tampered, match="event 3 of log `main/inference` is not the one that was recorded") as caught:
            ask()
        assert (caught.value.code, caught.value.fields["index"]) == ("event_altered", 3)
    assert bench.events().find(event_id(INFERENCE, 4)) is not None


def test_a_forged_event_with_a_fitting_commitment_is_not_the_one_in_the_log(bench: Bench) -> None:
    raw, salt = event(INFERENCE, 3).replace(b"allow", b"nevER"), bytes(16)
    rewrite(
        part_with(bench, "part-1-5.parquet"),
        bench,
        lambda rows: set_column(rows, 1, raw=raw, salt=salt, commitment=commit_event(salt, raw)),
    )
    for ask in (lambda: bench.events().find(event_id(INFERENCE, 3)), lambda: bench.events().at(INFERENCE, 3)):
        with pytest.raises(Tampered, match="event 3 of log `main/inference` is not the one in the log's entries"):
            ask()


def test_a_removed_row_leaves_a_gap_that_is_named(bench: Bench) -> None:
    rewrite(part_with(bench, "part-1-5.parquet"), bench, lambda rows: pa.concat_tables([rows.slice(0, 1), rows.slice(2)]))
    with pytest.raises(Tampered, match="events 3 to 3 of log `main/inference` are not in the archive"):
        list(bench.events().scan())
    rewrite(part_with(bench, "part-7-11.parquet"), bench, lambda rows: rows.slice(0, 2))
    with pytest.raises(Tampered, match="events 11 to 11 of log `main/inference` are not in the archive"):
        list(bench.events().scan(after={"main/inference": 4}))


def test_a_cut_end_of_the_archive_is_named(bench: Bench) -> None:
    bench.archive()
    rewrite(part_with(bench, "part-13-17.parquet"), bench, lambda rows: rows.slice(0, 2))
    with pytest.raises(Tampered, match="events 17 to 17 of log `main/inference` are not in the archive"):
        list(bench.events().scan(classes=["inference"]))
    assert len(list(bench.events().scan(classes=["access"]))) == 2


def test_a_row_that_is_there_twice_is_named(bench: Bench) -> None:
    rewrite(part_with(bench, "part-1-5.parquet"), bench, lambda rows: pa.concat_tables([rows, rows.slice(2)]))
    with pytest.raises(Tampered, match="event 5 of log `main/inference` is in the archive twice"):
        list(bench.events().scan())


def test_content_that_vanished_without_an_erasure_is_named(bench: Bench) -> None:
    rewrite(part_with(bench, "part-1-5.parquet"), bench, lambda rows: set_column(rows, 1, raw=None, salt=None))
    with pytest.raises(Tampered, match="event 3 of log `main/inference` has lost its bytes"):
        bench.events().find(event_id(INFERENCE, 3))


def test_a_missing_or_unreadable_part_is_named(bench: Bench) -> None:
    victim = part_with(bench, "part-1-5.parquet")
    whole = victim.read_bytes()
    asks = (
        lambda: bench.events().find(event_id(INFERENCE, 3)),
        lambda: bench.events().at(INFERENCE, 3),
        lambda: list(bench.events().scan()),
        lambda: bench.events().select("SELECT count(raw) FROM events"),
    )
    for damage, code in (
        (None, "part_missing"),
        (b"", "parquet_altered"),
        (whole[:-9], "parquet_altered"),
        (b"PAR1" + bytes(99), "parquet_altered"),
    ):
        victim.unlink()
        if damage is not None:
            victim.write_bytes(damage)
        for ask in asks:
            with pytest.raises(Tampered, match=r"part-1-5\.parquet") as caught:
                ask()
            assert caught.value.code == code
        victim.write_bytes(whole)
    assert len(list(bench.events().scan())) == 20


def test_a_journal_that_is_shorter_than_the_published_log_is_named(bench: Bench) -> None:
    for segment in (bench.root / "journal").glob("*.wal"):
        segment.unlink()
    with pytest.raises(Tampered, match="events 12 to 15 of log `main/inference` are neither in the archive nor in the journal"):
        bench.events().find(event_id(INFERENCE, 13))


def test_a_removed_manifest_does_not_hide_what_the_journal_no_longer_holds(tmp_path: Path) -> None:
    bench = Bench(tmp_path, segment_size=4_096)
    for _ in range(4):
        bench.append(5)
    bench.archive()
    assert bench.shorten_journal() > 1
    bench.append(1)
    for manifest in bench.events_dir.glob("manifest-*.json"):
        manifest.unlink()
    with pytest.raises(Tampered, match=r"events 0 to [0-9]+ of log `main/inference` are neither in the archive nor in the journal"):
        bench.events().as_of()
    bench.close()


def test_a_missing_public_checkpoint_does_not_hide_a_tail(bench: Bench) -> None:
    path = checkpoint_file(bench.root, INFERENCE)
    whole = path.read_bytes()
    path.unlink()
    for damage in (None, b"", b"x\n\n\xff", whole[:40]):
        if damage is not None:
            path.write_bytes(damage)
        with pytest.raises(Tampered, match="public checkpoint of log `main/inference` cannot be read"):
            bench.events().as_of()


def test_no_ledger_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(Tampered):
        Events(tmp_path, "main").as_of()


def test_parts_are_opened_when_their_turn_comes(bench: Bench) -> None:
    bench.archive()
    parts = read_manifest(bench.events_dir).parts_of(["main/inference"])
    found = events_of_parts("main/inference", bench.events_dir, parts, 0)
    assert next(found).index == 0
    for part in parts:
        if part.first >= 6:
            (bench.events_dir / part.path).unlink()
    assert [next(found).index for _ in range(5)] == [1, 2, 3, 4, 5]
    with pytest.raises(Tampered, match="is missing"):
        next(found)
