"""The verifier that is handed out: alone, short, and not to be fooled by an export, an evidence file or a proof that was changed."""

from __future__ import annotations

import ast
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.scenes import attacks
from tests.scenes.sealed_ledger import INFERENCE, START_NS, Scene, build

from jurat.core.clock import FixedClock
from jurat.ledger.create import load_signers
from jurat.ledger.data import verify_log as alone
from jurat.ledger.export import export_log, read_verifier
from jurat.ledger.layout import ANCHOR, LogName, log_keys_file
from jurat.ledger.prove import prove_event, prove_inclusion
from jurat.ledger.query import Events
from jurat.ledger.receipt import describe_batch, sign_receipt
from jurat.merkle.checkpoint import Checkpoint, format_checkpoint
from jurat.merkle.note import sign_note
from jurat.merkle.tree import EMPTY_ROOT, Frontier, hash_leaves, root_of

REFUSALS = (alone.Refused, ValueError, KeyError, IndexError, TypeError, AttributeError)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build(tmp_path_factory.mktemp("alone") / "ws")


@pytest.fixture(scope="module")
def exported(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("alone") / "inference"
    export_log(scene.root, INFERENCE, scene.keys, directory)
    return directory


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    shutil.copytree(exported, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture(scope="module")
def evidence(scene: Scene) -> bytes:
    signer = load_signers(scene.workspace, scene.settings, FixedClock(START_NS))[INFERENCE]
    batch = attacks.entries_of(scene, INFERENCE)[256:456]
    receipt = sign_receipt(describe_batch(signer.public.origin, 256, batch, 10_000), signer.receipt)
    return prove_event(scene.root, Events(scene.root, "main").at("main/inference", 300), scene.keys, receipt)


def keys_of(scene: Scene) -> list[dict[str, object]]:
    return json.loads(log_keys_file(scene.workspace.keys).read_bytes())


def verify(scene: Scene, path: Path, *kept: str) -> str:
    return alone.verify(path, keys_of(scene), list(kept))


def run(scene: Scene, *arguments: object, program: Path | None = None) -> tuple[int, str, str]:
    command = [sys.executable, "-I", program or alone.__file__, "--keys", log_keys_file(scene.workspace.keys), *arguments]
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_it_is_one_short_file_that_imports_nothing_of_ours() -> None:
    source = read_verifier().decode()
    assert source.count("\n") <= 310
    imported = {name.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import) for name in node.names}
    imported |= {str(node.module) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names) == {"cryptography"}


def test_it_runs_alone_from_inside_the_export(scene: Scene, exported: Path, evidence: bytes, tmp_path: Path) -> None:
    program = exported / "verify_log.py"
    assert run(scene, exported, program=program) == (0, "ok: 700 entries of jurat.local/main/inference are what was signed\n", "")
    file = tmp_path / "decision.json"
    file.write_bytes(evidence)
    assert run(scene, file, program=program) == (0, "ok: leaf 300 of 700 in jurat.local/main/inference\n", "")
    file.write_bytes(evidence.replace(b'"outcome":"released"', b'"outcome":"withheld"'))
    assert run(scene, file, program=program) == (1, "", "refused: the event shown is not the one proved\n")
    for noise in (b"", b"[]", b"\xff\xfe", b"[" * 100_000, b"c2sp.org/tlog-proof@v1\n", b'{"format": 1}'):
        file.write_bytes(noise)
        code, out, err = run(scene, file, program=program)
        assert (code, out) == (1, "")
        assert err.startswith("refused: ")
        assert "Traceback" not in err


@pytest.mark.parametrize("log", [INFERENCE, ANCHOR, LogName("main", "error"), LogName("main", "deployment")], ids=str)
def test_every_log_verifies_as_exported(scene: Scene, log: LogName, tmp_path: Path) -> None:
    done = export_log(scene.root, log, scene.keys, tmp_path / "log")
    assert verify(scene, tmp_path / "log") == f"{done.size} entries of jurat.local/{log} are what was signed"


def test_a_proof_file_verifies_and_no_changed_one_does(scene: Scene, tmp_path: Path) -> None:
    file = tmp_path / "decision.tlog-proof"
    raw = prove_inclusion(scene.root, Events(scene.root, "main").at("main/inference", 300), scene.keys)
    file.write_bytes(raw)
    assert verify(scene, file) == "leaf 300 of 700 in jurat.local/main/inference"
    chance = random.Random(11)
    for _ in range(200):
        at = chance.randrange(len(raw))
        file.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << chance.randrange(8)]) + raw[at + 1 :])
        try:
            said = verify(scene, file)
        except REFUSALS:
            continue
        assert said == "leaf 300 of 700 in jurat.local/main/inference", at  # the flip lies in a signature that nobody asked for
        pytest.fail(f"byte {at} may be changed")


