"""A real workspace in which things are forgotten: PostgreSQL, sequencer and archive, people who may, predictions that say something.

Used by one process at a time; nothing but the walk and the ledger's own client writes to it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from tests.ledger_workspace import OpenLedger

from jurat.app.bootstrap import init_workspace
from jurat.app.erase import approve_erasure, request_erasure
from jurat.app.walk import act
from jurat.app.wiring import App, open_app
from jurat.core.clock import FixedClock, SystemClock, format_at
from jurat.core.ids import new_id
from jurat.core.jsonio import dump_json
from jurat.core.settings import Settings, lock_file
from jurat.core.workspace import Workspace
from jurat.domain import commands
from jurat.domain.facts_keeping import ErasureRequested
from jurat.domain.kinds import GATEWAY
from jurat.domain.roles import expiry
from jurat.domain.values import PrincipalType
from jurat.ledger.client import LedgerClient
from jurat.ledger.create import create_ledger
from jurat.ledger.faults import Report
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import LogName, log_keys_file
from jurat.ledger.verify import verify_workspace

INFERENCE = LogName("main", "inference")
MADE = 51


@dataclass
class Kept:
    """The workspace, the tokens of its people, and what was recorded: prediction → bytes; and what was erased of it."""

    workspace: Workspace
    tokens: dict[str, str]
    ids: dict[str, str]
    said: dict[str, bytes] = field(default_factory=dict)
    erased: set[bytes] = field(default_factory=set)

    def verify(self) -> Report:
        keys = load_log_keys(log_keys_file(self.workspace.keys))
        return verify_workspace(self.workspace.ledger, keys, lock_file(self.workspace, Settings()))

    def record(self, count: int, *, endpoint: str = "nobody-knows", subject: str = "") -> list[str]:
        """Record predictions that say something unmistakable; return their ids."""
        made = self.say(count, endpoint, subject)
        with LedgerClient.connect(self.workspace.run, GATEWAY.code) as client:
            client.append(INFERENCE, 1, [(MADE, raw) for raw in made.values()])
            client.flush()
        return list(made)

    def say(self, count: int, endpoint: str = "nobody-knows", subject: str = "") -> dict[str, bytes]:
        clock, made = SystemClock(), {}
        for _ in range(count):
            prediction = new_id("prd", clock)
            data = {"prediction": prediction, "endpoint": endpoint, "output": f"secret of {prediction}", "customer": subject}
            actor = {"principal": "prn_" + "0" * 26, "type": "service", "chain": []}
            made[prediction] = dump_json(
                {"id": new_id("evt", clock), "kind": "prediction.made.v1", "at": format_at(clock.now_ns()), "actor": actor, "data": data}
            )
        self.said |= made
        return made

    def ask(self, app: App, selector: str, reference: str, *, who: str = "operator", only_free: bool = False) -> ErasureRequested:
        done = request_erasure(
            app, self.tokens[who], selector, reference, reason="the applicant objects", legal_basis="GDPR 17(1)(c)", only_free=only_free
        )
        fact = done.events[0].data
        assert isinstance(fact, ErasureRequested)
        return fact

    def auditor(self, app: App) -> str:
        """Return the token of somebody who may read the ledger, and nothing else."""
        operator = self.tokens["operator"]
        person = act(app, operator, commands.RegisterPrincipal(type=PrincipalType.PERSON, name="Auditor")).reply["principal"]
        ends = expiry(app.clock.now_ns(), 86_400)
        act(app, operator, commands.GrantRole(principal=person, role="auditor", reason="test", expires_at=ends))
        return act(app, operator, commands.IssueToken(principal=person, lifetime_s=3600)).reply["token"]

    def approved(self, app: App, selector: str, reference: str) -> str:
        """Return the name of an erasure that one person asked for and another approved."""
        fact = self.ask(app, selector, reference)
        approve_erasure(app, self.tokens["privacy"], fact.request, fact.shown_digest, "looked at it")
        return fact.request


def make_kept(root: Path, *earlier: tuple[int, float]) -> Kept:
    """Make a workspace with an operator and two privacy officers, whose names are in the vault.

    Args:
        earlier: (how many, how many days ago): predictions that the ledger received before anything else, the oldest first.
    """
    kept = Kept(Workspace(root), {}, {})

    def create_and_record(workspace: Workspace, settings: Settings) -> None:
        create_ledger(workspace, settings)
        for epoch, (count, days) in enumerate(earlier, 1):
            clock = FixedClock(SystemClock().now_ns() - round(days * 86_400) * 10**9)
            with OpenLedger(workspace, clock=clock) as ledger:
                ledger.append(INFERENCE, 1, list(kept.say(count).values()), epoch=epoch)
                ledger.publish()

    with mock.patch("jurat.app.bootstrap.create_ledger", create_and_record):
        made = init_workspace(root, operator_name="Olga", settings=Settings(api_port=0, gateway_port=0), throwaway=True)
    kept.tokens["operator"], kept.ids["operator"] = (made.workspace.credentials / "operator.token").read_text().strip(), made.operator
    with open_app(made.workspace, throwaway=True) as app:
        for name in ("privacy", "second"):
            operator, now_ns = kept.tokens["operator"], app.clock.now_ns()
            person = commands.RegisterPrincipal(type=PrincipalType.PERSON, name=f"{name.title()} Officer")
            kept.ids[name] = act(app, operator, person).reply["principal"]
            grant = commands.GrantRole(principal=kept.ids[name], role="privacy_officer", reason="test", expires_at=expiry(now_ns, 86_400))
            act(app, operator, grant)
            kept.tokens[name] = act(app, operator, commands.IssueToken(principal=kept.ids[name], lifetime_s=3600)).reply["token"]
    return kept


@contextlib.contextmanager
def opened(kept: Kept) -> Iterator[App]:
    with open_app(kept.workspace, throwaway=True) as app:
        yield app


def files_with(root: Path, needle: bytes) -> list[str]:
    """Return every file below `root` that holds these bytes: the plainest search there is."""
    found = []
    for path in sorted(root.rglob("*")):
        with contextlib.suppress(OSError):
            if path.is_file() and needle in path.read_bytes():
                found.append(path.relative_to(root).as_posix())
    return found
