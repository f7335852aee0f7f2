"""`jurat witness`, from the birth of a witness to a quorum that `jurat verify --policy` accepts, and refuses without."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.ledger_workspace import INFERENCE, OpenLedger, make_workspace
from tests.scenes.witnesses import serving

from jurat.cli.main import run
from jurat.cli.session import Session
from jurat.core.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = make_workspace(tmp_path / "g")
    with OpenLedger(made) as ledger:
        ledger.append(INFERENCE, 1, [b"{}"])
        ledger.publish()
    return made


def jurat(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    code = run([str(word) for word in words], Session())
    said = capsys.readouterr()
    return code, said.out, said.err


def test_from_birth_to_quorum(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, keys, here = tmp_path / "w1", workspace.keys / "log-keys.json", ("-C", workspace.root)
    code, out, _ = jurat(capsys, "witness", "init", home, "--name", "witness.example/w1", "--json")
    assert code == 0
    vkeys = json.loads(out)["vkeys"]
    assert jurat(capsys, "witness", "vkey", home)[1].splitlines() == vkeys
    assert jurat(capsys, "witness", "init", home, "--name", "witness.example/w1")[0] == 4, "a witness is born once"
    assert jurat(capsys, "witness", "add-log", home)[0] == 2
    assert jurat(capsys, "witness", "add-log", home, keys)[0] == 0
    assert "knows no log" not in jurat(capsys, "witness", "show", home)[1]
    policy = workspace.witness_policy
    assert jurat(capsys, "witness", "ask", *here)[0] == 4, "nobody is named"
    with serving(home) as process:
        policy.write_text(f"witness w1 {vkeys[1]} {process.url}\nquorum w1\n")
        code, _, err = jurat(capsys, "verify", workspace.root, "--policy", policy)
        assert code == 6, "it was never cosigned"
        assert jurat(capsys, "witness", "status", *here)[0] == 4
        assert json.loads(jurat(capsys, "witness", "ask", *here, "--json")[1]) == {"quorum": "w1", "size": 1}
    code, _, err = jurat(capsys, "verify", workspace.root, "--policy", policy)
    assert code == 0
    assert "vouches for 1 of the 1 entries of `anchor`" in err
    found = json.loads(jurat(capsys, "witness", "show", home, "--json")[1])
    assert [(each["origin"], each["size"], each["evidence"]) for each in found] == [("jurat.local/anchor", 1, 0)]
    assert "w1" in jurat(capsys, "witness", "status", *here)[1]
    assert "no evidence" in jurat(capsys, "witness", "evidence", home)[2]
    code, _, err = jurat(capsys, "witness", "ask", *here, "--timeout", "1")
    assert code == 5, "it is away now"
    assert "did not answer" in err
    kept = jurat(capsys, "log", "checkpoint", "anchor", *here)[1]
    assert "— witness.example/w1 " in kept, "what people keep carries the cosignatures"


def test_evidence_can_be_taken_out(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.scenes.witnesses import ORIGIN, SmallLog

    from jurat.ledger.witness_desk import Witness, create_witness

    create_witness(tmp_path / "w", "w")
    desk = Witness(tmp_path / "w")
    desk.add_log(ORIGIN, [SmallLog().signer.vkey])
    desk.answer(SmallLog().request(0, 7))
    split = SmallLog(fork=3).request(7, 7)
    assert desk.answer(split).status == 422
    desk.close()
    code, out, _ = jurat(capsys, "witness", "evidence", tmp_path / "w", "-o", tmp_path / "out")
    assert code == 0
    assert "another root for size 7" in out
    assert (tmp_path / "out" / "1-request.txt").read_bytes() == split
    assert "— w " in (tmp_path / "out" / "1-held.txt").read_text()


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")
def test_a_git_repository_holds_it(workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for committed in (True, False):
        code, out, _ = jurat(capsys, "witness", "git", tmp_path / "held", "-C", workspace.root, "--json")
        assert (code, json.loads(out)) == (0, {"size": 1, "committed": committed})


def test_serve_says_where_and_stops_when_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert jurat(capsys, "witness", "init", tmp_path / "w", "--name", "w")[0] == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "jurat.cli.main", "witness", "serve", tmp_path / "w", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert json.loads(process.stdout.readline())["url"].startswith("http://127.0.0.1:")
    process.terminate()
    assert process.wait(timeout=10) == 0
    process.stdout.close()
    assert jurat(capsys, "witness", "serve", tmp_path / "elsewhere")[0] == 4
