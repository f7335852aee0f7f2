"""Gates add up, clocks restart, approvals are bound to what was shown and counted by people. Rules 1, 2, 3 and 8."""

from __future__ import annotations

import pytest
from tests.unit.domain.law import GATES, Law

from jurat.core.errors import Conflict, Denied, JuratError
from jurat.domain import commands, rows
from jurat.domain.gates import check_gates
from jurat.domain.stages import Stage
from jurat.domain.values import PrincipalType


@pytest.fixture
def law() -> Law:
    law = Law()
    law.apply_gates()
    return law


@pytest.fixture
def version(law: Law) -> rows.Version:
    return law.register()


def verdicts(law: Law, version: rows.Version, stage: Stage) -> dict[str, str]:
    now = law.state.get(rows.Version, version.version)
    assert now is not None
    result = check_gates(law.state, now, stage, law.now_ns)
    return {c.condition: c.verdict for c in result.clauses} | {"all": result.verdict}


def promote(law: Law, version: rows.Version, who: str = "ben", stage: str = "production") -> None:
    law.do(who, commands.Promote(version=version.version, to_stage=stage))


def code_of(law: Law, action: object) -> JuratError:
    with pytest.raises(JuratError) as caught:
        action()  # type: ignore[operator]
    return caught.value


def test_unmeasured_is_not_enough_data_and_never_a_pass(law: Law, version: rows.Version) -> None:
    assert set(verdicts(law, version, Stage.STAGING).values()) == {"not_enough_data"}


def test_measured_well_passes(law: Law, version: rows.Version) -> None:
    law.good(version)
    assert set(verdicts(law, version, Stage.STAGING).values()) == {"pass"}


def test_one_bad_figure_fails_the_gate(law: Law, version: rows.Version) -> None:
    law.good(version)
    law.measure(version, "bias_test", demographic_parity_difference=0.11)
    assert verdicts(law, version, Stage.STAGING)["all"] == "fail"


def test_a_gap_counts_in_both_directions(law: Law, version: rows.Version) -> None:
    law.good(version)
    law.measure(version, "bias_test", demographic_parity_difference=-0.5)
    assert verdicts(law, version, Stage.STAGING)["all"] == "fail"


def test_a_missing_value_is_not_a_pass(law: Law, version: rows.Version) -> None:
    law.good(version)
    law.measure(version, "bias_test", demographic_parity_difference=None)
    assert verdicts(law, version, Stage.STAGING)["all"] == "not_enough_data"


def test_gates_add_up(law: Law, version: rows.Version) -> None:
    law.to_staging(version)
    law.soak(version)
    request = law.request(version)
    law.approve("cleo", request)
    law.approve("dan", request)
    law.measure(version, "evaluation", accuracy=0.5, latency_p99=0.05)  # it got worse meanwhile
    error = code_of(law, lambda: promote(law, version))
    assert error.code == "gate_not_passed"
    assert "accuracy" in error.detail


def test_the_whole_way_to_production(law: Law, version: rows.Version) -> None:
    law.to_staging(version)
    law.soak(version)
    request = law.request(version)
    law.approve("cleo", request)
    law.approve("dan", request)
    promote(law, version)
    now = law.state.get(rows.Version, version.version)
    assert now is not None
    assert now.stage == Stage.PRODUCTION
    used = law.state.get(rows.Request, request.request)
    assert used is not None
    assert used.status == "used"


def test_a_soak_measured_before_it_was_over_does_not_count(law: Law, version: rows.Version) -> None:
    law.to_staging(version)
    law.wait(3600)
    law.measure(version, "soak", error_rate=0.0, no_critical_alerts=1.0)
    law.wait(48 * 3600)
    found = verdicts(law, version, Stage.PRODUCTION)
    assert found["duration 48h"] == "pass"
    assert found["error_rate <= 0.1%"] == "not_enough_data"


def test_a_soak_of_an_hour_is_not_48(law: Law, version: rows.Version) -> None:
    law.to_staging(version)
    law.wait(3600)
    assert verdicts(law, version, Stage.PRODUCTION)["duration 48h"] == "not_enough_data"


