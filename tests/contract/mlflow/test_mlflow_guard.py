"""The guard before a server that is not ours: everything passes unchanged, and what touches production is held."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from mlflow.exceptions import RestException
from tests.scenes.mlflow_site import Site
from tests.scenes.mlflow_standin import StandIn

from jurat.app.lineage import graph
from jurat.app.mlflow_runs import read_entry, read_run
from jurat.app.walk import act
from jurat.core.errors import Conflict, Malformed, NotFound

pytestmark = pytest.mark.filterwarnings("ignore:.*stage.*:FutureWarning")
SECRET = "Bearer what-the-upstream-wants"
REGISTRY = "prod"
DIRECT = {"X-Direct": "past the guard"}
_names = iter(range(10_000))


class Guarded(NamedTuple):
    """A guard's URL, the server behind it, and the stand-in if it is one."""

    site: Site
    url: str
    upstream: str
    stand_in: StandIn | None

    def client(self, role: str = "ml_engineer") -> Any:
        from mlflow import MlflowClient

        os.environ["MLFLOW_TRACKING_TOKEN"] = self.site.tokens[role]
        return MlflowClient(tracking_uri=self.url, registry_uri=self.url)

    def call(self, method: str, path: str, role: str = "ml_engineer", **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.site.tokens[role]}", **more.pop("headers", {})}
        return requests.request(method, self.url + path, headers=headers, timeout=20, **more)

    def raw(self, method: str, target: str, body: bytes, *, headers: str = "") -> int:
        """Send a request exactly as it is written, and return the status of the answer."""
        host, port = self.url.removeprefix("http://").split(":")
        head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {self.site.tokens['ml_engineer']}\r\n{headers}"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        with socket.create_connection((host, int(port)), timeout=20) as sock:
            sock.sendall(head.encode() + body)
            return int(sock.makefile("rb").readline().split()[1])


