"""The fifteen rules of the design, each with the tests that go red when it is broken. A rule without a test is not kept.

Most rules live where the thing they rule is tested; this is their index, and it fails when one of them is renamed away.
The two at the end have no better place.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
LIMITATIONS = TESTS.parent / "docs" / "limitations.md"

RULES = {
    1: (  # people are counted; nobody approves their own, through any alias
        "unit/domain/test_gates_and_approvals.py::test_two_people_are_needed_whatever_roles_one_has",
        "unit/domain/test_gates_and_approvals.py::test_the_author_may_not_approve",
        "unit/domain/test_aliases.py::test_rule_1_a_person_acts_for_nobody_but_themselves",
        "unit/domain/test_aliases.py::test_rule_1_what_somebody_elses_process_registered_for_me_is_mine_and_theirs",
        "unit/domain/test_access_requests.py::test_two_seats_take_two_people",
        "unit/domain/test_access_requests.py::test_an_owner_does_not_approve_what_their_service_asks_for",
        "unit/domain/test_breakglass.py::test_a_role_of_an_emergency_fills_no_seat_of_an_approval",
        "properties/test_quorum.py::test_fewer_people_than_seats_never_fill_them",
        "properties/test_duties_hold.py::test_a_promotion_takes_as_many_people_as_its_gate_has_seats",
        "properties/test_duties_hold.py::test_access_for_two_seats_takes_two_people_beside_the_asker",
        "contract/web/test_api_attacks.py::test_rule_1_many_approvals_at_once_are_one_person_and_many_promotions_one_promotion",
    ),
    2: (  # an approval is of exactly what was shown, and expires
        "unit/domain/test_gates_and_approvals.py::test_an_approval_of_something_else_is_refused",
        "unit/domain/test_gates_and_approvals.py::test_a_newer_measurement_of_what_was_shown_voids_the_approvals",
        "unit/domain/test_gates_and_approvals.py::test_requests_expire_when_read",
        "unit/domain/test_access_requests.py::test_an_approval_is_of_exactly_what_was_shown",
    ),
    3: (  # expiry counts when read
        "unit/domain/test_access.py::test_a_grant_is_held_until_it_ends",
        "unit/domain/test_access_requests.py::test_asked_approved_held_and_over_by_itself",
        "unit/domain/test_breakglass.py::test_four_hours_are_the_most",
        "unit/domain/test_breakglass.py::test_a_token_issued_in_a_window_ends_with_it",
        "unit/gateway/test_gateway_serving.py::test_what_is_remembered_never_outlives_a_grant",
        "unit/gateway/test_gateway_flow.py::test_1_a_token_ends_by_the_clock_though_it_is_remembered",
        "contract/web/test_api_attacks.py::test_rule_3_a_token_ends_by_the_clock",
    ),
    4: (  # a gate is on the path of the effect
        "unit/gateway/test_gateway_flow.py::test_3_the_gate_lies_on_the_path_of_the_effect",
        "wire/gateway/test_gateway_process.py::test_the_stage_gate_closes_when_the_version_leaves_its_stage",
        "unit/domain/test_gates_and_approvals.py::test_gates_add_up",
    ),
    5: (  # intent before, outcome after
        "unit/gateway/test_gateway_flow.py::test_a_cancelled_case_leaves_its_intent",
        "unit/gateway/test_gateway_flow.py::test_11_nothing_leaves_before_both_records_are_durable",
    ),
    6: (  # no record, no act
        "unit/gateway/test_gateway_flow.py::test_11_no_receipt_in_time_no_answer",
        "unit/gateway/test_gateway_flow.py::test_2_a_denial_that_cannot_be_recorded_is_no_answer_at_all",
        "contract/store/test_store_acts.py::test_a_connection_lost_before_commit_means_that_nothing_happened",
        "contract/store/test_store_acts.py::test_an_act_without_an_event_is_refused",
    ),
    7: (  # say what ran
        "unit/gateway/test_gateway_flow.py::test_every_guardrail_reports_on_every_released_answer",
        "unit/gateway/test_gateway_flow.py::test_a_guardrail_that_cannot_vouch_fails_closed",
        "unit/gateway/test_gateway_flow.py::test_10_no_patterns_are_said_to_be_skipped",
    ),
    8: (  # empty is never success
        "unit/policy/test_engine.py::test_no_policy_is_a_deny_that_says_so",
        "unit/policy/test_gatefile.py::test_a_stage_without_gates_is_an_error_and_not_an_empty_list",
        "unit/domain/test_gates_and_approvals.py::test_a_missing_value_is_not_a_pass",
        "unit/domain/test_gates_and_approvals.py::test_a_gap_counts_in_both_directions",
        "unit/policy/test_conditions.py::test_what_cannot_be_believed_is_not_enough_data",
        "unit/ledger/test_ledger_verify.py::test_an_empty_directory_is_not_a_clean_ledger",
    ),
    9: (  # no secret and no personal data in logs, errors, ledger
        "wire/test_served.py::test_rule_9_no_secret_lies_where_others_look",
        "wire/test_served.py::test_rule_9_no_name_no_address_and_no_input_lies_in_ledger_or_logs",
        "wire/test_served.py::test_rule_9_secrets_are_readable_by_their_owner_only",
        "journey/test_story.py::test_no_input_and_no_name_of_a_person_lies_in_the_ledger",
    ),
    10: (  # identity is proved; an agent's rights are the intersection
        "contract/web/test_api_attacks.py::test_rule_10_a_forged_token_is_nobody",
        "contract/web/test_api_attacks.py::test_rule_10_an_agent_has_no_right_that_its_person_lacks",
        "unit/domain/test_aliases.py::test_rule_10_the_first_in_a_chain_is_a_person",
        "unit/identity/test_token_refusals.py::test_an_access_token_that_must_not_pass",
        "unit/identity/test_token_refusals.py::test_a_proof_that_must_not_pass",
        "wire/identity/test_access_tokens.py::test_an_agents_rights_are_those_that_its_person_has_too",
        "wire/identity/test_access_tokens.py::test_a_bound_token_comes_with_its_key_or_not_at_all",
        "wire/identity/test_sign_in.py::test_a_directorys_person_signs_in_the_first_time_without_an_invitation",
    ),
    11: (  # dead means dead: processes, tokens, served versions
        "crash/test_tree_killed.py::test_sigterm_stops_a_tree_that_is_still_starting",
        "wire/gateway/test_gateway_process.py::test_a_revoked_token_is_dead_within_half_a_second",
        "contract/web/test_leaving_live.py::test_everything_dies_at_once_and_one_event_lists_it",
        "wire/identity/test_access_tokens.py::test_ending_a_session_ends_its_tokens_at_once_in_both_workers",
        "wire/identity/test_access_tokens.py::test_a_delegated_token_dies_with_its_persons_session",
        "wire/identity/test_kill_means_kill.py::test_rule_11_ending_a_session_closes_what_is_open_in_every_worker_and_nothing_else",
        "wire/identity/test_kill_means_kill.py::test_rule_11_a_request_that_is_under_way_dies_with_its_token",
        "wire/identity/test_kill_means_kill.py::test_rule_11_the_gateway_closes_too_when_a_single_token_is_revoked",
        "wire/gateway/test_gateway_process.py::test_it_goes_when_its_parent_is_gone",
    ),
    12: ("contract/web/test_api_attacks.py::test_rule_12_history_needs_no_row_that_can_be_deleted",),
    13: (  # no default passwords, loopback
        "wire/test_served.py::test_rule_13_everything_listens_on_loopback_only",
        "wire/test_served.py::test_rule_13_a_new_workspace_knows_one_person_and_no_password_by_default",
    ),
    14: (  # the verifier is attacked, too
        "unit/ledger/test_ledger_verify.py::test_history_rewritten_and_signed_again_is_betrayed_by_anchor_and_kept_checkpoint",
        "unit/ledger/test_ledger_verify.py::test_noise_as_a_kept_checkpoint_is_said_so",
        "crash/test_verify_beside_writer.py::test_a_living_ledger_is_clean_at_every_look",
    ),
    15: ("house/test_rules.py::test_rule_15_what_we_do_not_do_is_written_down_by_severity",),
}


@pytest.mark.parametrize("rule", range(1, 16))
def test_each_rule_has_its_tests(rule: int) -> None:
    assert RULES[rule]
    for name in RULES[rule]:
        file, _, test = name.partition("::")
        functions = {node.name for node in ast.walk(ast.parse((TESTS / file).read_text())) if isinstance(node, ast.FunctionDef)}
        assert test in functions, f"rule {rule}: {name} is gone"


def test_a_test_that_bears_a_rules_number_is_in_the_index() -> None:
    known = {name.partition("::")[2] for names in RULES.values() for name in names}
    files = {name.partition("::")[0] for names in RULES.values() for name in names}
    numbered = {f"{rule}" for file in files for rule in re.findall(r"def test_rule_(\d+)_", (TESTS / file).read_text())}
    covered = {match[1] for test in known if (match := re.match(r"test_rule_(\d+)_", test))}
    assert numbered == covered


def test_rule_15_what_we_do_not_do_is_written_down_by_severity() -> None:
    sections = re.split(r"^## ", LIMITATIONS.read_text(), flags=re.MULTILINE)[1:]
    assert [section.partition("\n")[0] for section in sections][:2] == ["It could mislead you", "It protects less than you may think"]
    assert len(sections) >= 4
    assert all(section.count("\n- ") >= 2 for section in sections)
