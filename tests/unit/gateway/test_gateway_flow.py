from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec
import pytest
from tests.unit.gateway.gateway_world import ALLOW, STRANGER, TOKEN, VERSION_DIGEST, World, answer, body

from jurat.core.errors import Conflict, Denied, Exhausted, JuratError, Malformed, NotFound, Unauthenticated, Unavailable
from jurat.gateway import flow, records, v2


def ask(world: World, request: bytes | None = None, token: str = TOKEN, endpoint: str = "credit") -> flow.Answer:
    return asyncio.run(flow.predict(world.door, token, endpoint, body() if request is None else request))


def statuses(guardrails: list[Any]) -> dict[str, str]:
    return {guardrail.name: guardrail.status for guardrail in guardrails}


ALL_RAN = {"stage": "ran", "rate_limit": "ran", "model_digest": "ran", "confidence_floor": "ran", "output_filter": "ran"}


# --- what is answered, and what is recorded by then ------------------------------------------------------------------


def test_an_answer_leaves_with_its_record(world: World) -> None:
    found = ask(world, body(id="42"))
    assert world.ledger.kinds == ["prediction.requested.v1", "prediction.made.v1"]
    assert {log for log, _ in world.ledger.events} == {"main/inference"}
    intent, outcome = world.ledger.only("prediction.requested.v1"), world.ledger.only("prediction.made.v1")
    assert found.body["id"] == "42"
    assert found.body["model_version"] == "1.1.0"
    assert found.body["outputs"][0].data == [True]
    assert found.body["parameters"] == {
        "prediction": found.prediction,
        "outcome": "released",
        "version": "credit@1.1.0",
        "version_digest": VERSION_DIGEST,
        "record": "inference#1",
        "latency_ms": 0.0,
        "guardrails": "stage=ran, rate_limit=ran, model_digest=ran, confidence_floor=ran, output_filter=ran",
    }
    assert statuses(found.guardrails) == ALL_RAN
    assert statuses(intent.data.guardrails) == {"stage": "ran", "rate_limit": "ran"}
    assert statuses(outcome.data.guardrails) == ALL_RAN
    assert (outcome.data.output, outcome.data.confidence, outcome.data.outcome) == (True, 0.9, "released")
    assert outcome.data.prediction == intent.data.prediction == found.prediction
    assert intent.because == ["evt_e"]  # the event that set the endpoint
    assert outcome.because == [intent.id]
    assert outcome.decision == intent.decision == ALLOW
    assert outcome.actor.principal == "prn_client"
    assert outcome.actor.chain == ["prn_person"]
    assert outcome.resource == "endpoints/credit"


def test_the_record_holds_a_salted_hash_and_never_the_input(world: World) -> None:
    ask(world)
    ask(world)
    first, second = (event for _, event in world.ledger.events if event.kind.name == "prediction.made.v1")
    request = v2.parse_request(body())
    for event in (first, second):
        assert v2.hash_inputs(bytes.fromhex(event.data.input_salt), request) == event.data.input_hash
        assert b"a car" not in msgspec.json.encode(event.data)
    assert first.data.input_hash != second.data.input_hash


def test_latency_is_what_the_caller_waited_for_the_decision(world: World) -> None:
    async def think() -> None:
        world.elapsed[0] += 0.0421

    world.model.before = think
    ask(world)
    assert world.ledger.only("prediction.made.v1").data.latency_ms == pytest.approx(42.1)


def test_the_model_gets_what_was_read_and_nothing_else(world: World) -> None:
    ask(world, body(id="42", outputs=[{"name": "approved"}]))
    ((method, path, sent),) = world.model.asked
    assert (method, path) == ("POST", "/v2/models/credit/versions/1.1.0/infer")
    assert msgspec.json.decode(sent) == {"id": world.ledger.only("prediction.made.v1").data.prediction, **msgspec.json.decode(body())}


def test_only_the_outputs_that_were_asked_for_leave_and_all_are_recorded(world: World) -> None:
    found = ask(world, body(outputs=[{"name": "approved"}]))
    assert [output.name for output in found.body["outputs"]] == ["approved"]
    assert world.ledger.only("prediction.made.v1").data.confidence == 0.9


# --- refusals --------------------------------------------------------------------------------------------------------


def refused(world: World, error: type[JuratError], **kwargs: Any) -> JuratError:
    with pytest.raises(error) as found:
        ask(world, **kwargs)
    return found.value