@contextlib.contextmanager
def real_server(command: str, folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [
        command,
        "server",
        "--port",
        str(port),
        "--backend-store-uri",
        f"sqlite:///{folder}/m.db",
        "--artifacts-destination",
        str(folder / "a"),
        "--workers",
        "1",
    ]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PYTHON"))}
    with (folder / "log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log, env=environment) as process:
        try:
            for _ in range(600):
                with contextlib.suppress(requests.ConnectionError):
                    if requests.get(f"http://127.0.0.1:{port}/health", timeout=5).ok:
                        break
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.fixture(scope="module", params=["stand-in", "real"])
def guarded(request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    command = os.environ.get("JURAT_TEST_MLFLOW", "")
    if request.param == "real" and not command:
        pytest.skip("JURAT_TEST_MLFLOW names no mlflow; it is too large for every run")
    folder = tmp_path_factory.mktemp("guard")
    secret = folder / "secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    with contextlib.ExitStack() as stack:
        stand_in: StandIn | None = None
        if request.param == "real":
            upstream = command if command.startswith("http") else stack.enter_context(real_server(command, folder))
        else:
            stand_in = stack.enter_context(contextlib.closing(StandIn()))
            upstream = stand_in.url
        argv = [
            sys.executable,
            "-m",
            "jurat.cli.main",
            "-C",
            str(site.app.workspace.root),
            "mlflow",
            "guard",
            "--upstream",
            upstream,
            "--port",
            "0",
            "--name",
            REGISTRY,
            "--credentials",
            str(secret),
            "--json",
        ]
        log = stack.enter_context((folder / "guard.log").open("wb"))
        process = stack.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log))
        stack.callback(process.terminate)
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, (folder / "guard.log").read_text()
        yield Guarded(site, json.loads(said)["url"], upstream, stand_in)
        assert SECRET.split()[1] not in (folder / "guard.log").read_text()


@pytest.fixture
def name(guarded: Guarded) -> str:
    made = f"up-{next(_names)}"
    client = guarded.client()
    client.create_registered_model(made)
    for number in ("1", "2"):
        client.create_model_version(made, f"s3://b/{made}/{number}")
    return made


def refused(call: Any) -> RestException:
    with pytest.raises(RestException) as caught:
        call()
    return caught.value


def names(guarded: Guarded, name: str) -> dict[str, str]:
    """Return what the server behind holds: alias → version."""
    found = requests.get(
        f"{guarded.upstream}/api/2.0/mlflow/registered-models/get", params={"name": name}, headers=DIRECT, timeout=20
    ).json()
    return {a["alias"]: a["version"] for a in found["registered_model"].get("aliases", [])}


def test_what_touches_no_production_passes_and_nobody_unknown_does(guarded: Guarded, name: str) -> None:
    client = guarded.client()
    client.set_registered_model_alias(name, "dev", "2")
    assert names(guarded, name) == {"dev": "2"}
    assert client.get_model_version_by_alias(name, "dev").version == "2"
    client.delete_registered_model_alias(name, "dev")
    assert client.transition_model_version_stage(name, "1", "Staging").current_stage == "Staging"
    nobody = requests.get(f"{guarded.url}/api/2.0/mlflow/registered-models/get?name={name}", timeout=20)
    assert (nobody.status_code, nobody.headers["www-authenticate"][:5]) == (401, "Basic")
    assert requests.get(guarded.url + "/health", auth=("x", guarded.site.tokens["auditor"]), timeout=20).status_code in (200, 404)
    if guarded.stand_in is not None:
        passed = [headers for *_, headers in guarded.stand_in.seen if "x-direct" not in headers]
        assert passed
        assert all(headers["authorization"] == SECRET for headers in passed)
        assert not any(token in str(headers) for token in guarded.site.tokens.values() for headers in passed)


def test_large_bodies_stream_through_both_ways(guarded: Guarded) -> None:
    blob = os.urandom(1 << 20) * 6
    path = "/api/2.0/mlflow-artifacts/artifacts/0/run/artifacts/a%20model-versions%20file.bin"

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(blob), 65_536):
            yield blob[at : at + 65_536]

    assert guarded.call("PUT", path, data=pieces()).status_code == 200
    assert guarded.call("GET", path).content == blob


@pytest.mark.parametrize("alias", ["champion", "CHAMPION", "production-eu", "Chámpion", "ｃhampion", "сhampion"])
def test_a_protected_alias_is_held_on_every_path_that_means_it(guarded: Guarded, name: str, alias: str) -> None:
    body = {"name": name, "alias": alias, "version": "1"}
    for root in ("/api/2.0", "/ajax-api/2.0", "/api/3.0", "/ajax-api/3.0"):
        answer = guarded.call("POST", f"{root}/mlflow/registered-models/alias", json=body)
        assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED"), answer.text
        assert "digest is unknown" in answer.json()["message"]
        assert f"--registry {REGISTRY}" in answer.json()["message"]
    assert names(guarded, name) == {}
    assert guarded.site.denials("digest_unknown")[0].data.command == "HoldRegistryAct"


@pytest.mark.parametrize(
    "target",
    [
        "/api/2.0/mlflow/registered-models/alias/",
        "/api/2.0/mlflow//registered-models/alias",
        "//api/2.0/mlflow/registered-models/alias",
        "/api/2.0/mlflow/registered%2Dmodels/alias",
        "/api/2.0/mlflow/registered-models/%61lias",
        "/api/2.0/mlflow/registered-models%2Falias",
        "/api/2.0/mlflow/x/../registered-models/alias",
        "/api/2.0/mlflow/%2e%2e/mlflow/registered-models/alias",
        "/api/2.0/mlflow/registered-models/alias;v=1",
        "/API/2.0/mlflow/Registered-Models/alias",
        "/api/2.0/mlflow/registered%252Dmodels/alias",
        "/api/2.0/mlflow-artifacts/artifacts/../../mlflow/registered-models/alias",
        "/api/2.0/mlflow\\registered-models\\alias",
        "/api/2.0/mlflow-artifacts/artifacts/%2e%2e/%2e%2e/mlflow/registered-models/alias",
    ],
)
def test_no_spelling_gets_past_it(guarded: Guarded, name: str, target: str) -> None:
    body = json.dumps({"name": name, "alias": "champion", "version": "1"}).encode()
    assert guarded.raw("POST", target, body) in (400, 403)
    assert names(guarded, name) == {}


