"""A served workspace, looked at by somebody who has no business there: rules 9 and 13 of the house."""

from __future__ import annotations

import http.client
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from tests.scenes.served import CHILDREN, Serve, prepared

from jurat.app.tree import TreeInfo
from jurat.core.jsonio import load_json
from jurat.core.workspace import Workspace

PERSON, ADDRESS, INPUT = "Wilhelmina Quackenbush", "wilhelmina@example.org", 987_654_321_123


class Served(NamedTuple):
    workspace: Workspace
    server: Serve
    secrets: dict[str, bytes]
    answers: list[bytes]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One served workspace, after good requests, bad ones, and a command that fails."""
    with prepared(tmp_path_factory.mktemp("served") / "w") as (workspace, client):
        server = Serve(workspace)
        try:
            operator = (workspace.credentials / "operator.token").read_text().strip()
            ports = load_json((workspace.run / "tree.json").read_bytes(), TreeInfo).ports
            passwords = load_json((workspace.postgres / "passwords.json").read_bytes(), dict[str, str])
            secrets = {"operator's token": operator.encode(), "client's token": client.encode()}
            secrets |= {f"password of {user}": password.encode() for user, password in passwords.items()}
            secrets["master key"] = next(line for line in (workspace.keys / "signing.key").read_bytes().splitlines() if len(line) > 40)[:40]
            answers = []

            def send(door: str, path: str, body: bytes, token: str) -> bytes:
                connection = http.client.HTTPConnection("127.0.0.1", ports[door], timeout=15)
                connection.request("POST", path, body, {"authorization": f"Bearer {token}", "content-type": "application/json"})
                answers.append(connection.getresponse().read())
                connection.close()
                return answers[-1]

            person = msgspec.json.encode({"type": "person", "name": PERSON, "email": ADDRESS})
            case = msgspec.json.encode({"inputs": [{"name": "age", "shape": [1], "datatype": "INT64", "data": [INPUT]}]})
            made = msgspec.json.decode(send("web", "/api/v1/principals", person, operator))["data"]["reply"]["principal"]
            fresh = send("web", f"/api/v1/principals/{made}/tokens", b'{"lifetime_s": 600}', operator)
            secrets["fresh token"] = msgspec.json.decode(answers.pop())["data"]["reply"]["token"].encode()  # shown this once
            assert secrets["fresh token"] in fresh
            assert b'"released"' in send("gateway", "/v2/models/credit/infer", case, client)
            # What a careless caller does: the token in the wrong place, personal data in what cannot be read.
            send("web", "/api/v1/principals", person, operator)  # the address is taken
            send("web", "/api/v1/principals", person[:-3], operator)
            send("web", "/api/v1/principals", msgspec.json.encode({"type": PERSON, "name": PERSON}), operator)
            send("web", "/api/v1/principals", person, operator[:-1])
            send("gateway", "/v2/models/credit/infer", case[:-3], client)
            send("gateway", "/v2/models/credit/infer", case.replace(b"INT64", b"BOOL"), client)
            send("gateway", "/v2/models/credit/infer", case, operator)
            words = ["-C", str(workspace.root), "--debug", "principal", "register", PERSON, "--email", ADDRESS]
            command = [sys.executable, "-m", "jurat.cli.main", *words]
            done = subprocess.run(command, capture_output=True, check=False, env={**os.environ, "JURAT_TOKEN": operator})
            answers.append(done.stdout + done.stderr)
            yield Served(workspace, server, secrets, answers)
            server.terminate()
        finally:
            if server.process.poll() is None:
                server.process.kill()
            server.close()


def processes(served: Served) -> list[int]:
    """The tree with all that it started, PostgreSQL too."""
    found, waiting = [], [served.server.process.pid]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for task in Path(f"/proc/{pid}/task").iterdir():
            waiting += [int(child) for child in (task / "children").read_text().split()]
    return found


def test_rule_9_no_secret_lies_where_others_look(served: Served) -> None:
    """In the ledger, the logs, the answers, nor in what `ps` shows."""
    files = [path for path in served.workspace.root.rglob("*") if path.is_file()]
    keepers = {"signing.key", "passwords.json", "database.json", "operator.token"}
    shown = {str(path): path.read_bytes() for path in files if path.name not in keepers and "cluster" not in path.parts}
    assert any(name.endswith(".wal") for name in shown)
    assert any(name.endswith("server.log") for name in shown)
    shown |= {f"answer {number}": answer for number, answer in enumerate(served.answers)}
    for pid in processes(served):
        shown[f"process {pid}"] = Path(f"/proc/{pid}/cmdline").read_bytes()
    for what, secret in served.secrets.items():
        assert len(secret) >= 20
        assert [place for place, raw in shown.items() if secret in raw] == [], what


def test_rule_9_no_name_no_address_and_no_input_lies_in_ledger_or_logs(served: Served) -> None:
    folders = (served.workspace.ledger, served.workspace.run)
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    files.append(served.workspace.postgres / "server.log")
    for text in (PERSON, ADDRESS, str(INPUT)):
        assert [str(path) for path in files if text.encode() in path.read_bytes()] == [], text


def test_rule_9_secrets_are_readable_by_their_owner_only(served: Served) -> None:
    root = served.workspace
    for path in [root.keys, root.credentials, root.run, root.root / "lock", root.ledger, root.artefacts]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    secret = [root.keys / "signing.key", root.run / "database.json", root.postgres / "passwords.json", *root.credentials.iterdir()]
    for path in secret:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    files = [path for path in root.root.rglob("*") if path.is_file()]
    assert [str(path) for path in files if path.stat().st_mode & 0o022] == [], "others may write"


def test_rule_13_everything_listens_on_loopback_only(served: Served) -> None:
    inodes = set()
    for pid in processes(served):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            target = str(link.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    listening = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                listening.append(words[1].partition(":")[0])
    assert len(listening) >= 3  # database, API, gateway
    assert set(listening) <= {"0100007F", "00000000000000000000000001000000"}


def test_rule_13_a_new_workspace_knows_one_person_and_no_password_by_default(served: Served) -> None:
    passwords = load_json((served.workspace.postgres / "passwords.json").read_bytes(), dict[str, str])
    assert all(len(password) == 64 for password in passwords.values())
    assert len(set(passwords.values())) == len(passwords) >= 4
    tokens = [path.name for path in served.workspace.credentials.iterdir()]
    assert tokens == ["operator.token"]
    assert set(CHILDREN) == {"sequencer", "relay", "archive", "web", "gateway"}
