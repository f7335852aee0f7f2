"""The start and the seal, in this process: what is replayed, what is refused, what is never signed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.ledger_workspace import ACCESS, INFERENCE, RECORDS_READ, OpenLedger, make_workspace

from jurat.core.clock import FixedClock
from jurat.core.errors import Conflict, JuratError, NotFound, Tampered
from jurat.core.settings import Settings, lock_file
from jurat.core.workspace import Workspace
from jurat.ledger.arrays import ArrayReader
from jurat.ledger.create import create_ledger
from jurat.ledger.journal import scan, segment_file, segment_numbers
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import ANCHOR, checkpoint_file, class_logs, hash_origin, journal_directory, log_keys_file
from jurat.ledger.lockstore import LockStore, read_lock_store
from jurat.ledger.publish import removable_segments
from jurat.ledger.sequencer import Fresh, Gap, Repeated
from jurat.merkle.checkpoint import parse_checkpoint
from jurat.merkle.entry import unpack_anchor_entry
from jurat.merkle.note import open_note, parse_vkey

RAWS = [b'{"n":%d}' % n for n in range(600)]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with 600 sealed events in one log, 3 in another, and 5 that are acknowledged only."""
    workspace = make_workspace(tmp_path_factory.mktemp("ledger") / "ws")
    with OpenLedger(workspace) as ledger:
        ledger.append(INFERENCE, 1, RAWS[:400])
        ledger.publish()
        ledger.append(INFERENCE, 401, RAWS[400:600])
        ledger.append(ACCESS, 1, RAWS[:3], kind=RECORDS_READ)
        ledger.publish()
        ledger.append(INFERENCE, 601, RAWS[:5])
    return workspace.root


