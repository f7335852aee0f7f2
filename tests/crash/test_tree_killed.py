"""`jurat serve` at work, and each process of its tree killed in turn: nothing that was acknowledged is lost.

One client asks for predictions through the gateway, another one acts through the API, both as fast as they are answered.
What dies is started again by the tree; when the tree's own process dies, `jurat serve` is started again at once. After
each death both clients must be served again. At the end every acknowledged id is looked for in the ledger, the verifier
finds no fault, and the database says what the events say.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.scenes.served import CHILDREN, Serve, prepared

from jurat.app.refold import compare_state
from jurat.app.tree import TreeInfo
from jurat.app.wiring import open_app
from jurat.core.jsonio import load_json
from jurat.core.workspace import Workspace
from jurat.domain.events import decode_event
from jurat.domain.facts import FACTS, PredictionMade
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import log_keys_file
from jurat.ledger.verify import verify_workspace

VICTIMS = ["sequencer", "web", "postgresql", "supervisor", "gateway", "relay", "archive", "supervisor"]
PATIENCE_S = 60.0


class Client(threading.Thread):
    """Asks one door again and again, wherever it is now, and notes what was acknowledged."""

    def __init__(self, workspace: Workspace, door: str, token: str) -> None:
        super().__init__(name=f"client of {door}")
        self.workspace, self.door = workspace, door
        self.headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        self.acknowledged: list[str] = []
        self.refused: set[tuple[int, str]] = set()
        self.stopping = threading.Event()

    def request(self, number: int) -> tuple[str, Any]:
        raise NotImplementedError

    def note(self, body: Any) -> None:
        raise NotImplementedError

    def run(self) -> None:
        number = 0
        while not self.stopping.is_set():
            try:
                info = load_json((self.workspace.run / "tree.json").read_bytes(), TreeInfo)
                connection = http.client.HTTPConnection("127.0.0.1", info.ports[self.door], timeout=15)
                with contextlib.closing(connection):
                    while not self.stopping.is_set():
                        number += 1
                        path, body = self.request(number)
                        connection.request("POST", path, msgspec.json.encode(body), self.headers)
                        reply = connection.getresponse()
                        said = msgspec.json.decode(reply.read())
                        if reply.status == 200:
                            self.note(said)
                        else:
                            self.refused.add((reply.status, said.get("code", "")))
                            self.stopping.wait(0.02)
            except (OSError, http.client.HTTPException, KeyError, msgspec.DecodeError):
                self.stopping.wait(0.05)  # nobody there now, or the answer was cut: not acknowledged


class Predictions(Client):
    def request(self, number: int) -> tuple[str, Any]:
        return "/v2/models/credit/infer", {"inputs": [{"name": "age", "shape": [1], "datatype": "INT64", "data": [number]}]}

    def note(self, body: Any) -> None:
        self.acknowledged.append(body["parameters"]["prediction"])


class Acts(Client):
    def request(self, number: int) -> tuple[str, Any]:
        return "/api/v1/principals", {"type": "person", "name": f"person {number}"}

    def note(self, body: Any) -> None:
        self.acknowledged += [event["id"] for event in body["data"]["events"]]


def wait_for_more(clients: list[Client], server: Serve, why: str) -> None:
    """Return when each client had five more answers."""
    wanted = [len(client.acknowledged) + 5 for client in clients]
    deadline = time.monotonic() + PATIENCE_S
    while behind := [client for client, count in zip(clients, wanted, strict=True) if len(client.acknowledged) < count]:
        assert server.process.poll() is None, f"{why}: {server.said()}"
        waiting = {client.name: sorted(client.refused) for client in behind}
        assert time.monotonic() < deadline, f"{why}: not served again: {waiting}; {server.said()}"
        time.sleep(0.02)


@pytest.mark.timeout(240)
def test_nothing_acknowledged_is_lost_whoever_dies(tmp_path: Path) -> None:
    with prepared(tmp_path / "w") as (workspace, token):
        operator = (workspace.credentials / "operator.token").read_text().strip()
        clients: list[Client] = [Predictions(workspace, "gateway", token), Acts(workspace, "web", operator)]
        server = Serve(workspace)
        try:
            for client in clients:
                client.start()
            wait_for_more(clients, server, "before anything died")
            for victim in VICTIMS:
                server.kill(victim)
                if victim == "supervisor":
                    server = Serve(workspace)
                wait_for_more(clients, server, f"after `{victim}` was killed")
            took_s = server.terminate()
        finally:
            for client in clients:
                client.stopping.set()
            if server.process.poll() is None:
                server.terminate()
            for client in clients:
                client.join(30)
        said = server.said()
        assert server.process.returncode == 0, said
        server.close()
        assert took_s < 5, "SIGTERM stops everything within 5 s, under load too"
        with open_app(workspace) as app:
            app.settle()
            events = [
                decode_event(stored.raw) for stored in app.events.scan() if stored.kind in FACTS
            ]  # the rest are producers' statements
            assert compare_state(app, operator) == []
        ids = [event.id for event in events]
        assert len(ids) == len(set(ids)), "each event once"
        made = {event.data.prediction for event in events if isinstance(event.data, PredictionMade)}
        predictions, acts = (set(client.acknowledged) for client in clients)
        assert predictions - made == set()
        assert acts - set(ids) == set()
        assert len(predictions) >= 5 * (len(VICTIMS) + 1) <= len(acts)
        report = verify_workspace(workspace.ledger, load_log_keys(log_keys_file(workspace.keys)), workspace.root / "lock" / "lock.sqlite")
        assert report.faults == []


@pytest.mark.timeout(120)
def test_a_new_tree_waits_for_the_last_ones_processes(tmp_path: Path) -> None:
    """They may need a moment to notice that their parent is gone: until then they hold the ledger and the ports."""
    with prepared(tmp_path / "w") as (workspace, _token):
        first = Serve(workspace)
        slow = [first.pid_of(name) for name in CHILDREN]
        for pid in slow:
            os.kill(pid, signal.SIGSTOP)
        first.kill("supervisor")
        waking = threading.Timer(2.0, lambda: [os.kill(pid, signal.SIGCONT) for pid in slow])
        waking.start()
        try:
            second = Serve(workspace)
        finally:
            waking.join()
        os.kill(second.pid_of("web"), signal.SIGSTOP)  # a process that does not listen must not hold up the end
        assert second.terminate() < 5
        assert second.process.returncode == 0, second.said()
        second.close()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("child", ["sequencer", "gateway"])
def test_sigterm_stops_a_tree_that_is_still_starting(tmp_path: Path, child: str) -> None:
    with prepared(tmp_path / "w") as (workspace, _token):
        server = Serve(workspace, wait=False)
        try:
            deadline = time.monotonic() + PATIENCE_S
            while (pid := server.find(child)) is None:
                assert time.monotonic() < deadline
                time.sleep(0.002)
            os.kill(pid, signal.SIGSTOP)  # it will never be ready
            assert server.terminate() < 5
            assert server.process.returncode == 0, server.said()
        finally:
            server.process.kill()  # a test that fails leaves nobody behind
            server.close()
        assert not Path(f"/proc/{pid}").exists()
