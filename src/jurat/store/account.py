"""Which account PostgreSQL runs under. Its servers refuse root, so root has to lend them somebody else.

Knows accounts and how to start a child under one. Nothing here changes the mode or owner of a path.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from jurat.core.errors import Malformed, Unavailable

CHILD_ENVIRONMENT: Final = {"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}  # whole: no `PG*` variable reaches a child
_CUSTOMARY: Final = ("jurat", "postgres")
_SHARED: Final = "nobody"  # other programs use it too, so only for data that will be thrown away


class Account(NamedTuple):
    """An unprivileged account of this machine."""

    name: str
    uid: int
    gid: int


def choose_account(setting: str, *, throwaway: bool) -> Account | None:
    """Return the account for a new cluster; None when we are not root and run it as ourselves.

    Args:
        setting: `database_user`; empty for the customary ones.
        throwaway: the data is a demo's or a test's, so the shared account `nobody` will do.
    Raises:
        Malformed: `setting` names root, or nobody on this machine.
        Unavailable: there is no account that may be used.
    """
    if os.geteuid() != 0:
        return None
    if setting:
        return account_named(setting)
    for name in (*_CUSTOMARY, _SHARED) if throwaway else _CUSTOMARY:
        try:
            return account_named(name)
        except Malformed:
            continue
    raise Unavailable(
        "PostgreSQL refuses to run as root, and this machine has no account `jurat` or `postgres` for it",
        hint="run jurat as an ordinary user; or make an account: `useradd --system jurat`; or name one as `database_user` in jurat.toml",
        code="no_database_account",
    )


def account_named(name: str) -> Account:
    """Return the account of that name.

    Raises:
        Malformed: there is none, or it is root under any name.
    """
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise Malformed(f"`database_user` is `{name}`, and this machine has no such account", hint="make it, or name another one") from None
    return _unprivileged(entry)


def account_owning(path: Path) -> Account | None:
    """Return the account that owns an existing data directory; None when that is ourselves and we are not root.

    Raises:
        Unavailable: root owns it, or somebody else does and we may not act for them.
    """
    owner = path.stat().st_uid
    if os.geteuid() != 0:
        if owner != os.geteuid():
            raise Unavailable(
                f"the database in `{path}` belongs to user id {owner}, and jurat runs as user id {os.geteuid()}",
                hint="run jurat as the user that made the workspace, or as root",
                code="not_our_database",
            )
        return None
    try:
        return _unprivileged(pwd.getpwuid(owner))
    except KeyError:
        return Account(str(owner), owner, path.stat().st_gid)  # a number without a name is an account all the same
    except Malformed:
        raise Unavailable(
            f"the database in `{path}` belongs to root, and PostgreSQL refuses to run as root",
            hint="give the directory to an ordinary account with `chown -R`",
            code="not_our_database",
        ) from None


def child_arguments(account: Account | None) -> dict[str, Any]:
    """Return the arguments of `subprocess.Popen` that start a child under the account, in a clean environment."""
    drop = {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}
    return {"env": CHILD_ENVIRONMENT, "cwd": "/", "stdin": subprocess.DEVNULL, **drop}


def can_enter(directory: Path, account: Account | None) -> bool:
    """Return whether the account can reach the directory. The kernel is asked: mode bits alone do not say it."""
    return succeeds(["/bin/sh", "-c", 'cd -- "$1"', "sh", str(directory)], account)


def succeeds(command: Sequence[str], account: Account | None) -> bool:
    """Return whether a harmless command ends well under the account."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=30, check=False, **child_arguments(account))
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _unprivileged(entry: pwd.struct_passwd) -> Account:
    if entry.pw_uid == 0:
        raise Malformed(f"`database_user` is `{entry.pw_name}`, which is root, and PostgreSQL refuses to run as root")
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