@pytest.mark.parametrize("token", ["", "jrt_short", "jrt_" + "z" * 43])
def test_1_an_unknown_token_proves_nobody(world: World, token: str) -> None:
    refused(world, Unauthenticated, token=token)
    assert world.ledger.kinds == []
    assert world.model.asked == []


def test_1_a_token_ends_by_the_clock_though_it_is_remembered(world: World) -> None:
    ask(world)
    world.clock.advance(10 * 365 * 86400)
    refused(world, Unauthenticated)


def test_2_a_denial_is_recorded_before_it_is_told(world: World) -> None:
    error = refused(world, Denied, token=STRANGER)
    event = world.ledger.only("act.denied.v1")
    assert [log for log, _ in world.ledger.events] == ["main/access"]
    assert error.fields["event"] == event.id
    assert (event.data.by, event.data.rule, event.data.permission) == ("policy", "policy_denied", "prediction:request")
    assert event.data.reasons == ["no policy permits it"]
    assert world.asked_policy == [("prn_person", "prediction:request", "endpoints/credit")]
    assert world.model.asked == []


def test_2_a_denial_that_cannot_be_recorded_is_no_answer_at_all(world: World) -> None:
    world.ledger.fault = _unavailable
    refused(world, Unavailable, token=STRANGER)


def test_2_an_unknown_endpoint_is_not_found(world: World) -> None:
    refused(world, NotFound, endpoint="nothing")


@pytest.mark.parametrize(
    "changes",
    [{"digest": "sha256:" + "8" * 64}, {"stage": "staging"}, {"stage": "development"}, {"stage": "retired"}],
    ids=["other_digest", "staging", "development", "retired"],
)
def test_3_the_gate_lies_on_the_path_of_the_effect(world: World, changes: dict[str, str]) -> None:
    ask(world)
    world.version(**changes)
    error = refused(world, Conflict)
    event = world.ledger.only("act.denied.v1")
    assert error.code == event.data.rule == "stage_gate"
    assert event.data.by == "rule"
    assert len(world.model.asked) == 1


def test_3_an_endpoint_for_trying_out_serves_any_stage_but_the_last(world: World) -> None:
    world.endpoint(stage="development")
    for stage in ("development", "staging", "production"):
        world.version(stage=stage)
        ask(world)
    world.version(stage="retired")
    refused(world, Conflict)


def test_3_an_endpoint_whose_version_is_unknown_serves_nothing(world: World) -> None:
    world.endpoint(version="credit@9.9.9")
    refused(world, Conflict)


def test_4_the_rate_is_per_caller_and_every_refusal_is_recorded(world: World) -> None:
    world.endpoint(requests_per_minute=2)
    world.allowed.add("prn_person")
    ask(world)
    ask(world)
    for _ in range(3):
        error = refused(world, Exhausted)
        assert isinstance(error, Exhausted)
        assert error.retry_after_s == pytest.approx(30.0)
    assert world.ledger.kinds.count("act.denied.v1") == 3
    ask(world, token=STRANGER)
    world.elapsed[0] += 30.1
    world.snapshot.refresh()
    ask(world)


def test_5_a_body_that_cannot_be_read_reaches_no_model(world: World) -> None:
    refused(world, Malformed, request=b"{}")
    assert world.model.asked == []
    assert world.ledger.kinds == []


def test_a_stale_picture_answers_nobody(world: World) -> None:
    world.elapsed[0] += 2.1
    assert refused(world, Unavailable).code == "snapshot_stale"


# --- the record comes first ------------------------------------------------------------------------------------------


def _unavailable(kind: str) -> None:
    raise Unavailable("the sequencer is away", code="ledger_unavailable")


def _deaf_to(*kinds: str) -> Any:
    def fault(kind: str) -> Any:
        return asyncio.sleep(30) if kind in kinds else None

    return fault


@pytest.mark.parametrize("kind", ["prediction.requested.v1", "prediction.made.v1"])
def test_11_no_receipt_in_time_no_answer(world: World, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "RECEIPT_TIMEOUT_S", 0.05)
    world.ledger.fault = _deaf_to(kind)
    error = refused(world, Unavailable)
    assert error.code == "record_unavailable"
    failed = world.ledger.only("prediction.failed.v1")
    assert error.fields["prediction"] == failed.data.prediction
    assert failed.data.reason.startswith("record_unavailable")


def test_6_when_the_intent_cannot_be_recorded_the_model_is_not_waited_for(world: World) -> None:
    async def for_ever() -> None:
        await asyncio.sleep(3600)

    world.model.before = for_ever
    world.ledger.fault = _unavailable
    assert refused(world, Unavailable).code == "record_unavailable"


