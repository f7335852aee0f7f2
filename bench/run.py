"""`python -m bench.run [--only NAME] [--quick]`: measure, print, and write `bench/results.jsonl`.

A benchmark is a module here with `run(quick) -> list[dict]`; a result has `name`, `value`, `unit`, `against`, `ratio`. A
value means little on another machine, so each is also told as a ratio to something simple that was measured in the same
run, or to its target. Each line says whether it is of a `--quick` run. Only a run of everything is written down.

Two go further when asked: `--only ledger_end_to_end --soak 600` writes for ten minutes, `--only ledger_query --scale 100m`
asks a hundred million events.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import os
import platform
import statistics
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
_SYNCS: Final = 200


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks; return 1 if one of them failed, or if there was none."""
    parser = argparse.ArgumentParser(prog="bench.run", description="measure jurat against simple things on the same machine")
    parser.add_argument("--only", metavar="NAME", help="one module, such as `ledger_write`")
    parser.add_argument("--quick", action="store_true", help="smaller loads: seconds, and noisier figures")
    parser.add_argument("--soak", type=float, default=0.0, metavar="S", help="write end to end for so many seconds")
    parser.add_argument("--scale", choices=("200k", "1m", "10m", "100m"), default="", help="how many events are asked")
    options = parser.parse_args(arguments)
    extras = {"soak": options.soak, "scale": options.scale}
    names = [options.only] if options.only else module_names()
    console = Console(highlight=False)
    console.print(describe_machine())
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "value", "unit", "ratio", "against"):
        table.add_column(heading, justify="right" if heading in {"value", "ratio"} else "left", no_wrap=heading == "name")
    results: list[dict[str, Any]] = []
    failed = []
    for name in names:
        console.print(f"[dim]{name} …[/dim]")
        try:
            work = importlib.import_module(f"bench.{name}").run
            taken = inspect.signature(work).parameters
            found = work(options.quick, **{key: value for key, value in extras.items() if value and key in taken})
        except Exception as error:
            failed.append(name)
            console.print(f"[red]{name} failed[/red]: {type(error).__name__}: {error}")
            continue
        for result in found:
            check_result(result)
            table.add_row(result["name"], f"{result['value']:,}", result["unit"], f"{result['ratio']:.3f}", result["against"])
        results += found
    console.print(table)
    where = "not written down: only a run of everything is" if options.only else f"in {RESULTS.relative_to(HERE.parent)}"
    if not options.only:
        lines = [{field: result[field] for field in FIELDS} | {"quick": options.quick} for result in results]
        RESULTS.write_text("".join(json.dumps(line) + "\n" for line in lines))
    console.print(f"{len(results)} results, {where}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed or not results else 0


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
