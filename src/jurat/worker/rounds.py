"""One round after another, while the workspace is served: what the clocks have in common. Knows nothing of what they do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from jurat.app.clockwork import Clockwork, read_clockwork, write_clockwork
from jurat.app.wiring import App, attach_app
from jurat.core.clock import SystemClock
from jurat.core.errors import JuratError, Tampered
from jurat.core.last_words import say
from jurat.core.workspace import Workspace

AGAIN_AFTER_S: Final = 3_600.0
_LOOK_EVERY_S: Final = 5.0


def keep_rounds(
    workspace: Workspace,
    stopping: threading.Event,
    begin: Callable[[App], Callable[[], object]],
    *,
    application: str,
    every_s: float,
    again_after_s: float,
    first_after_s: float | None = None,
) -> None:
    """Do what `begin` returns every `every_s` seconds until told to stop, over a database or a ledger that is away.

    Args:
        begin: called with each new attachment to the workspace; it returns one round's work.
        again_after_s: how long an error is waited out, which is said once for as long as it stays the same.
        first_after_s: when the first round is; after `every_s` if not said.

    Raises:
        Tampered: something that should be there is not; it is for a person to look.
    """
    pause_s, told = every_s if first_after_s is None else first_after_s, ""
    while not stopping.wait(pause_s):
        try:
            with attach_app(workspace, application=application) as app:
                go_round = begin(app)
                while not stopping.is_set():
                    go_round()
                    pause_s, told = every_s, ""
                    stopping.wait(pause_s)
        except Tampered:
            raise
        except JuratError as error:
            pause_s = again_after_s
            if error.detail != told:
                say(f"{error.family}: {error.detail}; trying again")
            told = error.detail


def keep_clock(
    workspace: Workspace,
    stopping: threading.Event,
    name: str,
    work: Callable[[App], str] | None,
    *,
    every_s: float = 0.0,
    due_ns: Callable[[Clockwork | None, int], int] = lambda _last, now_ns: now_ns,
) -> None:
    """Do rare work when it is due, until told to stop, and keep for `jurat status` when it ran and how it went. `work` None: it is off.

    Args:
        work: says in a sentence what it did.
        due_ns: when it is due, in Unix ns, by what is known of the last run and the time now.

    Raises:
        Tampered: something that should be there is not; it is for a person to look.
    """
    if work is None:
        write_clockwork(workspace, Clockwork(every_s=0), name)
        return
    clock = SystemClock()
    kept = read_clockwork(workspace, name)
    state = Clockwork(
        every_s=every_s, ran_ns=kept.ran_ns if kept else 0, said=kept.said if kept else "", next_ns=due_ns(kept, clock.now_ns())
    )
    write_clockwork(workspace, state, name)
    while not stopping.wait(_LOOK_EVERY_S):
        if clock.now_ns() >= state.next_ns:
            state = run_clock(workspace, name, work, every_s=every_s, due_ns=due_ns)
            write_clockwork(workspace, state, name)


def run_clock(
    workspace: Workspace,
    name: str,
    work: Callable[[App], str],
    *,
    every_s: float,
    due_ns: Callable[[Clockwork | None, int], int] | None = None,
) -> Clockwork:
    """Do the work once; return how that went. What failed is tried again within the hour."""
    is_well = True
    try:
        with attach_app(workspace, application=name) as app:
            said = work(app)
    except Tampered:
        raise
    except JuratError as error:  # also a database that is away for a moment: the relay waits for it, and so does this
        said, is_well = f"{error.family}: {error.detail}", False
    now_ns = SystemClock().now_ns()
    done = Clockwork(every_s=every_s, ran_ns=now_ns, said=said, is_well=is_well)
    if is_well:
        next_ns = due_ns(done, now_ns) if due_ns else now_ns + round(every_s * 1e9)
    else:
        next_ns = now_ns + round(min(every_s, AGAIN_AFTER_S) * 1e9)
    return Clockwork(every_s=every_s, ran_ns=now_ns, next_ns=next_ns, said=said, is_well=is_well)
