"""Any damage to any file of a ledger is a named fault, never an exception and never silence."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scenes.sealed_ledger import Scene, build

from jurat.ledger.faults import Fault
from jurat.ledger.journal import scan

SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 10))]
SECONDS = 10  # an answer must come within; a verifier that hangs has failed


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    built = build(tmp_path_factory.mktemp("damage") / "ws")
    assert built.verify().is_clean
    return built


def files_of(scene: Scene) -> list[Path]:
    files = [path for path in sorted(scene.root.rglob("*")) if path.is_file() and path.stat().st_size]
    assert {path.name for path in files} >= {"entries", "L0", "L1", "checkpoint", "uuid", "00000001.wal", "manifest-1.json"}
    return files


def used_size(scene: Scene, path: Path) -> int:
    """Return how much of a file means something. Of the journal's last group a torn header cannot be told from a crash."""
    if path.suffix != ".wal":
        return path.stat().st_size
    placed = list(scan(path.parent))
    last_group = placed[-1].end.group
    return next(each.start.offset for each in placed if each.record.header.group == last_group)


def verify_quickly(scene: Scene) -> list[Fault]:
    begun = time.monotonic()
    report = scene.verify()
    assert time.monotonic() - begun < SECONDS
    return report.faults


def named(scene: Scene, path: Path, faults: list[Fault]) -> bool:
    """Tell whether a fault names the file, or else the log and the place in it."""
    relative = path.relative_to(scene.root).as_posix()
    expected = {"uuid": "journal", "manifest-1.json": "main/events"}.get(path.name, relative)
    return any(fault.file == expected or fault.file.startswith(f"{relative}:") or fault.what == "row_missing" for fault in faults)


def is_harmless(path: Path, original: bytes, changed: bytes) -> bool:
    """Tell whether the change means nothing: the journal's identity is hex text, whatever its case and line end."""
    return path.name == "uuid" and original.lower().split() == changed.lower().split()


@pytest.mark.parametrize("seed", SEEDS)
def test_flipped_bits(scene: Scene, seed: int) -> None:
    chance = random.Random(seed)
    for path in files_of(scene):
        original = path.read_bytes()
        for _ in range(12 if path.suffix in (".parquet", ".wal") else 2):
            at, mask = chance.randrange(used_size(scene, path)), 1 << chance.randrange(8)
            changed = original[:at] + bytes([original[at] ^ mask]) + original[at + 1 :]
            if is_harmless(path, original, changed):
                continue
            try:
                path.write_bytes(changed)
                faults = verify_quickly(scene)
            finally:
                path.write_bytes(original)
            assert faults, f"{path.name} byte {at} mask {mask}"
            assert named(scene, path, faults), f"{path.name} byte {at}: {faults}"
    assert scene.verify().is_clean


@pytest.mark.parametrize("seed", SEEDS)
def test_files_cut_filled_and_removed(scene: Scene, seed: int) -> None:
    chance = random.Random(seed)
    for path in files_of(scene):
        original = path.read_bytes()
        size = used_size(scene, path)
        for changed in _cuts(original, size, chance):
            if changed is not None and is_harmless(path, original, changed):
                continue
            try:
                if changed is None:
                    path.unlink()
                else:
                    path.write_bytes(changed)
                faults = verify_quickly(scene)
            finally:
                path.write_bytes(original)
            # Without a manifest nothing was ever archived; the journal of this ledger still has every event.
            if changed is not None or not path.name.startswith("manifest"):
                assert faults, f"{path.name} as {None if changed is None else len(changed)} bytes"
    assert scene.verify().is_clean


def _cuts(original: bytes, size: int, chance: random.Random) -> Iterator[bytes | None]:
    yield None
    yield b""
    yield original[: chance.randrange(size)]
    at = chance.randrange(size)
    width = min(size - at, chance.randrange(1, 200))
    noise = chance.randbytes(width)
    if noise != original[at : at + width]:
        yield original[:at] + noise + original[at + width :]
    yield chance.randbytes(size)


def test_directories_in_the_place_of_files(scene: Scene) -> None:
    for path in files_of(scene):
        original = path.read_bytes()
        path.unlink()
        path.mkdir()
        try:
            faults = verify_quickly(scene)
        finally:
            path.rmdir()
            path.write_bytes(original)
        assert faults or path.name.startswith("manifest"), path.name
