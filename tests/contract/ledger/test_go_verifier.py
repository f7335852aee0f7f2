"""What leaves a log is believed by the Go project's own signed notes and tiled logs: another language, and nothing of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.ledger_workspace import INFERENCE, OpenLedger, make_workspace

from jurat.core.workspace import Workspace
from jurat.ledger.consistency import Consistency, format_consistency, prove_consistency
from jurat.ledger.export import export_log
from jurat.ledger.keys import LogKeys, load_log_keys
from jurat.ledger.layout import checkpoint_file, log_keys_file
from jurat.ledger.prove import prove_inclusion
from jurat.ledger.query import Events

GO = shutil.which("go")
SOURCES = Path("/usr/share/gocode")  # where Debian keeps the sources of Go's libraries
SIZES = (1, 2, 255, 256, 257, 700, 65_536, 65_537, 260_123)  # a lone leaf, each side of a full tile, three levels, paths of two parts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        GO is None or not (SOURCES / "src/golang.org/x/mod/sumdb").is_dir(),
        reason="no Go here: `apt-get install golang-go golang-golang-x-mod-dev`",
    ),
]

Check = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Check:
    folder = tmp_path_factory.mktemp("go")
    source = Path(__file__).with_name("go") / "check_log.go"
    settings = {"GO111MODULE": "off", "GOPATH": str(SOURCES), "GOCACHE": str(folder / "cache"), "GOFLAGS": ""}
    subprocess.run([str(GO), "build", "-o", folder / "check_log", source], check=True, env=os.environ | settings, cwd=folder)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([folder / "check_log", *map(str, arguments)], capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, LogKeys, dict[int, Path]]:
    """A log that grew to each of the sizes, and the checkpoint that it showed there."""
    folder = tmp_path_factory.mktemp("log")
    workspace, kept, size = make_workspace(folder / "ws"), {}, 0
    with OpenLedger(workspace, segment_size=64 * 1024 * 1024) as ledger:
        for aim in SIZES:
            while size < aim:
                count = min(1_000, aim - size)
                ledger.append(INFERENCE, size + 1, [b'{"n":%d}' % n for n in range(size, size + count)])
                size += count
            ledger.publish()
            kept[aim] = folder / f"{aim}.txt"
            kept[aim].write_bytes(checkpoint_file(workspace.ledger, INFERENCE).read_bytes())
    keys = next(each for each in load_log_keys(log_keys_file(workspace.keys)) if each.log == str(INFERENCE))
    return workspace, keys, kept


@pytest.fixture(scope="module")
def exported(grown: tuple[Workspace, LogKeys, dict[int, Path]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "x"
    export_log(grown[0].ledger, INFERENCE, [grown[1]], folder)
    return folder


def test_an_export_is_believed_and_a_changed_one_is_not(
    check: Check, grown: tuple[Workspace, LogKeys, dict[int, Path]], exported: Path, tmp_path: Path
) -> None:
    done = check("export", exported, grown[1].vkeys[0])
    assert (done.stdout, done.stderr) == (f"{SIZES[-1]}\n", "")
    for name in ("checkpoint", "tile/0/x001/002", "tile/1/000", "tile/2/000.p/3", "tile/entries/x001/016.p/27"):
        changed = tmp_path / "changed"
        shutil.copytree(exported, changed, copy_function=os.link)
        raw = bytearray((changed / name).read_bytes())
        raw[40] ^= 1
        (changed / name).unlink()
        (changed / name).write_bytes(raw)
        assert check("export", changed, grown[1].vkeys[0]).returncode != 0, name
        shutil.rmtree(changed)


def test_every_older_state_is_continued_by_the_tiles_and_by_the_proofs_that_are_handed_out(
    check: Check, grown: tuple[Workspace, LogKeys, dict[int, Path]], exported: Path, tmp_path: Path
) -> None:
    workspace, keys, kept = grown
    for old in SIZES:
        for new in (size for size in SIZES if size >= old):
            proof = Consistency(old, prove_consistency(workspace.ledger, INFERENCE, old, new), kept[new].read_text())
            (tmp_path / "proof").write_text(format_consistency(proof))
            done = check("consistency", exported, keys.vkeys[0], kept[old], tmp_path / "proof")
            assert done.returncode == 0, (old, new, done.stderr)
    assert check("consistency", exported, keys.vkeys[0], kept[256], tmp_path / "proof").returncode != 0


def test_a_proof_of_one_event_is_believed(
    check: Check, grown: tuple[Workspace, LogKeys, dict[int, Path]], exported: Path, tmp_path: Path
) -> None:
    workspace, keys, _kept = grown
    events = Events(workspace.ledger, "main")
    for index in (0, 1, 255, 256, 65_535, 65_536, 260_122):
        stored = events.at(str(INFERENCE), index)
        assert stored.raw == b'{"n":%d}' % index
        proof = tmp_path / f"{index}.tlog-proof"
        proof.write_bytes(prove_inclusion(workspace.ledger, stored, [keys]))
        done = check("proof", exported, keys.vkeys[0], proof)
        assert done.returncode == 0, (index, done.stderr)
        proof.write_text(proof.read_text().replace(f"index {index}\n", f"index {index ^ 1}\n"))
        assert check("proof", exported, keys.vkeys[0], proof).returncode != 0
