"""A user's own SELECT, in a process of its own: `python -m jurat.ledger.sql_child`, one query, then gone.

DuckDB is locked (`sql`), and so is the process around it: it can write no file, its processor time and its memory are
limited by the kernel, and whoever started it kills it when its time is over. A query can hurt nobody but itself.

    in   one JSON request on stdin
    out  one line of JSON: as_of, or the error; then, if it went well, an Arrow IPC stream of the rows
"""

from __future__ import annotations

import math
import resource
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa

from jurat.core.errors import Exhausted, JuratError
from jurat.core.jsonio import dump_json, load_json
from jurat.ledger.sql import Reader, too_large, too_long

Parameter = str | int | float | bool | None
START_S: Final = 15.0  # for the interpreter and the journal's tail, on a busy machine
_THREADS: Final = 2
_SPARE_MB: Final = 1_024  # address space beyond DuckDB's own memory: stacks, buffers, the answer
_RESULT_MB: Final = 64


class Request(msgspec.Struct, frozen=True):
    """What the child is asked."""

    ledger_root: str
    tenant: str
    query: str
    parameters: list[Parameter]
    timeout_s: float
    max_rows: int
    memory_mb: int


class Reply(msgspec.Struct, frozen=True):
    """The first line of its answer: `family` empty if all went well."""

    as_of: dict[str, int] = {}
    family: str = ""
    detail: str = ""
    hint: str = ""
    code: str = ""


def run_in_child(request: Request) -> tuple[pa.Table, dict[str, int]]:
    """Return the rows, one more than `max_rows` if there are more, and what they are as of.

    Raises:
        Malformed, Denied, Exhausted, Tampered: see `sql.Reader.select`.
    """
    with subprocess.Popen(
        [sys.executable, "-I", "-m", "jurat.ledger.sql_child"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={}, cwd="/",
    ) as child:  # fmt: skip
        try:
            out, trouble = child.communicate(dump_json(request), timeout=START_S + request.timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            raise too_long(request.timeout_s) from None
    line, _, stream = out.partition(b"\n")
    if child.returncode < 0:  # the kernel ended it, by its limits, or because DuckDB fell over
        raise too_large(request.timeout_s)
    if child.returncode or not line:
        raise RuntimeError(f"the query's process failed: {trouble.decode(errors='replace')[-2_000:]}")
    reply = load_json(line, Reply, what="the query's answer")
    if reply.family:
        raise _error_of(reply, request.timeout_s)
    with pa.ipc.open_stream(stream) as reader:
        return reader.read_all(), reply.as_of


def main() -> int:
    """Answer the one request on stdin."""
    from jurat.ledger.query import Events, Snapshot  # it imports us to start this process

    request = load_json(sys.stdin.buffer.read(), Request, what="the query's request")

    def read(snapshot: Snapshot) -> tuple[pa.Table, Snapshot]:
        source = events.source(snapshot)
        _limit(request)
        with Reader(source, memory_mb=request.memory_mb, threads=_THREADS) as reader:
            reader.check_select(request.query)
            rows = reader.select(request.query, request.parameters, timeout_s=request.timeout_s, max_rows=request.max_rows)
        return rows, snapshot

    try:
        events = Events(Path(request.ledger_root), request.tenant)
        table, snapshot = events.with_snapshot(read)
        if table.nbytes > _RESULT_MB * 2**20:
            raise too_large(request.timeout_s)
    except MemoryError:
        return _answer(_reply_of(too_large(request.timeout_s)))
    except JuratError as error:
        return _answer(_reply_of(error))
    return _answer(Reply(dict(snapshot.as_of)), table)


def _limit(request: Request) -> None:
    """From here on: no byte into any file, so much more memory, so much processor time; the kernel sees to it."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    memory = pages * resource.getpagesize() + (request.memory_mb + _SPARE_MB) * 2**20
    processor_s = math.ceil(request.timeout_s * _THREADS + resource.getrusage(resource.RUSAGE_SELF).ru_utime + START_S)
    for what, limit in (
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, processor_s),
    ):
        _, hard = resource.getrlimit(what)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (limit, limit))


def _answer(reply: Reply, table: pa.Table | None = None) -> int:
    out = sys.stdout.buffer
    out.write(dump_json(reply) + b"\n")
    if table is not None:
        with pa.ipc.new_stream(out, table.schema) as writer:
            writer.write_table(table)
    out.flush()
    return 0


def _reply_of(error: JuratError) -> Reply:
    return Reply(family=type(error).__name__, detail=error.detail, hint=error.hint, code=error.code)


def _error_of(reply: Reply, timeout_s: float) -> JuratError:
    family = {cls.__name__: cls for cls in JuratError.__subclasses__()}[reply.family]
    if family is Exhausted:
        return Exhausted(reply.detail, hint=reply.hint, code=reply.code, retry_after_s=timeout_s)
    return family(reply.detail, hint=reply.hint, code=reply.code)


if __name__ == "__main__":
    sys.exit(main())
