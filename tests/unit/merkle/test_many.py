"""The compiled loop, and what stands in for it, hash as `hashlib` does; what does not hash so is not used. And the build leaves one."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import random
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jurat.merkle import many

SOURCE = Path(many.__file__).with_name("many.c")
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
HOOK = Path(__file__).parents[3] / "hatch_build.py"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> many.Kernel:
    """The loop, compiled anew, whether or not the package was built with one."""
    if COMPILER is None:
        pytest.skip("no C compiler here")
    library = tmp_path_factory.mktemp("many") / "libmany.so"
    subprocess.run([COMPILER, "-O2", "-Wall", "-Wextra", "-Werror", "-std=c11", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    kernel = many.load_kernel(library)
    assert kernel is not None
    return kernel


@pytest.fixture(params=["compiled", "hashlib"])
def _kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "_kernel", request.getfixturevalue("compiled") if request.param == "compiled" else None)


def joined(pieces: list[bytes]) -> bytes:
    ends, end = [], 0
    for piece in pieces:
        end += len(piece)
        ends.append(end)
    return struct.pack(f"={len(ends)}Q", *ends)


@pytest.mark.usefixtures("_kernel")
@pytest.mark.parametrize("count", [0, 1, 5, 6, 7, 300])
def test_rows_and_pieces_of_all_sizes(count: int) -> None:
    chance = random.Random(count)
    rows = [chance.randbytes(59) for _ in range(count)]
    assert many.hash_rows(b"\x00", b"".join(rows), 59) == b"".join(hashlib.sha256(b"\x00" + row).digest() for row in rows)
    pieces = [chance.randbytes(chance.choice((0, 1, 55, 56, 63, 64, 65, 119, 600, 70_000))) for _ in range(count)]
    assert many.hash_pieces(b"d\x00", b"".join(pieces), joined(pieces)) == b"".join(hashlib.sha256(b"d\x00" + p).digest() for p in pieces)
    salted = many.hash_pieces(b"", b"".join(pieces), joined(pieces), rows=b"".join(rows), width=59)
    assert many.split_digests(salted) == [hashlib.sha256(row + piece).digest() for row, piece in zip(rows, pieces, strict=True)]


@pytest.mark.usefixtures("_kernel")
@pytest.mark.parametrize("ends", [[1, 2, 3, 4, 5, 6, 8], [1, 2, 3, 2, 5, 6, 7], [2**64 - 1] * 7, [8], [3, 2]])
def test_a_piece_never_lies_outside(ends: list[int]) -> None:
    with pytest.raises(ValueError, match="does not lie within 7 bytes"):
        many.hash_pieces(b"", b"1234567", struct.pack(f"={len(ends)}Q", *ends))


@pytest.mark.usefixtures("_kernel")
def test_half_a_row_is_refused() -> None:
    for rows, width in ((b"x" * 60, 59), (b"x", 0)):
        with pytest.raises(ValueError, match="are not rows of"):
            many.hash_rows(b"", rows, width)
    with pytest.raises(ValueError, match="are not 2 rows of 3"):
        many.hash_pieces(b"", b"ab", joined([b"a", b"b"]), rows=b"12345", width=3)


@pytest.mark.usefixtures("compiled")
def test_a_loop_that_hashes_otherwise_is_not_used(tmp_path: Path) -> None:
    lying = tmp_path / "many.c"
    lying.write_text(SOURCE.read_text("utf-8").replace("update(context, prefix, prefix_size)", "update(context, prefix, 0)"))
    subprocess.run([str(COMPILER), "-shared", "-fPIC", "-o", tmp_path / "libmany.so", lying], check=True)
    assert many.load_kernel(tmp_path / "libmany.so") is None


def test_none_is_no_error(tmp_path: Path) -> None:
    assert many.load_kernel(tmp_path / "absent.so") is None
    (tmp_path / "text.so").write_text("not a library")
    assert many.load_kernel(tmp_path / "text.so") is None


@pytest.mark.skipif(COMPILER is None or os.environ.get("CC") == "", reason="no C compiler here, or none is wanted")
def test_where_there_is_a_compiler_the_package_hashes_by_the_loop() -> None:
    """Slow is silent: without this nobody would notice a build that left no loop. After installing a compiler `make -B setup`."""
    assert many._kernel is not None


class Told:
    """Stands for the builder's terminal."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def display_warning(self, text: str) -> None:
        self.warnings.append(text)


def build(root: Path, version: str) -> tuple[dict[str, Any], list[str], bool]:
    """Run the build's hook on a copy of the source; return what it says of the wheel, what it warned of, whether a loop is there."""
    spec = importlib.util.spec_from_file_location("hatch_build", HOOK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    source = root / "src/jurat/merkle/many.c"
    source.parent.mkdir(parents=True)
    shutil.copy(SOURCE, source)
    source.with_name("libmany.so").write_text("of an earlier build")
    told, said = Told(), {"artifacts": []}
    module.KernelHook(str(root), {}, None, None, "", "wheel", told).initialize(version, said)
    return said, told.warnings, source.with_name("libmany.so").exists()


@pytest.mark.parametrize(("compiler", "warning"), [("", "no C compiler"), ("false", "could not be compiled")])
def test_a_build_without_a_compiler_is_whole_of_no_platform_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiler: str, warning: str
) -> None:
    monkeypatch.setenv("CC", compiler)
    said, warnings, is_there = build(tmp_path, "standard")
    assert (said, is_there) == ({"artifacts": []}, False), "nor is an older loop left beside a newer source"
    (only,) = warnings
    assert warning in only


@pytest.mark.usefixtures("compiled")
def test_a_wheel_with_the_loop_is_of_one_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CC", raising=False)
    said, warnings, is_there = build(tmp_path / "wheel", "standard")
    assert (said["artifacts"], said["pure_python"], warnings, is_there) == (["/src/jurat/merkle/libmany.so"], False, [], True)
    assert said["tag"].startswith("py3-none-")
    assert not said["tag"].endswith("-any")
    assert many.load_kernel(tmp_path / "wheel/src/jurat/merkle/libmany.so") is not None
    assert build(tmp_path / "editable", "editable") == ({"artifacts": []}, [], True), "there the folder itself is the package"