def test_the_soak_begins_anew_where_it_is_put_to_work_anew(law: Law, version: rows.Version) -> None:
    law.to_staging(version)

    def serve(upstream: str, version: str = version.version, **more: int) -> None:
        law.do("olga", commands.ConfigureEndpoint(endpoint="e", version=version, upstream=upstream, confidence_floor=0.5, **more))

    def unmet() -> set[str]:
        clauses = check_gates(law.state, version_now(law), Stage.PRODUCTION, law.now_ns).clauses
        return {c.condition for c in clauses if c.gate == "staging_soak" and c.verdict != "pass"}

    everything = {"duration 48h", "error_rate <= 0.1%", "no_critical_alerts"}
    law.wait(20 * 3600)
    serve("http://127.0.0.1:9000")
    law.soak(version)
    assert unmet() == set()
    serve("http://127.0.0.1:9000", requests_per_minute=10)  # other limits, the same server
    assert unmet() == set()
    serve("http://127.0.0.1:9001")
    assert unmet() == everything
    law.wait(47 * 3600)
    assert unmet() == everything
    law.soak(version)
    assert unmet() == set()
    other = law.register("1.1.0", "c")
    law.to_staging(other)
    serve("http://127.0.0.1:9001", other.version)
    serve("http://127.0.0.1:9001")  # and back: it was away
    assert unmet() == everything


def version_now(law: Law) -> rows.Version:
    found = law.state.get(rows.Version, "churn@1.0.0")
    assert found is not None
    return found


def test_two_people_are_needed_whatever_roles_one_has(law: Law, version: rows.Version) -> None:
    law.to_staging(version)
    law.soak(version)
    request = law.request(version)
    law.approve("cleo", request)  # ml_lead and product_owner
    error = code_of(law, lambda: promote(law, version))
    assert error.code == "gate_not_passed"
    assert "has 1" in error.detail
    again = code_of(law, lambda: law.approve("cleo", request))
    assert again.code == "already_approved"


def test_the_author_may_not_approve(law: Law, version: rows.Version) -> None:
    request = law.request(version)
    error = code_of(law, lambda: law.approve("ada", request))
    assert isinstance(error, Denied)
    assert error.code == "no_self_approval"
    assert "prn_cleo" in error.hint


def test_nor_through_a_service_of_the_author(law: Law, version: rows.Version) -> None:
    law.add("adabot", PrincipalType.SERVICE, owner="ada")
    law.grant("adabot", "ml_lead")
    error = code_of(law, lambda: law.approve("adabot", law.request(version)))
    assert error.code == "person_required"


def test_nor_who_asked(law: Law, version: rows.Version) -> None:
    request = law.request(version, by="cleo")
    assert code_of(law, lambda: law.approve("cleo", request)).code == "no_self_approval"


def test_who_registered_through_a_process_is_the_person_behind_it(law: Law) -> None:
    law.register()
    law.add("pipeline", PrincipalType.PROCESS, owner="cleo")
    from tests.unit.domain.law import version_command

    law.do("pipeline", version_command("2.0.0", weights="9"))
    version = law.state.get(rows.Version, "churn@2.0.0")
    assert version is not None
    assert code_of(law, lambda: law.approve("cleo", law.request(version))).code == "no_self_approval"


def test_whoever_promotes_does_not_count_as_approver(law: Law, version: rows.Version) -> None:
    law.to_staging(version)
    law.soak(version)
    request = law.request(version)
    law.approve("cleo", request)
    law.approve("dan", request)
    error = code_of(law, lambda: promote(law, version, who="dan"))
    assert error.code == "gate_not_passed"
    assert "does not count" in error.detail
    promote(law, version, who="ben")


def test_an_approval_of_something_else_is_refused(law: Law, version: rows.Version) -> None:
    request = law.request(version)
    assert code_of(law, lambda: law.approve("cleo", request, shown="sha256:" + "0" * 64)).code == "shown_changed"


def test_a_newer_measurement_of_what_was_shown_voids_the_approvals(law: Law, version: rows.Version) -> None:
    law.to_staging(version)
    request = law.request(version)
    law.approve("cleo", request)
    law.measure(version, "evaluation", accuracy=0.95, latency_p99=0.05)  # better, but not what cleo saw
    assert code_of(law, lambda: law.approve("dan", request)).code == "shown_changed"
    law.soak(version)
    error = code_of(law, lambda: promote(law, version))
    assert "has changed since" in error.detail


def test_another_gate_file_voids_the_approvals(law: Law, version: rows.Version) -> None:
    request = law.request(version)
    law.apply_gates(GATES.replace("0.85", "0.80"))
    assert code_of(law, lambda: law.approve("cleo", request)).code == "shown_changed"


def test_evidence_of_a_new_kind_does_not_void_them(law: Law, version: rows.Version) -> None:
    law.to_staging(version)
    request = law.request(version)
    law.approve("cleo", request)
    law.approve("dan", request)
    law.soak(version)
    promote(law, version)


