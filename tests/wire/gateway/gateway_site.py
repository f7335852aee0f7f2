"""A real site for the gateway: workspace, PostgreSQL, sequencer, a model server that can be told to misbehave, and the process."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import uvicorn

from jurat.app.admit import new_token
from jurat.app.bootstrap import init_workspace, remove_workspace
from jurat.app.tree import Tree
from jurat.app.wiring import App, attach_app
from jurat.core.clock import format_at, parse_at
from jurat.core.settings import Settings
from jurat.core.workspace import Workspace
from jurat.domain import facts
from jurat.domain.context import Context
from jurat.domain.events import Actor, Event, decode_event
from jurat.domain.values import Artefact, Artefacts, PrincipalType, TrainingCode, TrainingConfig, TrainingData
from jurat.ledger.layout import LogName

WEIGHTS = "sha256:" + "1" * 64
VERSION_DIGEST = "sha256:" + "2" * 64


class Model:
    """A model server (ASGI, on uvicorn, in a thread) that answers `approved` with what the test wants."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.confidence = 0.9
        self.approves: Callable[[float], bool] = lambda _age: True
        self.asked = 0
        self._server = uvicorn.Server(uvicorn.Config(self, port=0, lifespan="off", access_log=False, log_level="warning", ws="none"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.asked += 1
        await asyncio.sleep(self.delay_s)
        case = msgspec.json.decode(body)
        answer = msgspec.json.encode(
            {
                "id": case["id"],
                "model_version": "1.1.0",
                "parameters": {"model_digest": WEIGHTS},
                "outputs": [
                    {"name": "approved", "datatype": "BOOL", "shape": [1], "data": [self.approves(case["inputs"][0]["data"][0])]},
                    {"name": "confidence", "datatype": "FP64", "shape": [1], "data": [self.confidence]},
                ],
            }
        )
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(5)


class Heard(NamedTuple):
    status: int
    body: dict[str, Any]


class Gateway:
    """The gateway's process."""

    def __init__(self, workspace: Workspace) -> None:
        self._life, life_child = os.pipe()[::-1]
        ready, ready_child = os.pipe()
        argv = [sys.executable, "-m", "jurat.gateway", str(workspace.root), "--parent-fd", str(life_child), "--ready-fd", str(ready_child)]
        self.process = subprocess.Popen(argv, pass_fds=(life_child, ready_child), stderr=subprocess.PIPE, text=True)
        os.close(life_child)
        os.close(ready_child)
        readable, _, _ = select.select([ready], [], [], 60)  # a machine that does five other things
        said = os.read(ready, 100) if readable else b""
        os.close(ready)
        if not said:
            self.process.kill()
            raise AssertionError(self.process.communicate()[1])
        self.port = int(said.split()[1])

    def end_parent(self) -> None:
        os.close(self._life)
        self._life = -1

    def wait(self, timeout_s: float = 10) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=timeout_s)
        if self._life >= 0:
            self.end_parent()
        return self.process.returncode, errors

    def stop(self) -> tuple[int, str]:
        self.process.terminate()
        return self.wait()

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)


