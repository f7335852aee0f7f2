"""The mirror against a real S3 server: created once, swapped by compare, verified from there by command; wrong keys are told plainly."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scenes.s3 import BUCKET, S3, SECRET, s3_server
from tests.scenes.sealed_ledger import START_NS, Scene, build, write

from jurat.core.clock import FixedClock
from jurat.core.errors import Conflict, Unavailable
from jurat.ledger.layout import log_keys_file
from jurat.ledger.mirror import push_mirror
from jurat.ledger.objects import ObjectStore
from jurat.ledger.verify_mirror import verify_mirror

pytestmark = pytest.mark.timeout(180)
URL = f"s3://{BUCKET}/a/mirror"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as found:
        yield found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build(tmp_path_factory.mktemp("mirror-s3") / "ws")


def test_conditional_puts_are_the_servers_own(s3: S3) -> None:
    store = ObjectStore(f"s3://{BUCKET}/conditions", config=s3.config)
    assert store.create("a/tile", b"one")
    assert not store.create("a/tile", b"one"), "the same bytes again are no fault"
    with pytest.raises(Conflict, match="with other bytes"):
        store.create("a/tile", b"two")
    assert store.read("a/tile") == b"one"
    stale = store.hold("a/tile")
    store.swap("a/tile", stale, b"next")
    with pytest.raises(Conflict, match="changed meanwhile"):
        store.swap("a/tile", stale, b"another")
    assert store.read("a/tile") == b"next"
    assert store.read("a/none") is None
    store.remove(["a/tile"])
    assert list(store.names()) == []


def test_a_mirror_is_pushed_grows_and_is_verified_from_there_by_command(s3: S3, scene: Scene) -> None:
    store = ObjectStore(URL, config=s3.config)
    assert push_mirror(scene.root, "main", scene.keys, store).logs["main/inference"] == 700
    write(scene, FixedClock(START_NS + 10**12), (60,), archived_rounds=1, epoch=2)
    assert push_mirror(scene.root, "main", scene.keys, store).logs["main/inference"] == 760
    assert verify_mirror(store, scene.keys).faults == []
    keys = str(log_keys_file(scene.workspace.keys))
    for command in (["archive", "verify", URL, "--keys", keys], ["verify", URL, "--keys", keys]):
        argv = [sys.executable, "-m", "jurat.cli.main", "-C", str(scene.workspace.root), *command]
        done = subprocess.run(argv, env={**os.environ, **s3.environment}, capture_output=True, text=True, check=False, timeout=120)
        assert (done.returncode, "are what was sealed" in done.stdout) == (0, True), done.stderr
    store.remove(["main/inference/tile/entries/001"])
    done = subprocess.run(argv, env={**os.environ, **s3.environment}, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, "entries_missing" in done.stdout) == (6, True), done.stdout


def test_a_wrong_secret_is_refused_and_repeated_nowhere(s3: S3, scene: Scene, tmp_path: Path) -> None:
    wrong = {**s3.config, "aws_secret_access_key": SECRET[::-1]}
    with pytest.raises(Unavailable, match="could not be reached") as told:
        push_mirror(scene.root, "main", scene.keys, ObjectStore(URL, config=wrong))
    assert SECRET[::-1] not in told.value.detail + told.value.hint
    assert not list(tmp_path.iterdir())
