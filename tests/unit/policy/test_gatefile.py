"""Gate files: the organisation's own YAML as it is written, and everything else refused with its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jurat.core.errors import Malformed
from jurat.core.jsonio import dump_json, load_json
from jurat.policy.gatefile import AutomatedTests, BiasCheck, GateFile, HumanApproval, StagingSoak, format_gates, gate_type, parse_gates
from jurat.policy.metrics import GateType

ROLES = frozenset({"ml_lead", "product_owner"})
AS_WRITTEN = """\
# Example deployment gate configuration
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


def gates(text: str = AS_WRITTEN) -> GateFile:
    return parse_gates(text, roles=ROLES)


def test_the_file_is_read_as_written() -> None:
    read = gates()
    tests, bias = read.before("staging")
    soak, approval = read.before("production")
    assert isinstance(tests, AutomatedTests)
    assert [check.text for check in tests.checks] == ["accuracy >= 0.85", "latency_p99 <= 100ms", "memory_usage <= 2GB"]
    assert isinstance(bias, BiasCheck)
    assert [check.metric for check in bias.checks] == ["demographic_parity_difference", "equalized_odds_difference"]
    assert isinstance(soak, StagingSoak)
    assert soak.duration_s == 48 * 3600
    assert [check.text for check in soak.success_criteria] == ["error_rate <= 0.1%", "no_critical_alerts"]
    assert isinstance(approval, HumanApproval)
    assert [approver.role for approver in approval.approvers] == ["ml_lead", "product_owner"]
    assert all(gate.required for gate in (*read.staging, *read.production))
    assert [gate_type(gate) for gate in (*read.staging, *read.production)] == list(GateType)[:4]


def test_reading_and_writing_are_inverse() -> None:
    assert gates(format_gates(gates())) == gates()
    assert load_json(dump_json(gates()), GateFile) == gates()


def test_the_digest_is_of_the_meaning() -> None:
    assert gates(
        "# a comment\n" + AS_WRITTEN.replace("    - type: automated_tests\n      required: true", "    - type: automated_tests")
    ).digest == (gates().digest)
    assert gates(AS_WRITTEN.replace("0.85", "0.84")).digest != gates().digest
    assert gates(AS_WRITTEN.replace("48h", "47h")).digest != gates().digest
    assert gates(AS_WRITTEN.replace("required: true", "required: false", 1)).digest != gates().digest


def test_a_file_that_was_checked_before_is_read_again_without_the_roles() -> None:
    assert parse_gates(AS_WRITTEN, roles=None) == gates()
    with pytest.raises(Malformed, match="unknown"):
        parse_gates(AS_WRITTEN, roles=frozenset())


@pytest.mark.parametrize("stage", ["development", "experiment", "retired", ""])
def test_a_stage_without_gates_is_an_error_and_not_an_empty_list(stage: str) -> None:
    with pytest.raises(Malformed):
        gates().before(stage)


