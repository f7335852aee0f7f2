"""`gate.check_ms`: one gate checked over a real walk: policies, evidence, verdict, the record durable in PostgreSQL. 95th percentile.

The gate is the shipped one before production, with a custom expression beside it; the version has 12 types of evidence, and 200
other versions lie in the workspace.
"""

from __future__ import annotations

import time
from typing import Any, Final

from bench.support import percentile, result, scratch

from jurat.app.admit import new_token
from jurat.app.bootstrap import DEFAULT_GATES, init_workspace, remove_workspace
from jurat.app.gate_check import check_gate
from jurat.app.wiring import App, open_app
from jurat.core.clock import parse_at
from jurat.core.settings import Settings
from jurat.core.workspace import Workspace
from jurat.domain import facts
from jurat.domain.context import Context
from jurat.domain.events import Actor
from jurat.domain.roles import expiry
from jurat.domain.values import Artefact, Artefacts, Metric, PrincipalType, TrainingCode, TrainingConfig, TrainingData
from jurat.policy.gatefile import parse_gates

TARGET_MS: Final = 200.0
OTHERS: Final = 200
GATES: Final = (
    DEFAULT_GATES
    + """\
    - type: custom
      name: ours
      checks:
        - accuracy >= 0.9 || (accuracy >= 0.85 && latency_p99 <= 50ms)
"""
)


def run(quick: bool) -> list[dict[str, Any]]:
    """Measure."""
    count = 20 if quick else 200
    with scratch() as folder:
        root = folder / "gate"
        init_workspace(root, settings=Settings(api_port=0, gateway_port=0), gates=GATES, throwaway=True)
        try:
            with open_app(Workspace(root), throwaway=True) as app:
                token = _fill(app)
                check_gate(app, token, "credit@1.0.0", "production")  # policies and gate file are read once
                waits, began_cpu = [], time.process_time()
                for _ in range(count):
                    began = time.perf_counter()
                    checked = check_gate(app, token, "credit@1.0.0", "production")
                    waits.append((time.perf_counter() - began) * 1e3)
                cpu_ms = (time.process_time() - began_cpu) * 1e3 / count
                assert {c.verdict for c in checked.clauses if c.condition.startswith("accuracy")} == {"pass"}
        finally:
            remove_workspace(root)
    p95 = percentile(waits, 0.95)
    return [
        result("gate.check_ms", round(p95, 2), "ms", f"the target of {TARGET_MS:g} ms", TARGET_MS / p95),
        result("gate.check_cpu_ms", round(cpu_ms, 2), "ms of CPU of this process", f"the target of {TARGET_MS:g} ms", TARGET_MS / cpu_ms),
    ]


def _fill(app: App) -> str:
    """Make a version with evidence, others beside it, and somebody who may check; return their token."""
    person = "prn_" + "1" * 26
    context = Context(Actor(principal=person, type=PrincipalType.PERSON, chain=[person]), app.clock.now_ns(), None, "workspace")
    token, token_hash = new_token()
    expires_at = expiry(context.now_ns, 3_600)
    part = Artefact(version="1", digest="sha256:" + "9" * 64)
    artefacts = Artefacts(**dict.fromkeys(Artefacts.__struct_fields__, part))
    made: list[facts.Fact] = [
        facts.PrincipalRegistered(principal=person, type=PrincipalType.PERSON, owner=None, name=None),
        facts.RoleGranted(grant="grt_b", principal=person, role="ml_engineer", scope="*", reason="bench", expires_at=expires_at),
        facts.GatesApplied(digest=parse_gates(GATES, roles=None).digest, source=GATES, reason="bench"),
    ]
    for number in range(OTHERS + 1):
        digest = "sha256:" + f"{number:064x}"
        made.append(
            facts.VersionRegistered(
                version=f"credit@{number + 1}.0.0", model="credit", system="lending", digest=digest, artefacts=artefacts,
                training_data=TrainingData(dataset="d", dataset_digest=part.digest, row_count=1, feature_columns=["age"]),
                training_code=TrainingCode(git_repo="r", git_commit="c", git_branch="b"),
                training_config=TrainingConfig(hyperparameters={}, training_duration_s=1.0, hardware="h"),
                claimed_metrics={}, validation_dataset="held-out", author="prn_author",
            )
        )  # fmt: skip
        for kind in ("evaluation", "bias_test", *(f"other{n}" for n in range(10))) if number == 0 else ("evaluation",):
            metrics = [
                Metric(name=name, value=value, n=500)
                for name, value in (("accuracy", 0.9), ("latency_p99", 0.02), ("memory_usage", 1e8), ("equalized_odds_difference", 0.05))
            ]
            made.append(
                facts.EvidenceMeasured(
                    type=kind, version=f"credit@{number + 1}.0.0", version_digest=digest, dataset="held-out", dataset_digest=part.digest,
                    metrics=metrics, method="bench", environment={}, duration_s=1.0,
                )
            )  # fmt: skip
    with app.store.transaction() as tx:
        tx.record([context.event(each) for each in made])
        tx.vault.put_token(token_hash, token_id="tok_bench", principal=person, chain=[person], expires_at=parse_at(expires_at))
    return token