@pytest.fixture
def workspace(template: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(template, tmp_path / "ws")
    return Workspace(tmp_path / "ws")


def array_files(workspace: Workspace) -> dict[str, bytes]:
    names = [*workspace.ledger.glob("main/*/entries"), *workspace.ledger.glob("main/*/L?"), *workspace.ledger.glob("anchor/[eL]*")]
    return {str(path.relative_to(workspace.ledger)): path.read_bytes() for path in names}


def read_public(workspace: Workspace, log: object) -> tuple[int, bytes]:
    """Return size and root of a public checkpoint, both signatures checked with the auditor's file."""
    keys = {each.log: each for each in load_log_keys(log_keys_file(workspace.keys))}[str(log)]
    note = open_note(checkpoint_file(workspace.ledger, log).read_bytes(), [parse_vkey(each) for each in keys.vkeys])
    assert len(note.signatures) == 2
    checkpoint = parse_checkpoint(note.text)
    assert checkpoint.origin == keys.origin
    return checkpoint.size, checkpoint.root


def test_new_ledger_has_signed_empty_logs(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws")
    for log in [*class_logs("main"), ANCHOR]:
        assert read_public(workspace, log)[0] == 0
    with OpenLedger(workspace) as ledger:
        assert ledger.engine.sequencer.heads[INFERENCE].size == 0


def test_logs_are_born_once(workspace: Workspace) -> None:
    before = array_files(workspace)
    with pytest.raises(Conflict):
        create_ledger(workspace, Settings())
    assert array_files(workspace) == before


def test_sealed_events_are_public_and_anchored(workspace: Workspace) -> None:
    size, root = read_public(workspace, INFERENCE)
    reader = ArrayReader(INFERENCE.directory(workspace.ledger), 59)
    assert (size, root) == (600, reader.root(600))
    reader.close()
    assert read_public(workspace, ACCESS)[0] == 3
    anchor_size, _ = read_public(workspace, ANCHOR)
    anchor = ArrayReader(ANCHOR.directory(workspace.ledger), 89)
    entries = [unpack_anchor_entry(raw) for raw in anchor.entries(0, anchor_size)]
    anchor.close()
    named = {hash_origin(f"jurat.local/{log}"): str(log) for log in class_logs("main")}
    assert [(named[each.origin_hash], each.size, each.minimum_index) for each in entries] == [
        ("main/inference", 400, 0), ("main/inference", 600, 0), ("main/access", 3, 0),
    ]  # fmt: skip
    assert entries[1].root == root


def test_nothing_new_means_nothing_signed(workspace: Workspace) -> None:
    with OpenLedger(workspace) as ledger:
        ledger.publish()
        before = checkpoint_file(workspace.ledger, INFERENCE).read_bytes(), read_public(workspace, ANCHOR)
        ledger.publish()
        assert (checkpoint_file(workspace.ledger, INFERENCE).read_bytes(), read_public(workspace, ANCHOR)) == before


def test_start_replays_what_was_acknowledged_and_goes_on(workspace: Workspace) -> None:
    with OpenLedger(workspace) as ledger:
        assert ledger.engine.arrays[INFERENCE].size == 605
        assert ledger.append(INFERENCE, 605, RAWS[4:5]).__class__ is Repeated
        assert ledger.append(INFERENCE, 607, RAWS[:1]) == Gap(606)
        fresh = ledger.append(INFERENCE, 604, RAWS[3:9])
        assert isinstance(fresh, Fresh)
        assert (fresh.duplicates, fresh.batch.first_index) == (2, 605)
        ledger.publish()
    assert read_public(workspace, INFERENCE)[0] == 609


def test_replay_is_byte_identical(workspace: Workspace) -> None:
    with OpenLedger(workspace):
        pass
    expected = array_files(workspace)
    assert len(expected["main/inference/L1"]) == 64
    for name in expected:
        (workspace.ledger / name).unlink()
    with OpenLedger(workspace):
        pass
    assert array_files(workspace) == expected


@pytest.mark.parametrize("name", ["entries", "L0", "L1"])
@pytest.mark.parametrize("change", [-1, -70, 40])
def test_half_written_arrays_are_cut_and_replayed(workspace: Workspace, name: str, change: int) -> None:
    with OpenLedger(workspace):
        pass
    expected = array_files(workspace)
    path = INFERENCE.directory(workspace.ledger) / name
    raw = path.read_bytes()
    path.write_bytes(raw[:change] if change < 0 else raw + bytes(change))
    with OpenLedger(workspace):
        pass
    assert array_files(workspace) == expected


def test_torn_tail_is_dropped_and_the_producer_sends_again(workspace: Workspace) -> None:
    last = list(scan(journal_directory(workspace.ledger)))[-1]
    with segment_file(journal_directory(workspace.ledger), last.start.segment).open("r+b") as file:
        file.seek(last.end.offset - 3)
        file.write(b"\0\0\0")
    with OpenLedger(workspace) as ledger:
        assert ledger.engine.arrays[INFERENCE].size == 600
        assert isinstance(ledger.append(INFERENCE, 601, RAWS[:5]), Fresh)
        ledger.publish()
    assert read_public(workspace, INFERENCE)[0] == 605


def test_public_checkpoint_behind_the_lock_store_is_published_again(workspace: Workspace) -> None:
    path = checkpoint_file(workspace.ledger, INFERENCE)
    committed = path.read_bytes()
    path.unlink()
    with OpenLedger(workspace) as ledger:
        ledger.publish()
    assert read_public(workspace, INFERENCE)[0] == 605
    assert path.read_bytes() != committed


def test_checkpoint_that_was_committed_but_not_anchored_is_anchored_at_the_next_seal(workspace: Workspace) -> None:
    with OpenLedger(workspace) as ledger:
        ledger.publisher._seal([INFERENCE], ledger.engine.snapshot())
    with OpenLedger(workspace) as ledger:
        ledger.publish()
    size, _ = read_public(workspace, ANCHOR)
    anchor = ArrayReader(ANCHOR.directory(workspace.ledger), 89)
    last = unpack_anchor_entry(anchor.entries(size - 1, size)[0])
    anchor.close()
    assert (last.origin_hash, last.size) == (hash_origin("jurat.local/main/inference"), 605)
    assert read_public(workspace, INFERENCE)[0] == 605


def test_what_came_between_a_seal_and_its_anchors_is_sealed_after_a_restart(workspace: Workspace) -> None:
    with OpenLedger(workspace) as ledger:
        snapshot = ledger.engine.snapshot()
        ledger.append(INFERENCE, 606, RAWS[5:8])  # in the journal before the anchors, which are sealed at once
        ledger.publisher.publish(snapshot)
        assert ledger.publisher.sealed(INFERENCE).size == 605
    with OpenLedger(workspace) as ledger:
        ledger.publish()
    assert (read_public(workspace, INFERENCE)[0], read_public(workspace, ANCHOR)[0]) == (608, ledger.publisher.sealed(ANCHOR).size)


# ── refusals ────────────────────────────────────────────────────────────────────────────────────────────────────────


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def remove_journal_segments(workspace: Workspace) -> None:
    for number in segment_numbers(journal_directory(workspace.ledger)):
        segment_file(journal_directory(workspace.ledger), number).unlink()


def cut_arrays_and_journal(workspace: Workspace) -> None:
    os.truncate(INFERENCE.directory(workspace.ledger) / "entries", 61 * 100)
    remove_journal_segments(workspace)


def flip_first_record(workspace: Workspace) -> None:
    flip(segment_file(journal_directory(workspace.ledger), 1), 200)


def swap_journal(workspace: Workspace) -> None:
    (journal_directory(workspace.ledger) / "uuid").write_text("ab" * 16)


def unmount_log(workspace: Workspace) -> None:
    shutil.rmtree(workspace.ledger / "main" / "training")


def unmount_journal(workspace: Workspace) -> None:
    shutil.rmtree(journal_directory(workspace.ledger))


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        (lambda w: flip(INFERENCE.directory(w.ledger) / "L0", 599 * 32), "rolled_back"),
        (lambda w: flip(INFERENCE.directory(w.ledger) / "L1", 3), "rolled_back"),
        (lambda w: flip(INFERENCE.directory(w.ledger) / "entries", 599 * 61 + 40), "array_damaged"),
        (lambda w: flip(checkpoint_file(w.ledger, INFERENCE), 40), "checkpoint_bad"),
        (remove_journal_segments, "rolled_back"),
        (cut_arrays_and_journal, "rolled_back"),
        (flip_first_record, "journal_damaged"),
        (swap_journal, "rolled_back"),
        (unmount_journal, "journal_damaged"),
        (unmount_log, "array_damaged"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__.strip("<>"),
)  # fmt: skip
def test_start_refuses_an_altered_ledger(workspace: Workspace, attack: Callable[[Workspace], None], code: str) -> None:
    attack(workspace)
    with pytest.raises(Tampered) as caught:
        OpenLedger(workspace)
    assert caught.value.code == code


def test_start_refuses_an_older_copy_of_the_ledger(template: Path, tmp_path: Path) -> None:
    shutil.copytree(template, tmp_path / "ws")
    workspace = Workspace(tmp_path / "ws")
    shutil.copytree(workspace.ledger, tmp_path / "older")
    with OpenLedger(workspace) as ledger:
        ledger.append(INFERENCE, 606, RAWS[:10])
        ledger.publish()
    shutil.rmtree(workspace.ledger)
    shutil.copytree(tmp_path / "older", workspace.ledger)
    with pytest.raises(Tampered) as caught:
        OpenLedger(workspace)
    assert caught.value.code == "rolled_back"


def test_start_refuses_an_older_lock_store(workspace: Workspace, tmp_path: Path) -> None:
    lock = lock_file(workspace, Settings())
    shutil.copy(lock, tmp_path / "older")
    with OpenLedger(workspace) as ledger:
        ledger.publish()
    shutil.copy(tmp_path / "older", lock)
    with pytest.raises(Tampered) as caught:
        OpenLedger(workspace)
    assert caught.value.code == "rolled_back"


def test_start_refuses_another_history_of_the_same_size(template: Path, tmp_path: Path) -> None:
    """A fork: two copies go on differently; the public checkpoint of one meets the lock store of the other."""
    notes = []
    for name in ("a", "b"):
        shutil.copytree(template, tmp_path / name)
        with OpenLedger(Workspace(tmp_path / name)) as ledger:
            ledger.append(INFERENCE, 606, [name.encode()])
            ledger.publish()
        notes.append(checkpoint_file(Workspace(tmp_path / name).ledger, INFERENCE).read_bytes())
    checkpoint_file(Workspace(tmp_path / "a").ledger, INFERENCE).write_bytes(notes[1])
    with pytest.raises(Tampered) as caught:
        OpenLedger(Workspace(tmp_path / "a"))
    assert caught.value.code == "rolled_back"


def test_start_refuses_without_the_lock_store(workspace: Workspace) -> None:
    lock_file(workspace, Settings()).unlink()
    with pytest.raises(NotFound):
        OpenLedger(workspace)


def test_edited_lock_row_is_refused(workspace: Workspace) -> None:
    import sqlite3

    database = sqlite3.connect(lock_file(workspace, Settings()))
    database.execute("UPDATE logs SET size = 400 WHERE origin LIKE '%inference'")
    database.commit()
    database.close()
    with pytest.raises(Tampered) as caught:
        OpenLedger(workspace)
    assert caught.value.code == "checkpoint_bad"


# ── verify before sign ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("name", "offset"), [("entries", 603 * 61 + 30), ("L0", 603 * 32), ("L0", 599 * 32), ("L1", 5)])
def test_altered_array_is_never_signed(workspace: Workspace, name: str, offset: int) -> None:
    with OpenLedger(workspace) as ledger:
        flip(INFERENCE.directory(workspace.ledger) / name, offset)
        with pytest.raises(Tampered):
            ledger.publish()
    assert read_public(workspace, INFERENCE)[0] == 600
    assert read_lock_store(lock_file(workspace, Settings()))["jurat.local/main/inference"].size == 600


def test_altered_journal_is_never_signed(workspace: Workspace) -> None:
    with OpenLedger(workspace) as ledger:
        last = list(scan(journal_directory(workspace.ledger)))[-1]
        flip(segment_file(journal_directory(workspace.ledger), last.start.segment), last.start.offset + 90)
        with pytest.raises(Tampered):
            ledger.publish()
    assert read_public(workspace, INFERENCE)[0] == 600


def test_deposed_sealer_stops_and_publishes_nothing(workspace: Workspace) -> None:
    with OpenLedger(workspace) as ledger:
        LockStore(lock_file(workspace, Settings())).close()
        with pytest.raises(Conflict) as caught:
            ledger.publish()
        assert caught.value.code == "deposed"
    assert read_public(workspace, INFERENCE)[0] == 600


def test_signing_time_never_goes_back_not_even_over_a_restart(tmp_path: Path) -> None:
    workspace, clock = make_workspace(tmp_path / "ws"), FixedClock(2_000_000_000_000_000_000)
    times = []
    for seq, step_s in enumerate((0, -100, -100, 300), 1):
        clock.advance(step_s)
        with OpenLedger(workspace, clock=clock) as ledger:
            ledger.append(INFERENCE, seq, RAWS[:1])
            ledger.publish()
            note = ledger.publisher.sealed(INFERENCE).note
            signatures = open_note(note, [key.verifier for key in ledger.signers[INFERENCE].checkpoint]).signatures
            times.append((ledger.publisher.sealed(INFERENCE).sealed_ns // 10**9, signatures[1].timestamp_s))
    assert times == [(2_000_000_000,) * 2] * 3 + [(2_000_000_100,) * 2]


# ── removal of segments ─────────────────────────────────────────────────────────────────────────────────────────────


def test_segments_go_only_when_sealed_and_archived(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws")
    with OpenLedger(workspace, segment_size=8192) as ledger:
        for n in range(20):
            ledger.append(INFERENCE, 10 * n + 1, RAWS[:10])
        assert ledger.publisher.remove_segments({"main/inference": 200}) == []  # nothing is sealed
        ledger.publish()
        assert ledger.publisher.remove_segments({}) == []  # nothing is archived
        numbers = segment_numbers(journal_directory(workspace.ledger))
        removed = ledger.publisher.remove_segments({"main/inference": 100})
        assert removed == numbers[: len(removed)] != []
        left = list(scan(journal_directory(workspace.ledger)))
        assert left[0].record.header.first_index <= 100
        removed += ledger.publisher.remove_segments({"main/inference": 10**9})
        assert segment_numbers(journal_directory(workspace.ledger)) == [number for number in numbers if number not in removed] != []
    with OpenLedger(workspace, segment_size=8192) as ledger:
        assert ledger.engine.arrays[INFERENCE].size == 200
        ledger.append(INFERENCE, 201, RAWS[:10])
        ledger.publish()
    assert read_public(workspace, INFERENCE)[0] == 210


def test_removable_segments_are_a_prefix() -> None:
    from jurat.ledger.journal import Position

    ends = {1: {INFERENCE: 10, ANCHOR: 1}, 2: {INFERENCE: 20}, 3: {ACCESS: 1, ANCHOR: 2}, 4: {INFERENCE: 30}, 5: {}}
    here = Position(5, 0, 9, 0, b"")
    assert removable_segments(ends, here, {INFERENCE: 30, ACCESS: 1, ANCHOR: 2}) == [1, 2, 3, 4]
    assert removable_segments(ends, here, {INFERENCE: 30, ACCESS: 0, ANCHOR: 2}) == [1, 2]
    assert removable_segments(ends, here, {INFERENCE: 30, ACCESS: 1, ANCHOR: 0}) == []
    assert removable_segments(ends, here._replace(segment=4), {INFERENCE: 30, ACCESS: 1, ANCHOR: 2}) == [1, 2, 3]


def test_errors_say_what_to_do(workspace: Workspace) -> None:
    remove_journal_segments(workspace)
    with pytest.raises(JuratError) as caught:
        OpenLedger(workspace)
    assert caught.value.hint
    assert not caught.value.detail.endswith(".")
