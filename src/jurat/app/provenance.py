"""Where a version comes from, read by Jurat itself: repository, lock, machine. Runs git, nothing of the repository's own."""

from __future__ import annotations

import os
import platform
import subprocess
import tomllib
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from jurat.core.errors import Malformed, NotFound, Unavailable
from jurat.domain.packages import Lock, canonical, read_lock

LOCKS: Final = ("uv.lock", "poetry.lock", "pdm.lock", "requirements.lock", "requirements.txt")
_TIMEOUT_S: Final = 60.0
_MOST_LOCK_BYTES: Final = 8 * 2**20
_SAFE: Final = (
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "protocol.ext.allow=never",
)  # a repository's settings can name programs


class Repository(NamedTuple):
    """A git work tree, as it stands. `changed`: files that differ from the commit, or that it does not know."""

    root: Path
    url: str  # without credentials; the folder's name where there is no remote
    commit: str
    branch: str
    changed: list[str]


def read_repository(folder: Path) -> Repository:
    """Return what git says of a folder.

    Raises:
        NotFound: it is in no repository, or nothing was committed yet.
        Unavailable: there is no git.
    """
    root = Path(_git(folder, "rev-parse", "--show-toplevel"))
    commit = _git(root, "rev-parse", "--verify", "HEAD^{commit}")
    status = _git(root, "status", "--porcelain=v1", "-z", "--untracked-files=normal", "--ignore-submodules=none")
    changed = sorted(entry[3:] for entry in status.split("\0") if len(entry) > 3)
    branch = _git(root, "rev-parse", "--abbrev-ref", "HEAD")
    return Repository(root, _remote(root), commit, "(detached)" if branch == "HEAD" else branch, changed)


def archive_of(repository: Repository) -> subprocess.Popen[bytes]:
    """Return a running `git archive` of the commit: the same commit gives the same bytes, whatever lies in the work tree."""
    return subprocess.Popen(
        ["git", "-C", str(repository.root), *_SAFE, "archive", "--format=tar", repository.commit],  # noqa: S607
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment(),
    )  # fmt: skip


def output_of(process: subprocess.Popen[bytes]) -> BinaryIO:
    assert process.stdout is not None
    return process.stdout  # type: ignore[return-value]


def find_lock(root: Path) -> Path:
    """Return the lock of a repository.

    Raises:
        NotFound: it has none that is known.
    """
    for name in LOCKS:
        if (root / name).is_file() and not (root / name).is_symlink():
            return root / name
    raise NotFound(
        f"`{root.name}` has no lock file: none of {', '.join(LOCKS)}", hint="name one with `--lock FILE`; `pip freeze` makes one"
    )


def packages_of(lock: Path) -> Lock:
    """Return what a lock pins: a requirements file, or a TOML lock (uv, Poetry, PDM).

    Raises:
        Malformed: it is neither, or too large.
    """
    try:
        with lock.open("rb") as file:
            raw = file.read(_MOST_LOCK_BYTES + 1)
        text = raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise Malformed(f"lock `{lock.name}` cannot be read as text") from error
    if len(raw) > _MOST_LOCK_BYTES:
        raise Malformed(f"lock `{lock.name}` is larger than {_MOST_LOCK_BYTES} bytes")
    if lock.name not in ("uv.lock", "poetry.lock", "pdm.lock") and lock.suffix != ".toml":
        return read_lock(text)
    try:
        found = tomllib.loads(text).get("package", [])
        pins = {f"{canonical(each['name'])}=={each['version']}" for each in found if "version" in each}
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise Malformed(f"lock `{lock.name}` is not what its name says", hint="name another with `--lock FILE`") from error
    return Lock(sorted(pins), len(found) - len(pins))


def describe_machine() -> str:
    """Return the machine and the Python that run this."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{platform.machine()}, {cores} cores, {platform.system()}, Python {platform.python_version()}"


def _remote(root: Path) -> str:
    try:
        url = _git(root, "remote", "get-url", "origin")
    except NotFound:
        return root.name
    parts = urlsplit(url)
    if parts.scheme and parts.hostname:  # a token in a remote's address is a secret
        host = parts.hostname + (f":{parts.port}" if parts.port else "")
        return urlunsplit((parts.scheme, host, parts.path, "", ""))
    return url.rpartition("@")[2] if "@" in url and ":" in url.rpartition("@")[2] else Path(url).name


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *_SAFE, *words],  # noqa: S607
            capture_output=True, check=False, timeout=_TIMEOUT_S, env=_environment(), stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError:
        raise Unavailable("there is no `git` here", hint="install it, or say repository, commit and branch in a file: `--from`") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"`git {words[0]}` did not answer within {_TIMEOUT_S:g} s") from None
    if done.returncode != 0:
        raise NotFound(
            f"`{folder}` is not a git work tree with a commit",
            hint="go into the repository that trained it, name one with `--repo`, or use `--from`",
        )
    return done.stdout.decode("utf-8", "replace").rstrip("\n")


def _environment() -> dict[str, str]:
    return {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