class Site:
    """Everything but the gateway."""

    def __init__(self, workspace: Workspace, tree: Tree, app: App, model: Model) -> None:
        self.workspace, self.tree, self.app, self.model = workspace, tree, app, model
        clock = app.clock
        self.operator = Actor(principal="prn_operator", type=PrincipalType.PERSON, chain=["prn_operator"])
        self._context = Context(self.operator, clock.now_ns(), None, "workspace")
        self.token_id, self.token = self._context.fresh("tok"), ""
        self._make()

    def record(self, *data: facts.Fact) -> None:
        """Put facts on record as the relay's side does, and change state by them."""
        context = Context(self.operator, self.app.clock.now_ns(), None, "workspace")
        with self.app.store.transaction() as tx:
            tx.record([context.event(each) for each in data])
            for each in data:
                if isinstance(each, facts.TokenIssued):
                    self.token, token_hash = new_token()
                    tx.vault.put_token(
                        token_hash, token_id=each.token, principal=each.principal, chain=each.chain, expires_at=parse_at(each.expires_at)
                    )
                if isinstance(each, facts.TokenRevoked):
                    tx.vault.revoke_token(each.token, each.principal)

    def issue_token(self) -> None:
        self.token_id = self._context.fresh("tok")
        expires_at = format_at(self.app.clock.now_ns() + 3600 * 10**9)
        self.record(facts.TokenIssued(token=self.token_id, principal="prn_client", chain=["prn_operator"], expires_at=expires_at))

    def set_endpoint(self, *, stage: str = "development", floor: float = 0.6, requests_per_minute: int = 1_000_000) -> None:
        self.record(
            facts.EndpointConfigured(
                endpoint="credit", version="credit@1.1.0", version_digest=VERSION_DIGEST, stage=stage, upstream=self.model.url,
                confidence_floor=floor, requests_per_minute=requests_per_minute, blocked_patterns=["forbidden"],
            )
        )  # fmt: skip

    def _make(self) -> None:
        part = Artefact(version="1", digest="sha256:" + "9" * 64)
        artefacts = Artefacts(
            weights=Artefact(version="1.1.0", digest=WEIGHTS), training_code=part, training_data=part,
            feature_definitions=part, serving_configuration=part, dependencies=part,
        )  # fmt: skip
        self.record(
            facts.PrincipalRegistered(principal="prn_operator", type=PrincipalType.PERSON, owner=None, name=None),
            facts.PrincipalRegistered(principal="prn_client", type=PrincipalType.SERVICE, owner="prn_operator", name="loan desk"),
            facts.VersionRegistered(
                version="credit@1.1.0", model="credit", system="lending", digest=VERSION_DIGEST, artefacts=artefacts,
                training_data=TrainingData(dataset="d", dataset_digest="sha256:" + "4" * 64, row_count=1, feature_columns=["age"]),
                training_code=TrainingCode(git_repo="r", git_commit="c", git_branch="b"),
                training_config=TrainingConfig(hyperparameters={}, training_duration_s=1.0, hardware="h"),
                claimed_metrics={}, validation_dataset="d", author="prn_operator",
            ),
        )  # fmt: skip
        self.grant_role()
        self.set_endpoint()
        self.issue_token()

    def grant_role(self) -> None:
        self.record(
            facts.RoleGranted(
                grant="grt_client", principal="prn_client", role="prediction_client", scope="endpoints/", reason="it asks", expires_at=None
            )
        )

    def events(self, name: str) -> list[Event]:
        """Return what one log holds and is durable: read from the sequencer's own files once it has sealed."""
        with contextlib.closing(self.app.ledger()) as ledger:
            ledger.flush()
        stored = self.app.events.scan(classes=[name])
        return [decode_event(each.raw) for each in stored if not each.kind.startswith("producer.")]  # the gateway's own word is no act

    def log(self, name: str) -> LogName:
        return LogName("main", name)


@contextlib.contextmanager
def site(root: Path) -> Iterator[Site]:
    settings = Settings(gateway_port=0, api_port=0)
    init_workspace(root, settings=settings, throwaway=True)
    workspace = Workspace(root)
    model = Model()
    try:
        with Tree(workspace, settings, mode="moment", throwaway=True) as tree, attach_app(workspace, application="test") as app:
            yield Site(workspace, tree, app, model)
    finally:
        model.close()
        remove_workspace(root)


def infer(connection: http.client.HTTPConnection, token: str, *, age: int = 41, **more: Any) -> Heard:
    body = msgspec.json.encode({"inputs": [{"name": "age", "shape": [1], "datatype": "INT64", "data": [age]}], **more})
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    connection.request("POST", "/v2/models/credit/infer", body, headers)
    response = connection.getresponse()
    return Heard(response.status, msgspec.json.decode(response.read()))
