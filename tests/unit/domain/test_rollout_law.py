"""Traffic in steps: what a step needs to go on, what ends it, and that there is no way past it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.domain.law import GATES, Law

from jurat.core.errors import Conflict, JuratError, Malformed, NotFound
from jurat.domain import commands, commands_rollout, facts, rows
from jurat.domain.decide_rollout import stand
from jurat.domain.facts_rollout import EndpointRolledBack
from jurat.domain.values import Metric

WITH_ROLLOUT = (
    GATES
    + """    - type: rollout
      steps: [1%, 10%, 100%]
      hold: 10m
      requests: 50
      success_criteria: [error_rate <= 1%, latency_p99 <= 200ms]
"""
)
OLD, NEW = "http://127.0.0.1:9000", "http://127.0.0.1:9001"
GOOD = {"error_rate": 0.0, "latency_p99": 0.05, "request_count": 100.0}


def to_production(law: Law, number: str, weights: str) -> rows.Version:
    version = law.register(number, weights)
    law.to_staging(version)
    law.soak(version)
    request = law.request(version)
    law.approve("cleo", request)
    law.approve("dan", request)
    law.do("ben", commands.Promote(version=version.version, to_stage="production"))
    return version


@pytest.fixture
def law() -> Law:
    law = Law()
    law.apply_gates(WITH_ROLLOUT)
    to_production(law, "1.0.0", "1")
    to_production(law, "1.1.0", "2")
    configure(law, "churn@1.0.0", OLD)
    return law


def configure(law: Law, version: str, upstream: str) -> None:
    law.do("olga", commands.ConfigureEndpoint(endpoint="churn", version=version, upstream=upstream, confidence_floor=0.5))


def start(law: Law, **changes: Any) -> rows.Rollout:
    fields = {"endpoint": "churn", "version": "churn@1.1.0", "upstream": NEW, "reason": "better", **changes}
    law.do("ben", commands_rollout.StartRollout(**fields))
    return rollout(law)


def rollout(law: Law) -> rows.Rollout:
    found = law.state.get(rows.Rollout, "churn")
    assert found is not None
    return found


def endpoint(law: Law) -> rows.Endpoint:
    found = law.state.get(rows.Endpoint, "churn")
    assert found is not None
    return found


def judge(law: Law, wait_s: float = 601, **found: float | None) -> None:
    row = rollout(law)
    law.wait(wait_s)
    metrics = [Metric(name=n, value=v, n=100, reason="" if v is not None else "nothing") for n, v in {**GOOD, **found}.items()]
    law.do(
        "ben",
        commands_rollout.JudgeRollout(endpoint="churn", rollout=row.rollout, step=row.step, step_since=row.step_since, metrics=metrics),
    )


def refused(do: Any) -> JuratError:
    with pytest.raises(JuratError) as caught:
        do()
    return caught.value


def test_step_by_step_to_the_end(law: Law) -> None:
    start(law)
    shares = [rollout(law).share_bp]
    for _ in range(2):
        judge(law)
        shares.append(rollout(law).share_bp)
        assert endpoint(law).version == "churn@1.0.0"
    assert shares == [100, 1_000, 10_000]
    judge(law)
    assert rollout(law).status == "completed"
    assert (endpoint(law).version, endpoint(law).upstream, endpoint(law).confidence_floor) == ("churn@1.1.0", NEW, 0.5)


@pytest.mark.parametrize(
    ("wait_s", "found"),
    [
        (599, {}),  # too early
        (601, {"request_count": 49.0}),  # too few
        (601, {"request_count": None}),
        (601, {"latency_p99": None}),  # not measured
        (601, {"latency_p99": -1.0}),  # cannot be
        (601, {"error_rate": 7.0}),
        (601, {"error_rate": 0.5, "request_count": 19.0}),  # bad, on too few to believe
    ],
)
def test_what_does_not_go_on(law: Law, wait_s: float, found: dict[str, float | None]) -> None:
    start(law)
    assert refused(lambda: judge(law, wait_s, **found)).code == "unchanged"
    assert (rollout(law).status, rollout(law).step) == ("running", 0)


def test_a_criterion_that_fails_takes_it_back_with_its_reason(law: Law) -> None:
    start(law)
    judge(law)
    judge(law, 1, error_rate=0.02, request_count=20.0)
    row = rollout(law)
    assert row.status == "rolled_back"
    assert "error_rate <= 1%" in row.reason
    assert endpoint(law).version == "churn@1.0.0"
    ended = law.events[-1].data
    assert (ended.automatic, ended.share_bp) == (True, 1_000)  # type: ignore[attr-defined]


def test_paused_it_does_not_go_on_but_is_still_taken_back(law: Law) -> None:
    start(law)
    steer(law, "pause")
    assert refused(lambda: judge(law)).code == "unchanged"
    assert rollout(law).is_live
    judge(law, 1, error_rate=0.5)
    assert rollout(law).status == "rolled_back"


def steer(law: Law, act: str, reason: str = "a look") -> None:
    law.do("ben", commands_rollout.SteerRollout(endpoint="churn", act=act, reason=reason))


def test_the_clock_of_a_step_begins_anew_when_it_is_resumed(law: Law) -> None:
    start(law)
    law.wait(3_600)
    steer(law, "pause")
    steer(law, "resume")
    assert refused(lambda: judge(law, 10)).code == "unchanged"
    judge(law, 600)
    assert rollout(law).step == 1


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_at_each_step_it_pauses_goes_on_and_can_be_ended(law: Law, steps: int) -> None:
    start(law)
    for _ in range(steps):
        judge(law)
    share_bp = rollout(law).share_bp
    steer(law, "pause")
    assert refused(lambda: steer(law, "pause")).code == "unchanged"
    assert refused(lambda: judge(law)).code == "unchanged"
    assert (rollout(law).step, rollout(law).share_bp) == (steps, share_bp), "who had moved stays moved"
    steer(law, "resume")
    judge(law)
    assert (rollout(law).step, rollout(law).status) == ((steps + 1, "running") if steps < 2 else (2, "completed"))
    if steps == 2:
        return
    steer(law, "abort")
    ended = law.events[-1].data
    assert (ended.outcome, ended.automatic, ended.reason) == ("aborted", False, "a look")  # type: ignore[attr-defined]
    assert endpoint(law).version == "churn@1.0.0"


def test_a_clock_that_was_set_back_moves_nothing_and_a_criterion_that_fails_still_counts(law: Law) -> None:
    start(law)
    law.wait(-7_200)
    assert refused(lambda: judge(law, 0)).code == "unchanged"
    judge(law, 0, error_rate=0.5)
    assert rollout(law).status == "rolled_back"


@pytest.mark.parametrize(("found", "moves"), [({}, True), ({"request_count": 1.0}, False), ({"error_rate": 0.5}, True)])
def test_whoever_judges_can_ask_first_whether_anything_would_move(law: Law, found: dict[str, float], moves: bool) -> None:
    row = start(law)
    metrics = [Metric(name=n, value=v, n=100) for n, v in {**GOOD, **found}.items()]
    command = commands_rollout.JudgeRollout(endpoint="churn", rollout=row.rollout, step=0, step_since=row.step_since, metrics=metrics)
    assert stand(law.state, command, law.now_ns + 601 * 10**9).moves is moves
    assert stand(law.state, command, law.now_ns).moves is (found == {"error_rate": 0.5})


def test_an_old_measurement_moves_nothing(law: Law) -> None:
    row = start(law)
    judge(law)
    stale = commands_rollout.JudgeRollout(endpoint="churn", rollout=row.rollout, step=0, step_since=row.step_since, metrics=[])
    assert refused(lambda: law.do("ben", stale)).code == "unchanged"


def test_aborted_by_a_person(law: Law) -> None:
    start(law)
    steer(law, "abort")
    assert rollout(law).status == "aborted"
    assert refused(lambda: steer(law, "pause")).code == "no_rollout"
    start(law)  # and begun again


@pytest.mark.parametrize(("act", "reason", "family"), [("pause", " ", Malformed), ("explode", "x", Malformed), ("resume", "x", Conflict)])
def test_bad_steering_changes_nothing(law: Law, act: str, reason: str, family: type[JuratError]) -> None:
    start(law)
    with pytest.raises(family):
        steer(law, act, reason)
    assert rollout(law).status == "running"


def test_there_is_no_way_past_it(law: Law) -> None:
    assert refused(lambda: configure(law, "churn@1.1.0", NEW)).code == "rollout_required"
    staged = law.register("1.2.0", "3")
    law.to_staging(staged)
    configure(law, "churn@1.2.0", NEW)  # to staging, and from there …
    assert refused(lambda: configure(law, "churn@1.1.0", NEW)).code == "rollout_required"
    configure_again = commands.ConfigureEndpoint(endpoint="other", version="churn@1.1.0", upstream=NEW, confidence_floor=0.5)
    law.do("olga", configure_again)  # another endpoint has served nobody yet


def test_while_it_runs_the_endpoint_stays_as_it_is(law: Law) -> None:
    start(law)
    assert refused(lambda: configure(law, "churn@1.0.0", "http://127.0.0.1:9999")).code == "rollout_running"
    assert refused(lambda: start(law)).code == "rollout_running"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"version": "churn@1.0.0"}, "unchanged"), ({"version": "churn@9.0.0"}, "not_found"), ({"endpoint": "none"}, "not_found"),
        ({"reason": ""}, "malformed"), ({"upstream": "ftp://x"}, "malformed"),
    ],
)  # fmt: skip
def test_a_start_that_makes_no_sense(law: Law, changes: dict[str, str], code: str) -> None:
    error = refused(lambda: start(law, **changes))
    assert error.code == code or error.family == code or isinstance(error, (NotFound, Malformed))
    assert law.state.get(rows.Rollout, "churn") is None


def test_a_version_in_staging_gets_copies_and_no_traffic(law: Law) -> None:
    staged = law.register("1.2.0", "3")
    law.to_staging(staged)
    assert refused(lambda: start(law, version="churn@1.2.0")).code == "stage_too_low"
    row = start(law, version="churn@1.2.0", shadow=True)
    assert (row.share_bp, row.shadow) == (0, True)
    judge(law)
    assert (rollout(law).status, endpoint(law).version) == ("completed", "churn@1.0.0")


def test_retired_on_the_way_it_is_taken_back(law: Law) -> None:
    start(law)
    law.do("ben", commands.RetireVersion(version="churn@1.1.0", reason="a flaw"))
    judge(law)
    assert rollout(law).status == "rolled_back"


def back(law: Law, version: str, reason: str = "it is wrong") -> None:
    law.do("ben", commands_rollout.RollBack(endpoint="churn", version=version, reason=reason))


def test_back_to_any_earlier_version_as_it_was_served(law: Law) -> None:
    start(law)
    for _ in range(3):
        judge(law)
    assert endpoint(law).version == "churn@1.1.0"
    back(law, "churn@1.0.0")
    assert (endpoint(law).version, endpoint(law).upstream) == ("churn@1.0.0", OLD)
    assert [type(e.data) for e in law.events[-2:]] == [facts.EndpointConfigured, EndpointRolledBack]
    back(law, "churn@1.1.0")  # and forth: it was served
    assert endpoint(law).upstream == NEW


def test_back_while_a_rollout_runs_ends_it(law: Law) -> None:
    start(law)
    back(law, "churn@1.0.0")
    assert (rollout(law).status, endpoint(law).version) == ("rolled_back", "churn@1.0.0")


def test_back_is_only_to_what_was_served_and_may_serve(law: Law) -> None:
    assert refused(lambda: back(law, "churn@1.1.0")).code == "never_served"
    assert refused(lambda: back(law, "churn@1.0.0")).code == "unchanged"
    start(law)
    for _ in range(3):
        judge(law)
    law.do("ben", commands.RetireVersion(version="churn@1.0.0", reason="old"))
    assert refused(lambda: back(law, "churn@1.0.0")).code == "stage_gate"
    assert endpoint(law).version == "churn@1.1.0"


def test_bytes_for_production_are_those_that_passed(law: Law) -> None:
    def take(version: str, stage: str = "production", artefact: str = "weights") -> Any:
        command = commands_rollout.ReleaseArtefact(version=version, artefact=artefact, stage=stage, purpose="deploy")
        return law.do("ben", command)[0].data

    assert take("churn@1.1.0").artefact_digest == "sha256:" + "2" * 64
    staged = law.register("1.2.0", "3")
    assert take(staged.version, "development").stage == "development"
    assert refused(lambda: take(staged.version)).code == "stage_gate"
    assert refused(lambda: take("churn@1.1.0", artefact="__class__")).family == "malformed"
    law.measure(version_of(law, "churn@1.1.0"), "evaluation", accuracy=0.1, latency_p99=0.05)
    assert refused(lambda: take("churn@1.1.0")).code == "gate_not_passed"


def version_of(law: Law, name: str) -> rows.Version:
    found = law.state.get(rows.Version, name)
    assert found is not None
    return found


def test_a_word_to_deploy_is_short_and_for_what_is_there(law: Law) -> None:
    def ask(version: str = "churn@1.1.0", stage: str = "production", target: str = "eu-1", lifetime_s: float = 600) -> Any:
        return law.do("ben", commands_rollout.AuthorizeDeployment(version=version, stage=stage, target=target, lifetime_s=lifetime_s))[
            0
        ].data

    assert ask().target == "eu-1"
    for bad in ({"lifetime_s": 901}, {"lifetime_s": 0}, {"target": " "}, {"stage": "development"}):
        with pytest.raises(Malformed):
            ask(**bad)
    staged = law.register("1.2.0", "3")
    assert refused(lambda: ask(staged.version)).code == "stage_gate"
