"""A ledger to test with: made by `create_ledger`, opened in this process or by the real sequencer process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from jurat.core.clock import Clock, SystemClock
from jurat.core.settings import Settings, format_settings, lock_file
from jurat.core.workspace import Workspace
from jurat.ledger.client import LedgerClient
from jurat.ledger.create import create_ledger, load_signers
from jurat.ledger.engine import Engine
from jurat.ledger.layout import LogName
from jurat.ledger.lockstore import LockStore
from jurat.ledger.publish import ForwardClock, Publisher
from jurat.ledger.recover import recover
from jurat.ledger.sequencer import ProducerKey, Submission, Verdict

INFERENCE = LogName("main", "inference")
ACCESS = LogName("main", "access")
PREDICTION_MADE = 51
RECORDS_READ = 16
BENCH_PRODUCER = 900


def make_workspace(root: Path, settings: Settings | None = None) -> Workspace:
    """Return a fresh workspace with keys and logs, and nothing else."""
    workspace, settings = Workspace(root), settings or Settings()
    root.mkdir(exist_ok=True)
    workspace.settings_file.write_text(format_settings(settings))
    create_ledger(workspace, settings)
    return workspace


class OpenLedger:
    """The engine and its sealer in this process, single-threaded."""

    def __init__(self, workspace: Workspace, *, clock: Clock | None = None, segment_size: int = 1024 * 1024) -> None:
        settings, clock = Settings(), clock or SystemClock()
        sealing_clock = ForwardClock(clock)
        signers = load_signers(workspace, settings, sealing_clock)
        self.workspace, self.clock, self.signers = workspace, clock, signers
        self.lock = LockStore(lock_file(workspace, settings))
        sealing_clock.start_at(self.lock.logs.values())
        self.engine: Engine | None = None
        try:
            self.engine, state = recover(workspace.ledger, signers, self.lock, segment_size=segment_size)
        except BaseException:
            self.lock.close()
            raise
        engine = self.engine
        self.publisher = Publisher(
            workspace.ledger,
            signers,
            self.lock,
            engine.arrays,
            state,
            sealing_clock,
            lambda entries: engine.append_anchors(entries, clock.now_ns()),
        )

    def append(self, log: LogName, first_seq: int, raws: Sequence[bytes], *, kind: int = PREDICTION_MADE, epoch: int = 1) -> Verdict:
        submission = Submission(ProducerKey(log, BENCH_PRODUCER, epoch), first_seq, [kind] * len(raws), raws)
        verdicts = self.engine.write([submission], self.clock.now_ns())
        self.engine.settle(verdicts)
        return verdicts[0]

    def publish(self) -> None:
        self.publisher.publish(self.engine.snapshot())

    def close(self) -> None:
        self.engine.close()
        self.lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Daemon:
    """The real sequencer process on a workspace."""

    def __init__(self, workspace: Workspace, *, crash_at: str = "", segment_bytes: int = 4 * 1024 * 1024, code: str = "") -> None:
        self.workspace = workspace
        environment = {**os.environ, "JURAT_CRASH_AT": crash_at}
        program = ["-c", code] if code else ["-m", "jurat.ledger.daemon"]
        self.process = subprocess.Popen(
            [sys.executable, *program, str(workspace.root), "--segment-bytes", str(segment_bytes)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.ready_line = self.process.stdout.readline()  # empty if it has died

    def connect(self, producer: int = BENCH_PRODUCER, epoch: int | None = None, timeout_s: float = 10) -> LedgerClient:
        return LedgerClient.connect(self.workspace.run, producer, epoch=epoch, timeout_s=timeout_s)

    def wait(self, timeout_s: float = 20) -> tuple[int, str]:
        """Return (exit code, stderr) once it is gone."""
        _, errors = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, errors

    def stop(self) -> tuple[int, str]:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        self.process.kill()
        self.wait()


@contextmanager
def running(workspace: Workspace, **options: object) -> Iterator[Daemon]:
    """Run the sequencer for the length of a `with` block; it must end cleanly."""
    daemon = Daemon(workspace, **options)
    try:
        assert daemon.ready_line.startswith("ready "), daemon.wait()
        yield daemon
    finally:
        if daemon.process.poll() is None:
            code, errors = daemon.stop()
            assert (code, errors) == (0, "")
        else:
            daemon.wait()