def test_requests_expire_when_read(law: Law, version: rows.Version) -> None:
    law.to_staging(version)
    request = law.request(version, lifetime_s=47 * 3600)
    law.approve("cleo", request)
    law.approve("dan", request)
    law.soak(version)
    error = code_of(law, lambda: promote(law, version))
    assert "expired" in error.detail
    late = law.request(version, lifetime_s=10)
    law.wait(11)
    assert code_of(law, lambda: law.approve("cleo", late)).code == "request_expired"


def test_a_role_counts_only_while_it_is_held(law: Law, version: rows.Version) -> None:
    law.add("gus", PrincipalType.PERSON)
    law.grant("gus", "product_owner", lifetime_s=60)
    request = law.request(version)
    law.wait(61)
    assert code_of(law, lambda: law.approve("gus", request)).code == "role_required"


def test_an_approval_counts_while_its_giver_may_still_give_it(law: Law, version: rows.Version) -> None:
    law.to_staging(version)
    law.soak(version)
    law.add("gus", PrincipalType.PERSON)
    law.grant("gus", "product_owner", lifetime_s=60)
    request = law.request(version)
    law.approve("cleo", request)
    law.approve("gus", request)
    law.wait(61)
    assert "open: product_owner" in next(c.reason for c in code_of(law, lambda: promote(law, version)).fields["clauses"] if c.reason)
    law.approve("dan", request)
    promote(law, version)


def test_a_rejected_request_is_closed(law: Law, version: rows.Version) -> None:
    request = law.request(version)
    law.do("dan", commands.Reject(request=request.request, shown_digest=request.shown_digest, comment="the data is too old"))
    assert code_of(law, lambda: law.approve("cleo", request)).code == "request_closed"


def test_a_request_is_used_once(law: Law, version: rows.Version) -> None:
    law.to_staging(version)
    law.soak(version)
    request = law.request(version)
    law.approve("cleo", request)
    law.approve("dan", request)
    promote(law, version)
    other = law.register("2.0.0", weights="9")
    law.to_staging(other)
    law.soak(other)
    with pytest.raises(Conflict) as caught:
        law.do("ben", commands.Promote(version=other.version, to_stage="production", request=request.request))
    assert caught.value.code == "gate_not_passed"


BOTH = """
deployment_gates:
  staging:
    - type: human_approval
      approvers: [{role: ml_lead}]
  production:
    - type: human_approval
      approvers: [{role: product_owner}]
"""


def refusal(law: Law, version: rows.Version) -> str:
    return code_of(law, lambda: law.do("olga", commands.Promote(version=version.version, to_stage="production"))).code


def ask_and_approve(law: Law, stage: str, by: str) -> str:
    fact = law.do("ada", commands.RequestPromotion(version="churn@1.0.0", to_stage=stage, lifetime_s=3600.0))[0].data
    law.do(by, commands.Approve(request=fact.request, shown_digest=fact.shown_digest))  # type: ignore[attr-defined]
    return fact.request  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("named", [True, False])
def test_what_was_approved_for_a_stage_that_is_reached_is_not_asked_again(law: Law, version: rows.Version, named: bool) -> None:
    law.apply_gates(BOTH)
    request = ask_and_approve(law, "staging", "ben")
    law.do("olga", commands.Promote(version=version.version, to_stage="staging", request=request))
    law.wait(7200)  # longer than that request lived
    assert refusal(law, version) == "gate_not_passed"  # nobody said yes to production yet
    request = ask_and_approve(law, "production", "dan")
    law.do("olga", commands.Promote(version=version.version, to_stage="production", request=request if named else None))


def test_who_is_asked_for_more_since_is_asked(law: Law, version: rows.Version) -> None:
    law.apply_gates(BOTH)
    request = ask_and_approve(law, "staging", "ben")
    law.do("olga", commands.Promote(version=version.version, to_stage="staging", request=request))
    law.apply_gates(BOTH.replace("[{role: ml_lead}]", "[{role: ml_lead}, {role: product_owner}]"))
    ask_and_approve(law, "production", "dan")
    assert refusal(law, version) == "gate_not_passed"
    request = ask_and_approve(law, "staging", "ben")
    law.do("cleo", commands.Approve(request=request, shown_digest=law.state.get(rows.Request, request).shown_digest))  # type: ignore[union-attr]
    law.do("olga", commands.Promote(version=version.version, to_stage="production"))