BIAS_CHECKS = "        - demographic_parity_difference <= 0.1\n        - equalized_odds_difference <= 0.1\n"
SOAK = "    - type: staging_soak\n      duration: 1h\n      success_criteria: [no_critical_alerts]\n"
BAD = {  # fault: (what to replace, by what, the line that must be named, words that must be said)
    "unknown_gate_type": ("type: automated_tests", "type: automatic_tests", 4, "did you mean `automated_tests`"),
    "no_gate_type": ("    - type: automated_tests\n      required: true", "    - required: true", 4, "has no `type`"),
    "unknown_key_in_gate": ("duration: 48h", "duraton: 48h", 20, "did you mean `duration`"),
    "unknown_key_at_top": ("deployment_gates:", "deployment_gate:", 2, "did you mean `deployment_gates`"),
    "unknown_stage": ("  production:", "  prod:", 17, "unknown key `prod`"),
    "no_production": (AS_WRITTEN[AS_WRITTEN.index("  production:") :], "", 3, "stage `production` has no gates"),
    "stage_empty": (AS_WRITTEN[AS_WRITTEN.index("  production:") :], "  production: []\n", 17, "is empty"),
    "stage_null": (AS_WRITTEN[AS_WRITTEN.index("  production:") :], "  production:\n", 17, "is not a list"),
    "unknown_metric": ("accuracy >= 0.85", "acuracy >= 0.85", 7, "did you mean `accuracy`"),
    "wrong_unit": ("latency_p99 <= 100ms", "latency_p99 <= 2GB", 8, "is a size"),
    "metric_of_another_gate": ("accuracy >= 0.85", "no_critical_alerts", 7, "put it into a gate of type `rollout` or `staging_soak`"),
    "condition_is_a_number": ("accuracy >= 0.85", "0.85", 7, "is not a condition"),
    "condition_is_a_mapping": ("accuracy >= 0.85", "accuracy: 0.85", 7, "is not plain text"),
    "condition_twice": ("latency_p99 <= 100ms", "accuracy >= 0.85", 8, "written twice"),
    "unknown_role": ("role: ml_lead", "role: ml_leed", 28, "did you mean `ml_lead`"),
    "approver_without_role": ("role: ml_lead", "name: alice", 28, "unknown key `name`"),
    "approver_is_a_name": ("- role: ml_lead", "- ml_lead", 28, "is not a mapping"),
    "approver_twice": ("role: product_owner", "role: ml_lead", 29, "listed twice"),
    "approvers_empty": ("approvers:\n        - role: ml_lead\n        - role: product_owner", "approvers: []", 27, "is empty"),
    "checks_empty": (f"checks:\n{BIAS_CHECKS}", "checks: []\n", 13, "is empty"),
    "required_is_a_word": ("required: true", "required: yes", 5, "expected `true` or `false`"),
    "duration_without_unit": ("48h", "48", 20, "is not a duration"),
    "duration_zero": ("48h", "0h", 20, "expected more than nothing"),
    "duration_negative": ("48h", "-1h", 20, "is not a duration"),
    "key_twice": ("      duration: 48h", "      duration: 48h\n      duration: 1s", 21, "written twice"),
    "gate_twice": ("type: bias_check", "type: automated_tests", 11, "two gates of type"),
    "soak_before_staging": ("    - type: bias_check", SOAK + "    - type: bias_check", 11, "before `staging`"),
    "tag": ("- accuracy >= 0.85", "- !!python/object:os.system accuracy >= 0.85", 7, "is not read here"),
    "anchor": ("- accuracy >= 0.85", "- &a accuracy >= 0.85", 7, "anchors and aliases"),
    "alias_of_nothing": ("- accuracy >= 0.85", "- *a", 7, "anchors and aliases"),
    "tab": ("  staging:", "\tstaging:", 3, "not YAML"),
    "second_document": ("  production:", "---\n  production:", 17, "not YAML"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_a_fault_is_refused_with_its_line_and_a_hint(fault: str) -> None:
    old, new, line, says = BAD[fault]
    assert old in AS_WRITTEN
    with pytest.raises(Malformed) as refused:
        gates(AS_WRITTEN.replace(old, new, 1))
    assert says in f"{refused.value.detail} | {refused.value.hint}"
    assert refused.value.fields["line"] == line
    assert f"line {line}:" in refused.value.detail
    assert refused.value.hint


def test_a_stage_of_optional_gates_is_refused() -> None:
    text = AS_WRITTEN.replace("required: true", "required: false")
    with pytest.raises(Malformed, match="no gate of `staging` is required"):
        gates(text)


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "---\n", "[]", "a", "null", "\x00", "deployment_gates: {}", "\ud800"])
def test_nothing_is_not_a_gate_file(text: str) -> None:
    with pytest.raises(Malformed):
        gates(text)


def test_a_file_that_multiplies_is_refused_before_it_does() -> None:
    bomb = "a: &a [x,x]\n" + "".join(f"b{n}: &b{n} [*a,*a]\n" for n in range(50))
    with pytest.raises(Malformed, match="anchors"):
        gates(bomb)


@pytest.mark.parametrize("depth", [13, 4_000, 30_000])
def test_a_file_that_is_deep_is_refused_before_it_recurses(depth: int) -> None:
    with pytest.raises(Malformed, match="nested too deeply"):
        gates("[" * depth + "]" * depth)


def test_a_file_that_is_long_is_refused() -> None:
    with pytest.raises(Malformed, match="larger than"):
        gates(AS_WRITTEN + "#" * 70_000)
    with pytest.raises(Malformed, match="too long"):
        gates("- a\n" * 10_000)


@given(st.text(alphabet=st.sampled_from("deploymnt_gas:-[]{}&*!#'\"| >%\n0.1h\t"), max_size=60))
def test_any_text_is_gates_or_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        gates(text)


@given(st.integers(0, len(AS_WRITTEN) - 1), st.characters(codec="utf-8"))
def test_a_changed_character_changes_the_meaning_or_nothing_or_is_malformed(position: int, character: str) -> None:
    try:
        read = gates(AS_WRITTEN[:position] + character + AS_WRITTEN[position + 1 :])
    except Malformed:
        return
    assert gates(format_gates(read)) == read
