"""Artefacts of any size in bounded memory, here and in an object store; a registration that is killed leaves nothing that counts."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.scenes.s3 import BUCKET, s3_server

from jurat.app.artefacts import artefact_path, put_artefact
from jurat.core.errors import Malformed, NotFound

KEEP = "import sys; from pathlib import Path; from jurat.app.artefacts import *\n"
ROOM_BYTES = 256 << 20  # for Python and all that it imports


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ROOM_BYTES, ROOM_BYTES))


def sparse(path: Path, size_bytes: int) -> Path:
    with path.open("wb") as file:
        file.write(b"weights")
        file.truncate(size_bytes)
    return path


def keep_in_little_memory(tmp_path: Path, size_bytes: int) -> Path:
    big = sparse(tmp_path / "big.bin", size_bytes)
    code = KEEP + "with open_artefact(Path(sys.argv[1])) as f: print(put_artefact(Path(sys.argv[2]), f))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(big), str(tmp_path / "store")], capture_output=True, text=True, preexec_fn=limited, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-500:]
    kept = artefact_path(tmp_path / "store", done.stdout.strip())
    assert kept.stat().st_size == size_bytes
    assert kept.stat().st_blocks * 512 < 64 << 20, "a hole stays a hole"
    return kept


def test_a_large_file_is_kept_in_bounded_memory(tmp_path: Path) -> None:
    kept = keep_in_little_memory(tmp_path, 2 * ROOM_BYTES)
    with kept.open("rb") as file:
        assert kept.name == hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twenty_gigabytes_are_kept_in_bounded_memory(tmp_path: Path) -> None:
    keep_in_little_memory(tmp_path, 20 * 10**9)


def test_whoever_is_killed_while_keeping_a_file_leaves_nothing_under_a_digest(tmp_path: Path) -> None:
    store = tmp_path / "store"
    code = KEEP + "put_artefact(Path(sys.argv[1]), sys.stdin.buffer)"
    with subprocess.Popen([sys.executable, "-c", code, str(store)], stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        child.stdin.write(b"x" * (8 << 20))
        child.stdin.flush()
        child.send_signal(signal.SIGKILL)
        child.stdin.close()
        assert child.wait() == -signal.SIGKILL
    assert [path for path in store.rglob("*") if path.is_file() and not path.name.endswith(".tmp")] == []
    whole = tmp_path / "whole"
    whole.write_bytes(b"x" * (8 << 20))
    with whole.open("rb") as file:
        assert artefact_path(store, put_artefact(store, file)).is_file()


@pytest.mark.timeout(180)
def test_a_file_lies_in_an_object_store_under_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jurat.app.references import read_reference, store_elsewhere

    (tmp_path / "s3").mkdir()
    with s3_server(tmp_path / "s3") as s3:
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        weights = tmp_path / "weights.bin"
        weights.write_bytes(os.urandom(1 << 20) * 20)  # several pieces
        source, seen = store_elsewhere(f"s3://{BUCKET}/models", weights)
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        assert (source, seen.digest, seen.size_bytes) == (f"s3://{BUCKET}/models/{digest[:2]}/{digest}", f"sha256:{digest}", 20 << 20)
        assert read_reference(source) == seen
        with pytest.raises(NotFound):
            read_reference(f"s3://{BUCKET}/models/nothing")
        with pytest.raises(Malformed):
            read_reference(f"s3://key:secret@{BUCKET}/models/x")
