"""The registry that MLflow's clients know, over HTTP as they speak it: reads, writes, and searches among 100,000 versions.

`registry.reads_rps`, `registry.writes_rps`   by the clock, everything (client, door, PostgreSQL) on this machine
`registry.…_rps_per_core`                     per second of CPU time of the door and PostgreSQL together: what one core for both gives
`registry.search_p95_ms`                      a mix of twelve searches, 100 results each, one client

The versions are loaded by the fast path of a rebuild: rows made as `evolve` makes them, copied with the guards off, then analysed.
MLflow's own server (group `peers`, or `JURAT_TEST_MLFLOW=/path/to/mlflow`) is measured beside it, in the same run, with the same requests.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from bench.http_load import Ask, put_load, request
from bench.support import cpu_s, result

from jurat.app.bootstrap import init_workspace, remove_workspace
from jurat.app.walk import act
from jurat.app.wiring import App, open_app
from jurat.core.jsonio import dump_json, load_json
from jurat.core.settings import Settings
from jurat.core.workspace import Workspace
from jurat.domain.commands import GrantRole, IssueToken, RegisterPrincipal
from jurat.domain.registry import version_key
from jurat.domain.registry_names import drawn
from jurat.domain.roles import expiry
from jurat.domain.rows import RegistryModel, RegistryVersion
from jurat.domain.values import PrincipalType
from jurat.store.cluster import Location
from jurat.store.connect import attach_database
from jurat.store.server import read_pid_file
from jurat.store.store import Store

MODELS, VERSIONS_EACH = 1_000, 100
CLIENTS: Final = 16  # connections
TABLES: Final = ("registry_models", "registry_versions")
READS_TARGET, WRITES_TARGET, SEARCH_TARGET_MS = 2_000, 400, 50.0
_API: Final = "/api/2.0/mlflow"
_MLFLOW: Final = Path(__file__).parents[1] / ".venv/peers/bin/mlflow"
_MLFLOW_STARTS_S: Final = 300.0  # a minute on a busy machine
SEARCHES: Final[list[tuple[str, dict[str, Any]]]] = [
    ("model-versions", {"filter": "name = 'model-0123'"}),
    ("model-versions", {"filter": "name LIKE 'model-01%'"}),
    ("model-versions", {"filter": "tags.team = 'team-7'"}),
    ("model-versions", {"filter": "run_id = 'run-0777-55'"}),
    ("model-versions", {"filter": "run_id IN ('run-0001-1', 'run-0002-2', 'run-0999-99')"}),
    ("model-versions", {"filter": "version_number >= 90 AND tags.team != 'team-1'", "order_by": "name ASC"}),
    ("model-versions", {}),
    ("model-versions", {"filter": "name ILIKE '%0999%'"}),
    ("model-versions", {"filter": "source_path LIKE '%/model-0777/%'", "order_by": "creation_timestamp DESC"}),
    ("model-versions", {"filter": "tags.nothing = 'x'"}),
    ("registered-models", {"filter": "name ILIKE '%model-09%'", "order_by": "timestamp DESC"}),
    ("registered-models", {"filter": "tags.team = 'team-3'"}),
]


class Peer(NamedTuple):
    """A server that is measured: its port, the token it wants, and how much CPU time it has used."""

    port: int
    token: str
    used_s: Callable[[], float]


def run(quick: bool) -> list[dict[str, Any]]:
    """Return the results, each with its `name`, `value`, `unit`, `against` and `ratio`."""
    count, rounds = (400, 3) if quick else (3_000, 12)
    with served(load=fill) as ours:
        reads = measure(ours, count, reading(ours))
        writes = measure(ours, count // 4, writing(ours))
        search_ms = searches(ours, rounds)
    theirs: dict[str, tuple[float, float]] = {}
    command = os.environ.get("JURAT_TEST_MLFLOW", str(_MLFLOW) if _MLFLOW.exists() else "")
    if command:
        with mlflow_server(command) as peer:
            few = count // 8  # it takes as long for these as we for all
            prepare(peer, few)
            theirs = {"reads": measure(peer, few, reading(peer)), "writes": measure(peer, few // 2, writing(peer))}
    found = []
    for name, (rate, per_core), target in (("reads", reads, READS_TARGET), ("writes", writes, WRITES_TARGET)):
        beside, beside_per_core = theirs.get(name, (0.0, 0.0))
        against = f"MLflow's own server, here: {beside:.0f}/s" if beside else f"target {target:,}/s on one core"
        found.append(result(f"registry.{name}_rps", rate, "requests/s", against, rate / (beside or target)))
        against = f"target {target:,}/s on one core" + (f"; MLflow's own server, here: {beside_per_core:.0f}" if beside else "")
        unit = "requests/s of CPU time, door and PostgreSQL"
        found.append(result(f"registry.{name}_rps_per_core", per_core, unit, against, per_core / target))
    against = f"target {SEARCH_TARGET_MS:.0f} ms over {MODELS * VERSIONS_EACH:,} versions"
    return [*found, result("registry.search_p95_ms", search_ms, "ms", against, search_ms / SEARCH_TARGET_MS)]


def measure(peer: Peer, count: int, ask: Ask) -> tuple[float, float]:
    """Return (requests a second by the clock, requests a second of the server's CPU time)."""
    put_load(peer.port, ask, 4 * CLIENTS, connections=CLIENTS)  # warm
    began_cpu_s = peer.used_s()
    load = put_load(peer.port, ask, count, connections=CLIENTS)
    return load.rate, load.done / max(1e-9, peer.used_s() - began_cpu_s)


class Client:
    """One connection that is kept, as MLflow's client keeps one."""

    def __init__(self, peer: Peer) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", peer.port, timeout=60)
        self._headers = {"Authorization": f"Bearer {peer.token}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: Any = None, *, expect: int = 200) -> Any:
        raw = json.dumps(body).encode() if body is not None else None
        self._connection.request(method, f"{_API}/{path}", raw, self._headers)
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status != expect:
            raise RuntimeError(f"{method} {path} answered {answer.status}: {said[:200]!r}")
        return json.loads(said)

    def close(self) -> None:
        self._connection.close()


def reading(peer: Peer) -> Ask:
    """Reads: a version, or a model by name; what a serving process asks for."""

    def ask(number: int) -> bytes:
        name = f"model-{number % MODELS:04d}"
        what = f"model-versions/get?name={name}&version={number % 3 + 1}" if number % 2 else f"registered-models/get?name={name}"
        return request("GET", f"{_API}/{what}", peer.token)

    return ask


def writing(peer: Peer) -> Ask:
    """Writes: a tag, or a new version."""

    def ask(number: int) -> bytes:
        name = f"model-{number % MODELS:04d}"
        if number % 2:
            body, what = {"name": name, "key": "seen", "value": str(number)}, "registered-models/set-tag"
        else:
            body, what = {"name": name, "source": f"s3://models/{name}/{number}"}, "model-versions/create"
        return request("POST", f"{_API}/{what}", peer.token, json.dumps(body).encode())

    return ask


def searches(peer: Peer, rounds: int) -> float:
    """Return the 95th percentile of how long a search takes, in milliseconds; no search may come back empty that should not."""
    client, took_ms = Client(peer), []
    for _ in range(rounds):
        for what, asked in SEARCHES:
            started = time.perf_counter()
            found = client.call("GET", f"{what}/search?{urlencode({**asked, 'max_results': 100})}")
            took_ms.append((time.perf_counter() - started) * 1_000)
            if not found.get("model_versions", found.get("registered_models")) and "nothing" not in str(asked):
                raise RuntimeError(f"a search found nothing: {asked}")
    client.close()
    return statistics.quantiles(took_ms[len(SEARCHES) :], n=20)[18]


@contextlib.contextmanager
def served(*, load: Callable[[Workspace], None] | None, enter: Callable[[App, str], str] | None = None) -> Iterator[Peer]:
    """A workspace with what `load` puts into it, and the door's process before it. `enter`: makes whoever asks, and their token."""
    with tempfile.TemporaryDirectory(prefix="jurat-bench-") as folder:
        root = Path(folder) / "w"
        workspace = init_workspace(root, settings=Settings(api_port=0), throwaway=True).workspace
        with open_app(workspace, throwaway=True) as app:
            token = (enter or join)(app, (root / "credentials" / "operator.token").read_text().strip())
            if load is not None:
                load(workspace)
            ready, write_end = os.pipe()
            process = subprocess.Popen([sys.executable, "-m", "jurat.web", str(root), "--ready-fd", str(write_end)], pass_fds=[write_end])
            os.close(write_end)
            with os.fdopen(ready) as file:
                port = int(file.readline().split()[1])
            postmaster = postmaster_of(workspace)
            try:
                yield Peer(port, token, lambda: cpu_s(process.pid) + family_s(postmaster))
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait()
        remove_workspace(root)


def fill(workspace: Workspace) -> None:
    """Load the models and versions, as a rebuild would."""
    at_ms, event = 1_764_000_000_000, "evt_" + "0" * 26
    with Store.open(attach_database(workspace).dsn("owner"), application="bench") as store, store.connection() as connection:
        with connection.transaction():
            for table in TABLES:  # only these two: the rest of the workspace stays
                connection.execute(f"ALTER TABLE view.{table} DISABLE TRIGGER event_required".encode())
            with connection.cursor() as cursor, cursor.copy("COPY view.registry_models (key, row, as_of) FROM STDIN") as copy:
                for number in range(MODELS):
                    name = f"model-{number:04d}"
                    model = RegistryModel(
                        as_of=event, name=name, drawn=drawn(name), description="a model", created_ms=at_ms, updated_ms=at_ms + number,
                        created_by="prn_x", tags={"team": f"team-{number % 20}"}, aliases={"dev": 1}, last_number=VERSIONS_EACH,
                    )  # fmt: skip
                    copy.write_row((name, dump_json(model).decode(), event))
            with connection.cursor() as cursor, cursor.copy("COPY view.registry_versions (key, row, as_of) FROM STDIN") as copy:
                for number in range(MODELS):
                    name = f"model-{number:04d}"
                    for version in range(1, VERSIONS_EACH + 1):
                        row = RegistryVersion(
                            as_of=event,
                            name=name,
                            number=version,
                            source=f"s3://models/{name}/{version}",
                            storage=f"s3://models/{name}/{version}",
                            run_id=f"run-{number:04d}-{version}",
                            run_link="",
                            description="trained on Monday",
                            created_ms=at_ms + version,
                            updated_ms=at_ms + number * 7 + version,
                            created_by="prn_x",
                            registered=event,
                            stage=("None", "Staging", "Archived")[version % 3],
                            tags={"team": f"team-{version % 20}", "git": f"{version:040x}"},
                        )
                        copy.write_row((version_key(name, version), dump_json(row).decode(), event))
            for table in TABLES:
                connection.execute(f"ALTER TABLE view.{table} ENABLE ALWAYS TRIGGER event_required".encode())
        for table in TABLES:
            connection.execute(f"ANALYZE view.{table}".encode())


def postmaster_of(workspace: Workspace) -> int:
    """Return the process id of the embedded PostgreSQL."""
    location = load_json((workspace.postgres / "location.json").read_bytes(), Location)
    found = read_pid_file(Path(location.directory, "data"))
    if found is None:
        raise RuntimeError("PostgreSQL does not run")
    return found.pid


def family_s(pid: int) -> float:
    """Return the CPU seconds of a process, its children, and its children that have ended."""
    ticks = os.sysconf("SC_CLK_TCK")
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    total = sum(map(int, fields[11:15])) / ticks
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for child in children:
        with contextlib.suppress(OSError):
            total += cpu_s(int(child))
    return total


def join(app: App, operator: str) -> str:
    """Return the token of a person who may do all of this."""
    person = act(app, operator, RegisterPrincipal(type=PrincipalType.PERSON, name="engineer")).reply["principal"]
    ends = expiry(app.clock.now_ns(), 3600)
    act(app, operator, GrantRole(principal=person, role="ml_engineer", reason="bench", expires_at=ends))
    return act(app, operator, IssueToken(principal=person, lifetime_s=3600)).reply["token"]


@contextlib.contextmanager
def mlflow_server(command: str) -> Iterator[Peer]:
    """MLflow's own server on SQLite, one worker, as `mlflow server` starts it."""
    with tempfile.TemporaryDirectory(prefix="jurat-bench-") as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        argv = [command, "server", "--port", str(port), "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/m.db"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, start_new_session=True)
        peer = Peer(port, "none", lambda: family_s(process.pid))
        try:
            deadline_s = time.monotonic() + _MLFLOW_STARTS_S
            while process.poll() is None and time.monotonic() < deadline_s:
                with contextlib.suppress(OSError, RuntimeError, http.client.HTTPException):
                    Client(peer).call("GET", "registered-models/search")
                    break
                time.sleep(0.2)
            else:
                raise RuntimeError(f"MLflow's server did not start within {_MLFLOW_STARTS_S:.0f} s: {' '.join(argv)}")
            yield peer
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def prepare(peer: Peer, requests: int) -> None:
    """Make the models that so many reads and writes ask for, three versions each."""
    client = Client(peer)
    for number in range(min(MODELS, max(requests, 4 * CLIENTS))):
        client.call("POST", "registered-models/create", {"name": f"model-{number:04d}"})
        for version in range(3):
            client.call("POST", "model-versions/create", {"name": f"model-{number:04d}", "source": f"s3://b/{version}"})
    client.close()
