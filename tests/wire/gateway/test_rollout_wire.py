"""Two real model servers behind a real gateway: shares, the ledger's word on a step, a failing version taken back, and back in a second."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from tests.wire.gateway.gateway_site import VERSION_DIGEST, WEIGHTS, Gateway, Model, Site, site

from jurat.app.rollouts import in_effect_ms, measure_step, watch_rollouts
from jurat.app.walk import act_as
from jurat.app.wiring import App, attach_app, open_relay
from jurat.core.clock import FixedClock, parse_at
from jurat.core.digests import digest_bytes
from jurat.core.errors import Conflict
from jurat.domain import facts, rows
from jurat.domain.commands_rollout import RollBack, StartRollout, SteerRollout
from jurat.domain.events import Actor
from jurat.domain.facts_rollout import PredictionShadowed, RolloutEnded, RolloutMoved
from jurat.domain.values import Artefact, PrincipalType
from jurat.worker import rollouts as clock

NEW_WEIGHTS, NEW_DIGEST = "sha256:" + "7" * 64, "sha256:" + "8" * 64


def gates(criteria: str, steps: str = "50%, 100%", hold: str = "1s") -> facts.GatesApplied:
    """A gate file in force, by a digest of its own."""
    source = f"""
deployment_gates:
  staging:
    - type: automated_tests
      checks: [accuracy >= 0.5]
  production:
    - type: automated_tests
      checks: [accuracy >= 0.5]
    - type: rollout
      steps: [{steps}]
      hold: {hold}
      requests: 10
      success_criteria: [{criteria}]
