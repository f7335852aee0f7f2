"""Erased and masked rows: who is believed that something may be gone, what a rewrite may change, and what a search finds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.ledger_workspace import INFERENCE
from tests.scenes.archive import prediction_id
from tests.scenes.forgetting import NOW, Forgetting

from jurat.core.errors import NotFound, Tampered
from jurat.domain.facts_keeping import EventsExpired
from jurat.domain.places import to_places
from jurat.ledger import erase, search
from jurat.ledger.expire import drop_rows
from jurat.ledger.gone import Expired, change_gone, mask, read_gone, unmask
from jurat.ledger.manifest import read_manifest
from jurat.ledger.search import search_workspace


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Forgetting]:
    bench = Forgetting(tmp_path)
    yield bench
    bench.close()


SOME = to_places({"main/inference": [3, 17, 18]})


def test_an_approved_erasure_leaves_the_entry_and_nothing_else(bench: Forgetting) -> None:
    bench.ask(SOME)
    word = bench.approve(SOME)
    before = {event.index: event for event in bench.events().scan(classes=["inference"])}
    bench.empty(SOME, word)
    bench.empty(SOME, word)  # again: nothing more happens
    bench.leave_journal()
    after = {event.index: event for event in bench.events().scan(classes=["inference"])}
    assert set(before) - set(after) == {3, 17, 18}
    assert all(before[index] == after[index] for index in after)
    rows = {
        row["idx"]: row for path in bench.parts() if "prediction" in str(path) for row in pq.read_table(path, partitioning=None).to_pylist()
    }
    for index in (3, 17, 18):
        row, event = rows[index], before[index]
        assert (row["commitment"], row["producer"], row["seq"], row["received_ns"]) == (
            event.commitment, event.producer, event.seq, event.received_ns,
        )  # fmt: skip
        assert (row["erased_by"], row["erased_reason"], row["erased_at"].replace(tzinfo=UTC)) == (word, "erasure req_1", NOW)
        names = ("salt", "raw", "event_id", "occurred_at", "principal", "resource", "effect", "prediction", "version", "latency_ms",
                 "confidence", "outcome")  # fmt: skip
        assert all(row[name] is None for name in names)
    assert len(bench.parts()) == len(read_manifest(bench.events_dir).parts), "the old files are gone"
    with pytest.raises(NotFound, match="was erased"):
        bench.events().at(INFERENCE, 17)
    assert bench.faults() == set()


@pytest.mark.parametrize("how", ["nobody", "the asker", "for others", "unsealed"])
def test_content_that_is_gone_without_a_right_approval_is_a_fault(bench: Forgetting, how: str) -> None:
    bench.ask(SOME)
    word = 0
    if how == "the asker":
        word = bench.approve(SOME, "prn_asker")
    elif how == "for others":
        word = bench.approve(to_places({"main/inference": [4], "main/error": [3, 17, 18]}))
    bench.empty(SOME, word)
    assert {("event_altered", index) for index in (3, 17, 18)} <= bench.faults()
    if how != "the asker":  # a query does not look for the asker
        with pytest.raises(Tampered, match="no erasure or expiry on record covers it"):
            list(bench.events().scan(classes=["inference"]))


def test_content_that_is_there_again_is_a_fault(bench: Forgetting) -> None:
    bench.ask(SOME)
    bench.approve(SOME)
    assert bench.faults() == set(), "approved, not carried out yet"
    bench.finish(SOME)
    assert {("erasure_undone", index) for index in (3, 17, 18)} <= bench.faults()


def test_an_erased_row_with_another_entry_is_found(bench: Forgetting, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.ask(SOME)
    word = bench.approve(SOME)
    monkeypatch.setattr(erase, "_compare", lambda *_: None)
    monkeypatch.setattr(erase, "KEPT_COLUMNS", erase.KEPT_COLUMNS)
    whole = erase._empty

    def forge(table, chosen, said):  # type: ignore[no-untyped-def]
        done = whole(table, chosen, said)
        import pyarrow as pa
        import pyarrow.compute as pc

        at = done.schema.get_field_index("producer")
        changed = pc.if_else(pa.array(chosen), pa.scalar(7, pa.uint32()), done["producer"].combine_chunks())
        return done.set_column(at, done.schema.field(at), changed)

    monkeypatch.setattr(erase, "_empty", forge)
    bench.empty(SOME, word)
    assert {("event_altered", index) for index in (3, 17, 18)} <= bench.faults()


def test_a_rewrite_that_changes_anything_else_is_not_swapped_in(bench: Forgetting, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.ask(SOME)
    word = bench.approve(SOME)
    before = read_manifest(bench.events_dir)
    whole = erase._empty
    monkeypatch.setattr(erase, "_empty", lambda table, chosen, said: whole(table, chosen | (table["idx"].to_numpy() == 5), said))
    with pytest.raises(Tampered, match="did not hold what it should"):
        bench.empty(SOME, word)
    assert read_manifest(bench.events_dir) == before
    assert len(list(bench.events().scan(classes=["inference"]))) == 40


def test_a_mask_hides_from_every_kind_of_question_and_comes_off(bench: Forgetting) -> None:
    bench.append(10)  # in the journal only
    bench.seal()
    masked = to_places({"main/inference": [6, 7, 44, 45]})
    events = bench.events()
    assert len(events.find_prediction(prediction_id(3))) == 2
    mask(bench.events_dir, "req_9", masked)
    for prediction in (prediction_id(3), prediction_id(22)):
        assert events.find_prediction(prediction) == []
        for ask in (events.select, events.sql):
            assert ask("SELECT count(*) FROM events WHERE prediction = ?", [prediction]).rows == [(0,)]
    assert events.find("evt_inference_6") is None
    assert [event.index for event in events.scan(classes=["inference"], after={"main/inference": 42})] == [42, 43, 46, 47, 48, 49]
    assert [event.index for event in events.scan(kinds=["prediction.made.v1"], after={"main/inference": 5}, limit=2)] == [5, 8]
    for index in (6, 45):
        with pytest.raises(NotFound) as caught:
            events.at(INFERENCE, index)
        assert caught.value.code == "gone"
    unmask(bench.events_dir, "req_9")
    assert len(events.find_prediction(prediction_id(3))) == 2
    assert bench.faults() == set()


def test_a_mask_that_cannot_be_read_stops_every_answer(bench: Forgetting) -> None:
    mask(bench.events_dir, "req_9", SOME)
    path = bench.events_dir.with_name("gone.json")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(Tampered, match="cannot be read"):
        bench.events().as_of()


def test_expired_rows_need_their_tombstone(bench: Forgetting) -> None:
    due = to_places({"main/inference": range(2, 38)})
    bench.leave_journal()
    with bench.follower() as follower:
        drop_rows(follower, due)
    assert {what for what, _ in bench.faults()} == {"row_missing"}
    with pytest.raises(Tampered, match="not in the archive"):
        list(bench.events().scan(classes=["inference"]))
    word = bench.say(EventsExpired(events=due, count=36, kinds={}, before="2026-11-26", retention=""), "prn_op")
    change_gone(bench.events_dir, lambda gone: type(gone)(expired=[Expired(word, due)]))
    assert bench.faults() == set()
    assert [event.index for event in bench.events().scan(classes=["inference"])] == [0, 1, 38, 39]
    with bench.follower() as follower:
        assert drop_rows(follower, due) == ([], []), "again: nothing more happens"
    assert read_gone(bench.events_dir).tombstone_of("main/inference", 20) == word


def test_a_search_finds_what_is_left_wherever_it_lies(bench: Forgetting, monkeypatch: pytest.MonkeyPatch) -> None:
    root, victim = bench.workspace.root, bench.events().at(INFERENCE, 17)
    where = to_places({"main/inference": [17]})

    def left_over() -> list[str]:
        return search_workspace(root, [victim.raw], [victim.salt], where).left_over

    name = bench.parts()[0].relative_to(root).as_posix()
    assert left_over() == ["ledger/journal/00000001.wal", name]
    bench.ask(where)
    bench.empty(where, bench.approve(where))
    bench.leave_journal()
    assert left_over() == []
    monkeypatch.setattr(search, "_BLOCK", 4096)
    for needle in (victim.raw, victim.salt):
        for offset in (0, 1, 4095, 4096 - len(needle) // 2, 9000):
            (root / "stray").write_bytes(b"\x00" * offset + needle + b"x" * 17)
            assert left_over() == ["stray"], offset
            (root / "stray").write_bytes(b"\x01" * offset + needle[:-1] + b"\x00")
            assert left_over() == []
    (root / "stray").unlink()
    (root / "unlisted.parquet").write_bytes(b"PAR1 no such thing")
    assert left_over() == ["unlisted.parquet"], "what cannot be read may hold anything"
