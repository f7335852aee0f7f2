"""The further kinds of gates: scans, documents, the organisation's own; and what is never a pass in any of them."""

from __future__ import annotations

import pytest
from tests.unit.domain.law import Law, digest
from tests.unit.domain.test_gates_and_approvals import verdicts

from jurat.core.errors import Conflict, Malformed
from jurat.domain import commands, rows
from jurat.domain.commands_lineage import ChangeSystem
from jurat.domain.gates import check_gates
from jurat.domain.stages import Stage
from jurat.policy.gatefile import format_gates, parse_gates

GATES = """
deployment_gates:
  staging:
    - type: automated_tests
      checks: [accuracy >= 0.85]
      max_age: 30d
    - type: security_scan
      checks: [no_critical_findings]
    - type: documentation
      checks: [model_card_complete, data_sheet_complete]
    - type: custom
      name: our-own
      checks:
        - accuracy >= 0.95 || (accuracy >= 0.85 && no_critical_findings)
      policies: [require-model-card]
  production:
    - type: rollout
      steps: [1%, 10%, 50%, 100%]
      hold: 10m
      requests: 50
      success_criteria: [error_rate <= 1%, confidence_drift <= 0.2]
    - type: automated_tests
      checks: [accuracy >= 0.86]
"""
POLICY = "policy:require-model-card:staging"


@pytest.fixture
def law() -> Law:
    law = Law()
    law.apply_gates(GATES)
    return law


@pytest.fixture
def version(law: Law) -> rows.Version:
    return law.register()


def all_good(law: Law, version: rows.Version) -> None:
    law.measure(version, "evaluation", accuracy=0.9)
    scan(law, version)
    law.measure(version, "documentation", model_card_complete=1.0, data_sheet_complete=1.0)
    law.measure(version, POLICY, policy_passed=1.0, policy_blocking=1.0)


def scan(law: Law, version: rows.Version, verdict: str = "clean") -> None:
    law.do(
        "ben",
        commands.RecordScan(
            version=version.version, artefact_digest=version.artefacts.weights.digest, verdict=verdict, format="pickle",
            reasons=[] if verdict == "clean" else ["imports `os.system`"], size_bytes=3,
        ),
    )  # fmt: skip


def standing(law: Law, version: rows.Version) -> dict[str, tuple[str, str]]:
    now = law.state.get(rows.Version, version.version)
    assert now is not None
    return {c.condition: (c.verdict, c.reason) for c in check_gates(law.state, now, Stage.STAGING, law.now_ns).clauses}


def test_everything_green_goes_to_staging(law: Law, version: rows.Version) -> None:
    assert set(verdicts(law, version, Stage.STAGING).values()) == {"not_enough_data"}
    all_good(law, version)
    assert set(verdicts(law, version, Stage.STAGING).values()) == {"pass"}
    law.do("ben", commands.Promote(version=version.version, to_stage="staging"))


def test_a_refused_scan_fails(law: Law, version: rows.Version) -> None:
    all_good(law, version)
    scan(law, version, "refused")
    verdict, reason = standing(law, version)["no_critical_findings"]
    assert (verdict, "os.system" in reason) == ("fail", True)


def test_the_newest_measurement_counts_not_the_best(law: Law, version: rows.Version) -> None:
    all_good(law, version)
    law.measure(version, "robustness", accuracy=0.2)  # another type that the gate may look at
    assert standing(law, version)["accuracy >= 0.85"][0] == "fail"


def test_stale_evidence_is_no_pass(law: Law, version: rows.Version) -> None:
    all_good(law, version)
    law.wait(31 * 86_400)
    verdict, reason = standing(law, version)["accuracy >= 0.85"]
    assert verdict == "not_enough_data"
    assert "stale" in reason
    assert standing(law, version)["no_critical_findings"][0] == "pass"  # that gate sets no age


def test_evidence_from_the_future_is_no_pass(law: Law, version: rows.Version) -> None:
    law.wait(86_400)
    all_good(law, version)
    law.wait(-2 * 86_400)  # a clock that was set back
    verdict, reason = standing(law, version)["accuracy >= 0.85"]
    assert (verdict, "has not come yet" in reason) == ("not_enough_data", True)


def test_half_a_flag_is_no_yes(law: Law, version: rows.Version) -> None:
    all_good(law, version)
    law.measure(version, "documentation", model_card_complete=0.7, data_sheet_complete=1.0)
    assert standing(law, version)["model_card_complete"][0] == "not_enough_data"


