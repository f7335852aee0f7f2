"""A log without its prefix: what is refused, what still proves, what a forged minimum looks like. Arrays and seals are real."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from tests.ledger_workspace import INFERENCE, OpenLedger, make_workspace

from jurat.cli.main import run
from jurat.cli.session import Session
from jurat.core.clock import FixedClock
from jurat.core.errors import NotFound, Tampered, Unavailable
from jurat.core.settings import Settings, lock_file
from jurat.core.workspace import Workspace
from jurat.ledger import pruned as pruned_module
from jurat.ledger.arrays import ArrayReader
from jurat.ledger.create import load_signers
from jurat.ledger.export import export_log
from jurat.ledger.faults import Report
from jurat.ledger.keys import LogKeys, load_log_keys
from jurat.ledger.layout import ANCHOR, log_keys_file
from jurat.ledger.minimum import MINIMUM_FILE, open_minimum, prove_minimum
from jurat.ledger.producers import last_sequences
from jurat.ledger.pruned import Ended, Pruned, entry_floor, hash_floor, pruned_file, punch, read_pruned, write_pruned
from jurat.ledger.receipt import describe_batch, sign_receipt
from jurat.ledger.sequencer import Fresh
from jurat.ledger.tile_source import DirectorySource
from jurat.ledger.tiles import read_public
from jurat.ledger.verify import verify_workspace
from jurat.ledger.verify_public import verify_public
from jurat.merkle.checkpoint import Checkpoint, format_checkpoint
from jurat.merkle.note import sign_note
from jurat.merkle.tree import consistency_path, hash_leaf, inclusion_path, verify_consistency, verify_inclusion

SIZE, MINIMUM = 70_000, 66_000  # two full tiles of L1 and more: the first of them goes whole
START_NS = 1_764_099_641_123_456_789


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A log of 70,000 entries, sealed at 300, 66,100 and 70,000."""
    workspace = make_workspace(tmp_path_factory.mktemp("pruned") / "ws")
    with OpenLedger(workspace, clock=FixedClock(START_NS), segment_size=64 * 2**20) as ledger:
        first = 1
        for end in (300, 66_100, SIZE):
            ledger.append(INFERENCE, first, [b"{}"] * (end - first + 1))
            ledger.publish()
            first = end + 1
    return workspace


