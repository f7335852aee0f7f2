"""The sequencer process: `python -m jurat.ledger.daemon <workspace>`. One per workspace, held by a flock.

Ready when it prints `ready <socket>` on stdout. SIGTERM, SIGINT, or the end of `--parent-fd` make it seal what it has
and go, within two seconds. Whatever it cannot be sure of makes it die: the next start finds out from the disk.
"""

from __future__ import annotations

import argparse
import fcntl
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Final, NoReturn

from jurat.core.clock import SystemClock
from jurat.core.errors import Conflict, JuratError, NotFound, Unavailable
from jurat.core.last_words import format_last_words, say
from jurat.core.settings import Settings, load_settings, lock_file
from jurat.core.workspace import Workspace
from jurat.ledger.create import Keyring
from jurat.ledger.desk import Desk
from jurat.ledger.endpoint import close_listener, open_listener, socket_address
from jurat.ledger.engine import Snapshot
from jurat.ledger.journal import SEGMENT_SIZE
from jurat.ledger.layout import events_directory, journal_directory
from jurat.ledger.lockstore import LockStore
from jurat.ledger.manifest import high_water
from jurat.ledger.memory import keep_freed_memory
from jurat.ledger.publish import ForwardClock, Publisher
from jurat.ledger.recover import recover
from jurat.ledger.server import Server

_RESERVE_BYTES: Final = 64 * 1024 * 1024  # free space below which nothing new is accepted: sealing needs room too
_COLLECT_EVERY: Final = 60  # seals


def main(arguments: list[str] | None = None) -> int:
    """Run the sequencer until it is told to stop; return the exit code."""
    parser = argparse.ArgumentParser(prog="jurat.ledger.daemon", description="the ledger's sequencer")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--parent-fd", type=int, help="stop when this pipe closes")
    parser.add_argument("--segment-bytes", type=int, default=SEGMENT_SIZE, help="size of a journal segment")
    options = parser.parse_args(arguments)
    workspace = Workspace(options.workspace.absolute())
    try:
        settings = load_settings(workspace)
        with _hold(workspace):
            _serve(workspace, settings, options.parent_fd, options.segment_bytes)
    except JuratError as error:
        say(format_last_words(error))
        return error.exit_code
    except OSError as error:
        say(format_last_words(_disk_failed(error)))
        return Unavailable.exit_code
    return 0


def _hold(workspace: Workspace) -> IO[bytes]:
    """Return the open file whose flock makes us the only sequencer here; it ends with the process, however that ends."""
    path = journal_directory(workspace.ledger) / "flock"
    try:
        file = path.open("ab")
    except FileNotFoundError:
        raise NotFound(
            f"there is no journal in `{workspace.ledger}`",
            hint="is its volume mounted? a ledger is made by `jurat init` only",
            code="ledger_missing",
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise Conflict(
            f"another sequencer runs on `{workspace.root}`", hint="one workspace has one; stop the other first", code="ledger_in_use"
        ) from None
    return file


def _serve(workspace: Workspace, settings: Settings, parent_fd: int | None, segment_size: int) -> None:
    clock, sealing_clock = SystemClock(), ForwardClock(SystemClock())
    keyring = Keyring(workspace, settings, sealing_clock)
    signers = keyring.signers
    lock = LockStore(lock_file(workspace, settings))
    sealing_clock.start_at(lock.logs.values())
    engine, state = recover(workspace.ledger, signers, lock, segment_size=segment_size)
    wish_to_seal = threading.Event()
    desk = Desk(
        engine,
        signers,
        clock,
        max_event_bytes=settings.max_event_bytes,
        merge_delay_ms=round(settings.merge_delay_s * 1000),
        sealed=lambda log: lock.logs[signers[log].public.origin],
        wish_to_seal=wish_to_seal,
    )
    server = Server(open_listener(workspace.run), desk)

    def append_anchors(entries: Sequence[bytes]) -> Snapshot:
        server.append_anchors(entries)
        return engine.snapshot()

    publisher = Publisher(workspace.ledger, signers, lock, engine.arrays, state, sealing_clock, append_anchors)

    stopping, done = threading.Event(), threading.Event()

    def stop() -> None:
        stopping.set()
        wish_to_seal.set()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    signal.set_wakeup_fd(server.wake_descriptor, warn_on_full_buffer=False)
    if parent_fd is not None:
        server.watch(parent_fd, stop)

    def seal() -> None:
        rounds = 0
        while True:
            is_last = stopping.is_set()
            keyring.refresh()
            server.report_sealed(publisher.publish(engine.snapshot()))
            if is_last:
                break
            desk.refuse_appends = _check_room(workspace)
            _remove_archived(publisher, workspace, settings.tenant)
            rounds += 1
            if rounds % _COLLECT_EVERY == 0:
                gc.collect()
            wish_to_seal.wait(settings.publish_interval_s)
            wish_to_seal.clear()
        done.set()
        server.wake()

    sealer = threading.Thread(target=_or_die, args=(seal,), name="sealer")
    sys.setswitchinterval(0.0005)  # sealing is arithmetic; it must not keep the writing thread waiting for 5 ms
    keep_freed_memory()
    gc.freeze()
    gc.disable()
    sealer.start()
    sys.stdout.write(f"ready {socket_address(workspace.run)}\n")
    sys.stdout.flush()
    _or_die(lambda: server.run(done))
    sealer.join()
    signal.set_wakeup_fd(-1)
    server.close()
    close_listener(workspace.run)
    engine.close()
    lock.close()


def _remove_archived(publisher: Publisher, workspace: Workspace, tenant: str) -> None:
    """Remove the journal segments that the archive covers. An archive that cannot be read covers nothing: they stay."""
    try:
        covered = high_water(events_directory(workspace.ledger, tenant))
    except JuratError as error:
        say(f"no journal segment is removed, because {error.detail}")
        return
    publisher.remove_segments(covered)


def _check_room(workspace: Workspace) -> Unavailable | None:
    found = os.statvfs(workspace.ledger)
    if found.f_bavail * found.f_frsize >= _RESERVE_BYTES:
        return None
    return Unavailable(
        f"less than {_RESERVE_BYTES // 2**20} MiB are free on the ledger's volume",
        hint="free some space; nothing that was acknowledged is lost",
        code="storage_failed",
    )


def _or_die(work: Callable[[], None]) -> None:
    """Do the work; whatever goes wrong ends the process at once, for after it nothing in memory can be believed."""
    try:
        work()
    except JuratError as error:
        _die(format_last_words(error), error.exit_code)
    except OSError as error:
        _die(format_last_words(_disk_failed(error)), Unavailable.exit_code)
    except BaseException as error:
        _die(f"{type(error).__name__}: {error}", Unavailable.exit_code)


def _die(why: str, code: int) -> NoReturn:
    try:
        say(why)
    finally:
        os._exit(code)


def _disk_failed(error: OSError) -> Unavailable:
    where = f" at `{error.filename}`" if error.filename else ""
    return Unavailable(
        f"the disk failed{where}: {(error.strerror or str(error)).lower()}",
        hint="look at the volume, free space on it if it is full, and start again: nothing that was acknowledged is lost",
        code="storage_failed",
    )


if __name__ == "__main__":
    sys.exit(main())
