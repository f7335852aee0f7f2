"""Pruning on a real workspace: disk comes back, refusals say why, what was handed out still proves, every kill is resumed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scenes.keeping import INFERENCE, Kept, make_kept, opened

from jurat.app.bootstrap import remove_workspace
from jurat.app.clockwork import read_clockwork
from jurat.app.keeping import Expiry, run_expiry
from jurat.app.pruning import act_for
from jurat.app.walk import act
from jurat.core.errors import Conflict, NotFound
from jurat.domain.commands_keeping import PlaceHold, RecordPruning, ReleaseHold
from jurat.domain.facts_keeping import HoldPlaced
from jurat.ledger.consistency import prove_consistency, verify_continues
from jurat.ledger.crash_points import PRUNE_POINTS
from jurat.ledger.data import verify_log as alone
from jurat.ledger.export import export_log
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import checkpoint_file, log_keys_file
from jurat.ledger.prove import entry_alone, prove_event, verify_evidence
from jurat.ledger.pruned import pruned_file, read_pruned
from jurat.ledger.stored import StoredEvent
from jurat.ledger.tail import published_checkpoint
from jurat.ledger.tiles import read_public
from jurat.worker.retention import run_once

pytestmark = [pytest.mark.xdist_group("erasure"), pytest.mark.timeout(300)]
PINS = (600, 1_100, 1_600, 2_100, 2_580)  # places of events that holds keep, for a while
DUE, YOUNG = 2_600, 300


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    with tempfile.TemporaryDirectory(prefix="jurat-prune-") as directory:
        root = Path(directory) / "ws"
        found = make_kept(root, (DUE, 91.5), (YOUNG, 89))
        file = found.workspace.settings_file
        file.write_text(file.read_text().replace('prune_grace = "1h"', 'prune_grace = "0s"'))
        yield found
        remove_workspace(root)


@pytest.fixture(scope="module")
def holds(kept: Kept) -> list[str]:
    """One live hold at each pin."""
    made = []
    with opened(kept) as app:
        for at in PINS:
            hold = PlaceHold(reason="claim", legal_basis="GDPR 17(3)(e)", subject=list(kept.said)[at])
            fact = act(app, kept.tokens["privacy"], hold).events[0].data
            assert isinstance(fact, HoldPlaced)
            made.append(fact.hold)
    return made


def blocks(kept: Kept) -> int:
    return sum(path.stat().st_blocks * 512 for path in INFERENCE.directory(kept.workspace.ledger).iterdir())


def said(kept: Kept) -> list[StoredEvent]:
    with opened(kept) as app:
        return list(app.events.scan(kinds=["log.pruned.v1"]))


def minimum(kept: Kept) -> int:
    return read_pruned(INFERENCE.directory(kept.workspace.ledger)).minimum


def release(kept: Kept, holds: list[str]) -> None:
    with opened(kept) as app:
        for hold in holds:
            with contextlib.suppress(NotFound):  # released already
                act(app, kept.tokens["privacy"], ReleaseHold(hold=hold, reason="settled"))


ORDER = ("prune_after_refusal", "prune_after_punch", "prune_after_record", "prune_before_punch")  # the first stands for the others


@pytest.mark.parametrize("step", [0, *(pytest.param(each, marks=pytest.mark.slow) for each in (1, 2, 3))])
def test_a_run_that_is_killed_is_run_again(kept: Kept, holds: list[str], step: int) -> None:
    assert set(ORDER) == set(PRUNE_POINTS)
    release(kept, holds[:step])
    before, said_before = blocks(kept), len(said(kept))
    argv = [sys.executable, "-m", "jurat.cli.main", "-C", str(kept.workspace.root), "retention", "run", "--apply"]
    environment = {**os.environ, "JURAT_CRASH_AT": ORDER[step]}
    died = subprocess.run(argv, env=environment, capture_output=True, check=False, timeout=120)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert kept.verify().faults == [], "whatever is half done is not a fault"
    with opened(kept) as app:
        done = run_expiry(app, kept.tokens["operator"])
    assert [(each.log, each.minimum) for each in done.pruned] == [("main/inference", PINS[step])]
    assert len(said(kept)) == said_before + 1, "said once, however often it was begun"
    report = kept.verify()
    assert (report.faults, next(r for r in report.logs if r.log == "main/inference").pruned) == ([], PINS[step])
    assert blocks(kept) < before


def test_disk_comes_back_and_what_was_handed_out_still_proves(kept: Kept, holds: list[str], tmp_path: Path) -> None:
    keys = load_log_keys(log_keys_file(kept.workspace.keys))
    root = kept.workspace.ledger
    earlier = published_checkpoint(root, INFERENCE)
    note = checkpoint_file(root, INFERENCE).read_text()
    release(kept, holds)
    with opened(kept) as app:
        held = app.events.find_prediction(list(kept.said)[PINS[4]])[0]
        handed_out = prove_event(root, held, keys, None)
        export_log(root, INFERENCE, keys, tmp_path / "export")
        before = blocks(kept)
        done = run_expiry(app, kept.tokens["operator"])
        assert isinstance(done, Expiry)
        assert minimum(kept) == DUE
        assert done.freed_bytes >= before - blocks(kept) > 0, "measured, and told"
        assert read_pruned(INFERENCE.directory(root)).punched == DUE
        for path in ("tile/entries/000", "tile/0/009"):
            with pytest.raises(NotFound, match="is pruned: its time is over"):
                read_public(root, INFERENCE, path)
        with pytest.raises(NotFound, match="is pruned"):
            entry_alone(root, INFERENCE, 100)
        with pytest.raises(NotFound, match="has expired"):
            app.events.at(INFERENCE, held.index)
        kept.record(7)
        later = published_checkpoint(root, INFERENCE)
        verify_continues(earlier, later, prove_consistency(root, INFERENCE, earlier.size, later.size))
        young = app.events.find_prediction(list(kept.said)[DUE + 5])[0]
        verify_evidence(prove_event(root, young, keys, None), keys)
    verify_evidence(handed_out, keys)
    assert kept.verify().faults == []
    exported = export_log(root, INFERENCE, keys, tmp_path / "export")
    assert (exported.minimum, exported.removed > 0) == (DUE, True)
    plain = [{"log": k.log, "origin": k.origin, "vkeys": k.vkeys, "receipt_vkey": k.receipt_vkey} for k in keys]
    assert alone.verify(tmp_path / "export", plain, [note]).endswith(f"below {DUE} they are pruned")


def test_a_minimum_that_goes_further_than_what_has_expired_is_a_fault(kept: Kept) -> None:
    """The operator's own code could say so; the events say otherwise."""
    directory = INFERENCE.directory(kept.workspace.ledger)
    whole = pruned_file(directory).read_bytes()
    with opened(kept) as app:
        with pytest.raises(Conflict, match="its last entry stays"):
            act(app, kept.tokens["operator"], RecordPruning(log="main/inference", minimum_index=9, size=9, root="", ended_digest=""))
        false = RecordPruning(log="main/inference", minimum_index=DUE + 100, size=DUE + YOUNG, root="", ended_digest="")
        act_for(app, kept.tokens["operator"], false)
        pruned_file(directory).write_bytes(whole.replace(b'"minimum":%d' % DUE, b'"minimum":%d' % (DUE + 100)))
        app.settle()
        with app.ledger() as ledger:
            ledger.flush()
    found = {(fault.what, fault.index, fault.last_index) for fault in kept.verify().faults}
    assert ("minimum_false", DUE, DUE + 99) in found


def test_the_clock_runs_it_and_says_so(kept: Kept) -> None:
    with opened(kept):
        done = run_once(kept.workspace, 86_400)
    assert done.is_well, done.said
    assert done.said.startswith("0 events expired")
    assert read_clockwork(kept.workspace) is None, "only a worker that runs writes it down"


def test_a_clock_that_finds_nobody_home_says_so_and_tries_again(tmp_path: Path) -> None:
    from jurat.core.settings import Settings, format_settings
    from jurat.core.workspace import Workspace

    workspace = Workspace(tmp_path)
    workspace.settings_file.write_text(format_settings(Settings()))
    done = run_once(workspace, 86_400)
    assert not done.is_well
    assert done.next_ns - done.ran_ns == 3_600 * 10**9
