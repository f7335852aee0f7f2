"""A git repository as a poor man's witness: each checkpoint of the anchor log becomes a commit, if it follows from the last.

    <hex SHA256(origin)>/checkpoint    the newest one, as it was signed

No key and no clock of its own: what it is worth lies in where it is pushed, and in who pulls. The same law as a
witness's decides (`witness`), with the repository's HEAD as its memory, so a rollback or a fork is never committed.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from jurat.core.errors import Tampered, Unavailable
from jurat.core.files import write_whole
from jurat.core.workspace import Workspace
from jurat.ledger.arrays import ArrayReader
from jurat.ledger.layout import ANCHOR, checkpoint_file, hash_origin
from jurat.ledger.verify_checkpoints import open_checkpoint
from jurat.ledger.witness import Refusal, Request, judge, open_submission
from jurat.ledger.witnessed import anchor_keys
from jurat.merkle.checkpoint import Checkpoint
from jurat.merkle.note import verifiers_of
from jurat.merkle.tree import consistency_path

_TIMEOUT_S: Final = 30.0
_WHO: Final = {"GIT_AUTHOR_NAME": "jurat", "GIT_AUTHOR_EMAIL": "jurat@localhost"}
_COMMITTER: Final = {"GIT_COMMITTER_NAME": "jurat", "GIT_COMMITTER_EMAIL": "jurat@localhost"}


class GitWitness:
    """One repository that holds one workspace's checkpoints.

    Raises (on construction):
        Unavailable: there is no git.
        Malformed: the workspace has no key of its anchor log.
    """

    def __init__(self, repository: Path, workspace: Workspace) -> None:
        self._repository, self._workspace = repository, workspace
        self._keys = anchor_keys(workspace)
        self._place = f"{hash_origin(self._keys.origin).hex()}/checkpoint"
        self.size = 0
        if not (repository / ".git").exists():
            repository.mkdir(parents=True, exist_ok=True)
            self._git("init", "--quiet")

    def step(self) -> int | None:
        """Commit the newest public checkpoint; return its size, or None if it was there already.

        Raises:
            Tampered: it does not follow from the one in the repository, or is not signed by every key; nothing is committed.
            Unavailable: git or the disk failed.
        """
        try:
            note = checkpoint_file(self._workspace.ledger, ANCHOR).read_text("utf-8")
        except OSError as error:
            raise Unavailable(f"the anchor log has no checkpoint: {(error.strerror or str(error)).lower()}") from error
        new = open_checkpoint(note, self._keys)
        last = self._last()
        self.size = last.size if last else 0
        if last == new:
            return None
        if last is not None and new.size < last.size:
            raise self._refuse(f"it is at size `{last.size}`, the ledger at `{new.size}`")
        request = Request(self.size, self._proof(self.size, new.size), note)
        submission = open_submission(request, {self._keys.origin: lambda size: verifiers_of(self._keys.vkeys_at(size))})
        refusal = submission if isinstance(submission, Refusal) else judge(request, submission, last)
        if refusal is not None:
            raise self._refuse(refusal.body.strip())
        path = self._repository / self._place
        path.parent.mkdir(exist_ok=True)
        write_whole(path, note.encode())
        self._git("add", "--", self._place)
        self._git("commit", "--quiet", "--no-verify", "--no-gpg-sign", "-m", f"{self._keys.origin} at size {new.size}", "--", self._place)
        self.size = new.size
        return new.size

    def _last(self) -> Checkpoint | None:
        """Return the checkpoint in HEAD: what is committed counts, not what lies in the directory."""
        if not self._git("rev-parse", "--quiet", "--verify", "HEAD", may_fail=True):
            return None
        if not self._git("ls-tree", "HEAD", "--", self._place):
            return None
        return open_checkpoint(self._git("show", f"HEAD:{self._place}"), self._keys)

    def _proof(self, old: int, new: int) -> tuple[bytes, ...]:
        if not 0 < old < new:
            return ()
        reader = ArrayReader(ANCHOR.directory(self._workspace.ledger), ANCHOR.entry_size)
        try:
            return tuple(consistency_path(old, new, reader.node))
        finally:
            reader.close()

    def _refuse(self, why: str) -> Tampered:
        return Tampered(
            f"the anchor log's checkpoint does not follow from the one in `{self._repository}`: {why}",
            hint="the ledger was rolled back, or is a fork: keep both as they are, and call whoever answers for this ledger",
            code="forked",
        )

    def _git(self, *words: str, may_fail: bool = False) -> str:
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self._repository), "LC_ALL": "C", **_WHO, **_COMMITTER}
        try:
            done = subprocess.run(
                ["git", "-C", str(self._repository), *words], capture_output=True, env=environment, timeout=_TIMEOUT_S, check=False  # noqa: S607
            )  # fmt: skip
        except FileNotFoundError:
            raise Unavailable("there is no `git` here", hint="install it, or use `jurat witness serve`") from None
        except subprocess.TimeoutExpired:
            raise Unavailable(f"`git {words[0]}` took more than {_TIMEOUT_S:g} s") from None
        if done.returncode and not may_fail:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise Unavailable(f"`git {words[0]}` failed in `{self._repository}`: {said[-1][:200] if said else done.returncode}")
        return "" if done.returncode else done.stdout.decode("utf-8", "replace")
