"""What governing a prediction costs, against asking the same scoring server directly, in the same run.

`gateway.rps`           answers a second, 16 clients, each answer with two durable records; against direct
`gateway.added_p50_ms`  what one client waits longer, median; and
`gateway.added_p99_ms`  at the 99th percentile

Everything is the product: `jurat serve`'s process tree with PostgreSQL and the sequencer, one gateway worker, the demo's
model in its scoring server. Clients are raw keep-alive sockets in this process, so on a small machine all of them share
the cores: compare ratios, not absolutes. Rounds are taken in turns, so that a disturbance hits both sides.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import uvloop

from jurat.app.admit import new_token
from jurat.app.bootstrap import init_workspace, remove_workspace
from jurat.app.features import Datatype
from jurat.app.tree import Tree
from jurat.app.wiring import App, attach_app
from jurat.core.clock import parse_at
from jurat.core.jsonio import dump_json
from jurat.core.settings import Settings
from jurat.core.workspace import Workspace
from jurat.demo.dataset import load_rows, split_rows
from jurat.demo.traffic import scoring_server
from jurat.demo.train import Trained, train
from jurat.domain import facts
from jurat.domain.context import Context
from jurat.domain.events import Actor
from jurat.domain.roles import expiry
from jurat.domain.values import Artefact, Artefacts, PrincipalType, TrainingCode, TrainingConfig, TrainingData

VERSION: Final = "credit@1.1.0"
CLIENTS: Final = 16


class Target(NamedTuple):
    """One way to the same answer."""

    port: int
    request: bytes


def run(quick: bool) -> list[dict[str, Any]]:
    """Return the results, each with its `name`, `value`, `unit`, `against` and `ratio`."""
    rounds, seconds = (3, 1.0) if quick else (7, 3.0)
    with _targets() as (direct, governed):
        one: dict[Target, list[float]] = {direct: [], governed: []}
        many: dict[Target, list[float]] = {direct: [], governed: []}
        for target in (direct, governed):
            _load(target, 1, 0.5)  # warm: connections, remembered decisions, pages
        for _ in range(rounds):
            for target in (direct, governed):
                one[target] += _load(target, 1, seconds)
                many[target].append(len(_load(target, CLIENTS, seconds)) / seconds)
    rps_direct, rps = (statistics.median(many[target]) for target in (direct, governed))
    return [
        _result("gateway.rps", rps, "answers/s", f"scoring server direct, {rps_direct:,.0f} answers/s", rps / rps_direct),
        _added("gateway.added_p50_ms", one[direct], one[governed], 0.50),
        _added("gateway.added_p99_ms", one[direct], one[governed], 0.99),
    ]


def _added(name: str, direct: list[float], governed: list[float], part: float) -> dict[str, Any]:
    before, after = (sorted(each)[min(len(each) - 1, int(len(each) * part))] * 1e3 for each in (direct, governed))
    return _result(name, after - before, "ms", f"scoring server direct, {before:.2f} ms", after / before)


def _result(name: str, value: float, unit: str, against: str, ratio: float) -> dict[str, Any]:
    return {"name": name, "value": round(value, 3), "unit": unit, "against": against, "ratio": round(ratio, 3)}


def _load(target: Target, clients: int, seconds: float) -> list[float]:
    """Return the seconds that each answer took, asked one after the other by each of so many clients."""

    async def everybody() -> list[float]:
        until = time.perf_counter() + seconds
        found = await asyncio.gather(*(_client(target, until) for _ in range(clients)))
        return [took for each in found for took in each]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(everybody())


async def _client(target: Target, until: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    took: list[float] = []
    try:
        while (started := time.perf_counter()) < until:
            writer.write(target.request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            answer = await reader.readexactly(length)
            took.append(time.perf_counter() - started)
            if not head.startswith(b"HTTP/1.1 200 ") or b'"confidence"' not in answer:
                raise RuntimeError(f"port {target.port} answered {head[:60]!r} {answer[:300]!r}")
    finally:
        writer.close()
    return took


@contextmanager
def _targets() -> Iterator[tuple[Target, Target]]:
    with tempfile.TemporaryDirectory(prefix="jurat-bench-") as scratch:
        directory = Path(scratch)
        parts = split_rows(load_rows())
        trained = train(VERSION.partition("@")[2], parts["training"], directory)
        inputs = [
            {
                "name": feature.name,
                "shape": [1],
                "datatype": str(feature.datatype),
                "data": [row[feature.name] if feature.datatype is Datatype.BYTES else float(row[feature.name])],
            }
            for row in parts["applicants"][:1]
            for feature in trained.schema.features
        ]
        body = dump_json({"inputs": inputs})
        root = directory / "site"
        settings = Settings(api_port=0, gateway_port=0)
        init_workspace(root, settings=settings, throwaway=True)
        workspace = Workspace(root)
        try:
            with (
                scoring_server(trained.artefact, trained.artefact_digest, trained.features, "1.1.0", directory / "scoring.log") as url,
                Tree(workspace, settings, mode="serve", throwaway=True) as tree,
                attach_app(workspace, application="bench") as app,
            ):
                token = _put_endpoint(app, trained, url)
                time.sleep(0.5)  # the gateway sees it within 100 ms
                direct = Target(int(url.rpartition(":")[2]), _request("/v2/models/credit/versions/1.1.0/infer", "", body))
                yield direct, Target(tree.ports["gateway"], _request("/v2/models/credit/infer", f"authorization: Bearer {token}\r\n", body))
        finally:
            remove_workspace(root)


def _request(path: str, header: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\n{header}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _put_endpoint(app: App, trained: Trained, url: str) -> str:
    """Put an endpoint and a client on record; return the client's token."""
    who = Actor(principal="prn_bench", type=PrincipalType.PERSON, chain=["prn_bench"])
    context = Context(who, app.clock.now_ns(), None, "workspace")
    part = Artefact(version="1", digest="sha256:" + "0" * 64)
    artefacts = Artefacts(
        weights=Artefact(version="1.1.0", digest=trained.artefact_digest), training_code=part, training_data=part,
        feature_definitions=part, serving_configuration=part, dependencies=part,
    )  # fmt: skip
    token, token_hash = new_token()
    token_id, expires_at, digest = context.fresh("tok"), expiry(context.now_ns, 3600), "sha256:" + "1" * 64
    events = [
        facts.PrincipalRegistered(principal="prn_bench", type=PrincipalType.PERSON, owner=None, name=None),
        facts.PrincipalRegistered(principal="prn_client", type=PrincipalType.SERVICE, owner="prn_bench", name="bench"),
        facts.RoleGranted(grant="grt_bench", principal="prn_client", role="prediction_client", scope="*", reason="bench", expires_at=None),
        facts.VersionRegistered(
            version=VERSION, model="credit", system="bench", digest=digest, artefacts=artefacts,
            training_data=TrainingData(dataset="d", dataset_digest=digest, row_count=1, feature_columns=trained.schema.names),
            training_code=TrainingCode(git_repo="", git_commit="", git_branch=""),
            training_config=TrainingConfig(hyperparameters={}, training_duration_s=1.0, hardware=trained.hardware),
            claimed_metrics={}, validation_dataset="d", author="prn_bench",
        ),
        facts.EndpointConfigured(
            endpoint="credit", version=VERSION, version_digest=digest, stage="development", upstream=url, confidence_floor=0.01,
            requests_per_minute=100_000_000, blocked_patterns=[r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b"],
        ),
        facts.TokenIssued(token=token_id, principal="prn_client", chain=["prn_bench"], expires_at=expires_at),
    ]  # fmt: skip
    with app.store.transaction() as tx:
        tx.record([context.event(each) for each in events])
        tx.vault.put_token(token_hash, token_id=token_id, principal="prn_client", chain=["prn_bench"], expires_at=parse_at(expires_at))
    return token
