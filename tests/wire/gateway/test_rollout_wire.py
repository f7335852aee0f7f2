"""Two real model servers behind a real gateway: shares, the ledger's word on a step, a failing version taken back, and back in a second."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from tests.wire.gateway.gateway_site import VERSION_DIGEST, WEIGHTS, Gateway, Model, Site, site

from jurat.app.rollouts import in_effect_ms, measure_step, watch_rollouts
from jurat.app.walk import act_as
from jurat.app.wiring import open_relay
from jurat.core.clock import parse_at
from jurat.domain import facts, rows
from jurat.domain.commands_rollout import RollBack, StartRollout
from jurat.domain.events import Actor
from jurat.domain.facts_rollout import RolloutEnded
from jurat.domain.values import Artefact, PrincipalType

NEW_WEIGHTS, NEW_DIGEST = "sha256:" + "7" * 64, "sha256:" + "8" * 64
GATES = """
deployment_gates:
  staging:
    - type: automated_tests
      checks: [accuracy >= 0.5]
  production:
    - type: automated_tests
      checks: [accuracy >= 0.5]
    - type: rollout
      steps: [50%, 100%]
      hold: 1s
      requests: 10
      success_criteria: [error_rate <= 10%, latency_p99 <= 5s, confidence_drift <= 0.5, output_drift <= 0.2]
"""
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
            new, *promoted, facts.GatesApplied(digest="sha256:" + "5" * 64, source=GATES, reason="test"),
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


def ask(home: Site, gateway: Gateway, subject: str) -> tuple[int, str]:
    with contextlib.closing(gateway.connection()) as connection:
        body = msgspec.json.encode({"inputs": [{"name": "age", "shape": [1], "datatype": "INT64", "data": [41]}]})
        headers = {"authorization": f"Bearer {home.token}", "content-type": "application/json", "jurat-subject": subject}
        connection.request("POST", "/v2/models/credit/infer", body, headers)
        response = connection.getresponse()
        said = msgspec.json.decode(response.read())
        return response.status, said.get("parameters", {}).get("version", "")


def rollout_of(home: Site) -> rows.Rollout:
    with home.app.store.reading() as state:
        found = state.get(rows.Rollout, "credit")
    assert found is not None
    return found


def begin(home: Site, new_model: NewModel) -> None:
    command = StartRollout(endpoint="credit", version="credit@1.2.0", upstream=new_model.url, reason="better")
    done = act_as(home.app, ENGINEER, command)
    assert in_effect_ms(home.app, {e.id for e in done.events}, 10.0) is not None


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
    with ThreadPoolExecutor(12) as callers:
        new_model.waits = threading.Event()
        slow = [callers.submit(ask, home, gateway, f"u{n}") for n in range(12)]
        until(lambda: len(new_model.held) >= 2)
        held = len(new_model.held)
        waits, new_model.waits = new_model.waits, None
        for n in range(60):  # so many are answered meanwhile that the step is judged
            ask(home, gateway, f"v{n}")
        with home.app.ledger() as ledger:
            ledger.flush()
        with home.app.store.reading() as state:
            metrics = {m.name: m.value for m in measure_step(home.app, state, rollout_of(home))}
        left = home.app.events.select(
            "SELECT count(*) FILTER (WHERE kind = 'prediction.requested.v1') - count(*) FILTER (WHERE kind = 'prediction.made.v1') "
            "FROM events WHERE version = 'credit@1.2.0' AND occurred_at >= ?", [parse_at(rollout_of(home).step_since)]
        ).rows[0][0]  # fmt: skip
        waits.set()
        assert {status for status, _ in (each.result() for each in slow)} == {200}
    assert left >= held >= 2  # they were on record, without an outcome
    assert metrics["error_rate"] == 0.0


def until(check: Any, timeout_s: float = 10.0, every_s: float = 0.05) -> None:
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline
        time.sleep(every_s)