def test_11_nothing_leaves_before_both_records_are_durable(world: World) -> None:
    async def story() -> None:
        gates = {"prediction.requested.v1": asyncio.Event(), "prediction.made.v1": asyncio.Event()}
        world.ledger.fault = lambda kind: gates[kind].wait()
        asking = asyncio.create_task(flow.predict(world.door, TOKEN, "credit", body()))
        await asyncio.sleep(0.01)
        gates["prediction.made.v1"].set()
        await asyncio.sleep(0.01)
        assert world.ledger.kinds == ["prediction.made.v1"]
        assert not asking.done()
        gates["prediction.requested.v1"].set()
        assert (await asking).body["parameters"]["outcome"] == "released"

    asyncio.run(story())


def test_6_the_intent_and_the_model_overlap(world: World) -> None:
    async def story() -> None:
        recorded = asyncio.Event()
        world.ledger.fault = lambda kind: recorded.wait() if kind == "prediction.requested.v1" else None

        async def release() -> None:
            recorded.set()  # the model is asked while the intent is still on its way

        world.model.before = release
        async with asyncio.timeout(1):
            await flow.predict(world.door, TOKEN, "credit", body())

    asyncio.run(story())


# --- models that fail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reply", "error", "code"),
    [
        (500, b"oops", Unavailable, "upstream_failed"),
        (302, b"", Unavailable, "upstream_failed"),
        (204, b"", Unavailable, "upstream_failed"),
        (400, b'{"error":"bad"}', Malformed, "model_refused"),
        (404, b"{}", Malformed, "model_refused"),
        (200, b"not json", Unavailable, "upstream_failed"),
        (200, {"outputs": []}, Unavailable, "upstream_failed"),
        (200, Unavailable("too slow", code="upstream_timeout"), Unavailable, "upstream_timeout"),
    ],
)
def test_7_a_model_that_fails_is_recorded(world: World, status: int, reply: Any, error: type[JuratError], code: str) -> None:
    world.model.status, world.model.reply = status, reply
    found = refused(world, error)
    assert found.code == code
    assert world.ledger.kinds == ["prediction.requested.v1", "prediction.failed.v1"]
    (log, failed) = world.ledger.events[-1]
    assert log == "main/error"
    assert failed.data.reason.startswith(code)
    assert failed.because == [world.ledger.only("prediction.requested.v1").id]
    assert found.fields["prediction"] == failed.data.prediction


def test_a_fault_of_ours_is_recorded_without_anybodys_data(world: World) -> None:
    world.model.reply = ZeroDivisionError("a car")
    with pytest.raises(ZeroDivisionError):
        ask(world)
    assert world.ledger.only("prediction.failed.v1").data.reason == "internal_error: ZeroDivisionError"


# --- guardrails ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "guardrail"),
    [
        (answer(digest=None), "model_digest"),
        (answer(digest="sha256:" + "7" * 64), "model_digest"),
        (answer(model_version="1.0.0"), "model_digest"),
        (answer(id="prd_of_another_case"), "model_digest"),
        (answer(id=""), "model_digest"),
        (answer(confidence=None), "confidence_floor"),
        (answer(confidence=1.5), "confidence_floor"),
        (answer(confidence=-0.1), "confidence_floor"),
    ],
    ids=["no_digest", "other_digest", "other_version", "other_case", "no_case", "no_confidence", "too_confident", "negative"],
)
def test_a_guardrail_that_cannot_vouch_fails_closed(world: World, reply: dict[str, Any], guardrail: str) -> None:
    world.model.reply = reply
    assert refused(world, Unavailable).code == "guardrail_failed"
    assert world.ledger.kinds == ["prediction.requested.v1", "guardrail.failed.v1", "prediction.failed.v1"]
    failed = world.ledger.only("guardrail.failed.v1").data
    assert (failed.guardrail, failed.status, failed.version) == (guardrail, "failed_closed", "credit@1.1.0")
    assert statuses(world.ledger.only("prediction.failed.v1").data.guardrails)[guardrail] == "failed_closed"


def test_9_below_the_floor_a_person_decides(world: World) -> None:
    world.model.reply = answer(approved=False, confidence=0.59)
    found = ask(world)
    assert found.body["outputs"] == []
    assert found.body["parameters"]["outcome"] == "abstained"
    assert found.body["parameters"]["case"] == found.prediction
    made = world.ledger.only("prediction.made.v1").data
    assert (made.outcome, made.output, made.confidence) == ("abstained", False, 0.59)
    assert "under the floor" in next(g for g in made.guardrails if g.name == "confidence_floor").reason


