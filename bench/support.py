"""What the benchmarks share: results, a place to work, the ledger's processes, and what a process has used. Not a benchmark itself."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from jurat.core.settings import Settings, format_settings
from jurat.core.workspace import Workspace
from jurat.ledger.archive import Follower
from jurat.ledger.create import create_ledger
from jurat.ledger.layout import LogName
from jurat.ledger.memory import keep_freed_memory
from jurat.ledger.rows import Span, table_of

LOG: Final = LogName("main", "inference")
BATCH: Final = 1_000
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class Child(NamedTuple):
    """A process of the ledger that a benchmark started, and the CPU seconds that its start took."""

    pid: int
    start_s: float

    def cpu_s(self) -> float:
        """Return the CPU seconds that it has used since it was ready."""
        return cpu_s(self.pid) - self.start_s

    def rss_mb(self) -> float:
        """Return what it holds in memory, MiB; files that it has mapped are in it."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def result(name: str, value: float, unit: str, against: str, ratio: float) -> dict[str, Any]:
    return {"name": name, "value": round(value, 3), "unit": unit, "against": against, "ratio": round(ratio, 3)}


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def timed(work: Callable[[], Any]) -> float:
    """Return how long it took, in seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def percentile(waits: list[float], part: float) -> float:
    return sorted(waits)[min(len(waits) - 1, int(len(waits) * part))]


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory on the disk of the temporary files; removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="jurat-bench-") as directory:
        yield Path(directory)


def make_ledger(root: Path) -> Workspace:
    """Make a workspace that has a ledger and nothing else."""
    workspace, settings = Workspace(root), Settings()
    root.mkdir()
    workspace.settings_file.write_text(format_settings(settings))
    create_ledger(workspace, settings)
    return workspace


@contextmanager
def sequencer_process(workspace: Workspace) -> Iterator[Child]:
    """Run the ledger's sequencer; it answers in the workspace's run directory."""
    process = subprocess.Popen([sys.executable, "-m", "jurat.ledger.daemon", str(workspace.root)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"ready ")
        yield Child(process.pid, cpu_s(process.pid))
    finally:
        process.terminate()
        process.communicate(timeout=60)


@contextmanager
def follower_process(workspace: Workspace) -> Iterator[Child]:
    """Run the archive's follower in a process of its own. What waited a second is due: nobody waits a minute for a figure."""
    process = subprocess.Popen([sys.executable, "-m", "bench.support", str(workspace.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield Child(process.pid, cpu_s(process.pid))
    finally:
        process.communicate()  # closes its stdin, at which it ends
    if process.returncode != 0:
        raise RuntimeError(f"the follower ended with {process.returncode}")


def follow(workspace: Workspace) -> None:
    """Archive what is sealed until stdin ends."""
    ended = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        ended.set()

    keep_freed_memory()  # as the worker does
    threading.Thread(target=wait_for_the_end, daemon=True).start()
    with Follower(workspace.ledger, LOG.tenant, flush_age_s=1.0) as follower:
        table_of([Span(0, 1, bytes(59), bytes(4), bytes(16))])  # pyarrow's lazy imports belong to the start
        print("ready", flush=True)
        while not ended.wait(0.05):
            follower.step()


if __name__ == "__main__":
    follow(Workspace(Path(sys.argv[1])))
