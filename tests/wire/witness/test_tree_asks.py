"""The tree of processes: asks the witnesses before the sequencer starts, and ends with a child that ends as tampered."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.ledger_workspace import INFERENCE, OpenLedger, make_workspace
from tests.scenes.witnesses import hang, neighbour, says, size_is

from jurat.app.tree import RELAY, Tree, _Child
from jurat.core.errors import Malformed, Tampered
from jurat.core.settings import Settings
from jurat.core.workspace import Workspace
from jurat.merkle.cosign import CosignatureSigner

WITNESS = CosignatureSigner("w.example", b"\5" * 32, lambda: 1_764_000_000)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = make_workspace(tmp_path / "w")
    made.run.mkdir(exist_ok=True)
    with OpenLedger(made) as ledger:
        ledger.append(INFERENCE, 1, [b"{}"])
        ledger.publish()
    return made


def name_witness(workspace: Workspace, url: str) -> None:
    workspace.witness_policy.write_text(f"witness w {WITNESS.vkey} {url}\nquorum w\n")


def ask(workspace: Workspace) -> None:
    Tree(workspace, Settings(), mode="moment")._ask_witnesses()


def test_a_witness_that_has_seen_more_forbids_the_start(workspace: Workspace) -> None:
    with neighbour(size_is(20), says(404, b"")) as url:
        name_witness(workspace, url)
        with pytest.raises(Tampered, match=r"may not start: .* is at size `20`, we are at `1`") as caught:
            ask(workspace)
    assert caught.value.code == "forked"
    assert "witness-policy.txt" in caught.value.hint
    assert (workspace.run / "forked.json").exists()


def test_one_that_agrees_or_gives_no_word_does_not(workspace: Workspace, capfd: pytest.CaptureFixture[str]) -> None:
    ask(workspace)
    with neighbour(size_is(0)) as url:
        name_witness(workspace, url)
        ask(workspace)
    assert capfd.readouterr().err == ""
    with neighbour(hang) as url:
        name_witness(workspace, url)
        began_s = time.monotonic()
        ask(workspace)
        assert time.monotonic() - began_s < 15
    assert f"witness `{url}` gave no word" in capfd.readouterr().err


def test_a_policy_that_cannot_be_read_forbids_the_start(workspace: Workspace) -> None:
    workspace.witness_policy.write_text("quorum w\n")
    with pytest.raises(Malformed, match="line 1 of the policy"):
        ask(workspace)


def test_a_child_that_ends_as_tampered_ends_everything_with_its_reason(workspace: Workspace) -> None:
    tree = Tree(workspace, Settings(), mode="serve")
    log = workspace.run / f"{RELAY}.log"
    log.write_text("tampered (forked): witness `w` knows another ledger\n  hint: call somebody\n")
    child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(6)"])
    child.wait()
    tree._children[RELAY] = _Child(RELAY, child, 0, 0)
    with pytest.raises(Tampered, match="knows another ledger") as caught:
        tree.watch()
    assert caught.value.hint == "call somebody"