def test_9_at_the_floor_the_answer_leaves(world: World) -> None:
    world.model.reply = answer(confidence=0.6)
    assert ask(world).body["parameters"]["outcome"] == "released"


def test_9_without_floor_and_confidence_it_says_that_it_was_skipped(world: World) -> None:
    world.endpoint(confidence_floor=0.0)
    world.model.reply = answer(confidence=None)
    found = ask(world)
    assert statuses(found.guardrails)["confidence_floor"] == "skipped"
    assert world.ledger.only("prediction.made.v1").data.confidence is None


def test_10_what_must_not_leave_does_not_and_is_not_recorded_either(world: World) -> None:
    world.model.reply = answer(approved="see 123-45-6789", datatype="BYTES")
    found = ask(world)
    assert found.body["outputs"] == []
    assert found.body["parameters"]["outcome"] == "blocked"
    made = world.ledger.only("prediction.made.v1").data
    assert (made.outcome, made.output) == ("blocked", None)
    assert b"123-45" not in msgspec.json.encode(made)


def test_10_a_block_outweighs_an_abstention(world: World) -> None:
    world.model.reply = answer(approved="see 123-45-6789", datatype="BYTES", confidence=0.1)
    assert ask(world).body["parameters"]["outcome"] == "blocked"


def test_10_patterns_look_at_names_and_at_every_value(world: World) -> None:
    reply = answer()
    reply["outputs"].append({"name": "123-45-6789", "shape": [0], "datatype": "BYTES", "data": []})
    world.model.reply = reply
    assert ask(world).body["parameters"]["outcome"] == "blocked"


def test_10_no_patterns_are_said_to_be_skipped(world: World) -> None:
    world.endpoint(blocked_patterns=[])
    assert statuses(ask(world).guardrails)["output_filter"] == "skipped"


def test_10_patterns_that_do_not_compile_close_their_endpoint(world: World) -> None:
    world.endpoint(blocked_patterns=["("])
    assert refused(world, Unavailable).code == "guardrail_failed"


def test_10_a_filter_that_breaks_closes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, text: str) -> list[str]:
        raise MemoryError("123-45-6789")

    monkeypatch.setattr("jurat.guard.filters.Filter.find", broken)
    refused(world, Unavailable)
    assert world.ledger.only("guardrail.failed.v1").data.reason == "MemoryError"


def test_every_guardrail_reports_on_every_released_answer(world: World) -> None:
    assert list(statuses(ask(world).guardrails)) == list(ALL_RAN)


def test_a_cancelled_case_leaves_its_intent(world: World) -> None:
    async def story() -> None:
        async def for_ever() -> None:
            await asyncio.sleep(3600)

        world.model.before = for_ever
        asking = asyncio.create_task(flow.predict(world.door, TOKEN, "credit", body()))
        await asyncio.sleep(0.01)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking

    asyncio.run(story())
    assert world.ledger.kinds == ["prediction.requested.v1"]


# --- describing ------------------------------------------------------------------------------------------------------

METADATA = {
    "name": "credit",
    "versions": ["1.1.0"],
    "platform": "sklearn",
    "inputs": [{"name": "age", "datatype": "INT64", "shape": [-1]}],
    "outputs": [],
}


def test_describes_what_the_model_takes(world: World) -> None:
    async def story() -> dict[str, Any]:
        return await flow.describe(world.door, await flow.admit(world.door, TOKEN, "credit"))

    world.model.reply = METADATA
    described = asyncio.run(story())
    assert described["name"] == "credit"
    assert described["versions"] == ["1.1.0"]
    assert described["inputs"][0].name == "age"
    assert world.model.asked == [("GET", "/v2/models/credit/versions/1.1.0", b"")]
    world.model.reply = {"name": "credit"}
    with pytest.raises(Unavailable):
        asyncio.run(story())


def test_is_not_ready_when_its_model_is_not_or_its_stage_is_wrong(world: World) -> None:
    async def story() -> None:
        await flow.ask_ready(world.door, await flow.admit(world.door, TOKEN, "credit"))

    asyncio.run(story())
    world.model.status = 503
    with pytest.raises(Unavailable):
        asyncio.run(story())
    world.version(stage="retired")
    with pytest.raises(Conflict):
        asyncio.run(story())
