"""A real workspace behind the real door, and unmodified MLflow clients before it: one per run of these tests."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from tests.unit.domain.law import HELD_OUT, dataset, version_command

from jurat.app.bootstrap import init_workspace, remove_workspace
from jurat.app.evaluator import evaluator_for
from jurat.app.walk import act, act_as
from jurat.app.wiring import App, open_app
from jurat.core.workspace import Workspace
from jurat.domain import commands, rows
from jurat.domain.commands_registry import BindRegistryVersion, ProtectRegistryAliases
from jurat.domain.roles import expiry
from jurat.domain.values import Metric, PrincipalType, RiskTier
from jurat.store.connect import attach_database
from jurat.store.store import Store
from jurat.web.asgi import make_asgi

GATES = """
deployment_gates:
  staging:
    - type: automated_tests
      required: true
      checks: [accuracy >= 0.8]
  production:
    - type: human_approval
      required: true
      approvers: [{role: ml_lead}, {role: product_owner}]
"""
ROLES = ("data_scientist", "ml_engineer", "ml_lead", "product_owner", "auditor", "business_analyst")
WEIGHTS = {version: f"weights of churn {version}".encode() for version in ("1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0")}


@dataclass
class Site:
    """A workspace, its URL, and a token per role."""

    app: App
    url: str
    tokens: dict[str, str]

    def client(self, role: str = "ml_engineer") -> Any:
        """Return an unmodified client that acts with the token of a role."""
        from mlflow import MlflowClient

        os.environ["MLFLOW_TRACKING_TOKEN"] = self.tokens[role]  # read at every request: one client at a time acts
        return MlflowClient(tracking_uri=self.url, registry_uri=self.url)

    def events(self) -> list[Any]:
        """Return what was recorded, oldest first: nothing moves it to the ledger before a command that hosts the stores ends."""
        from jurat.domain.events import decode_event

        dsn = attach_database(self.app.workspace).dsn("reader")
        with Store.open(dsn, application="test") as store, store.connection() as connection:
            found = connection.execute("SELECT raw FROM outbox.event ORDER BY position").fetchall()
        return [decode_event(bytes(raw)) for (raw,) in found]

    def denials(self, rule: str = "") -> list[Any]:
        """Return the refusals on record, newest first."""
        events: list[Any] = [e for e in self.events() if e.kind.name == "act.denied.v1"]
        return [e for e in reversed(events) if not rule or e.data.rule == rule]

    def in_staging(self, version: str) -> str:
        """Register `churn@<version>`, measure it well, and bring it to staging."""
        name = f"churn@{version}"
        weights = "sha256:" + hashlib.sha256(WEIGHTS[version]).hexdigest()
        command = version_command(version)
        parts = {n: getattr(command.artefacts, n) for n in command.artefacts.__struct_fields__}
        parts["weights"] = type(parts["weights"])(version=version, digest=weights)
        command = version_command(version, artefacts=type(command.artefacts)(**parts))
        act(self.app, self.tokens["data_scientist"], command)
        evaluator = evaluator_for(self.app, self.tokens["data_scientist"])
        with self.app.store.reading() as state:
            found = state.get(rows.Version, name)
        assert found is not None
        evidence = commands.RecordEvidence(
            version=name, type="evaluation", version_digest=found.digest, dataset=HELD_OUT, dataset_digest=dataset(HELD_OUT, "6").digest,
            metrics=[Metric(name="accuracy", value=0.9, n=500)], method="test", environment={}, duration_s=1.0,
        )  # fmt: skip
        act_as(self.app, evaluator, evidence)
        act(self.app, self.tokens["ml_engineer"], commands.Promote(version=name, to_stage="staging"))
        return name

    def bind(self, name: str, number: int, version: str, **more: Any) -> None:
        weights = "sha256:" + hashlib.sha256(WEIGHTS[version.partition("@")[2]]).hexdigest()
        fields = {"registry": "", "name": name, "number": number, "version": version, "weights_digest": weights, **more}
        act(self.app, self.tokens["ml_engineer"], BindRegistryVersion(**fields))

    def protect(self, name: str, *aliases: str) -> None:
        act(self.app, self.tokens["operator"], ProtectRegistryAliases(model=name, aliases=list(aliases), reason="test"))

    def sign_off(self, version: str) -> None:
        """Have two different people approve exactly what is shown."""
        opened = act(
            self.app, self.tokens["ml_engineer"], commands.RequestPromotion(version=version, to_stage="production", lifetime_s=3600)
        ).events[0]
        data: Any = opened.data
        for role in ("ml_lead", "product_owner"):
            act(self.app, self.tokens[role], commands.Approve(request=data.request, shown_digest=data.shown_digest, comment="seen"))


@contextlib.contextmanager
def open_site() -> Iterator[Site]:
    """Make the workspace, serve it, and take it away again."""
    with tempfile.TemporaryDirectory(prefix="jurat-mlflow-") as folder:
        root = Path(folder) / "w"
        init_workspace(root, throwaway=True)
        workspace = Workspace(root)
        try:
            with open_app(workspace, throwaway=True) as app:
                operator = (root / "credentials" / "operator.token").read_text().strip()
                tokens = {"operator": operator, **{role: join(app, operator, role) for role in ROLES}}
                act(app, operator, commands.ApplyGates(source=GATES, reason="test"))
                act(app, tokens["data_scientist"], dataset())
                act(app, tokens["data_scientist"], dataset(HELD_OUT, "6"))
                with app.store.reading() as state:
                    owner = next(p.principal for p in state.find(rows.Principal) if p.type is PrincipalType.PERSON)
                system = commands.RegisterSystem(
                    system="credit", purpose="p", owner=owner, risk_tier=RiskTier.HIGH, affected_persons="applicants"
                )
                act(app, tokens["product_owner"], system)
                with serving(make_asgi(app)) as url:
                    yield Site(app, url, tokens)
        finally:
            with contextlib.suppress(Exception):
                remove_workspace(root)


@contextlib.contextmanager
def serving(asgi: Any) -> Iterator[str]:
    """Serve an ASGI app on a free port of loopback, in a thread; give its URL."""
    server = uvicorn.Server(uvicorn.Config(asgi, port=0, log_level="error", access_log=False, lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def join(app: App, operator: str, role: str) -> str:
    """Return the token of a new person who holds a role."""
    person = act(app, operator, commands.RegisterPrincipal(type=PrincipalType.PERSON, name=role)).reply["principal"]
    act(app, operator, commands.GrantRole(principal=person, role=role, reason="test", expires_at=expiry(app.clock.now_ns(), 7200)))
    return act(app, operator, commands.IssueToken(principal=person, lifetime_s=7200)).reply["token"]
