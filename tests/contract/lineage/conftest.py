"""A real workspace with the people whom the life of a version needs. One per run of these tests."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from jurat.app.bootstrap import init_workspace, remove_workspace
from jurat.app.walk import act
from jurat.app.wiring import App, open_app
from jurat.cli.main import run
from jurat.cli.session import Session
from jurat.core.workspace import Workspace
from jurat.domain import commands
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


@pytest.fixture(scope="session")
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