def test_no_flipped_bit_in_evidence_is_believed_to_say_something_else(scene: Scene, evidence: bytes, tmp_path: Path) -> None:
    file, chance = tmp_path / "decision.json", random.Random(12)
    for _ in range(200):
        at = chance.randrange(len(evidence))
        file.write_bytes(evidence[:at] + bytes([evidence[at] ^ 1 << chance.randrange(8)]) + evidence[at + 1 :])
        try:
            assert verify(scene, file) == "leaf 300 of 700 in jurat.local/main/inference"
        except REFUSALS:
            continue
        assert json.loads(file.read_bytes()) == json.loads(evidence), at


def flip(path: Path, offset: int) -> None:
    attacks.flip_byte(path, offset)


DAMAGE: list[tuple[str, Callable[[Path], object], str]] = [
    ("an entry", lambda d: flip(d / "tile/entries/001", 61 * 11 + 40), "tile/0/001: hash 267 "),
    ("an entry in the last bundle", lambda d: flip(d / "tile/entries/002.p/188", 61 * 187 + 60), "tile/0/002.p/188: hash 699 "),
    ("a length", lambda d: flip(d / "tile/entries/000", 0), "tile/entries/000: "),
    ("a leaf hash", lambda d: flip(d / "tile/0/002.p/188", 32 * 5), "tile/0/002.p/188: hash 517 "),
    ("a node", lambda d: flip(d / "tile/1/000.p/2", 40), "tile/1/000.p/2: hash 1 "),
    ("the size", lambda d: rewrite(d, b"\n700\n", b"\n512\n"), "signature"),
    ("a signature", lambda d: flip(d / "checkpoint", 200), ""),
    ("a missing tile", lambda d: (d / "tile/0/000").unlink(), "tile/0/000: missing"),
    ("a missing bundle", lambda d: (d / "tile/entries/001").unlink(), "tile/entries/001: missing"),
    ("a cut bundle", lambda d: cut(d / "tile/entries/001", 61 * 250), "tile/entries/001: 250 whole entries, expected 256"),
    ("a cut entry", lambda d: cut(d / "tile/entries/001", 61 * 250 + 7), "tile/entries/001: 0 whole entries, expected 256"),
    ("a longer bundle", lambda d: append(d / "tile/entries/001", b"\0\0"), "tile/entries/001: 257 whole entries, expected 256"),
    ("a cut tile", lambda d: cut(d / "tile/0/001", 32 * 255), "tile/0/001: 8160 bytes, expected 8192"),
    ("a longer tile", lambda d: append(d / "tile/0/001", bytes(32)), "tile/0/001: 8224 bytes, expected 8192"),
    ("a pipe in place of a tile", lambda d: pipe(d / "tile/0/001"), "tile/0/001: missing"),
    ("a pipe in place of the checkpoint", lambda d: pipe(d / "checkpoint"), "checkpoint: missing"),
    ("no checkpoint", lambda d: (d / "checkpoint").unlink(), "checkpoint: missing"),
    ("an empty checkpoint", lambda d: (d / "checkpoint").write_bytes(b""), ""),
]


def rewrite(directory: Path, old: bytes, new: bytes) -> None:
    raw = (directory / "checkpoint").read_bytes()
    assert old in raw
    (directory / "checkpoint").write_bytes(raw.replace(old, new))


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def append(path: Path, raw: bytes) -> None:
    path.write_bytes(path.read_bytes() + raw)


def pipe(path: Path) -> None:
    import os

    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(("change", "said"), [(c, s) for _, c, s in DAMAGE], ids=[name for name, _, _ in DAMAGE])
def test_a_changed_export_is_refused_and_the_place_is_named(scene: Scene, copy: Path, change: Callable[[Path], object], said: str) -> None:
    change(copy)
    with pytest.raises(REFUSALS) as caught:
        verify(scene, copy)
    assert said in str(caught.value)


