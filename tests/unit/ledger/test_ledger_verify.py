"""The attacker against the verifier: every change to a real ledger is found, and named by log, place, event and file."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.scenes import attacks
from tests.scenes.sealed_ledger import DEPLOYMENT, INFERENCE, ROUNDS, START_NS, Scene, build, event_id, prediction, write

from jurat.core.clock import FixedClock
from jurat.core.digests import digest_file
from jurat.core.errors import Malformed
from jurat.ledger.create import load_signers
from jurat.ledger.faults import WHAT, Fault, Faults
from jurat.ledger.layout import ANCHOR, LogName, checkpoint_file, events_directory, hash_origin
from jurat.ledger.manifest import manifest_path, read_manifest, write_manifest
from jurat.ledger.verify import verify_workspace
from jurat.merkle.checkpoint import Checkpoint, format_checkpoint
from jurat.merkle.entry import pack_anchor_entry, pack_entry, unpack_anchor_entry, unpack_entry
from jurat.merkle.note import sign_note

TOTAL = sum(ROUNDS)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build(tmp_path_factory.mktemp("ledger") / "ws")


@pytest.fixture
def scene(untouched: Scene, tmp_path: Path) -> Scene:
    return untouched.copy_to(tmp_path / "ws")


def places(faults: list[Fault]) -> set[tuple[str, str, int | None, int | None]]:
    return {(fault.what, fault.log, fault.index, fault.last_index) for fault in faults}


def only(faults: list[Fault], what: str) -> list[Fault]:
    return [fault for fault in faults if fault.what == what]


def test_an_untouched_ledger_is_clean(untouched: Scene) -> None:
    seen: list[tuple[int, int]] = []
    report = verify_workspace(untouched.root, untouched.keys, untouched.lock, progress=lambda done, total: seen.append((done, total)))
    assert report.faults == []
    assert report.is_clean
    by_log = {each.log: each for each in report.logs}
    assert len(by_log) == 7
    assert (by_log["main/inference"].sealed, by_log["main/inference"].checked_entries) == (TOTAL, TOTAL)
    assert by_log["main/inference"].checked_payloads == 600 + TOTAL  # archive and journal
    assert by_log["anchor"].checked_entries == 12
    assert seen == sorted(seen)
    assert untouched.verify(lock=False, since=tuple(untouched.checkpoint(log) for log in (INFERENCE, ANCHOR))).is_clean


def test_verification_writes_nothing(scene: Scene) -> None:
    before = {path: path.read_bytes() for path in scene.workspace.root.rglob("*") if path.is_file()}
    scene.verify()
    assert {path: path.read_bytes() for path in scene.workspace.root.rglob("*") if path.is_file()} == before


def test_without_keys_nothing_is_verified(untouched: Scene) -> None:
    with pytest.raises(Malformed):
        verify_workspace(untouched.root, [], untouched.lock)


# --- entries and the tree ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [0, 255, 256, 599, 600, 699])
def test_an_altered_entry_is_named(scene: Scene, index: int) -> None:
    attacks.flip_byte(INFERENCE.directory(scene.root) / "entries", index * 61 + 2 + 40)
    faults = scene.verify().faults
    assert places(faults) == {("entry_altered", "main/inference", index, None)}
    assert [(fault.event_id, fault.file) for fault in faults] == [(event_id(index), "main/inference/entries")]


@pytest.mark.parametrize("index", [3, 511, 512, 699])
def test_an_entry_altered_with_the_whole_tree_is_named_by_its_event(scene: Scene, index: int) -> None:
    entries = attacks.entries_of(scene, INFERENCE)
    entries[index] = entries[index][:-1] + bytes([entries[index][-1] ^ 1])
    attacks.put_entries(scene, INFERENCE, entries, levels=True)
    faults = scene.verify().faults
    assert [(f.index, f.event_id) for f in only(faults, "entry_altered")] == [(index, event_id(index))]
    assert only(faults, "event_altered") == []
    assert {f.what for f in faults} == {"entry_altered", "tree_altered"}
    assert ("tree_altered", "main/inference", index, None) in places(faults)


def test_an_entry_altered_with_tree_and_archive_is_named_by_the_journals_copy(scene: Scene) -> None:
    def change(rows: list[attacks.Row]) -> list[attacks.Row]:
        return [attacks.row_with(row, prediction(4242), entry_too=True) if row["idx"] == 3 else row for row in rows]

    attacks.change_rows(scene, INFERENCE, change)
    entries = attacks.entries_of(scene, INFERENCE)
    entries[3] = entries[3][:-1] + bytes([entries[3][-1] ^ 1])
    attacks.put_entries(scene, INFERENCE, entries, levels=True)
    faults = scene.verify().faults
    assert [(f.index, f.event_id) for f in only(faults, "entry_altered")] == [(3, event_id(3))]
    assert [(f.index, f.event_id) for f in only(faults, "event_altered")] == [(3, event_id(4242))]


def test_several_altered_entries_in_several_tiles_are_all_named(scene: Scene) -> None:
    entries = attacks.entries_of(scene, INFERENCE)
    for index in (5, 6, 300, 680):
        entries[index] = entries[index][:-1] + bytes([entries[index][-1] ^ 1])
    attacks.put_entries(scene, INFERENCE, entries, levels=False)
    attacks.flip_byte(INFERENCE.directory(scene.root) / "L0", 32 * 20)
    attacks.flip_byte(INFERENCE.directory(scene.root) / "L1", 32)
    assert places(scene.verify().faults) == {
        ("entry_altered", "main/inference", 5, None),
        ("entry_altered", "main/inference", 6, None),
        ("entry_altered", "main/inference", 300, None),
        ("entry_altered", "main/inference", 680, None),
        ("tree_altered", "main/inference", 20, None),
        ("tree_altered", "main/inference", 1, None),
    }


@pytest.mark.parametrize(("level", "index"), [(0, 0), (0, 699), (1, 1)])
def test_an_altered_hash_is_named(scene: Scene, level: int, index: int) -> None:
    attacks.flip_byte(INFERENCE.directory(scene.root) / f"L{level}", 32 * index + 7)
    faults = scene.verify().faults
    assert places(faults) == {("tree_altered", "main/inference", index, None)}
    assert faults[0].file == f"main/inference/L{level}"


@pytest.mark.parametrize(("name", "count"), [("L0", 650), ("L0", 0), ("L1", 1)])
def test_a_level_that_is_cut_is_named(scene: Scene, name: str, count: int) -> None:
    path = INFERENCE.directory(scene.root) / name
    path.write_bytes(path.read_bytes()[: 32 * count + 5])
    faults = scene.verify().faults
    assert [(f.what, f.log, f.file) for f in faults] == [("tree_altered", "main/inference", f"main/inference/{name}")]
    assert f"ends after {count} hashes" in faults[0].detail


def test_a_wrong_size_prefix_is_named(scene: Scene) -> None:
    attacks.flip_byte(INFERENCE.directory(scene.root) / "entries", 17 * 61)
    assert places(scene.verify().faults) == {("entry_altered", "main/inference", 17, None)}


@pytest.mark.parametrize("levels", [False, True])
def test_swapped_entries_are_named_as_a_swap(scene: Scene, levels: bool) -> None:
    entries = attacks.entries_of(scene, INFERENCE)
    entries[40], entries[333] = entries[333], entries[40]
    attacks.put_entries(scene, INFERENCE, entries, levels=levels)
    swapped = only(scene.verify().faults, "entries_swapped")
    assert [(f.index, f.event_id) for f in swapped] == [(40, event_id(40)), (333, event_id(333))]
    assert "sealed at 333 lies here" in swapped[0].detail


def test_a_swap_in_every_copy_is_named_by_the_producers_numbers(scene: Scene) -> None:
    attacks.swap_everywhere(scene, INFERENCE, 301, 350)
    faults = scene.verify().faults
    named = [(f.index, f.event_id) for f in only(faults, "entries_swapped")]
    assert named == [(301, event_id(350)), (350, event_id(301))], "what lies there now"


@pytest.mark.parametrize(("index", "span"), [(120, (100, 255)), (456, (456, 599)), (699, (660, 699))])
def test_an_event_rewritten_everywhere_is_narrowed_to_a_second(scene: Scene, index: int, span: tuple[int, int]) -> None:
    attacks.rewrite_event(scene, INFERENCE, index, prediction(4242))
    faults = scene.verify().faults
    assert places(faults) == {("entry_altered", "main/inference", *span)}
    assert "everything rewritten to match" in faults[0].detail


def test_missing_entries_are_named(scene: Scene) -> None:
    path = INFERENCE.directory(scene.root) / "entries"
    path.write_bytes(path.read_bytes()[: 61 * 650 + 10])
    faults = scene.verify().faults
    assert places(faults) == {("entries_missing", "main/inference", 650, 699)}


def test_the_newest_events_dropped_everywhere(scene: Scene) -> None:
    attacks.drop_newest(scene, INFERENCE, 690)
    faults = scene.verify().faults
    assert ("entries_missing", "main/inference", 690, 699) in places(faults)
    assert ("row_missing", "main/inference", 690, 699) in places(faults)


def test_the_newest_events_dropped_and_another_altered(scene: Scene) -> None:
    attacks.drop_newest(scene, INFERENCE, 690)
    attacks.flip_byte(INFERENCE.directory(scene.root) / "entries", 350 * 61 + 50)
    found = places(scene.verify().faults)
    assert ("entries_missing", "main/inference", 690, 699) in found
    assert ("entry_altered", "main/inference", 350, None) in found


# --- events ----------------------------------------------------------------------------------------------------------


def test_an_altered_event_in_the_archive_is_named(scene: Scene) -> None:
    def change(rows: list[attacks.Row]) -> list[attacks.Row]:
        return [attacks.row_with(row, attacks.renamed(row["raw"], outcome="withheld")) if row["idx"] == 77 else row for row in rows]

    attacks.change_rows(scene, INFERENCE, change)
    faults = scene.verify().faults
    assert places(faults) == {("event_altered", "main/inference", 77, None)}
    assert faults[0].event_id == event_id(77)
    assert faults[0].file.endswith(".parquet")


def test_an_altered_event_with_its_entry_in_the_archive_is_named(scene: Scene) -> None:
    def change(rows: list[attacks.Row]) -> list[attacks.Row]:
        return [attacks.row_with(row, prediction(9), entry_too=True) if row["idx"] == 77 else row for row in rows]

    attacks.change_rows(scene, INFERENCE, change)
    assert places(scene.verify().faults) == {("event_altered", "main/inference", 77, None)}


@pytest.mark.parametrize("column", ["outcome", "principal", "event_id"])
def test_a_column_that_lies_is_named(scene: Scene, column: str) -> None:
    attacks.change_rows(scene, INFERENCE, lambda rows: [row | {column: "lie"} if row["idx"] == 12 else row for row in rows])
    faults = scene.verify().faults
    assert places(faults) == {("columns_altered", "main/inference", 12, None)}
    assert column in faults[0].detail
    assert faults[0].event_id == event_id(12)


@pytest.mark.parametrize("column", ["producer", "epoch", "seq", "received_ns"])
def test_an_entry_field_that_lies_in_the_archive_is_named(scene: Scene, column: str) -> None:
    attacks.change_rows(scene, INFERENCE, lambda rows: [row | {column: row[column] + 1} if row["idx"] == 12 else row for row in rows])
    assert ("event_altered", "main/inference", 12, None) in places(scene.verify().faults)


def test_a_commitment_that_lies_in_the_archive_is_named(scene: Scene) -> None:
    attacks.change_rows(scene, INFERENCE, lambda rows: [row | {"commitment": bytes(32)} if row["idx"] == 12 else row for row in rows])
    assert places(scene.verify().faults) == {("columns_altered", "main/inference", 12, None)}


@pytest.mark.parametrize("column", ["raw", "salt"])
def test_content_that_is_gone_is_named(scene: Scene, column: str) -> None:
    attacks.change_rows(scene, INFERENCE, lambda rows: [row | {column: None} if row["idx"] == 12 else row for row in rows])
    faults = scene.verify().faults
    assert ("event_altered", "main/inference", 12, None) in places(faults)
    assert "content is gone" in faults[0].detail


def test_a_row_removed_is_named_once_the_journal_is_gone(scene: Scene) -> None:
    attacks.change_rows(scene, INFERENCE, lambda rows: [row for row in rows if row["idx"] not in (30, 31)])
    assert scene.verify().faults == [], "the journal still has both"
    attacks.change_journal(scene, INFERENCE, lambda at, *event: event if at >= 100 else None)
    assert ("row_missing", "main/inference", 30, 31) in places(scene.verify().faults)


def test_a_row_twice_is_named(scene: Scene) -> None:
    attacks.change_rows(
        scene, INFERENCE, lambda rows: sorted([*rows, *(row for row in rows if row["idx"] == 3)], key=lambda row: row["idx"])
    )
    assert ("row_duplicated", "main/inference", 3, None) in places(scene.verify().faults)


def test_an_event_altered_in_the_journal_is_named_whatever_its_checksum(scene: Scene) -> None:
    path, offset = attacks.payload_offset(scene, INFERENCE, 655)
    attacks.flip_byte(path, offset + 30)
    faults = scene.verify().faults
    assert [(f.index, f.file[:20]) for f in only(faults, "event_altered")] == [(655, "journal/00000001.wal")]
    assert only(faults, "journal_altered")
    assert only(faults, "row_missing") == []


def test_an_event_altered_in_the_journal_with_its_checksum_is_named(scene: Scene) -> None:
    attacks.change_journal(
        scene, INFERENCE, lambda at, entry, salt, raw: (entry, salt, attacks.renamed(raw, outcome="withheld") if at == 655 else raw)
    )
    faults = scene.verify().faults
    assert places(faults) == {("event_altered", "main/inference", 655, None)}
    assert faults[0].event_id == event_id(655)


def test_a_whole_journal_removed_is_named_by_what_it_held(scene: Scene) -> None:
    (scene.root / "journal" / "00000001.wal").unlink()
    assert places(scene.verify().faults) == {
        ("row_missing", "main/inference", 600, 699),
        ("row_missing", "main/deployment", 4, 5),
    }


def test_a_byte_of_an_archive_file_is_found(scene: Scene) -> None:
    directory = events_directory(scene.root, "main")
    part = next(part for part in read_manifest(directory).parts if part.log == "main/inference")
    attacks.flip_byte(directory / part.path, 2000)
    faults = scene.verify().faults
    assert ("parquet_altered", "main/inference", 0, 599) in places(faults)
    assert faults[0].file == f"main/events/{part.path}"


def test_an_archive_file_removed_is_named(scene: Scene) -> None:
    directory = events_directory(scene.root, "main")
    part = next(part for part in read_manifest(directory).parts if part.log == "main/inference")
    (directory / part.path).unlink()
    assert places(scene.verify().faults) == {("parquet_altered", "main/inference", 0, 599)}


def test_an_altered_manifest_is_named(scene: Scene) -> None:
    directory = events_directory(scene.root, "main")
    path = manifest_path(directory, read_manifest(directory).number)
    path.write_bytes(path.read_bytes().replace(b'"high_water"', b'"high_watre"'))
    assert {fault.what for fault in scene.verify().faults} == {"manifest_altered"}
    path.unlink()
    assert scene.verify().faults == [], "as if nothing had been archived: the journal has it all"


# --- checkpoints, anchors, rollback ----------------------------------------------------------------------------------


def test_an_older_copy_of_the_whole_ledger(scene: Scene, tmp_path: Path) -> None:
    older = scene.copy_to(tmp_path / "older")
    write(scene, FixedClock(START_NS + 60_000_000_000), (25,), archived_rounds=9, epoch=2)
    assert scene.verify().is_clean
    kept = scene.checkpoint(INFERENCE)
    attacks.put_back(scene, older)
    faults = scene.verify().faults
    rolled = {(f.log, f.index, f.last_index) for f in only(faults, "rolled_back")}
    assert rolled == {("main/inference", 700, 724), ("main/deployment", 6, None), ("anchor", 12, 13)}
    assert scene.verify(lock=False).is_clean, "without lock store and kept checkpoint nobody can know"
    rolled_back = only(scene.verify(lock=False, since=(kept,)).faults, "rolled_back")
    assert {(f.log, f.index, f.last_index) for f in rolled_back} >= {("main/inference", 700, 724)}
    assert any("700" in f.detail and "725" in f.detail for f in rolled_back)


def test_an_older_copy_of_one_log_is_betrayed_by_the_anchor(scene: Scene, tmp_path: Path) -> None:
    newer = scene.copy_to(tmp_path / "newer")
    write(newer, FixedClock(START_NS + 60_000_000_000), (25,), archived_rounds=9, epoch=2)
    for name in ("entries", "L0", "L1", "checkpoint"):
        (INFERENCE.directory(newer.root) / name).write_bytes((INFERENCE.directory(scene.root) / name).read_bytes())
    faults = newer.verify(lock=False).faults
    assert ("rolled_back", "main/inference", 700, 724) in places(faults)


def test_an_older_public_checkpoint_alone_is_no_fault(scene: Scene, tmp_path: Path) -> None:
    old = scene.checkpoint(INFERENCE)
    write(scene, FixedClock(START_NS + 60_000_000_000), (25,), archived_rounds=9, epoch=2)
    checkpoint_file(scene.root, INFERENCE).write_text(old)  # as a crash between commit and publication leaves it
    assert scene.verify().is_clean


@pytest.mark.parametrize("damage", ["gone", "empty", "size", "ed25519", "ml-dsa", "stripped", "other log"])
def test_a_bad_checkpoint_is_named(scene: Scene, damage: str) -> None:
    path = checkpoint_file(scene.root, INFERENCE)
    note = path.read_text()
    lines = note.split("\n")
    if damage == "gone":
        path.unlink()
    elif damage == "other log":
        path.write_text(scene.checkpoint(DEPLOYMENT))
    else:
        broken = {
            "empty": "",
            "size": note.replace("\n700\n", "\n699\n"),
            "ed25519": "\n".join([*lines[:4], _flip_signature(lines[4]), *lines[5:]]),
            "ml-dsa": "\n".join([*lines[:5], _flip_signature(lines[5]), *lines[6:]]),
            "stripped": "\n".join([*lines[:5], ""]),
        }[damage]
        path.write_text(broken)
    for lock in (True, False):
        faults = scene.verify(lock=lock).faults
        assert ("checkpoint_bad", "main/inference", None, None) in places(faults)
        assert {fault.what for fault in faults} == {"checkpoint_bad"}, "the anchor log still says what the root must be"
    attacks.flip_byte(INFERENCE.directory(scene.root) / "entries", 61 * 9 + 30)
    assert ("entry_altered", "main/inference", 9, None) in places(scene.verify(lock=False).faults)


def _flip_signature(line: str) -> str:
    head, name, blob = line.split(" ")
    raw = bytearray(base64.b64decode(blob))
    raw[-1] ^= 1
    return f"{head} {name} {base64.b64encode(raw).decode()}"


def test_an_altered_anchor_entry_is_named(scene: Scene) -> None:
    attacks.flip_byte(ANCHOR.directory(scene.root) / "entries", 91 * 4 + 2 + 60)
    assert places(scene.verify().faults) == {("entry_altered", "anchor", 4, None)}


def test_an_anchor_log_rewritten_is_named(scene: Scene) -> None:
    entries = attacks.entries_of(scene, ANCHOR)
    entries[4] = entries[4][:-1] + bytes([entries[4][-1] ^ 1])
    attacks.put_entries(scene, ANCHOR, entries, levels=True)
    faults = scene.verify().faults
    assert [(f.log, f.index) for f in only(faults, "entry_altered")] == [("anchor", 4)], "the journal has the true one"
    assert only(faults, "anchor_inconsistent") == []


def test_a_lock_store_that_is_gone_or_broken_is_named(scene: Scene) -> None:
    scene.lock.write_bytes(b"not a database, but long enough to be looked at as one" * 40)
    assert {fault.what for fault in scene.verify().faults} == {"lock_unreadable"}
    scene.lock.unlink()
    assert {fault.what for fault in scene.verify().faults} == {"lock_unreadable"}


def test_a_kept_checkpoint_of_another_history_is_a_fork(untouched: Scene) -> None:
    signer = load_signers(untouched.workspace, untouched.settings, FixedClock(START_NS))[INFERENCE]
    other = sign_note(format_checkpoint(Checkpoint(signer.public.origin, 100, b"\x07" * 32)), signer.checkpoint)
    assert places(untouched.verify(since=(other,)).faults) == {("forked", "main/inference", 99, None)}


def test_an_older_lock_store_is_named(scene: Scene) -> None:
    old = scene.lock.read_bytes()
    write(scene, FixedClock(START_NS + 60_000_000_000), (25,), archived_rounds=9, epoch=2)
    scene.lock.write_bytes(old)
    faults = scene.verify().faults
    assert {(f.what, f.log) for f in faults} == {("rolled_back", log) for log in ("main/inference", "main/deployment", "anchor")}
    assert all("the lock store is an older copy" in f.detail for f in faults)


def test_a_lock_store_row_that_is_not_its_note_is_named(scene: Scene) -> None:
    database = sqlite3.connect(scene.lock)
    with database:
        database.execute("UPDATE logs SET size = 699 WHERE size = 700")
    database.close()
    assert [(f.what, f.log) for f in scene.verify().faults] == [("checkpoint_bad", "main/inference")]


# --- the operator who cheats, with the signing key -------------------------------------------------------------------


def change_entry(scene: Scene, log: LogName, index: int, **fields: object) -> None:
    """Change fields of an entry, in the archive and the journal too, and sign the result."""
    entries = attacks.entries_of(scene, log)
    entries[index] = pack_entry(unpack_entry(entries[index])._replace(**fields))
    attacks.put_entries(scene, log, entries, levels=True)
    attacks.change_journal(scene, log, lambda at, entry, salt, raw: (entries[at], salt, raw))
    attacks.change_rows(scene, log, lambda rows: [row | fields if row["idx"] == index else row for row in rows])
    attacks.sign_again(scene, log)


def test_a_checkpoint_of_another_origin_by_the_same_keys_is_refused(scene: Scene) -> None:
    signer = load_signers(scene.workspace, scene.settings, FixedClock(START_NS))[INFERENCE]
    other = format_checkpoint(Checkpoint("jurat.local/main/other", 700, b"\x07" * 32))
    checkpoint_file(scene.root, INFERENCE).write_text(sign_note(other, signer.checkpoint))
    assert [(f.what, f.log) for f in scene.verify().faults] == [("checkpoint_bad", "main/inference")]


def test_history_rewritten_and_signed_again_is_betrayed_by_anchor_and_kept_checkpoint(scene: Scene) -> None:
    kept = scene.checkpoint(INFERENCE)
    attacks.rewrite_event(scene, INFERENCE, 400, prediction(4242))
    attacks.sign_again(scene, INFERENCE)
    assert places(scene.verify().faults) == {
        ("anchor_inconsistent", "main/inference", size - 1, None) for size in (456, 600, 660, 700)
    }  # the first that the anchor log binds after the change
    assert ("forked", "main/inference", 699, None) in places(scene.verify(since=(kept,)).faults)


def test_a_gap_in_a_producers_numbers_is_named(scene: Scene) -> None:
    change_entry(scene, DEPLOYMENT, 3, seq=9)
    gaps = only(scene.verify().faults, "sequence_gap")
    assert [(f.index, f.log) for f in gaps] == [(3, "main/deployment"), (4, "main/deployment")]
    assert "number 9, expected 4" in gaps[0].detail
    assert gaps[0].event_id is not None


def test_time_that_goes_back_is_named(scene: Scene) -> None:
    change_entry(scene, DEPLOYMENT, 3, received_ns=START_NS - 1)
    assert [f.index for f in only(scene.verify().faults, "time_went_back")] == [3]


def test_an_event_of_another_kind_than_its_entry_is_named(scene: Scene) -> None:
    change_entry(scene, DEPLOYMENT, 5, kind_code=37)  # in the journal only
    wrong = only(scene.verify().faults, "kind_wrong")
    assert [(f.index, f.log) for f in wrong] == [(5, "main/deployment")]
    assert "version.promoted.v1" in wrong[0].detail


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"size": 90}, "from size 100 to 90"),
        ({"sealed_ns": 5}, "sealed before its earlier"),
        ({"origin_hash": b"\x01" * 32}, "not in the given keys"),
    ],
)
def test_an_anchor_log_that_contradicts_itself_is_named(scene: Scene, fields: dict[str, object], words: str) -> None:
    entries = attacks.entries_of(scene, ANCHOR)
    inference = hash_origin("jurat.local/main/inference")
    index = [at for at, entry in enumerate(entries) if unpack_anchor_entry(entry).origin_hash == inference][1]
    entries[index] = pack_anchor_entry(unpack_anchor_entry(entries[index])._replace(**fields))
    attacks.put_entries(scene, ANCHOR, entries, levels=True)
    attacks.sign_again(scene, ANCHOR)
    named = [f for f in only(scene.verify().faults, "anchor_inconsistent") if f.log == "anchor"]
    assert [f.index for f in named] == [index]
    assert words in named[0].detail


def test_an_archive_part_of_another_day_than_its_path_is_named(scene: Scene) -> None:
    directory = events_directory(scene.root, "main")
    manifest = read_manifest(directory)
    parts = []
    for part in manifest.parts:
        moved = part.path.replace("date=2025-11-25", "date=2025-11-24")
        (directory / moved).parent.mkdir(parents=True)
        (directory / part.path).rename(directory / moved)
        parts.append(msgspec.structs.replace(part, path=moved, date="2025-11-24"))
    write_manifest(directory, msgspec.structs.replace(manifest, number=2, parts=tuple(parts)))
    assert places(scene.verify().faults) == {
        ("parquet_altered", "main/inference", 0, 599),
        ("parquet_altered", "main/deployment", 0, 3),
    }


def replace_part(scene: Scene, change: Callable[[pa.Table], pa.Table]) -> None:
    """Rewrite the archive file of the predictions as a plain Parquet file, listed with its right digest."""
    directory = events_directory(scene.root, "main")
    manifest = read_manifest(directory)
    parts = []
    for part in manifest.parts:
        if part.log == "main/inference":
            path = directory / part.path
            pq.write_table(change(pq.read_table(path, partitioning=None)), path)
            part = msgspec.structs.replace(part, sha256=digest_file(path), size_bytes=path.stat().st_size)
        parts.append(part)
    write_manifest(directory, msgspec.structs.replace(manifest, number=2, parts=tuple(parts)))


def with_nulls(table: pa.Table) -> pa.Table:
    place = table.schema.get_field_index("commitment")
    values = table["commitment"].to_pylist()
    return table.set_column(place, pa.field("commitment", pa.binary(32)), pa.array([None, *values[1:]], pa.binary(32)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.slice(0, 590), "holds `590` rows from 0 to 589"),
        (lambda table: table.append_column("more", [[1] * 600]), "other columns"),
        (lambda table: table.drop_columns(["outcome"]), "other columns"),
        (with_nulls, "has no value"),
        (lambda table: table.slice(0, 0), "holds `0` rows"),
    ],
)
def test_an_archive_file_of_another_form_is_named(scene: Scene, change: Callable[[pa.Table], pa.Table], words: str) -> None:
    replace_part(scene, change)
    altered = only(scene.verify().faults, "parquet_altered")
    assert [(f.log, f.index, f.last_index) for f in altered] == [("main/inference", 0, 599)]
    assert words in altered[0].detail


def test_rows_beyond_every_checkpoint_are_named(scene: Scene) -> None:
    attacks.change_rows(scene, DEPLOYMENT, lambda rows: [*rows, rows[-1] | {"idx": 6}], high_water=7)
    assert ("row_unknown", "main/deployment", 6, None) in places(scene.verify().faults)


def test_noise_as_a_kept_checkpoint_is_said_so(scene: Scene) -> None:
    assert [f.what for f in scene.verify(since=("noise", "a\n\n— b AAAAAAAA\n")).faults] == ["checkpoint_bad"] * 2


def test_an_empty_directory_is_not_a_clean_ledger(untouched: Scene, tmp_path: Path) -> None:
    report = verify_workspace(tmp_path, untouched.keys, untouched.lock)
    assert {"checkpoint_bad", "entries_missing", "row_missing"} <= {fault.what for fault in report.faults}
    assert not verify_workspace(tmp_path, untouched.keys, None).is_clean


# --- the list of faults ----------------------------------------------------------------------------------------------


def test_many_faults_of_one_kind_are_counted() -> None:
    faults = Faults()
    for index in range(250):
        faults.add("main/error", "event_altered", "x", index=index)
    assert len(faults.all()) == 101
    assert faults.all()[-1].detail == "and 150 more of this kind"


def test_every_code_is_explained() -> None:
    used = set()
    for path in (Path(__file__).parents[3] / "src" / "jurat" / "ledger").glob("*.py"):
        used |= {code for code in WHAT if json.dumps(code) in path.read_text() and path.name != "faults.py"}
    assert used == set(WHAT)
