"""A new workspace: folders, keys, rules, the stores, and the first operator. All of it, or nothing."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from jurat.app.admit import new_token
from jurat.app.evaluator import EVALUATOR
from jurat.app.timekeeper import CLOCK
from jurat.app.token_keys import issuer_of, make_key
from jurat.app.tree import held_lock
from jurat.app.wiring import open_app
from jurat.core.clock import SystemClock, parse_at
from jurat.core.errors import Conflict
from jurat.core.files import write_secret, write_whole
from jurat.core.ids import new_id
from jurat.core.settings import Settings, format_settings, load_settings
from jurat.core.workspace import Workspace
from jurat.domain import facts
from jurat.domain.context import Context
from jurat.domain.events import Actor
from jurat.domain.facts_access import AccessRulesApplied
from jurat.domain.facts_identity import TokenKeysRotated
from jurat.domain.facts_keeping import RetentionApplied
from jurat.domain.retention import read_table
from jurat.domain.roles import expiry
from jurat.domain.values import PrincipalType
from jurat.ledger.create import create_ledger
from jurat.ledger.keys import load_log_keys
from jurat.ledger.layout import log_keys_file
from jurat.policy.accessrules import default_access, read_access
from jurat.policy.gatefile import parse_gates
from jurat.policy.policyset import SCHEMA_NAME, PolicySet, default_sources, default_tests
from jurat.policy.retentionfile import default_retention
from jurat.store.connect import remove_database

_BOOTSTRAP_TOKEN_S: Final = 30 * 86_400
_FOLDERS: Final = ("keys", "policies", "credentials", "artefacts", "run", "lock")

DEFAULT_GATES: Final = """\
# What a version must show before it goes further. Put a change into force with `jurat gate apply gates.yaml --reason '…'`.
deployment_gates:
  staging:
    - type: automated_tests
      required: true
      checks:
        - accuracy >= 0.85
        - latency_p99 <= 100ms
        - memory_usage <= 2GB

    - type: bias_check
      required: true
      checks:
        - demographic_parity_difference <= 0.1
        - equalized_odds_difference <= 0.1

  production:
    - type: staging_soak
      required: true
      duration: 48h
      success_criteria:
        - error_rate <= 0.1%
        - no_critical_alerts

    - type: human_approval
      required: true
      approvers:
        - role: ml_lead
        - role: product_owner