def test_no_other_way_of_saying_it_gets_past_it(guarded: Guarded, name: str) -> None:
    path, body = "/api/2.0/mlflow/registered-models/alias", json.dumps({"name": name, "alias": "champion", "version": "1"}).encode()
    for method, target, raw, headers in (
        ("PUT", path, body, ""),
        ("PATCH", path, body, ""),
        ("POST", path, b'{"name":"' + name.encode() + b'","alias":"x","alias":"champion","version":"1"}', ""),
        ("POST", path, b'{"name":"' + name.encode() + b'","alias":"dev","version":"1","registeredModelAlias":"champion"}', ""),
        ("POST", path, json.dumps(body.decode()).encode(), ""),  # encoded twice
        ("POST", path, b"\xef\xbb\xbf" + body, ""),
        ("GET", path, body, "X-HTTP-Method-Override: POST\r\n"),
        ("POST", "/api/2.0/mlflow/registered-models/get?_method=DELETE", body, ""),
        ("POST", "/api/2.0/mlflow/registered-models/set-alias", body, ""),
        ("POST", "/graphql", b'{"query": "mutation { setAlias }"}', ""),
        ("POST", path, body, "Origin: https://evil.example\r\n"),
        ("POST", path, body, "Sec-Fetch-Site: cross-site\r\n"),
        ("BREW", path, body, ""),
    ):
        assert guarded.raw(method, target, raw, headers=headers) in (400, 403, 405), (method, target, raw)
    assert names(guarded, name) == {}
    reading = guarded.call("POST", "/graphql", json={"query": "query { __typename }"})
    assert reading.status_code == 200


def test_a_name_that_only_a_forgiving_database_finds_is_not_passed_on(guarded: Guarded, name: str) -> None:
    if guarded.stand_in is None:
        pytest.skip("needs a server on MySQL")
    guarded.site.protect(name, "gold")
    body = {"name": name.upper(), "alias": "gold", "version": "1"}
    path = "/api/2.0/mlflow/registered-models/alias"
    guarded.stand_in.forgiving = True
    try:
        for method, sent in (("POST", body), ("POST", {**body, "alias": "other"}), ("DELETE", {k: body[k] for k in ("name", "alias")})):
            answer = guarded.call(method, path, json=sent)
            assert (answer.status_code, "is called" in answer.json()["message"]) == (400, True), answer.text
    finally:
        guarded.stand_in.forgiving = False
    assert guarded.call("POST", path, json={**body, "name": name}).status_code == 403
    assert names(guarded, name) == {}


def test_a_header_that_a_wsgi_server_would_take_for_another_does_not_reach_it(guarded: Guarded, name: str) -> None:
    if guarded.stand_in is None:
        pytest.skip("the stand-in tells what it was sent")
    more = {"X_MLFLOW_WORKSPACE": "another", "X_HTTP_METHOD_OVERRIDE": "DELETE", "X-Kept": "yes"}
    assert guarded.call("GET", f"/api/2.0/mlflow/registered-models/get?name={name}", headers=more).status_code == 200
    *_, headers = guarded.stand_in.seen[-1]
    assert headers["x-kept"] == "yes"
    assert not [key for key in headers if "_" in key]


