"""A real workspace with the people whom the life of a version needs, and a git repository that trains one. One per run of these tests."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from jurat.app.bootstrap import init_workspace, remove_workspace
from jurat.app.graph import find
from jurat.app.walk import act
from jurat.app.wiring import App, open_app
from jurat.cli.main import run
from jurat.cli.session import Session
from jurat.core.workspace import Workspace
from jurat.domain import commands, facts, rows
from jurat.domain.roles import expiry
from jurat.domain.values import DataSheet, PrincipalType, RiskTier

ROLES = ("data_scientist", "ml_engineer", "ml_lead", "product_owner", "compliance_officer", "data_owner")
CSV = "age,amount,good\n" + "".join(f"{20 + n % 40},{1000 + 37 * n % 900},{n % 2}\n" for n in range(200))
SHEET = DataSheet(
    purpose="p", source="s", collection_method="c", licence="CC BY 4.0", known_biases=[], sensitive_columns=["age"], label="good",
    favourable_outcome="1",
)  # fmt: skip


class Site(NamedTuple):
    """The workspace, a token per role, and ids of the people by role."""

    app: App
    tokens: dict[str, str]
    ids: dict[str, str]
    root: Path

    def act(self, role: str, command: commands.Command) -> list:
        return act(self.app, self.tokens[role], command).events


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="jurat-lineage-") as folder:
        root = Path(folder) / "w"
        init_workspace(root, throwaway=True)
        try:
            with open_app(Workspace(root), throwaway=True) as app:
                operator = (root / "credentials" / "operator.token").read_text().strip()
                tokens, ids = {"operator": operator}, {}
                for role in ROLES:
                    ids[role], tokens[role] = join(app, operator, role)
                pipeline = commands.RegisterPrincipal(type=PrincipalType.SERVICE, name="pipeline", owner=ids["ml_engineer"])
                ids["recorder"] = act(app, operator, pipeline).reply["principal"]
                tokens["recorder"] = equip(app, operator, ids["recorder"], "recorder")
                for name, token in tokens.items():
                    path = root / "credentials" / f"{name}.token"
                    path.write_text(token + "\n")
                    path.chmod(0o600)
                found = Site(app, tokens, ids, root)
                found.act(
                    "operator",
                    commands.RegisterSystem(
                        system="credit-decisions",
                        purpose="loans",
                        owner=ids["product_owner"],
                        risk_tier=RiskTier.HIGH,
                        affected_persons="applicants",
                    ),
                )
                yield found
        finally:
            with contextlib.suppress(Exception):
                remove_workspace(root)


@pytest.fixture
def jurat(site: Site, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def call(*arguments: str) -> Said:
        capsys.readouterr()
        session = Session(workspace_given=str(site.root), opener=lambda _workspace: contextlib.nullcontext(site.app))
        code = run(arguments, session)
        return Said(code, *capsys.readouterr())

    return call


def join(app: App, operator: str, role: str) -> tuple[str, str]:
    person = act(app, operator, commands.RegisterPrincipal(type=PrincipalType.PERSON, name=role)).reply["principal"]
    return person, equip(app, operator, person, role)


def equip(app: App, operator: str, principal: str, role: str) -> str:
    ends = expiry(app.clock.now_ns(), 3600)
    act(app, operator, commands.GrantRole(principal=principal, role=role, reason="test", expires_at=ends))
    return act(app, operator, commands.IssueToken(principal=principal, lifetime_s=3600)).reply["token"]


TRAIN = """
import csv, json, os
rows = list(csv.DictReader(open(os.environ["JURAT_TRAINING_DATA"])))
share = sum(int(r["good"]) for r in rows) / len(rows)
json.dump({"share": share, "bias": BIAS}, open("model.json", "w"), sort_keys=True)
"""
LOCK = "click==8.1.7\nscikit-learn==1.5.0 \\\n    --hash=sha256:00\nnumpy==1.26.4  # pinned\n"


def git(folder: Path, *words: str) -> str:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *words], check=True, capture_output=True, text=True, env=environment
    ).stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("credit-model")
    (folder / "train.py").write_text(TRAIN.replace("BIAS", "0"))
    (folder / "requirements.lock").write_text(LOCK)
    (folder / "features.json").write_text(
        '{"version":"1.0.0","features":[{"name":"age","datatype":"INT64"},{"name":"amount","datatype":"INT64"}]}'
    )
    (folder / "serving.json").write_text("{}")
    (folder / ".gitignore").write_text("model.json\ndata.csv\nsheet.json\n")
    git(folder, "init", "--quiet")
    git(folder, "remote", "add", "origin", "https://robot:hunter2@git.example.org/bank/credit.git")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "Train")
    (folder / "data.csv").write_text(CSV)
    (folder / "sheet.json").write_text(msgspec.json.encode(SHEET).decode())
    train(folder)
    return folder


def train(folder: Path) -> None:
    environment = {**os.environ, "JURAT_TRAINING_DATA": str(folder / "data.csv")}
    subprocess.run([sys.executable, "train.py"], cwd=folder, env=environment, check=True)


def register(jurat, folder: Path, name: str, *more: str):
    return jurat(
        "--as", "data_scientist", "model", "register", name, "--weights", str(folder / "model.json"), "--data", "loans@v1",
        "--system", "credit-decisions", "--features", str(folder / "features.json"), "--serving", str(folder / "serving.json"),
        "--repo", str(folder), "--command", "python3 train.py", "--output", "model.json", *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def loans(site: Site, repository: Path) -> str:
    digest = "sha256:" + hashlib.sha256(CSV.encode()).hexdigest()
    columns = ["age", "amount", "good"]
    site.act(
        "data_scientist",
        commands.RegisterDataset(dataset="loans@v1", collection="training", digest=digest, rows=200, columns=columns, sheet=SHEET),
    )
    return "loans@v1"


@pytest.fixture
def credit(site: Site, repository: Path, loans: str, jurat) -> str:
    with site.app.store.reading() as state:
        known = state.get(rows.Version, "credit@1.0.0")
    if known is None:
        said = register(jurat, repository, "credit@1.0.0", "--param", "bias=0", "--metric", "accuracy=0.5", "--run", "mlflow:r1")
        assert said.code == 0, said.err[-1500:]
        assert "https://git.example.org/bank/credit.git" in said.err
        assert "hunter2" not in said.err
        assert "3 packages" in said.err
    return "credit@1.0.0"


def told(said) -> Any:
    assert said.code == 0, said.err[-1500:]
    return json.loads(said.out)


def version_fact(site: Site, name: str) -> facts.VersionRegistered:
    site.app.settle()
    with site.app.store.reading() as state:
        row = state.get(rows.Version, name)
    assert row is not None
    data = find(site.app.events, row.registered).event.data
    assert isinstance(data, facts.VersionRegistered)
    return data