"""


@dataclass(frozen=True)
class Created:
    """A new workspace and its first operator, whose token lies in `credentials/operator.token`."""

    workspace: Workspace
    operator: str
    policy_set: str


def init_workspace(
    root: Path, *, operator_name: str = "operator", settings: Settings | None = None, gates: str = DEFAULT_GATES, throwaway: bool = False
) -> Created:
    """Make a workspace in `root`, which does not exist or is empty.

    Args:
        operator_name: a person's name; kept in the vault only.
        throwaway: for demos and tests: approvals count by tokens that the operator made in others' names; and as root with no fitting
            account, PostgreSQL runs as `nobody`.

    Raises:
        Conflict: something lies there.
        Malformed: the settings or the gates make no sense.
        Unavailable: the disk or the database refused. In each case nothing is left behind.
    """
    root = root.absolute()
    settings = settings or Settings()
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise Conflict(f"`{root}` is not empty", hint="name a new directory, or empty that one yourself", code="not_empty")
    sources = default_sources()
    policies = PolicySet.load({name: text for name, text in sources.items() if name != SCHEMA_NAME}, sources[SCHEMA_NAME])
    parse_gates(gates, roles=policies.roles)
    workspace = Workspace(root)
    with _all_or_nothing(workspace, settings):
        _lay_files(workspace, settings, sources, gates, throwaway)
        create_ledger(workspace, settings)
        operator = _first_acts(workspace, sources, gates, operator_name, throwaway)
    return Created(workspace, operator, policies.digest)


def _lay_files(workspace: Workspace, settings: Settings, sources: dict[str, str], gates: str, throwaway: bool) -> None:
    workspace.root.mkdir(parents=True, exist_ok=True)
    for folder in _FOLDERS:
        (workspace.root / folder).mkdir(mode=0o755 if folder == "policies" else 0o700)
    write_whole(workspace.gates_file, gates.encode())
    write_whole(workspace.retention_file, default_retention().encode())
    write_whole(workspace.access_file, default_access(throwaway=throwaway).encode())
    for name, text in sources.items():
        write_whole(workspace.policies / name, text.encode())
    (workspace.policies / "tests").mkdir(mode=0o755)
    for name, text in default_tests().items():
        write_whole(workspace.policies / "tests" / name, text.encode())
    write_whole(workspace.settings_file, format_settings(settings).encode())
    load_settings(workspace)


def _first_acts(workspace: Workspace, sources: dict[str, str], gates: str, operator_name: str, throwaway: bool) -> str:
    """Record what nobody could be authorized for, because these acts make the rules and the first person who keeps them."""
    clock = SystemClock()
    operator, evaluator, timekeeper = new_id("prn", clock), new_id("prn", clock), new_id("prn", clock)
    actor = Actor(principal=operator, type=PrincipalType.PERSON, chain=[operator])
    context = Context(actor, clock.now_ns(), None, "workspace")
    policies = PolicySet.load({name: text for name, text in sources.items() if name != SCHEMA_NAME}, sources[SCHEMA_NAME])
    keys = load_log_keys(log_keys_file(workspace.keys))
    access = default_access(throwaway=throwaway)
    token, token_hash = new_token()
    expires_at = expiry(context.now_ns, _BOOTSTRAP_TOKEN_S)
    token_id = context.fresh("tok")
    events = [
        context.event(facts.WorkspaceCreated(tenant=load_settings(workspace).tenant, log_keys=[_public(k) for k in keys])),
        context.event(
            facts.PolicySetApplied(
                digest=policies.digest,
                files={name: text for name, text in sources.items() if name != SCHEMA_NAME},
                schema=sources[SCHEMA_NAME],
                reason="shipped with jurat",
            )
        ),
        context.event(
            facts.GatesApplied(digest=parse_gates(gates, roles=policies.roles).digest, source=gates, reason="a new workspace's gates")
        ),
        context.event(
            RetentionApplied(digest=read_table(default_retention()).digest, source=default_retention(), reason="shipped with jurat")
        ),
        context.event(facts.PrincipalRegistered(principal=operator, type=PrincipalType.PERSON, owner=None, name=None)),
        context.event(facts.PrincipalRegistered(principal=evaluator, type=PrincipalType.PROCESS, owner=operator, name=EVALUATOR)),
        context.event(facts.PrincipalRegistered(principal=timekeeper, type=PrincipalType.PROCESS, owner=operator, name=CLOCK)),
        context.event(AccessRulesApplied(digest=read_access(access).digest, source=access, reason="shipped with jurat", loosened=[])),
        *[
            context.event(
                facts.RoleGranted(
                    grant=context.fresh("grt"), principal=who, role=role, scope="*", reason="bootstrap of the workspace", expires_at=None
                )
            )
            for who, role in ((operator, "operator"), (evaluator, "evaluator"), (timekeeper, CLOCK))
        ],
        context.event(
            TokenKeysRotated(issuer=issuer_of(load_settings(workspace)), keys=[make_key(workspace)], reason="a new workspace's key")
        ),
        context.event(facts.TokenIssued(token=token_id, principal=operator, chain=[operator], expires_at=expires_at)),
    ]
    with open_app(workspace, throwaway=throwaway) as app:
        with app.store.transaction() as tx:
            tx.record(events)
            tx.vault.put_person(operator, name=operator_name)
            tx.vault.put_token(token_hash, token_id=token_id, principal=operator, chain=[operator], expires_at=parse_at(expires_at))
        app.settle()
    write_secret(workspace.credentials / "operator.token", token.encode() + b"\n")
    return operator


def _public(keys: object) -> dict[str, object]:
    found = msgspec.to_builtins(keys)
    assert isinstance(found, dict)
    return found


@contextlib.contextmanager
def _all_or_nothing(workspace: Workspace, settings: Settings) -> Iterator[None]:
    existed = workspace.root.exists()
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            remove_database(workspace, settings)
        if workspace.root.exists():
            for child in workspace.root.iterdir():
                shutil.rmtree(child, ignore_errors=True) if child.is_dir() else child.unlink()
            if not existed:
                workspace.root.rmdir()
        raise


def remove_workspace(root: Path) -> None:
    """Take a workspace away, with its database. For demos and tests.

    Raises:
        Conflict: it is being served.
    """
    workspace = Workspace(root.absolute())
    settings = load_settings(workspace)
    with held_lock(workspace):
        remove_database(workspace, settings)
    shutil.rmtree(root)
