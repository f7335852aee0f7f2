"""Which rows a gate believes: none that the model was trained on, and none that somebody chose after they saw how it does."""

from __future__ import annotations

import pytest
from tests.unit.domain.law import HELD_OUT, Law, dataset, digest, version_command

from jurat.domain import commands, rows
from jurat.domain.gate_preview import missing_steps
from jurat.domain.gates import check_gates
from jurat.domain.stages import Stage
from jurat.domain.values import Metric

GATES = """
deployment_gates:
  staging:
    - type: automated_tests
      checks: [accuracy >= 0.8]
    - type: custom
      name: own
      checks: [accuracy >= 0.8]
  production:
    - type: automated_tests
      checks: [accuracy >= 0.8]
"""


@pytest.fixture
def law() -> Law:
    found = Law()
    found.apply_gates(GATES)
    found.register()
    for name, letter in (("copy@v1", "d"), ("easy@v1", "5"), ("loans-test@v2", "4")):
        found.do("ada", dataset(name, letter))
    return found


def told(law: Law, data: str, letter: str, version: str = "churn@1.0.0") -> list[str]:
    """Measure well on a data set, and return why that is not enough."""
    found = law.state.get(rows.Version, version)
    assert found is not None
    law.do(
        "ben",
        commands.RecordEvidence(
            version=version, type="evaluation", version_digest=found.digest, dataset=data, dataset_digest=digest(letter),
            metrics=[Metric(name="accuracy", value=0.99, n=500)], method="test", environment={}, duration_s=1.0,
        ),
    )  # fmt: skip
    return [c.reason for c in check_gates(law.state, found, Stage.STAGING, law.now_ns).clauses if c.verdict != "pass"]


def test_the_named_held_out_rows_are_believed(law: Law) -> None:
    assert told(law, HELD_OUT, "6") == []


@pytest.mark.parametrize(("data", "letter"), [("loans@v1", "d"), ("copy@v1", "d")])
def test_rows_that_it_was_trained_on_say_nothing_whatever_they_are_called(law: Law, data: str, letter: str) -> None:
    (first, second) = told(law, data, letter)
    assert first == f"measured on `{data}`, which it was trained on"
    assert second == f"accuracy >= 0.8: {first}"  # a custom gate is no way around


@pytest.mark.parametrize(("data", "letter"), [("easy@v1", "5"), ("loans-test@v2", "4")])
def test_rows_that_somebody_chose_afterwards_say_nothing(law: Law, data: str, letter: str) -> None:
    assert told(law, data, letter)[0] == f"measured on `{data}`, and `{HELD_OUT}` was named to judge it by"


@pytest.mark.parametrize("named", ["", "loans@v1"])
def test_where_none_was_named_any_but_the_training_data_will_do(law: Law, named: str) -> None:
    law.do("ada", version_command("1.1.0", "c", validation_dataset=named))
    assert told(law, "easy@v1", "5", "churn@1.1.0") == []
    assert told(law, "loans@v1", "d", "churn@1.1.0")[0] == "measured on `loans@v1`, which it was trained on"


def test_what_is_measured_on_no_rows_is_not_asked_for_them(law: Law) -> None:
    version = law.state.get(rows.Version, "churn@1.0.0")
    assert version is not None
    law.measure(version, "soak", accuracy=0.9)  # counted from the log: a custom gate may look at it
    clauses = check_gates(law.state, version, Stage.STAGING, law.now_ns).clauses
    assert [c.verdict for c in clauses] == ["not_enough_data", "pass"]


def test_what_is_missing_names_the_rows_to_measure_on(law: Law) -> None:
    version = law.state.get(rows.Version, "churn@1.0.0")
    assert version is not None
    steps = missing_steps(law.state, version, Stage.STAGING, check_gates(law.state, version, Stage.STAGING, law.now_ns), law.now_ns)
    assert {step.do for step in steps} == {f"jurat model evaluate churn@1.0.0 --data FILE --dataset {HELD_OUT}"}
