"""The worker on a full disk, and with a thread that fails in a way nobody foresaw: it goes on, or it ends; it never half lives."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jurat.core.errors import Tampered, Unavailable
from jurat.core.workspace import Workspace
from jurat.ledger import daemon
from jurat.worker import __main__ as worker

Work = Callable[[Workspace, threading.Event], None]
WORKS = (
    "keep_compared", "keep_delivered", "keep_intents", "keep_masked", "keep_retention", "keep_rollouts", "keep_time", "keep_watch",
    "keep_witnessed",
)  # fmt: skip


@contextlib.contextmanager
def full_log() -> Iterator[None]:
    """Let the process's log be on a disk that is full."""
    log = Path("/dev/full").open("w", encoding="utf-8", buffering=1)  # noqa: SIM115
    with contextlib.redirect_stderr(log):
        yield
    with pytest.raises(OSError, match="No space left"):  # so something was said, and did not get through
        log.close()


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def wait(_workspace: Workspace, stopping: threading.Event) -> None:
    assert stopping.wait(20)


def leave(_workspace: Workspace, _stopping: threading.Event) -> None:
    return


def run_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **works: Work) -> int:
    monkeypatch.setattr(sys, "argv", ["worker", str(tmp_path)])
    for name in WORKS:
        monkeypatch.setattr(worker, name, works.get(name, wait))
    monkeypatch.setattr(worker, "relay", lambda workspace, stopping, _ready: works.get("relay", wait)(workspace, stopping))
    return worker.main()


def test_a_log_on_a_full_disk_stops_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tries: list[int] = []

    def away(_workspace: Workspace) -> object:
        tries.append(len(tries))
        if len(tries) == 3:
            stopping.set()
        raise Unavailable("the database is away")

    stopping = threading.Event()
    monkeypatch.setattr(worker, "open_relay", away)
    monkeypatch.setattr(worker, "_PAUSE_S", 0.01)
    with full_log():
        worker.relay(Workspace(tmp_path), stopping, lambda: None)
    assert len(tries) == 3


def test_a_sequencer_that_must_die_dies_though_it_cannot_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []

    def end(code: int) -> None:
        ended.append(code)
        raise SystemExit(code)

    def fail() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(daemon.os, "_exit", end)
    with full_log(), pytest.raises(SystemExit):
        daemon._or_die(fail)
    assert ended == [Unavailable.exit_code]


@pytest.mark.parametrize("name", [*WORKS, "relay"])
@pytest.mark.parametrize(
    ("error", "code"), [(OSError(28, "No space left on device"), 5), (KeyError("what nobody foresaw"), 5), (Tampered("x"), 6)]
)
def test_whatever_ends_one_of_its_works_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, error: Exception, code: int
) -> None:
    def fail(_workspace: Workspace, _stopping: threading.Event) -> None:
        raise error

    assert run_worker(monkeypatch, tmp_path, **{name: fail}) == code


def test_a_work_that_has_nothing_to_do_ends_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[bool] = []

    def look(_workspace: Workspace, stopping: threading.Event) -> None:
        seen.append(stopping.wait(0.3))

    assert run_worker(monkeypatch, tmp_path, keep_retention=leave, relay=look) == 0
    assert seen == [False]
