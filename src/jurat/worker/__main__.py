"""The worker process: outbox → ledger, checkpoints → witnesses, and away what is due.

The relay waits for the outbox to have something and moves it at once. The rest has threads of its own, for which nothing
waits. What cannot be explained (`Tampered`) ends the process with its reason.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Final

from jurat.app.process import parse_birth, stop_on_signals, watch_parent
from jurat.app.wiring import open_relay
from jurat.core.errors import JuratError, Unavailable
from jurat.core.last_words import format_last_words, say
from jurat.core.workspace import Workspace
from jurat.worker.comparing import keep_compared
from jurat.worker.delivery import keep_delivered
from jurat.worker.intents import keep_intents
from jurat.worker.masks import keep_masked
from jurat.worker.retention import keep_retention
from jurat.worker.rollouts import keep_rollouts
from jurat.worker.timekeeping import keep_time
from jurat.worker.watch import keep_watch
from jurat.worker.witnesses import keep_witnessed

_PAUSE_S: Final = 0.2


def main() -> int:
    """Run until told to stop; the exit code says why it ended."""
    born = parse_birth()
    stopping = stop_on_signals()
    watch_parent(born.parent_fd)
    failures: list[Exception] = []

    def run(work: Callable[[Workspace, threading.Event], None]) -> None:
        """Do the work; whatever ends it ends the process, which the tree starts again. A dead thread nobody would see."""
        try:
            work(born.workspace, stopping)
        except Exception as error:
            failures.append(error)
            stopping.set()

    works = (keep_compared, keep_delivered, keep_intents, keep_masked, keep_retention, keep_rollouts, keep_time, keep_watch, keep_witnessed)
    others = [threading.Thread(target=run, args=(work,), name=work.__name__) for work in works]
    for other in others:
        other.start()
    run(lambda workspace, stopping: relay(workspace, stopping, born.say_ready))
    stopping.set()
    for other in others:
        other.join()
    for failure in failures:
        say(format_last_words(failure) if isinstance(failure, JuratError) else f"{type(failure).__name__}: {failure}")
    if not failures:
        return 0
    return failures[0].exit_code if isinstance(failures[0], JuratError) else Unavailable.exit_code


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
            say(f"{error.family}: {error.detail}; trying again")
            stopping.wait(_PAUSE_S)


if __name__ == "__main__":
    sys.exit(main())
