"""The archive's process: sealed events → Parquet, as they fall due. `python -m jurat.worker.archive <workspace>`, started by the tree.

A process of its own, because making columns keeps a core busy under load, and the relay must move an act within milliseconds.
It lets go of the archive when an erasure or an expiry wants it, and takes it up again. What cannot be explained
(`Tampered`) ends it with its reason.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Final

from jurat.app.process import parse_birth, stop_on_signals, watch_parent
from jurat.core.errors import Conflict, JuratError, Tampered, Unavailable
from jurat.core.last_words import format_last_words, say
from jurat.core.settings import load_settings
from jurat.core.workspace import Workspace
from jurat.ledger.archive import Follower
from jurat.ledger.claim import is_wanted
from jurat.ledger.memory import keep_freed_memory

_PAUSE_S: Final = 0.2
_COMPACT_EVERY_S: Final = 300.0


def main() -> int:
    """Run until told to stop; the exit code says why it ended."""
    born = parse_birth()
    stopping = stop_on_signals()
    watch_parent(born.parent_fd)
    keep_freed_memory()
    born.say_ready()
    try:
        keep_archive(born.workspace, stopping)
    except JuratError as error:
        say(format_last_words(error))
        return error.exit_code
    return 0


def keep_archive(workspace: Workspace, stopping: threading.Event) -> None:
    """Archive sealed events as they fall due, and merge small files now and then."""
    compacted_s, tenant = time.monotonic(), load_settings(workspace).tenant
    while not stopping.is_set():
        if is_wanted(workspace.ledger, tenant):  # an erasure, or an expiry: it rewrites the archive, and lets go
            stopping.wait(_PAUSE_S)
            continue
        try:
            compacted_s = _follow(workspace, tenant, stopping, compacted_s)
        except Conflict:  # it was taken since we looked
            if not is_wanted(workspace.ledger, tenant):
                raise


def _follow(workspace: Workspace, tenant: str, stopping: threading.Event, compacted_s: float) -> float:
    """Keep the archive until it is wanted; return when it was compacted last."""
    with Follower(workspace.ledger, tenant) as follower:
        while not stopping.wait(1.0) and not is_wanted(workspace.ledger, tenant):
            try:
                follower.step()
                if time.monotonic() - compacted_s > _COMPACT_EVERY_S:
                    follower.compact()
                    compacted_s = time.monotonic()
            except Tampered:
                raise
            except Unavailable as error:
                say(f"{error.family}: {error.detail}; trying again")
    return compacted_s


if __name__ == "__main__":
    sys.exit(main())
