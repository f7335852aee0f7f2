"""How many events a second the HTTP door takes, on one core of the server: NDJSON in batches of 500, durable, with a receipt.

`ledger.http.eps`           by the clock, all processes on this machine (PostgreSQL, sequencer, the door, and the load)
`ledger.http.eps_per_core`  the same per second of the door's own CPU time: what one core of it takes when nobody else is in
                            the way; against the target of 60,000
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from jurat.app.bootstrap import init_workspace, remove_workspace
from jurat.app.walk import act
from jurat.app.wiring import App, open_app
from jurat.core.settings import Settings
from jurat.domain.commands import GrantRole, IssueToken, RegisterPrincipal, RegisterProducer
from jurat.domain.roles import expiry
from jurat.domain.values import PrincipalType

BATCH: Final = 500
SENDERS: Final = 2
TARGET_EPS: Final = 60_000
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def run(quick: bool) -> list[dict[str, Any]]:
    """Return the results, each with its `name`, `value`, `unit`, `against` and `ratio`."""
    rounds, batches = (3, 20) if quick else (7, 60)
    with served() as (port, pid, token):
        send(port, token, 0, 4)  # warm
        rates, core_rates = [], []
        for number in range(rounds):
            rate, core_rate = measure(port, pid, token, number + 1, batches)
            rates.append(rate)
            core_rates.append(core_rate)
    rate, core_rate = statistics.median(rates), statistics.median(core_rates)
    against = f"target {TARGET_EPS:,} on one core of server"
    return [
        {"name": "ledger.http.eps", "value": round(rate), "unit": "events/s", "against": against, "ratio": round(rate / TARGET_EPS, 3)},
        {
            "name": "ledger.http.eps_per_core",
            "value": round(core_rate),
            "unit": "events/s of the door's CPU time",
            "against": against,
            "ratio": round(core_rate / TARGET_EPS, 3),
        },
    ]


@contextlib.contextmanager
def served() -> Iterator[tuple[int, int, str]]:
    """A workspace, the door's process, a registered producer: (port, pid, token)."""
    with tempfile.TemporaryDirectory(prefix="jurat-bench-") as folder:
        root = Path(folder) / "w"
        workspace = init_workspace(root, settings=Settings(api_port=0), throwaway=True).workspace
        with open_app(workspace, throwaway=True) as app:
            token = join(app, (root / "credentials" / "operator.token").read_text().strip())
            ready, write = os.pipe()
            argv = [sys.executable, "-m", "jurat.web", str(root), "--ready-fd", str(write)]
            process = subprocess.Popen(argv, pass_fds=[write])
            os.close(write)
            with os.fdopen(ready) as file:
                port = int(file.readline().split()[1])
            try:
                yield port, process.pid, token
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait()
        remove_workspace(root)


def join(app: App, operator: str) -> str:
    """Register a producer; return its token."""
    owner = act(app, operator, RegisterPrincipal(type=PrincipalType.PERSON, name="owner")).reply["principal"]
    service = act(app, operator, RegisterPrincipal(type=PrincipalType.SERVICE, name="load", owner=owner)).reply["principal"]
    act(app, operator, RegisterProducer(principal=service, name="load", classes=["inference"], reason="bench"))
    ends = expiry(app.clock.now_ns(), 3600)
    act(app, operator, GrantRole(principal=service, role="recorder", reason="bench", expires_at=ends))
    return act(app, operator, IssueToken(principal=service, lifetime_s=3600)).reply["token"]


def measure(port: int, pid: int, token: str, number: int, batches: int) -> tuple[float, float]:
    """Return (events a second by the clock, events a second of the door's CPU time)."""
    began_s, began_cpu_s = time.perf_counter(), cpu_s(pid)
    threads = [threading.Thread(target=send, args=(port, token, number * SENDERS + each, batches)) for each in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = SENDERS * batches * BATCH
    return events / (time.perf_counter() - began_s), events / max(1e-9, cpu_s(pid) - began_cpu_s)


def send(port: int, token: str, number: int, batches: int) -> None:
    """Send so many batches over one connection, one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"content-type": "application/x-ndjson", "authorization": f"Bearer {token}"}
    for batch in range(batches):
        connection.request("POST", "/api/v1/ingest/inference", make_body(number, batch), headers)
        reply = connection.getresponse()
        said = reply.read()
        if reply.status != 200:
            raise RuntimeError(f"the door answered {reply.status}: {said[:200]!r}")
    connection.close()


def make_body(number: int, batch: int) -> bytes:
    """Return 500 events of about 600 bytes, no two alike."""
    fill = os.urandom(190).hex()
    return b"".join(
        b'{"id":"%d-%d-%d","type":"score","time":"2026-01-31T12:00:00Z","latency_ms":%d.5,"model":"credit@1.1.0","data":{"fill":"%s",'
        b'"score":0.%06d,"applicant":{"age":%d,"amount":%d},"codes":["a","b"]}}\n'
        % (number, batch, event, event % 90, fill.encode(), event, event % 80, event * 7)
        for event in range(BATCH)
    )


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
