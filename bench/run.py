"""`python -m bench.run [--only NAME] [--quick]`: measure, print, and write `bench/results.jsonl`.

A benchmark is a module here with `run(quick) -> list[dict]`; a result has `name`, `value`, `unit`, `against`, `ratio`. A
value means little on another machine, so each is also told as a ratio to something simple that was measured in the same
run, or to its target. Each line says whether it is of a `--quick` run. Only a run of everything is written down.

Each runs in a process of its own, so that none lends another its memory, and what kills one takes no other's lines with
it; the file is written anew after each. Names that the issues ask for and nothing measured are told at the end.

Two go further when asked: `--only ledger_end_to_end --soak 600` writes for ten minutes (`--soak 600` alone means that),
`--only ledger_query --scale 100m` asks a hundred million events.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

HERE: Final = Path(__file__).parent
RESULTS: Final = HERE / "results.jsonl"
FIELDS: Final = ("name", "value", "unit", "against", "ratio")
ASKED: Final = (  # what a run of everything owes
    "story.seconds",
    "journal.eps",
    "sealed.eps",
    "gateway.rps",
    "gateway.added_p50_ms",
    "gateway.added_p99_ms",
    "ledger.journal.eps",
    "ledger.end_to_end.eps",
    "ledger.rss_mb",
    "ledger.vs_postgres_copy",
    "ledger.vs_pymerkle",
    "ledger.vs_witness_log",
    "ledger.http.eps",
    "ledger.verify.eps",
    "ledger.verify_payload.eps",
    "ledger.query.questions_ms",
    "ledger.query.needle_ms",
    "ledger.query.who_changed_ms",
    "ledger.bytes_per_event",
    "access.decide.eps",
    "access.decide_p99_us",
    "access.authzen_p99_ms",
    "access.replay_s",
    "access.search_s",
    "registry.reads_rps",
    "registry.writes_rps",
    "registry.search_p95_ms",
    "fairness.report_s",
    "gate.check_ms",
    "lineage.query_s",
)
_SYNCS: Final = 200
_LIMIT_S: Final = 1_200.0  # of one benchmark; a soak or a hundred million events may take as long as they take
_SOAKS: Final = "ledger_end_to_end"


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks; return 1 if one of them failed, or if there was none."""
    parser = argparse.ArgumentParser(prog="bench.run", description="measure jurat against simple things on the same machine")
    parser.add_argument("--only", metavar="NAME", help="one module, such as `ledger_write`")
    parser.add_argument("--quick", action="store_true", help="smaller loads: seconds, and noisier figures")
    parser.add_argument("--soak", type=float, default=0.0, metavar="S", help="write end to end for so many seconds")
    parser.add_argument("--scale", choices=("200k", "1m", "10m", "100m"), default="", help="how many events are asked")
    parser.add_argument("--lines", metavar="FILE", help=argparse.SUPPRESS)  # of a child: where its results go
    options = parser.parse_args(arguments)
    if options.lines:
        Path(options.lines).write_text(json.dumps(measure(options.only, options.quick, soak=options.soak, scale=options.scale)))
        return 0
    only = options.only or (_SOAKS if options.soak else "")
    names = [only] if only else module_names()
    if only not in ("", *module_names()):
        parser.error(f"there is no benchmark `{only}`; there are {', '.join(module_names())}")
    console = Console(highlight=False)
    console.print(describe_machine())
    results: list[dict[str, Any]] = []
    failed = []
    for name in names:
        started = time.perf_counter()
        extras = [f"--soak={options.soak}", f"--scale={options.scale}"][: 2 if options.scale else 1] + ["--quick"] * options.quick
        found = in_child(name, extras, limit_s=None if options.soak or options.scale else _LIMIT_S)
        console.print(f"[dim]{name}: {time.perf_counter() - started:.0f} s[/dim]" if found else f"[red]{name} failed[/red]")
        results += found
        failed += [name] * (not found)
        if not only:
            lines = [{field: result[field] for field in FIELDS} | {"quick": options.quick} for result in results]
            RESULTS.write_text("".join(json.dumps(line) + "\n" for line in lines))
    console.print(table_of(results))
    where = "not written down: only a run of everything is" if only else f"in {RESULTS.relative_to(HERE.parent)}"
    console.print(f"{len(results)} results, {where}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    missing = [] if only else sorted(set(ASKED) - {result["name"] for result in results})
    if missing:
        console.print(f"[red]asked for, and not measured:[/red] {', '.join(missing)}")
    return 1 if failed or missing or not results else 0


def in_child(name: str, options: list[str], *, limit_s: float | None) -> list[dict[str, Any]]:
    """Return a benchmark's results, of a process of its own; none if it failed, or took too long. Its children end with it."""
    with tempfile.TemporaryDirectory(prefix="jurat-bench-") as directory:
        lines = Path(directory) / "lines"
        command = [sys.executable, "-m", "bench.run", "--only", name, "--lines", str(lines), *options]
        process = subprocess.Popen(command, start_new_session=True)
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            print(f"{name} took longer than {limit_s:.0f} s", file=sys.stderr)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        found: list[dict[str, Any]] = json.loads(lines.read_text()) if process.returncode == 0 else []
        return found


def measure(name: str, quick: bool, **extras: Any) -> list[dict[str, Any]]:
    """Run one benchmark here; return its results, each checked."""
    work = importlib.import_module(f"bench.{name}").run
    taken = inspect.signature(work).parameters
    found: list[dict[str, Any]] = work(quick, **{key: value for key, value in extras.items() if value and key in taken})
    for each in found:
        check_result(each)
    return found


def table_of(results: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "value", "unit", "ratio", "against"):
        table.add_column(heading, justify="right" if heading in {"value", "ratio"} else "left", no_wrap=heading == "name")
    for each in results:
        table.add_row(each["name"], f"{each['value']:,}", each["unit"], f"{each['ratio']:.3f}", each["against"])
    return table


def module_names() -> list[str]:
    """Return the benchmark modules, by name: those with a `run` that takes `quick`."""
    return sorted(path.stem for path in HERE.glob("*.py") if "\ndef run(quick: bool" in path.read_text("utf-8"))


def check_result(result: dict[str, Any]) -> None:
    """Pass if a result has its five fields and its numbers are numbers.

    Raises:
        ValueError: it has not.
    """
    if set(result) != set(FIELDS):
        raise ValueError(f"a result has the fields {sorted(result)}, expected {sorted(FIELDS)}")
    for field in ("value", "ratio"):
        if not isinstance(result[field], int | float) or not 0 <= result[field] < float("inf"):
            raise ValueError(f"{result['name']}: {field} is {result[field]!r}, expected a finite number")


def describe_machine() -> str:
    """Return one line about what the figures were taken on: processor, cores, Python, and how fast the disk syncs."""
    with tempfile.TemporaryDirectory() as directory:
        waits = time_syncs(Path(directory) / "file")
        device = device_of(Path(directory))
    tenths = statistics.quantiles(waits, n=100)
    return (
        f"{processor()} · {os.cpu_count()} cores · Python {platform.python_version()} · {device}: "
        f"write 4 KiB + fdatasync p50 {tenths[49] * 1000:.2f} ms, p99 {tenths[98] * 1000:.2f} ms"
    )


def time_syncs(path: Path) -> list[float]:
    """Return how long each of some writes of 4 KiB took until it was synced, in seconds."""
    waits = []
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.posix_fallocate(descriptor, 0, 4096 * _SYNCS)
    os.fsync(descriptor)
    for number in range(_SYNCS):
        started = time.perf_counter()
        os.pwrite(descriptor, os.urandom(4096), number * 4096)
        os.fdatasync(descriptor)
        waits.append(time.perf_counter() - started)
    os.close(descriptor)
    return waits


def device_of(directory: Path) -> str:
    """Return the file system and device that a directory lies on, as far as the system tells."""
    best = ("", "unknown device")
    for line in Path("/proc/mounts").read_text().splitlines() if Path("/proc/mounts").exists() else []:
        device, mount, kind, *_ = line.split()
        if directory.resolve().is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, f"{kind} on {device}")
    return best[1]


def processor() -> str:
    """Return the processor's name."""
    path = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in path.read_text().splitlines() if line.startswith("model name")] if path.exists() else []
    )
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