def test_after_sign_off_it_passes_with_intent_and_outcome_on_record(guarded: Guarded, name: str) -> None:
    site = guarded.site
    number = "1.3.0" if guarded.stand_in else "1.4.0"  # `test_mlflow_gates.py` has the ones below, at the same site
    version = site.in_staging(number)
    source, created_ms = read_entry(guarded.upstream, name, 1)
    site.bind(name, 1, version, registry=REGISTRY, source=source, created_ms=created_ms)
    assert "approved by ml_lead, product_owner" in str(refused(lambda: guarded.client().set_registered_model_alias(name, "champion", "1")))
    site.sign_off(version)
    assert (
        refused(lambda: guarded.client("data_scientist").set_registered_model_alias(name, "champion", "1")).error_code
        == "PERMISSION_DENIED"
    )
    guarded.client().set_registered_model_alias(name, "champion", "1")
    assert names(guarded, name) == {"champion": "1"}
    intent, outcome = [e for e in site.events() if e.kind.name == "registry_act.forwarded.v1"][-2:]
    assert (intent.data.phase, intent.data.version, intent.data.status) == ("intended", version, 0)
    assert (outcome.data.phase, outcome.data.status, outcome.data.intent) == ("answered", 200, intent.id)

    if guarded.stand_in:
        race_for_champion(guarded, guarded.stand_in, name, version)

    # the same holds for what would take it away, or put something else in its place
    client = guarded.client()
    for call in (
        lambda: client.delete_registered_model(name),
        lambda: client.delete_model_version(name, "1"),
        lambda: client.rename_registered_model(name, f"{name}-x"),
        lambda: client.set_registered_model_alias(name, "champion", "2"),
        lambda: client.transition_model_version_stage(name, "2", "Production"),
        lambda: guarded.client("data_scientist").delete_registered_model_alias(name, "champion"),
    ):
        assert refused(call).error_code == "PERMISSION_DENIED"
    assert names(guarded, name) == {"champion": "1"}

    # a model made anew under the name is not what was bound
    guarded.client().delete_registered_model_alias(name, "champion")
    guarded.client().delete_registered_model(name)
    guarded.client().create_registered_model(name)
    time.sleep(0.002)
    guarded.client().create_model_version(name, source)
    assert "digest is unknown" in str(refused(lambda: guarded.client().set_registered_model_alias(name, "champion", "1")))


def race_for_champion(guarded: Guarded, stand_in: StandIn, name: str, version: str) -> None:
    """Two unmodified clients move one protected alias at once, both through the gates: one does, one gets a conflict, on record."""
    site = guarded.site
    guarded.client().create_model_version(name, f"s3://b/{name}/3")
    source, created_ms = read_entry(guarded.upstream, name, 3)
    site.bind(name, 3, version, registry=REGISTRY, source=source, created_ms=created_ms)
    first, second = guarded.client(), guarded.client()
    stand_in.held = threading.Event()
    moves = sum(path.endswith("/registered-models/alias") for _, path, _ in stand_in.seen)
    with ThreadPoolExecutor(3) as clients:
        winner = clients.submit(first.set_registered_model_alias, name, "champion", "3")
        deadline = time.monotonic() + 20
        while sum(path.endswith("/registered-models/alias") for _, path, _ in stand_in.seen) == moves:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        loser = clients.submit(second.set_registered_model_alias, name, "champion", "1")
        same = clients.submit(guarded.client().set_registered_model_alias, name, "champion", "3")
        time.sleep(1.5)  # it stands in the guard by now, behind the first
        stand_in.held.set()
        winner.result(20)
        late = refused(lambda: loser.result(20))
        same.result(20)
    stand_in.held = None
    assert "was moved by somebody else just now" in str(late)
    assert late.error_code == "RESOURCE_CONFLICT"
    assert names(guarded, name) == {"champion": "3"}
    assert site.denials("alias_moved")
    guarded.client().set_registered_model_alias(name, "champion", "1")  # whoever has looked again may
    guarded.client().delete_model_version(name, "3")


def test_what_is_not_protected_is_deleted_and_renamed_freely(guarded: Guarded, name: str) -> None:
    client = guarded.client()
    client.rename_registered_model(name, f"{name}-free")
    client.delete_model_version(f"{name}-free", "2")
    client.delete_registered_model(f"{name}-free")
    assert refused(lambda: client.get_registered_model(f"{name}-free")).error_code == "RESOURCE_DOES_NOT_EXIST"