@pytest.fixture(scope="module")
def pruned(whole: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("pruned-copy") / "ws"
    shutil.copytree(whole.root, root)
    workspace = Workspace(root)
    prune(workspace, MINIMUM)
    return workspace


def prune(workspace: Workspace, minimum: int) -> int:
    """Prune as the run does, but for the word on record; return how many bytes became free."""
    directory = INFERENCE.directory(workspace.ledger)
    reader = ArrayReader(directory, INFERENCE.entry_size)
    ended = [
        Ended(key.producer, key.epoch, last.seq, last.at, False)
        for key, last in last_sequences(INFERENCE, reader, 0, entry_floor(minimum)).items()
    ]
    reader.close()
    write_pruned(directory, Pruned(minimum=minimum, since_ns=START_NS, ended=tuple(ended)))
    with OpenLedger(workspace, clock=FixedClock(START_NS + 10**9), segment_size=64 * 2**20) as ledger:
        ledger.publish()
        ledger.publisher.remove_segments({"main/inference": SIZE})
    freed = punch(directory, INFERENCE.entry_size, minimum)
    write_pruned(directory, Pruned(minimum=minimum, since_ns=START_NS, punched=minimum, ended=tuple(ended)))
    return freed


def keys_of(workspace: Workspace) -> dict[str, LogKeys]:
    return {each.log: each for each in load_log_keys(log_keys_file(workspace.keys))}


def verified(workspace: Workspace) -> list[tuple[str, str]]:
    report = verify_workspace(workspace.ledger, list(keys_of(workspace).values()), lock_file(workspace, Settings()))
    return [(fault.log, fault.what) for fault in report.faults]


def test_what_lies_below_is_refused_and_all_else_is_served(pruned: Workspace) -> None:
    root = pruned.ledger
    for path in ("tile/entries/000", "tile/entries/256", "tile/0/000", "tile/0/256", "tile/1/000"):
        with pytest.raises(NotFound, match="is pruned") as refused:
            read_public(root, INFERENCE, path)
        assert (refused.value.code, refused.value.fields["minimum"]) == ("pruned", MINIMUM)
    assert len(read_public(root, INFERENCE, "tile/entries/257")) == 256 * 61
    assert len(read_public(root, INFERENCE, "tile/1/001.p/17")) == 17 * 32
    assert len(read_public(root, INFERENCE, "tile/2/000.p/1")) == 32
    reader = ArrayReader(INFERENCE.directory(root), INFERENCE.entry_size)
    try:
        with pytest.raises(NotFound, match="is pruned"):
            reader.entries(entry_floor(MINIMUM) - 1, SIZE)
        with pytest.raises(NotFound, match="is pruned"):
            reader.root(300)
        for index in (MINIMUM, 66_100, SIZE - 1):
            path = inclusion_path(index, SIZE, reader.node)
            verify_inclusion(hash_leaf(reader.entries(index, index + 1)[0]), index, SIZE, path, reader.root(SIZE))
        for old in (MINIMUM, 66_100, 69_999):
            verify_consistency(old, SIZE, reader.root(old), reader.root(SIZE), consistency_path(old, SIZE, reader.node))
    finally:
        reader.close()


def test_the_space_is_free_and_doing_it_again_frees_nothing(whole: Workspace, tmp_path: Path) -> None:
    shutil.copytree(whole.root, tmp_path / "ws")
    mine = Workspace(tmp_path / "ws")
    directory = INFERENCE.directory(mine.ledger)
    before = sum(path.stat().st_blocks * 512 for path in directory.iterdir())
    freed = prune(mine, MINIMUM)
    assert freed > 0.9 * MINIMUM * (61 + 32)
    assert before - sum(path.stat().st_blocks * 512 for path in directory.iterdir()) >= freed - 8192
    assert punch(directory, INFERENCE.entry_size, MINIMUM) == 0


def test_a_pruned_log_goes_on_and_its_producers_numbers_too(pruned: Workspace, tmp_path: Path) -> None:
    shutil.copytree(pruned.root, tmp_path / "ws")
    mine = Workspace(tmp_path / "ws")
    with OpenLedger(mine, clock=FixedClock(START_NS + 2 * 10**9), segment_size=64 * 2**20) as ledger:
        done = ledger.append(INFERENCE, SIZE + 1, [b"{}"])
        assert isinstance(done, Fresh)
        assert done.batch.first_index == SIZE
        ledger.publish()
    keys = keys_of(mine)
    target = tmp_path / "export"
    assert export_log(mine.ledger, INFERENCE, list(keys.values()), target).size == SIZE + 1


def test_a_minimum_that_nothing_on_record_bears_out_is_a_fault(tmp_path: Path) -> None:
    """Whoever holds the signing key can anchor any minimum; the events below must have expired by the ledger's own word."""
    workspace = make_workspace(tmp_path / "ws")
    with OpenLedger(workspace, clock=FixedClock(START_NS)) as ledger:
        ledger.append(INFERENCE, 1, [b"{}"] * 1_000)
        ledger.publish()
    assert verified(workspace) == []
    prune(workspace, 600)
    assert set(verified(workspace)) == {("main/inference", "minimum_false"), ("main/inference", "row_unknown")}


def test_an_export_has_no_pruned_tile_and_two_verifiers_accept_it(pruned: Workspace, whole: Workspace, tmp_path: Path) -> None:
    from jurat.ledger.data import verify_log as alone

    known = keys_of(whole)
    anchor, mine = known["anchor"], known["main/inference"]
    target = tmp_path / "export"
    export_log(whole.ledger, INFERENCE, list(known.values()), target)
    kept = (target / "checkpoint").read_text()
    done = export_log(pruned.ledger, INFERENCE, list(known.values()), target)
    assert (done.minimum, done.size) == (MINIMUM, SIZE)
    assert done.removed == 257 + 257 + 1
    assert not (target / "tile/entries/000").exists()
    assert open_minimum((target / MINIMUM_FILE).read_bytes(), mine, anchor) == MINIMUM
    report = verify_public([(mine, DirectorySource(target))], anchor_keys=anchor, since=[kept])
    assert (report.faults, report.logs[0].pruned) == ([], MINIMUM)
    given = [vars_of(anchor), vars_of(mine)]
    assert alone.verify(target, given, [kept]).endswith("are what was signed; below 66000 they are pruned")

    assert {fault.what for fault in verify_public([(mine, DirectorySource(target))]).faults} == {"entries_missing", "tree_altered"}
    with pytest.raises(alone.Refused, match="no keys of log `anchor`"):
        alone.verify(target, [vars_of(mine)], [])

    faulty = target / "tile/entries/258"  # above the minimum: faults are still found, and named
    raw = faulty.read_bytes()
    faulty.write_bytes(raw[:100] + bytes([raw[100] ^ 1]) + raw[101:])
    found = verify_public([(mine, DirectorySource(target))], anchor_keys=anchor).faults
    assert [(fault.what, fault.index) for fault in found] == [("entry_altered", 258 * 256 + 1)]
    with pytest.raises(alone.Refused, match=r"hash 66049 is not that"):
        alone.verify(target, given, [])
    faulty.write_bytes(raw)

    stand_in = target / "tile/1/001.p/17"  # a hash that stands for pruned entries
    raw = stand_in.read_bytes()
    stand_in.write_bytes(bytes([raw[0] ^ 1]) + raw[1:])
    assert {fault.what for fault in verify_public([(mine, DirectorySource(target))], anchor_keys=anchor).faults} == {"tree_altered"}
    with pytest.raises(alone.Refused, match="do not give the signed root"):
        alone.verify(target, given, [])


def signed(workspace: Workspace, size: int, root: bytes) -> str:
    """Return a checkpoint as whoever holds the keys could have signed it."""
    signers = load_signers(workspace, Settings(), FixedClock(START_NS))[INFERENCE]
    return sign_note(format_checkpoint(Checkpoint(signers.public.origin, size, root)), signers.checkpoint)


def test_a_kept_checkpoint_of_a_pruned_size_is_held_to_the_anchor_log_and_never_just_passed_over(
    pruned: Workspace, whole: Workspace, tmp_path: Path
) -> None:
    known = keys_of(whole)
    reader = ArrayReader(INFERENCE.directory(whole.ledger), INFERENCE.entry_size)
    roots = {size: reader.root(size) for size in (299, 300)}
    reader.close()
    honest, forked, unknown = signed(whole, 300, roots[300]), signed(whole, 300, bytes(32)), signed(whole, 299, roots[299])
    export_log(pruned.ledger, INFERENCE, list(known.values()), tmp_path / "main/inference")
    export_log(pruned.ledger, ANCHOR, list(known.values()), tmp_path / "anchor")

    def here(kept: str) -> Report:
        return verify_workspace(pruned.ledger, list(known.values()), lock_file(pruned, Settings()), since=[kept])

    def served(kept: str, *logs: str) -> Report:
        return verify_public([(known[log], DirectorySource(tmp_path / log)) for log in logs], since=[kept], anchor_keys=known["anchor"])

    def told(report: Report) -> tuple[list[str], list[str]]:
        return [f.what for f in report.faults if f.what == "forked"], [each for log in report.logs for each in log.unjudged]

    for verify in (here, lambda kept: served(kept, "main/inference", "anchor")):
        assert told(verify(honest)) == ([], [])
        assert told(verify(forked)) == (["forked"], [])
        assert told(verify(unknown)) == ([], ["a kept checkpoint of size 299"])
    for kept in (honest, forked):
        assert told(served(kept, "main/inference")) == ([], ["a kept checkpoint of size 300"]), "without the anchor log nobody can tell"


def test_a_receipt_of_pruned_entries_is_not_judged_unless_it_promises_more_than_is_signed(
    pruned: Workspace, whole: Workspace, tmp_path: Path
) -> None:
    known, signers = keys_of(whole), load_signers(whole, Settings(), FixedClock(START_NS))[INFERENCE]
    reader = ArrayReader(INFERENCE.directory(whole.ledger), INFERENCE.entry_size)
    promise = describe_batch(signers.public.origin, 100, reader.entries(100, 110), 10_000)
    reader.close()
    export_log(pruned.ledger, INFERENCE, list(known.values()), tmp_path / "x")
    source = known["main/inference"], DirectorySource(tmp_path / "x")
    for receipt, faults, unjudged in (
        (promise, [], ["a receipt for entries 100 to 109"]),
        (msgspec.structs.replace(promise, count=SIZE), ["receipt_broken"], []),
    ):
        kept = [sign_receipt(receipt, signers.receipt)]
        here = verify_workspace(pruned.ledger, list(known.values()), lock_file(pruned, Settings()), receipts=kept)
        for report in (here, verify_public([source], receipts=kept, anchor_keys=known["anchor"])):
            assert [fault.what for fault in report.faults if fault.what.startswith("receipt")] == faults
            assert [each for log in report.logs for each in log.unjudged] == unjudged


def test_the_command_line_says_what_it_cannot_judge_and_ends_with_5(
    pruned: Workspace, whole: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_log(pruned.ledger, INFERENCE, list(keys_of(whole).values()), tmp_path / "x")
    (tmp_path / "kept").write_text(signed(whole, 300, bytes(32)))
    arguments = ["verify", str(tmp_path / "x"), "--keys", str(log_keys_file(whole.keys))]
    assert run(arguments, Session()) == 0
    assert "not judged" not in capsys.readouterr().out
    assert run([*arguments, "--since", str(tmp_path / "kept")], Session()) == Unavailable.exit_code
    said = capsys.readouterr()
    assert "not judged: a kept checkpoint of size 300 of `main/inference`" in said.out
    assert "ok" not in said.out.split()


def test_a_proof_of_another_logs_minimum_or_one_that_was_changed_is_refused(pruned: Workspace) -> None:
    from jurat.ledger.data import verify_log as alone

    known = keys_of(pruned)
    anchor, mine, other = known["anchor"], known["main/inference"], known["main/error"]
    raw = prove_minimum(pruned.ledger, INFERENCE, list(known.values()))
    assert raw is not None
    with pytest.raises(Tampered, match="another log's"):
        open_minimum(raw, other, anchor)
    lines = raw.split(b"\n")
    from base64 import b64decode, b64encode

    entry = bytearray(b64decode(lines[1].removeprefix(b"extra ")))
    entry[48] ^= 1  # a lower bit of the minimum
    forged = b"\n".join([lines[0], b"extra " + b64encode(bytes(entry)), *lines[2:]])
    with pytest.raises(Tampered):
        open_minimum(forged, mine, anchor)
    assert alone  # the same file through the other verifier: see the export above
    assert prove_minimum(pruned.ledger, type(INFERENCE)("main", "error"), list(known.values())) is None


def test_a_stream_that_ended_below_goes_on_and_is_never_taken_twice(tmp_path: Path) -> None:
    """The relay's numbers in a log may rest for years: after the pruning they go on where they were."""
    workspace = make_workspace(tmp_path / "ws")
    with OpenLedger(workspace, clock=FixedClock(START_NS)) as ledger:
        ledger.append(INFERENCE, 1, [b"{}"] * 10, epoch=7)
        ledger.append(INFERENCE, 1, [b"{}"] * 1_000, epoch=8)
        ledger.publish()
    prune(workspace, 512)
    with OpenLedger(workspace, clock=FixedClock(START_NS + 2 * 10**9)) as ledger:
        assert ledger.append(INFERENCE, 1, [b"{}"] * 10, epoch=7).__class__.__name__ == "Repeated"
        done = ledger.append(INFERENCE, 11, [b"{}"], epoch=7)
        assert isinstance(done, Fresh)
        assert done.last.seq == 11


def test_a_file_that_says_nonsense_stops_whoever_asks(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws")
    directory = INFERENCE.directory(workspace.ledger)
    for nonsense in (b"", b"{", b'{"minimum": -1}', b'{"minimum": 5, "punched": 6}'):
        pruned_file(directory).write_bytes(nonsense)
        with pytest.raises(Tampered, match=r"pruned\.json"):
            read_pruned(directory)
        with pytest.raises(Tampered, match=r"pruned\.json"):
            OpenLedger(workspace)


def test_a_file_system_without_holes_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = make_workspace(tmp_path / "ws")
    with OpenLedger(workspace, clock=FixedClock(START_NS)) as ledger:
        ledger.append(INFERENCE, 1, [b"{}"] * 600)
        ledger.publish()

    class Without:
        def __init__(self, *_: object, **__: object) -> None:
            pass

    monkeypatch.setattr(pruned_module.ctypes, "CDLL", Without)
    with pytest.raises(Unavailable, match="could not be freed") as told:
        punch(INFERENCE.directory(workspace.ledger), INFERENCE.entry_size, 512)
    assert told.value.code == "cannot_punch"


@pytest.mark.parametrize("minimum", [0, 1, 255, 256, 257, 65_535, 65_536, 65_537, 131_072, 2**24, 2**24 + 300])
def test_which_tiles_are_refused_is_what_the_specification_says(minimum: int) -> None:
    """tlog-tiles: a full tile or bundle whose end index is at most the minimum index may be refused."""
    state = Pruned(minimum=minimum)
    for level in range(4):
        first = hash_floor(minimum, level) // 256
        for number in {0, max(0, first - 1), first, first + 1}:
            assert state.refuses(level, number) == ((number + 1) * 256 ** (level + 1) <= minimum)
            assert state.refuses(level, number) == (number < first)
    assert state.refuses(None, max(0, state.floor // 256 - 1)) == (state.floor > 0)


def vars_of(keys: LogKeys) -> dict[str, object]:
    return {"log": keys.log, "origin": keys.origin, "vkeys": keys.vkeys, "receipt_vkey": keys.receipt_vkey}
