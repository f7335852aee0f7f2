"""A git repository as a witness: what follows is committed, what does not is refused, and what is committed counts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.scenes.sealed_ledger import START_NS, Scene, build, write

from jurat.core.clock import FixedClock
from jurat.core.errors import Tampered, Unavailable
from jurat.ledger.layout import ANCHOR, checkpoint_file, hash_origin
from jurat.ledger.witness_git import GitWitness

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return build(tmp_path / "ledger", (30, 20))


def grow(scene: Scene, count: int = 5, epoch: int = 2) -> None:
    write(scene, FixedClock(START_NS + 5 * 10**9), (count,), archived_rounds=0, epoch=epoch)


def commits(repository: Path) -> list[str]:
    done = subprocess.run(["git", "-C", repository, "log", "--format=%s"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_each_checkpoint_that_follows_is_one_commit(scene: Scene, tmp_path: Path) -> None:
    holder = GitWitness(tmp_path / "held", scene.workspace)
    first = holder.step()
    assert holder.step() is None
    grow(scene)
    second = holder.step()
    assert first is not None
    assert second is not None
    assert first < second
    assert commits(tmp_path / "held") == [f"jurat.local/anchor at size {second}", f"jurat.local/anchor at size {first}"]
    place = tmp_path / "held" / hash_origin("jurat.local/anchor").hex() / "checkpoint"
    assert place.read_bytes() == checkpoint_file(scene.root, ANCHOR).read_bytes()


def test_a_rollback_and_a_fork_are_refused_and_not_committed(scene: Scene, tmp_path: Path) -> None:
    old, twin = scene.copy_to(tmp_path / "old"), scene.copy_to(tmp_path / "twin")
    grow(scene)
    size = GitWitness(tmp_path / "held", scene.workspace).step()
    with pytest.raises(Tampered, match=f"at size `{size}`"):
        GitWitness(tmp_path / "held", old.workspace).step()
    grow(twin, 7, epoch=3)
    with pytest.raises(Tampered, match="another root"):
        GitWitness(tmp_path / "held", twin.workspace).step()
    grow(twin, 3, epoch=4)
    with pytest.raises(Tampered, match="proof does not hold"):
        GitWitness(tmp_path / "held", twin.workspace).step()
    assert len(commits(tmp_path / "held")) == 1


def test_a_file_changed_in_the_directory_changes_nothing(scene: Scene, tmp_path: Path) -> None:
    holder = GitWitness(tmp_path / "held", scene.workspace)
    holder.step()
    place = tmp_path / "held" / hash_origin("jurat.local/anchor").hex() / "checkpoint"
    place.write_text("forged\n")
    grow(scene)
    assert holder.step() is not None
    assert place.read_bytes() == checkpoint_file(scene.root, ANCHOR).read_bytes()


def test_a_committed_forgery_is_said_to_be_one(scene: Scene, tmp_path: Path) -> None:
    holder = GitWitness(tmp_path / "held", scene.workspace)
    holder.step()
    place = tmp_path / "held" / hash_origin("jurat.local/anchor").hex() / "checkpoint"
    place.write_text(place.read_text().replace("\n2\n", "\n1\n").replace("\n4\n", "\n1\n"))
    who = ["-c", "user.name=x", "-c", "user.email=x@x"]
    subprocess.run(["git", "-C", tmp_path / "held", *who, "commit", "-qam", "forged"], check=True)
    with pytest.raises(Tampered):
        holder.step()


def test_a_checkpoint_that_is_not_signed_is_never_committed(scene: Scene, tmp_path: Path) -> None:
    path = checkpoint_file(scene.root, ANCHOR)
    path.write_text(path.read_text().rpartition("— ")[0])
    with pytest.raises(Tampered, match="signatures"):
        GitWitness(tmp_path / "held", scene.workspace).step()
    assert not (tmp_path / "held" / hash_origin("jurat.local/anchor").hex()).exists()


def test_a_repository_that_cannot_be_written_is_said_so(scene: Scene, tmp_path: Path) -> None:
    holder = GitWitness(tmp_path / "held", scene.workspace)
    holder.step()
    grow(scene)
    (tmp_path / "held" / ".git" / "index.lock").touch()
    with pytest.raises(Unavailable, match="`git add` failed"):
        holder.step()
    (tmp_path / "held" / ".git" / "index.lock").unlink()
    assert holder.step() is not None