def replace_entries(directory: Path, entries: list[bytes]) -> None:
    """Put other entries into an export, and every tile above them to match."""
    for number, first in enumerate(range(0, len(entries), 256)):
        some = entries[first : first + 256]
        name = f"{number:03}" + (f".p/{len(some)}" if len(some) < 256 else "")
        (directory / "tile/entries" / name).write_bytes(b"".join(len(e).to_bytes(2) + e for e in some))
        (directory / "tile/0" / name).write_bytes(b"".join(hash_leaves(some)))
    leaves = hash_leaves(entries)
    (directory / "tile/1/000.p/2").write_bytes(b"".join(root_of(leaves[at : at + 256]) for at in (0, 256)))


def test_tiles_rewritten_to_match_do_not_give_the_signed_root(scene: Scene, copy: Path) -> None:
    entries = attacks.entries_of(scene, INFERENCE)
    replace_entries(copy, entries)
    assert verify(scene, copy)
    entries[10], entries[11] = entries[11], entries[10]
    replace_entries(copy, entries)
    with pytest.raises(alone.Refused, match="all were rewritten"):
        verify(scene, copy)


def test_a_split_view_that_the_operator_signed_is_refused_by_a_kept_checkpoint(scene: Scene, copy: Path) -> None:
    kept = scene.checkpoint(INFERENCE)
    entries = attacks.entries_of(scene, INFERENCE)
    entries[10], entries[11] = entries[11], entries[10]
    replace_entries(copy, entries)
    frontier = Frontier()
    frontier.extend(hash_leaves(entries))
    signers = load_signers(scene.workspace, scene.settings, FixedClock(START_NS))[INFERENCE]
    (copy / "checkpoint").write_text(
        sign_note(format_checkpoint(Checkpoint(signers.public.origin, 700, frontier.root())), signers.checkpoint)
    )
    assert verify(scene, copy)
    with pytest.raises(alone.Refused, match="another one than the kept checkpoint"):
        verify(scene, copy, kept)


def test_older_checkpoints_are_met_on_the_way_and_newer_ones_are_a_rollback(scene: Scene, exported: Path, tmp_path: Path) -> None:
    signers = load_signers(scene.workspace, scene.settings, FixedClock(START_NS))[INFERENCE]
    leaves = hash_leaves(attacks.entries_of(scene, INFERENCE))

    def signed(size: int, root: bytes) -> str:
        return sign_note(format_checkpoint(Checkpoint(signers.public.origin, size, root)), signers.checkpoint)

    for size in (1, 255, 256, 257, 511, 512, 513, 699, 700):
        assert verify(scene, exported, signed(size, root_of(leaves[:size])))
    assert verify(scene, exported, signed(0, EMPTY_ROOT))
    with pytest.raises(alone.Refused, match="rolled back"):
        verify(scene, exported, signed(701, bytes(32)))
    with pytest.raises(alone.Refused, match="at size 512"):
        verify(scene, exported, signed(512, bytes(32)))


def test_a_full_tile_may_stand_for_a_partial_one(scene: Scene, copy: Path) -> None:
    entries = attacks.entries_of(scene, INFERENCE)[512:] + [b"later"] * 68
    (copy / "tile/entries/002").write_bytes(b"".join(len(e).to_bytes(2) + e for e in entries))
    (copy / "tile/0/002").write_bytes(b"".join(hash_leaves(entries)))
    shutil.rmtree(copy / "tile/entries/002.p")
    shutil.rmtree(copy / "tile/0/002.p")
    assert verify(scene, copy)


def test_only_the_given_keys_count(scene: Scene, exported: Path, tmp_path: Path) -> None:
    stranger = build(tmp_path / "ws", (2,))
    with pytest.raises(alone.Refused, match="no signature by"):
        verify(stranger, exported)
    with pytest.raises(alone.Refused):
        alone.verify(exported, [], [])
    others = [each for each in keys_of(scene) if each["log"] != "main/inference"]
    with pytest.raises(alone.Refused, match="no keys of log"):
        alone.verify(exported, others, [])
    none = [each | {"vkeys": []} for each in keys_of(scene)]
    with pytest.raises(alone.Refused, match="no keys"):
        alone.verify(exported, none, [])
