"""Custom gates in CEL against a version: the evidence that conditions see, facts of its system, and what is missing."""

from __future__ import annotations

import pytest
from tests.unit.domain.law import HELD_OUT, Law, dataset, digest

from jurat.core.errors import Conflict, Malformed
from jurat.domain import commands, rows
from jurat.domain.commands_lineage import ChangeSystem
from jurat.domain.gate_preview import missing_steps
from jurat.domain.gates import check_gates
from jurat.domain.stages import Stage
from jurat.domain.values import Clause, Metric, RiskTier

GATES = """
deployment_gates:
  staging:
    - type: custom
      name: house-rule
      cel: "%s"
      max_age: 30d
  production:
    - {type: automated_tests, checks: [accuracy >= 0.86]}
"""
RULE = "evidence.accuracy >= 0.85 && evidence.demographic_parity_difference <= 0.1 && system.risk_tier != 'minimal'"


@pytest.fixture
def law() -> Law:
    law = Law()
    law.apply_gates(GATES % RULE)
    return law


def clause(law: Law, version: rows.Version) -> Clause:
    now = law.state.get(rows.Version, version.version)
    assert now is not None
    found = check_gates(law.state, now, Stage.STAGING, law.now_ns)
    (only,) = found.clauses
    assert found.verdict == only.verdict
    assert found.required == [True]
    return only


def test_it_stands_on_the_path_to_staging(law: Law) -> None:
    version = law.register()
    found = clause(law, version)
    assert (found.gate, found.condition, found.verdict) == ("custom house-rule", f"cel {RULE}", "not_enough_data")
    assert found.reason == "`accuracy` was not measured; `demographic_parity_difference` was not measured"
    with pytest.raises(Conflict):
        law.do("ben", commands.Promote(version=version.version, to_stage="staging"))
    law.good(version)
    found = clause(law, version)
    assert (found.verdict, found.reason, len(found.evidence)) == ("pass", "", 2)
    assert found.found == "accuracy 0.9; demographic_parity_difference 0.05; system.risk_tier high"
    law.do("ben", commands.Promote(version=version.version, to_stage="staging"))


def test_it_fails_with_the_values_that_made_it_false(law: Law) -> None:
    version = law.register()
    law.good(version)
    law.measure(version, "evaluation", accuracy=0.8, latency_p99=0.05)
    found = clause(law, version)
    assert found.verdict == "fail"
    assert found.reason.startswith("false where `evidence.accuracy` is 0.8, ")


def test_a_gap_has_two_sides_and_a_group_that_could_not_be_measured_is_missing(law: Law) -> None:
    version = law.register()
    law.good(version)
    law.measure(version, "bias_test", demographic_parity_difference=-0.3)
    assert clause(law, version).verdict == "fail"
    law.measure(version, "bias_test", demographic_parity_difference=None)
    assert (clause(law, version).verdict, clause(law, version).reason) == ("not_enough_data", "not measured")


def test_it_must_hold_for_every_protected_attribute(law: Law) -> None:
    version = law.register()
    law.good(version)
    gap = [
        Metric(name="demographic_parity_difference", value=value, n=500, group_by=group) for group, value in (("age", 0.02), ("sex", 0.2))
    ]
    command = commands.RecordEvidence(
        version=version.version, type="bias_test", version_digest=version.digest, dataset=HELD_OUT, dataset_digest=digest("6"),
        metrics=gap, method="test", environment={}, duration_s=1.0,
    )  # fmt: skip
    law.do("ben", command)
    assert clause(law, version).verdict == "fail"
    assert "by sex" in clause(law, version).found


def test_stale_evidence_is_missing(law: Law) -> None:
    version = law.register()
    law.good(version)
    law.wait(31 * 86_400)
    found = clause(law, version)
    assert (found.verdict, "`accuracy`: stale: " in found.reason) == ("not_enough_data", True)


def test_rows_that_it_was_trained_on_say_nothing(law: Law) -> None:
    law.do("ada", dataset())
    law.do("ada", dataset(HELD_OUT, "d"))  # the same bytes as the training data
    law.do("dan", commands.RegisterSystem(system="credit", purpose="p", owner="prn_dan", risk_tier=RiskTier.HIGH, affected_persons="all"))
    version = law.register()
    command = commands.RecordEvidence(
        version=version.version, type="evaluation", version_digest=version.digest, dataset=HELD_OUT, dataset_digest=digest("d"),
        metrics=[Metric(name="accuracy", value=0.99, n=9)], method="test", environment={}, duration_s=1.0,
    )  # fmt: skip
    law.do("ben", command)
    assert "which it was trained on" in clause(law, version).reason


def test_a_change_of_the_system_counts_at_once(law: Law) -> None:
    law.apply_gates(GATES % "evidence.accuracy >= 0.85 && 'internal' in system.environments")
    version = law.register()
    law.good(version)
    found = clause(law, version)
    assert (found.verdict, found.reason) == ("not_enough_data", "`system.environments` is not declared")
    now = law.state.get(rows.Version, version.version)
    assert now is not None
    result = check_gates(law.state, now, Stage.STAGING, law.now_ns)
    (step,) = missing_steps(law.state, now, Stage.STAGING, result, law.now_ns)
    assert step.do == "jurat system change credit --reason '…'"
    law.do("olga", ChangeSystem(system="credit", reason="declared", environments=["internal"]))
    assert clause(law, version).verdict == "pass"
    law.do("olga", ChangeSystem(system="credit", reason="moved", environments=["public"]))
    assert clause(law, version).verdict == "fail"


def test_a_file_that_cannot_be_read_leaves_the_old_gates(law: Law) -> None:
    before = law.state.get(rows.GatesInForce, "current")
    with pytest.raises(Malformed):
        law.apply_gates(GATES % "evidence.acuracy > 0.5")
    assert law.state.get(rows.GatesInForce, "current") == before


def test_joined_with_conditions_and_optional() -> None:
    law = Law()
    early = "    - {type: custom, name: early, cel: 'evidence.accuracy > 0.5'}\n  production:"
    both = GATES.replace("      max_age: 30d", "      checks: [accuracy >= 0.95]\n      required: false") % RULE
    law.apply_gates(both.replace("  production:", early))
    version = law.register()
    law.good(version)
    found = check_gates(law.state, version, Stage.PRODUCTION, law.now_ns)
    assert [c.verdict for c in found.clauses] == ["fail", "pass", "pass", "pass"]
    assert found.required == [False, False, True, True]