def test_nan_is_not_recorded_and_so_no_pass(law: Law, version: rows.Version) -> None:
    with pytest.raises(Malformed):
        law.measure(version, "evaluation", accuracy=float("nan"))
    with pytest.raises(Malformed):
        law.measure(version, POLICY, policy_passed=float("nan"), policy_blocking=1.0)


def test_evidence_on_other_bytes_cannot_be_recorded(law: Law, version: rows.Version) -> None:
    with pytest.raises(Conflict) as refused:
        law.measure(version, "evaluation", version_digest=digest("9"), accuracy=0.99)
    assert refused.value.code == "digest_mismatch"


@pytest.mark.parametrize(
    ("said", "verdict", "goes"),
    [
        ({"policy_passed": 0.0, "policy_blocking": 1.0}, "fail", False),
        ({"policy_passed": 0.0, "policy_blocking": 0.0}, "fail", True),  # a warning: told, and stops nothing
        ({"policy_passed": None, "policy_blocking": 1.0}, "not_enough_data", False),
        ({"policy_passed": 1.0}, "not_enough_data", False),  # nobody said whether it blocks: it does
        ({"policy_passed": 0.5, "policy_blocking": 1.0}, "fail", False),
    ],
)
def test_what_a_policy_said(law: Law, version: rows.Version, said: dict[str, float | None], verdict: str, goes: bool) -> None:
    all_good(law, version)
    law.measure(version, POLICY, **said)
    found = {c.split(" (")[0]: v for c, (v, _) in standing(law, version).items()}
    assert found["policy require-model-card"] == verdict
    assert (verdicts(law, version, Stage.STAGING)["all"] == "pass") is goes


def test_a_policy_is_asked_again_after_anything_new(law: Law, version: rows.Version) -> None:
    all_good(law, version)
    law.measure(version, "evaluation", accuracy=0.91)
    verdict, reason = standing(law, version)["policy require-model-card"]
    assert (verdict, "stale" in reason) == ("not_enough_data", True)


def test_a_policy_is_asked_again_after_its_system_changed(law: Law, version: rows.Version) -> None:
    all_good(law, version)
    law.do("olga", ChangeSystem(system="credit", reason="it scores children now", affected_persons="children"))
    verdict, reason = standing(law, version)["policy require-model-card"]
    assert (verdict, reason.startswith("stale: system credit was ")) == ("not_enough_data", True)


def test_a_warning_that_went_stale_blocks_until_it_is_asked_again(law: Law, version: rows.Version) -> None:
    all_good(law, version)
    law.measure(version, POLICY, policy_passed=1.0, policy_blocking=0.0)
    law.measure(version, "evaluation", accuracy=0.91)
    assert verdicts(law, version, Stage.STAGING)["all"] == "not_enough_data"


def test_the_file_is_read_and_written_alike() -> None:
    read = parse_gates(GATES, roles=None)
    assert parse_gates(format_gates(read), roles=None) == read
    rollout = read.production[0]
    assert rollout.basis_points == [100, 1_000, 5_000, 10_000]  # type: ignore[union-attr]


BAD = {
    "shares_that_shrink": ("[1%, 10%, 50%, 100%]", "[10%, 1%, 100%]", "does not grow"),
    "no_end": ("[1%, 10%, 50%, 100%]", "[1%, 10%]", "ends at `100%`"),
    "more_than_all": ("[1%, 10%, 50%, 100%]", "[1%, 110%]", "above 100 %"),
    "a_bare_number": ("[1%, 10%, 50%, 100%]", "[1, 100%]", "not a percentage"),
    "no_steps": ("[1%, 10%, 50%, 100%]", "[]", "is empty"),
    "nobody_looked": ("requests: 50", "requests: 0", "nothing seen"),
    "no_time": ("hold: 10m", "hold: 0s", "more than nothing"),
    "no_criteria": ("success_criteria: [error_rate <= 1%, confidence_drift <= 0.2]", "success_criteria: []", "is empty"),
    "rollout_before_staging": ("    - type: security_scan", "    - type: rollout", "move this gate"),
    "only_a_rollout": ("    - type: automated_tests\n      checks: [accuracy >= 0.86]\n", "", "is required"),
    "custom_without_name": ("      name: our-own\n", "", "has no `name`"),
    "custom_with_a_path": ("policies: [require-model-card]", "policies: [../x]", "not a name"),
    "negative_age": ("max_age: 30d", "max_age: -1d", "not a duration"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_fault_in_the_file_is_refused(fault: str) -> None:
    old, new, says = BAD[fault]
    assert old in GATES
    with pytest.raises(Malformed) as refused:
        parse_gates(GATES.replace(old, new, 1), roles=None)
    assert says in f"{refused.value.detail} | {refused.value.hint}"