def test_a_server_that_is_away_is_said_so_and_nothing_happens(guarded: Guarded, name: str) -> None:
    if guarded.stand_in is None:
        pytest.skip("the real server stays up for the others")
    guarded.stand_in.fails = True
    try:
        held = guarded.call("POST", "/api/2.0/mlflow/registered-models/alias", json={"name": name, "alias": "champion", "version": "1"})
        passed = guarded.call("GET", f"/api/2.0/mlflow/registered-models/get?name={name}")
    finally:
        guarded.stand_in.fails = False
    assert (held.status_code, held.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    assert passed.status_code == 503
    assert names(guarded, name) == {}


RUN = {
    "info": {"run_id": "r1", "experiment_id": "0", "status": "FINISHED", "start_time": 1_795_000_000_000, "end_time": "1795000009000"},
    "data": {
        "params": [{"key": "C", "value": "1.0"}, {"key": "api_key", "value": "hush"}],
        "metrics": [
            {"key": "auc", "value": 0.91, "timestamp": 1, "step": 3},
            {"key": "loss", "value": "NaN", "timestamp": "1", "step": "0"},
        ],
        "tags": [{"key": "mlflow.source.git.commit", "value": "a" * 40}, {"key": "mlflow.source.name", "value": "train.py"}],
    },
    "inputs": {
        "dataset_inputs": [
            {
                "dataset": {"name": "loans", "digest": "d1", "source_type": "s3", "source": "s3://d"},
                "tags": [{"key": "mlflow.data.context", "value": "training"}],
            },
        ]
    },
}


def test_a_run_is_taken_over_as_claims_and_once(site: Site) -> None:
    with contextlib.closing(StandIn()) as stand_in:
        stand_in.runs["r1"] = RUN
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
            command = read_run(stand_in.url, "r1")
            with pytest.raises(NotFound):
                read_run(stand_in.url, "r2")
            with pytest.raises(Malformed, match="in the clear"):
                read_run("http://mlflow.example", "r1")
    (event,) = act(site.app, site.tokens["data_scientist"], command).events
    data: Any = event.data
    assert (data.source_commit, data.source_name, data.status, data.ended_ms) == ("a" * 40, "train.py", "FINISHED", 1_795_000_009_000)
    assert [(m.key, m.value, m.text) for m in data.claimed_metrics] == [("auc", 0.91, ""), ("loss", None, "NaN")]
    assert (data.datasets[0].name, data.datasets[0].digest, data.datasets[0].context) == ("loans", "d1", "training")
    assert "hush" not in str(data)
    assert "t0ken" not in str(data)
    with pytest.raises(Conflict):
        act(site.app, site.tokens["data_scientist"], command)
    # what of it is in the lineage: the run, on its data and its commit, as that server's word; the version only if one was named
    found = graph(site.app, site.tokens["data_scientist"], "run:mlflow:r1", up=True)
    assert {(e.source, e.relation, e.claimed) for e in found.edges} == {
        ("dataset:mlflow/loans#d1", "read_by", True), (f"code:train.py@{'a' * 40}", "code", True),
    }  # fmt: skip
    assert graph(site.app, site.tokens["data_scientist"], "dataset:mlflow/loans#d1", up=False).nodes == {"run:mlflow:r1": 1}


@pytest.mark.parametrize(
    "metric",
    [
        {"key": "auc", "value": "0.91"},
        {"key": "auc", "value": "high"},
        {"key": "auc", "value": True},
        {"key": "", "value": 1},
        {"value": 1},
    ],
)
def test_a_metric_that_is_no_number_is_not_taken_for_one(metric: dict[str, Any]) -> None:
    with contextlib.closing(StandIn()) as stand_in:
        stand_in.runs["r1"] = {**RUN, "data": {**RUN["data"], "metrics": [metric]}}
        with pytest.raises(Malformed):
            read_run(stand_in.url, "r1")