"""
    return facts.GatesApplied(digest=digest_bytes(source.encode()), source=source, reason="test")


ALL = "error_rate <= 10%, latency_p99 <= 5s, confidence_drift <= 0.5, output_drift <= 0.2"
ENGINEER = Actor(principal="prn_engineer", type=PrincipalType.PERSON, chain=["prn_engineer"])


class NewModel(Model):
    """The same, with the weights of 1.2.0; broken, or slow, when told so."""

    broken = False
    waits: threading.Event | None = None  # until it is set nothing is answered

    def __init__(self) -> None:
        self.held: list[float] = []
        super().__init__()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if (waits := self.waits) is not None:
            self.held.append(time.monotonic())
            await asyncio.to_thread(waits.wait, 9.0)

        async def told(message: Any) -> None:
            if "status" in message and self.broken:
                message = {**message, "status": 500}
            if message.get("body"):
                changed = message["body"].replace(WEIGHTS.encode(), NEW_WEIGHTS.encode()).replace(b'"1.1.0"', b'"1.2.0"')
                assert len(changed) == len(message["body"])
                message = {**message, "body": changed}
            await send(message)

        await super().__call__(scope, receive, told)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("rollout") / "site") as found:
        with found.app.store.reading() as state:
            old = state.get(rows.Version, "credit@1.1.0")
        assert old is not None
        artefacts = msgspec.structs.replace(old.artefacts, weights=Artefact(version="1.2.0", digest=NEW_WEIGHTS))
        registered = {
            "model": "credit", "system": "lending",
            "training_data": {"dataset": "d", "dataset_digest": "x", "row_count": 1, "feature_columns": []},
            "training_code": {"git_repo": "r", "git_commit": "c", "git_branch": "b"},
            "training_config": {"hyperparameters": {}, "training_duration_s": 1.0, "hardware": "h"}, "claimed_metrics": {},
            "validation_dataset": "d", "author": "prn_operator", "version": "credit@1.2.0", "digest": NEW_DIGEST,
        }  # fmt: skip
        new = msgspec.convert({**registered, "artefacts": msgspec.to_builtins(artefacts)}, facts.VersionRegistered)
        promoted = [
            facts.VersionPromoted(
                version=f"credit@{number}", version_digest=digest, from_stage="staging", to_stage="production", gate_check="", request=None,
                approvals=[],
            )
            for number, digest in (("1.1.0", VERSION_DIGEST), ("1.2.0", NEW_DIGEST))
        ]  # fmt: skip
        granted = facts.RoleGranted(
            grant="grt_e", principal="prn_engineer", role="ml_engineer", scope="*", reason="it deploys", expires_at=None
        )
        found.record(
            new, *promoted, gates(ALL),
            facts.PrincipalRegistered(principal="prn_engineer", type=PrincipalType.PERSON, owner=None, name=None), granted,
        )  # fmt: skip
        found.set_endpoint(stage="production")
        yield found


@pytest.fixture(scope="module")
def new_model() -> Iterator[NewModel]:
    model = NewModel()
    yield model
    model.close()


@pytest.fixture(scope="module")
def gateway(home: Site) -> Iterator[Gateway]:
    found = Gateway(home.workspace)
    yield found
    assert found.stop() == (0, "")


def ask(home: Site, gateway: Gateway, subject: str, age: int = 41, **more: str) -> tuple[int, str]:
    return said_to(home, gateway, subject, age, **more)[:2]


def said_to(home: Site, gateway: Gateway, subject: str, age: int = 41, **more: str) -> tuple[int, str, Any]:
    """Return status, who answered, and what the caller was given."""
    with contextlib.closing(gateway.connection()) as connection:
        body = msgspec.json.encode({"inputs": [{"name": "age", "shape": [1], "datatype": "INT64", "data": [age]}]})
        headers = {"authorization": f"Bearer {home.token}", "content-type": "application/json", "jurat-subject": subject, **more}
        connection.request("POST", "/v2/models/credit/infer", body, headers)
        response = connection.getresponse()
        said = msgspec.json.decode(response.read())
        return response.status, said.get("parameters", {}).get("version", ""), said.get("outputs")


def rollout_of(home: Site) -> rows.Rollout:
    with home.app.store.reading() as state:
        found = state.get(rows.Rollout, "credit")
    assert found is not None
    return found


def begin(home: Site, new_model: NewModel, *, shadow: bool = False) -> None:
    command = StartRollout(endpoint="credit", version="credit@1.2.0", upstream=new_model.url, reason="better", shadow=shadow)
    done = act_as(home.app, ENGINEER, command)
    assert in_effect_ms(home.app, {e.id for e in done.events}, 40.0) is not None


def test_in_steps_and_back_within_a_second(home: Site, gateway: Gateway, new_model: NewModel) -> None:
    assert {ask(home, gateway, f"s{n}")[1] for n in range(4)} == {"credit@1.1.0"}
    begin(home, new_model)
    answers = {f"s{n}": ask(home, gateway, f"s{n}") for n in range(40)}
    assert {status for status, _ in answers.values()} == {200}
    counted = Counter(version for _, version in answers.values())
    assert 8 <= counted["credit@1.2.0"] <= 32
    assert {s: ask(home, gateway, s) for s in answers} == answers  # sticky
    with home.app.store.reading() as state:
        metrics = {m.name: m.value for m in measure_step(home.app, state, rollout_of(home))}
    assert metrics["request_count"] == 2 * counted["credit@1.2.0"]
    assert (metrics["error_rate"], metrics["output_drift"]) == (0.0, 0.0)
    time.sleep(1.0)
    assert watch_rollouts(home.app)
    assert rollout_of(home).share_bp == 10_000
    until(lambda: {ask(home, gateway, f"s{n}")[1] for n in range(12)} == {"credit@1.2.0"})
    time.sleep(1.0)
    assert watch_rollouts(home.app)
    assert rollout_of(home).status == "completed"
    until(lambda: ask(home, gateway, "s1")[1] == "credit@1.2.0")

    done = act_as(home.app, ENGINEER, RollBack(endpoint="credit", version="credit@1.1.0", reason="wrong answers"))
    acted = time.monotonic()
    until(lambda: ask(home, gateway, "s1")[1] == "credit@1.1.0", every_s=0.005)
    took_s = time.monotonic() - acted
    print(f"in effect after {took_s:.3f} s")  # shown by `pytest -s`
    assert took_s < 1.0
    recorded_ms = in_effect_ms(home.app, {e.id for e in done.events}, 5.0)
    assert recorded_ms is not None
    assert 0 < recorded_ms < 1_000


def test_a_version_that_fails_is_taken_back_by_itself(home: Site, gateway: Gateway, new_model: NewModel) -> None:
    begin(home, new_model)
    new_model.broken = True
    statuses = Counter(ask(home, gateway, f"t{n}")[0] for n in range(40))
    assert statuses[503] >= 10
    assert watch_rollouts(home.app)
    row = rollout_of(home)
    assert (row.status, "error_rate <= 10%" in row.reason) == ("rolled_back", True)
    until(lambda: {ask(home, gateway, f"t{n}")[0] for n in range(20)} == {200})
    with open_relay(home.workspace) as relay:
        while relay.step():
            pass
    ended = [event.data for event in home.events("deployment") if isinstance(event.data, RolloutEnded)]
    assert [(each.outcome, each.automatic) for each in ended] == [("completed", True), ("rolled_back", True)]


def test_requests_on_their_way_are_no_errors(home: Site, gateway: Gateway, new_model: NewModel) -> None:
    new_model.broken, new_model.waits = False, None
    begin(home, new_model)
    for n in range(20):
        ask(home, gateway, f"v{n}")
    with ThreadPoolExecutor(12) as callers:
        new_model.waits = waits = threading.Event()
        slow = [callers.submit(ask, home, gateway, f"u{n}") for n in range(12)]
        try:
            until(lambda: len(new_model.held) >= 2, every_s=0.01)
            with home.app.store.reading() as state:
                row = rollout_of(home)
                until(lambda: asked_and_answered(home, row)[0] > asked_and_answered(home, row)[1])
                metrics = {m.name: m.value for m in measure_step(home.app, state, row)}
        finally:
            waits.set()
            new_model.waits = None
        assert {status for status, _ in (each.result() for each in slow)} == {200}
    assert metrics["error_rate"] == 0.0


def asked_and_answered(home: Site, row: rows.Rollout) -> tuple[int, int]:
    """Return how many requests to the new version are on record since the step began, and how many answers."""
    with home.app.ledger() as ledger:
        ledger.flush()
    count = "SELECT count(*) FROM events WHERE version = ? AND occurred_at >= ? AND kind = ?"
    since = [row.version, parse_at(row.step_since)]
    asked, made = (home.app.events.select(count, [*since, f"prediction.{kind}.v1"]).rows[0][0] for kind in ("requested", "made"))
    return asked, made


def deployment_events(home: Site) -> list[Any]:
    with open_relay(home.workspace) as relay:
        while relay.step():
            pass
    return [event.data for event in home.events("deployment")]


def end(home: Site) -> None:
    """Let no rollout run."""
    with contextlib.suppress(Conflict):
        act_as(home.app, ENGINEER, SteerRollout(endpoint="credit", act="abort", reason="the next one"))


@pytest.fixture
def healthy(home: Site, new_model: NewModel) -> Iterator[NewModel]:
    """The new model as it was, and the old one serving alone."""
    end(home)
    yield new_model
    new_model.broken, new_model.waits, new_model.delay_s, new_model.confidence = False, None, 0.0, 0.9
    new_model.approves = lambda _age: True
    end(home)


def break_it(model: NewModel) -> None:
    model.broken = True


def slow_it(model: NewModel) -> None:
    model.delay_s = 2.0


def doubt(model: NewModel) -> None:
    model.confidence = 0.65


def despair(model: NewModel) -> None:
    model.confidence = 0.3  # under the endpoint's floor: it abstains


def refuse(model: NewModel) -> None:
    model.approves = lambda _age: False


def discriminate(model: NewModel) -> None:
    model.approves = lambda age: age > 40


@pytest.mark.parametrize(
    ("goes_wrong", "criterion"),
    [
        (break_it, "error_rate <= 10%"), (slow_it, "latency_p50 <= 1s"), (doubt, "mean_confidence >= 0.8"),
        (doubt, "confidence_drift <= 0.5"), (despair, "abstention_rate <= 20%"), (refuse, "output_drift <= 0.2"),
        (discriminate, "demographic_parity_difference <= 0.2"),
    ],
)  # fmt: skip
def test_each_criterion_takes_a_version_back_by_what_it_really_answered(
    home: Site, gateway: Gateway, healthy: NewModel, goes_wrong: Callable[[NewModel], None], criterion: str
) -> None:
    """First it is fine and nothing is taken back by this criterion; then it goes wrong, and only then it ends, with the reason."""
    home.record(gates(criterion, steps="100%", hold="1h"))

    def cases(begin_at: int) -> None:
        count = 64 if goes_wrong is discriminate else 24  # a group needs 30 to be judged
        with ThreadPoolExecutor(12) as callers:
            asked = [
                callers.submit(ask, home, gateway, f"c{begin_at + n}", 30 + 20 * (n % 2), **{"jurat-segment": f"sex={'fm'[n % 2]}"})
                for n in range(count)
            ]
            assert len({each.result()[1] for each in asked} - {""}) <= 1

    begin(home, healthy)
    cases(0)
    assert watch_rollouts(home.app) == []
    assert rollout_of(home).is_live
    end(home)
    goes_wrong(healthy)
    begin(home, healthy)
    cases(100)
    assert watch_rollouts(home.app)
    row = rollout_of(home)
    assert (row.status, row.reason.split(":")[0]) == ("rolled_back", criterion), row.reason
    ended = [each for each in deployment_events(home) if isinstance(each, RolloutEnded)][-1]
    assert (ended.outcome, ended.automatic, ended.reason) == ("rolled_back", True, row.reason)
    assert {clause.condition: clause.verdict for clause in ended.clauses}[criterion] == "fail"
    until(lambda: {ask(home, gateway, f"d{n}")[1] for n in range(6)} == {"credit@1.1.0"})


def test_a_shadow_is_on_record_given_to_nobody_and_ended_by_what_it_said(home: Site, gateway: Gateway, healthy: NewModel) -> None:
    home.record(gates("error_rate <= 10%, output_drift <= 0.2", hold="1h"))
    refuse(healthy)
    begin(home, healthy, shadow=True)
    asked_before, answers = healthy.asked, []
    for n in range(24):
        answers.append(said_to(home, gateway, f"e{n}"))
    assert {(status, version) for status, version, _ in answers} == {(200, "credit@1.1.0")}
    assert {each["data"][0] for _, _, outputs in answers for each in outputs if each["name"] == "approved"} == {True}
    until(lambda: healthy.asked >= asked_before + 24)
    row = rollout_of(home)

    def shadowed() -> list[PredictionShadowed]:
        found = [event.data for event in home.events("inference")]
        return [each for each in found if isinstance(each, PredictionShadowed) and each.rollout == row.rollout]

    until(lambda: len(shadowed()) == 24)
    assert {(each.output, each.failure) for each in shadowed()} == {(False, "")}
    assert watch_rollouts(home.app)
    ended = rollout_of(home)
    assert (ended.status, ended.reason.startswith("output_drift <= 0.2")) == ("aborted", True), (
        "nobody was served by it: nothing to take back"
    )


def test_two_clocks_at_once_move_a_step_once_and_what_waits_is_no_refusal(home: Site, gateway: Gateway, healthy: NewModel) -> None:
    home.record(gates(ALL, steps="50%, 90%, 100%", hold="10m"))
    begin(home, healthy)
    for n in range(40):
        ask(home, gateway, f"f{n}")
    assert watch_rollouts(home.app) == []
    later = FixedClock(home.app.clock.now_ns() + 601 * 10**9)
    together = threading.Barrier(2)

    def judge(number: int) -> list[str]:
        with attach_app(home.workspace, application=f"clock-{number}") as app:
            together.wait(10)
            return watch_rollouts(replace(app, clock=later))

    with ThreadPoolExecutor(2) as clocks:
        left = list(clocks.map(judge, range(2)))
    assert sorted(len(each) for each in left) == [0, 1]
    row = rollout_of(home)
    assert (row.step, row.share_bp) == (1, 9_000)
    moved = [each for each in deployment_events(home) if isinstance(each, RolloutMoved) and each.rollout == row.rollout]
    assert [(each.act, each.step) for each in moved] == [("advanced", 1)]
    refused = [event.data for event in home.events("access") if isinstance(event.data, facts.ActDenied)]
    assert [each for each in refused if each.command == "JudgeRollout" and "stays at step" in each.detail] == []


def test_a_step_outlives_its_clock_and_its_gateway(
    home: Site, gateway: Gateway, healthy: NewModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's own thread judges; it ends in the middle of a step, and another goes on where that was."""
    home.record(gates(ALL, steps="50%, 100%", hold="1s"))
    monkeypatch.setattr(clock, "_EVERY_S", 0.1)
    begin(home, healthy)
    before = {f"g{n}": ask(home, gateway, f"g{n}") for n in range(9)}  # fewer than a step asks for
    since = rollout_of(home).step_since
    with worker(home.app):
        time.sleep(1.2)
    assert (rollout_of(home).step, rollout_of(home).step_since) == (0, since), "its time goes on; it does not begin anew"
    other = Gateway(home.workspace)
    try:
        until(lambda: {subject: ask(home, other, subject) for subject in before} == before, 60.0)
    finally:
        assert other.stop() == (0, "")
    with worker(home.app):
        for n in range(30):
            ask(home, gateway, f"i{n}")
        until(lambda: rollout_of(home).step == 1, 60.0)
        turn = iter(range(10_000))

        def is_completed() -> bool:
            ask(home, gateway, f"h{next(turn)}")
            found = rollout_of(home)
            wrong = [(each.condition, each.found, each.reason) for each in found.clauses if each.verdict != "pass"]
            assert found.status in ("running", "completed"), wrong
            return found.status == "completed"

        until(is_completed, 60.0)
    until(lambda: ask(home, gateway, "g1")[1] == "credit@1.2.0")
    act_as(home.app, ENGINEER, RollBack(endpoint="credit", version="credit@1.1.0", reason="as it was"))
    until(lambda: ask(home, gateway, "g1")[1] == "credit@1.1.0")


@contextlib.contextmanager
def worker(app: App) -> Iterator[None]:
    stopping = threading.Event()
    failed: list[Exception] = []

    def run() -> None:
        try:
            clock.keep_rollouts(app.workspace, stopping)
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(20)
    assert not thread.is_alive()
    assert failed == []


def until(check: Any, timeout_s: float = 30.0, every_s: float = 0.05) -> None:
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline
        time.sleep(every_s)
