"""New keys for running logs: announced under the old ones, demanded from a size on, by every verifier; kills are resumed."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.scenes.keeping import INFERENCE, Kept, make_kept, opened

from jurat.app import rotate
from jurat.app.bootstrap import remove_workspace
from jurat.app.rotate import rotate_keys
from jurat.core.clock import SystemClock
from jurat.core.errors import Conflict, Denied, Malformed, Tampered, Unavailable
from jurat.core.settings import load_settings
from jurat.ledger.consistency import prove_consistency
from jurat.ledger.create import make_signers
from jurat.ledger.data import verify_log as alone
from jurat.ledger.export import export_log
from jurat.ledger.keys import LogKeys, load_log_keys, load_signing_key
from jurat.ledger.layout import ANCHOR, checkpoint_file, log_keys_file, signing_key_file
from jurat.ledger.prove import prove_event, verify_evidence
from jurat.ledger.tail import published_checkpoint
from jurat.ledger.tile_source import DirectorySource
from jurat.ledger.verify import verify_workspace
from jurat.ledger.verify_checkpoints import open_checkpoint
from jurat.ledger.verify_public import verify_public
from jurat.ledger.witness import Request, format_request
from jurat.ledger.witness_desk import Witness, create_witness
from jurat.merkle.checkpoint import Checkpoint, format_checkpoint
from jurat.merkle.note import sign_note

pytestmark = [pytest.mark.xdist_group("erasure"), pytest.mark.timeout(300)]
OVERLAP = 16


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    with tempfile.TemporaryDirectory(prefix="jurat-rotate-") as directory:
        root = Path(directory) / "ws"
        yield make_kept(root, (40, 1))
        remove_workspace(root)


def keys_of(kept: Kept) -> dict[str, LogKeys]:
    return {each.log: each for each in load_log_keys(log_keys_file(kept.workspace.keys))}


def note_of(kept: Kept, log: object = INFERENCE) -> str:
    return checkpoint_file(kept.workspace.ledger, log).read_text()  # type: ignore[arg-type]


def plain(*keys: LogKeys) -> list[dict[str, object]]:
    return [msgspec.json.decode(msgspec.json.encode(each)) for each in keys]


def ask_witness(witness: Witness, kept: Kept, old_size: int) -> int:
    size = published_checkpoint(kept.workspace.ledger, ANCHOR).size
    proof = prove_consistency(kept.workspace.ledger, ANCHOR, old_size, size) if 0 < old_size < size else []
    return witness.answer(format_request(Request(old_size, tuple(proof), note_of(kept, ANCHOR)))).status


def test_the_whole_story(kept: Kept, tmp_path: Path) -> None:
    root, operator = kept.workspace.ledger, kept.tokens["operator"]
    before, old_note = keys_of(kept), note_of(kept)
    create_witness(tmp_path / "w", "witness.example/w")
    witness = Witness(tmp_path / "w")
    witness.add_log(before["anchor"].origin, before["anchor"].vkeys)
    old_size = published_checkpoint(root, ANCHOR).size
    with opened(kept) as app:
        first = app.events.find_prediction(list(kept.said)[3])[0]
        handed_out = prove_event(root, first, list(before.values()), None)
        with pytest.raises(Denied, match="`log:rotate`"):
            rotate_keys(app, kept.tokens["privacy"], [], overlap=OVERLAP, reason="x")
        with pytest.raises(Malformed, match="at least 16"):
            rotate_keys(app, operator, [], overlap=3, reason="x")
        done = rotate_keys(app, operator, [], overlap=OVERLAP, reason="the yearly change")
        assert {each.log for each in done} == set(before)
        with pytest.raises(Conflict, match="the old keys of log"):
            rotate_keys(app, operator, ["main/inference"], overlap=OVERLAP, reason="again")
        kept.record(3)
        now = keys_of(kept)
        mine, was = now["main/inference"], before["main/inference"]
        assert [period.signs(0) for period in mine.periods] == [True, False]
        overlapping = note_of(kept)
        assert open_checkpoint(overlapping, mine).size == 43
        assert open_checkpoint(overlapping, was).size == 43, "whoever has the old keys only goes on for a while"
        assert ask_witness(witness, kept, 0) == 200
        seen = published_checkpoint(root, ANCHOR).size
        receipt = kept.record(1)
        assert receipt
        for _ in range(OVERLAP + 2):
            kept.record(1)
        stored = app.events.find_prediction(list(kept.said)[-1])[0]
        with app.ledger() as ledger:
            promised = ledger.receipt_for(INFERENCE, stored.index)
        verify_evidence(prove_event(root, stored, list(now.values()), promised), list(now.values()))
        evidence = tmp_path / "evidence.json"
        evidence.write_bytes(prove_event(root, stored, list(now.values()), promised))
    assert open_checkpoint(note_of(kept), mine).size > 41 + OVERLAP
    with pytest.raises(Tampered, match="carries no signature"):
        open_checkpoint(note_of(kept), was)
    assert open_checkpoint(old_note, mine) == open_checkpoint(old_note, was), "old checkpoints still verify"
    verify_evidence(handed_out, list(now.values()))
    report = verify_workspace(root, list(now.values()), None, since=[old_note, overlapping])
    assert report.faults == []

    assert ask_witness(witness, kept, seen) == 403, "a witness that nobody told"
    witness.add_log(now["anchor"].origin, now["anchor"].vkeys, now["anchor"].periods)
    assert ask_witness(witness, kept, seen) == 200
    with pytest.raises(Conflict, match="known with other keys"):
        witness.add_log(now["anchor"].origin, before["anchor"].vkeys)
    witness.close()
    assert old_size < seen

    export_log(root, INFERENCE, list(now.values()), tmp_path / "export")
    assert verify_public([(mine, DirectorySource(tmp_path / "export"))], since=[old_note]).faults == []
    assert "are what was signed" in alone.verify(tmp_path / "export", plain(mine), [old_note, overlapping])
    assert "leaf" in alone.verify(evidence, plain(mine, now["anchor"]), [])
    with pytest.raises(alone.Refused, match="no signature by"):
        alone.verify(tmp_path / "export", plain(was), [])

    signers = make_signers(load_signing_key(signing_key_file(kept.workspace.keys)), load_settings(kept.workspace), SystemClock())
    forged = sign_note(format_checkpoint(Checkpoint(mine.origin, 1_000, b"\7" * 32)), signers[INFERENCE].checkpoint)
    with pytest.raises(Tampered, match="keys whose last size was") as told:
        open_checkpoint(forged, mine)
    assert told.value.code == "key_retired"
    (tmp_path / "export" / "checkpoint").write_text(forged)
    with pytest.raises(alone.Refused, match="no signature by"):
        alone.verify(tmp_path / "export", plain(mine), [])
    found = verify_public([(mine, DirectorySource(tmp_path / "export"))]).faults
    assert [(fault.what, "last size" in fault.detail) for fault in found] == [("checkpoint_bad", True)]

    other = mine.periods[1]
    moved = msgspec.structs.replace(mine, periods=[mine.periods[0], msgspec.structs.replace(other, first_size=(other.first_size or 0) + 1)])
    report = verify_workspace(root, [moved, *(each for each in now.values() if each.log != mine.log)], None)
    assert [(fault.log, fault.what) for fault in report.faults] == [("main/inference", "key_unannounced")]


@pytest.mark.slow
def test_a_rotation_that_was_broken_off_goes_on(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    operator = kept.tokens["operator"]

    def said() -> int:
        return sum(b'"log":"anchor"' in each.raw for each in app.events.scan(kinds=["log.key_rotated.v1"]))

    def die(*_: object) -> None:
        raise Unavailable("killed here")

    with opened(kept) as app:
        said_before = said()
        monkeypatch.setattr(rotate, "_await_loaded", die)
        with pytest.raises(Unavailable, match="killed here"):
            rotate_keys(app, operator, ["anchor"], overlap=OVERLAP, reason="x")
        monkeypatch.undo()
        assert [period.first_size for period in keys_of(kept)["anchor"].periods][-1] is None
        seeds = sorted(path.name for path in kept.workspace.keys.glob("signing*.key"))
        monkeypatch.setattr(
            rotate, "write_log_keys", lambda path, keys, count=[]: count.append(1) or (die() if len(count) == 2 else _write(path, keys))
        )
        with pytest.raises(Unavailable, match="killed here"):  # on record, and not in the file
            rotate_keys(app, operator, ["anchor"], overlap=OVERLAP, reason="x")
        monkeypatch.undo()
        done = rotate_keys(app, operator, ["anchor"], overlap=OVERLAP, reason="x")
        assert said() == said_before + 1, "once, however often it was begun"
    assert sorted(path.name for path in kept.workspace.keys.glob("signing*.key")) == seeds, "no seed is made twice"
    assert done[0].first_size == keys_of(kept)["anchor"].periods[-1].first_size
    assert kept.verify().faults == []


_write = rotate.write_log_keys


def test_the_sequencer_starts_with_new_keys_and_refuses_to_start_without(kept: Kept) -> None:
    seed = signing_key_file(kept.workspace.keys, 2)
    raw = seed.read_bytes()
    seed.unlink()
    argv = [sys.executable, "-m", "jurat.ledger.daemon", str(kept.workspace.root)]
    try:
        died = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    finally:
        seed.write_bytes(raw)
        seed.chmod(0o600)
    assert died.returncode == 4, died.stderr
    assert "there is no signing key" in died.stderr
    with opened(kept):
        kept.record(1)
    assert json.loads(log_keys_file(kept.workspace.keys).read_text())
    assert kept.verify().faults == []
