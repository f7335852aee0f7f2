"""The worker process: outbox → ledger, ledger → archive, checkpoints → witnesses, and away what is due.

The relay waits for the outbox to have something and moves it at once. The archive's follower looks once a second, in a
thread of its own; it touches sealed entries only. Witnesses are asked in another, for which nothing waits. What cannot be
explained (`Tampered`) ends the process with its reason.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from jurat.app.process import parse_birth, stop_on_signals, watch_parent
from jurat.app.wiring import open_relay
from jurat.core.errors import Conflict, JuratError, Tampered, Unavailable
from jurat.core.last_words import format_last_words
from jurat.core.settings import load_settings
from jurat.core.workspace import Workspace
from jurat.ledger.archive import Follower
from jurat.ledger.claim import is_wanted
from jurat.worker.masks import keep_masked
from jurat.worker.retention import keep_retention
from jurat.worker.timekeeping import keep_time
from jurat.worker.witnesses import keep_witnessed

_PAUSE_S: Final = 0.2
_COMPACT_EVERY_S: Final = 300.0


def main() -> int:
    """Run until told to stop; the exit code says why it ended."""
    born = parse_birth()
    stopping = stop_on_signals()
    watch_parent(born.parent_fd)
    failures: list[JuratError] = []

    def run(work: Callable[[Workspace, threading.Event], None]) -> None:
        try:
            work(born.workspace, stopping)
        except JuratError as error:
            failures.append(error)
            stopping.set()

    works = (keep_archive, keep_masked, keep_retention, keep_time, keep_witnessed)
    others = [threading.Thread(target=run, args=(work,), name=work.__name__) for work in works]
    for other in others:
        other.start()
    try:
        relay(born.workspace, stopping, born.say_ready)
    except JuratError as error:
        failures.append(error)
    stopping.set()
    for other in others:
        other.join()
    for failure in failures:
        print(format_last_words(failure), file=sys.stderr, flush=True)  # noqa: T201 - goes to run/relay.log
    return failures[0].exit_code if failures else 0


def relay(workspace: Workspace, stopping: threading.Event, say_ready: Callable[[], None]) -> None:
    """Move the outbox as it fills. A ledger or database that is away is asked again; nothing is lost meanwhile."""
    announced = False
    while not stopping.is_set():
        try:
            with open_relay(workspace) as line:
                if not announced:
                    say_ready()
                    announced = True
                while not stopping.is_set():
                    if line.step() == 0:
                        line.wait(_PAUSE_S)
        except Unavailable as error:
            print(f"{error.family}: {error.detail}; trying again", file=sys.stderr, flush=True)  # noqa: T201
            stopping.wait(_PAUSE_S)


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
                print(f"{error.family}: {error.detail}; trying again", file=sys.stderr, flush=True)  # noqa: T201
    return compacted_s


if __name__ == "__main__":
    sys.exit(main())
