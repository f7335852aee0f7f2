"""Whose the archive is for now. Its follower keeps it; whoever must rewrite it asks for it, and the follower lets go.

Two flocks in the archive's folder, so that no death leaves one behind: `.lock` is held by whoever keeps the archive, `.wanted`
by whoever asks for it. The follower looks at the second between its steps.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from jurat.core.clock import Clock
from jurat.core.errors import Conflict, Unavailable
from jurat.ledger.archive import Follower
from jurat.ledger.layout import events_directory

_PATIENCE_S: Final = 60.0  # a step may archive 200,000 rows, or merge a large file
_PAUSE_S: Final = 0.05


def is_wanted(ledger_root: Path, tenant: str) -> bool:
    """Whether somebody asks for the archive."""
    descriptor = _open(ledger_root, tenant)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextlib.contextmanager
def claimed_archive(ledger_root: Path, tenant: str, *, clock: Clock | None = None, patience_s: float = _PATIENCE_S) -> Iterator[Follower]:
    """Keep the archive for the length of the block, in place of the follower that usually does.

    Raises:
        Unavailable: it does not let go in time, or somebody else rewrites the archive.
    """
    descriptor = _open(ledger_root, tenant)
    deadline = time.monotonic() + patience_s
    try:
        while not _is_taken(descriptor):
            _wait_until(deadline)
        while True:
            try:
                follower = Follower(ledger_root, tenant, clock=clock)
                break
            except Conflict:
                _wait_until(deadline)
        with follower:
            yield follower
    finally:
        os.close(descriptor)


def _is_taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_until(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise Unavailable(
            "the archive is kept by another process, which does not let go",
            hint="is another erasure or retention run under way? try again when it has ended",
            code="archive_locked",
        )
    time.sleep(_PAUSE_S)


def _open(ledger_root: Path, tenant: str) -> int:
    events = events_directory(ledger_root, tenant)
    events.mkdir(parents=True, exist_ok=True)
    return os.open(events / ".wanted", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
