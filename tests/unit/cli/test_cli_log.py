"""`jurat log`: list, export and consistency on a sealed ledger, as a person types them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.scenes import attacks
from tests.scenes.sealed_ledger import INFERENCE, START_NS, Scene, build
from tests.unit.cli.conftest import Said

from jurat.cli.main import run
from jurat.cli.session import Session
from jurat.core.clock import FixedClock
from jurat.ledger.consistency import parse_consistency
from jurat.ledger.create import load_signers
from jurat.ledger.layout import log_keys_file
from jurat.merkle.checkpoint import Checkpoint, format_checkpoint, parse_checkpoint
from jurat.merkle.note import open_note, sign_note, verifiers_of
from jurat.merkle.tree import hash_leaves, root_of, verify_consistency

Call = Callable[..., Said]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build(tmp_path_factory.mktemp("cli-log") / "ws")


@pytest.fixture
def jurat(scene: Scene, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("JURAT_WORKSPACE", str(scene.workspace.root))

    def call(*arguments: str) -> Said:
        capsys.readouterr()
        code = run(arguments, Session())
        return Said(code, *capsys.readouterr())

    return call


def signed(scene: Scene, path: Path, size: int, root: bytes | None = None) -> str:
    """Write a checkpoint of that size, as it was signed then."""
    signers = load_signers(scene.workspace, scene.settings, FixedClock(START_NS))[INFERENCE]
    root = root or root_of(hash_leaves(attacks.entries_of(scene, INFERENCE)[:size]))
    path.write_text(sign_note(format_checkpoint(Checkpoint(signers.public.origin, size, root)), signers.checkpoint))
    return str(path)


def test_the_list_gives_what_a_verifier_needs(scene: Scene, jurat: Call) -> None:
    said = jurat("log", "list", "--json")
    assert said.code == 0
    found = {each["log"]: each for each in json.loads(said.out)}
    assert len(found) == 7
    mine, keys = found["main/inference"], next(key for key in scene.keys if key.log == "main/inference")
    assert (mine["origin"], mine["size"], mine["sealed"]) == ("jurat.local/main/inference", 700, 700)
    assert (mine["vkeys"], mine["receipt_vkey"]) == (keys.vkeys, keys.receipt_vkey)
    opened = open_note(scene.checkpoint(INFERENCE), verifiers_of(mine["vkeys"]))
    assert mine["root"] == opened.text.split("\n")[2]
    assert "main/inference      700" in jurat("log", "list").out


def test_an_export_is_verified_by_the_same_command_line(scene: Scene, jurat: Call, tmp_path: Path) -> None:
    out = tmp_path / "x"
    said = jurat("log", "export", "main/inference", str(out), "--json")
    assert (said.code, json.loads(said.out)["size"], json.loads(said.out)["written"]) == (0, 700, 7)
    assert jurat("log", "export", "main/inference", str(out)).out.splitlines()[-1] == "tiles  7, 0 of them new"
    assert jurat("verify", str(out)).code == 0
    assert jurat("verify", str(out), "--since", signed(scene, tmp_path / "kept", 257)).code == 0
    forked = signed(scene, tmp_path / "other", 257, bytes(32))
    said = jurat("verify", str(out), "--since", forked)
    assert said.code == 6
    assert "forked" in said.out
    attacks.flip_byte(out / "tile/entries/001", 61 * 44 + 30)
    said = jurat("verify", str(out), "--json")
    assert said.code == 6
    (fault,) = json.loads(said.out)["faults"]
    assert (fault["what"], fault["index"], fault["file"]) == ("entry_altered", 300, "tile/entries/001")
    said = jurat("log", "export", "main/nothing", str(tmp_path / "y"))
    assert said.code == 2


def test_keys_beside_an_export_are_never_taken_by_themselves(
    scene: Scene, jurat: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "x"
    jurat("log", "export", "main/inference", str(out))
    monkeypatch.delenv("JURAT_WORKSPACE")
    monkeypatch.chdir(tmp_path)
    assert jurat("verify", str(out)).code == 4
    assert jurat("verify", str(out), "--keys", str(log_keys_file(scene.workspace.keys))).code == 0


def test_consistency_of_sizes_and_of_kept_checkpoints(scene: Scene, jurat: Call, tmp_path: Path) -> None:
    kept, newer = signed(scene, tmp_path / "kept", 257), signed(scene, tmp_path / "newer", 600)
    assert "continues size 257" in jurat("log", "consistency", kept).out
    assert "at size 600 continues size 257" in jurat("log", "consistency", kept, newer).out
    said = jurat("log", "consistency", "100", "200", "--log", "main/inference", "--json")
    found = json.loads(said.out)
    verify_consistency(
        100, 200, bytes.fromhex(found["old"]["root"]), bytes.fromhex(found["new"]["root"]), [bytes.fromhex(each) for each in found["path"]]
    )
    proof = tmp_path / "continues"
    assert jurat("log", "consistency", kept, newer, "-o", str(proof)).code == 0
    parsed = parse_consistency(proof.read_text())
    old, new = parse_checkpoint((tmp_path / "kept").read_text().rpartition("\n\n")[0] + "\n"), Path(newer).read_text()
    assert (parsed.old_size, parsed.note) == (257, new)
    verify_consistency(257, 600, old.root, parse_checkpoint(new.rpartition("\n\n")[0] + "\n").root, parsed.path)


def test_states_that_do_not_continue_each_other_are_tampering(scene: Scene, jurat: Call, tmp_path: Path) -> None:
    forked = signed(scene, tmp_path / "forked", 257, bytes(32))
    said = jurat("log", "consistency", forked)
    assert said.code == 6
    assert "another history" in said.err
    ahead = signed(scene, tmp_path / "ahead", 701, bytes(32))
    said = jurat("log", "consistency", ahead)
    assert said.code == 6
    assert "rolled back" in said.err
    bad = tmp_path / "bad"
    bad.write_text(Path(ahead).read_text().replace("\n701\n", "\n600\n"))
    assert jurat("log", "consistency", str(bad)).code == 6


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("100", "200"), 2), (("200", "100", "--log", "main/inference"), 2), (("0", "5", "--log", "main/inference"), 2),
        (("5", "999", "--log", "main/inference"), 4), (("5", "6", "--log", "main/inference", "-o", "x"), 2), (("nothing.txt",), 4),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(jurat: Call, arguments: tuple[str, ...], code: int) -> None:
    said = jurat("log", "consistency", *arguments)
    assert (said.code, said.out) == (code, "")
    assert said.err


def test_whoever_watches_sees_how_far_verifying_is_and_a_pipe_is_told_nothing(scene: Scene, jurat: Call, tmp_path: Path) -> None:
    assert jurat("log", "export", "main/inference", str(tmp_path / "x")).code == 0
    command = [
        str(Path(sys.executable).with_name("jurat")),
        "verify",
        str(tmp_path / "x"),
        "--keys",
        str(log_keys_file(scene.workspace.keys)),
    ]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    ours, theirs = os.openpty()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment) as process:
        os.close(theirs)
        drawn = b""
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while more := os.read(ours, 65_536):
                drawn += more
        out = process.stdout.read() if process.stdout else b""
    os.close(ours)
    assert process.returncode == 0, drawn
    assert b"verifying" in drawn
    assert b"100%" in drawn
    assert b"\x1b" not in out
    piped = subprocess.run(command, capture_output=True, env=environment, check=True)
    assert b"verifying" not in piped.stderr + piped.stdout
