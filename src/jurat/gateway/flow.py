"""One prediction, from a token and a body to an answer. The order is the law; each number returns beside its code.

    (1) admit          who asks?                                  Unauthenticated
    (2) authorize      may they ask this endpoint?                Denied, recorded
    (3) stage          may this version serve here now?           Conflict, recorded
    (4) limit          within the caller's rate?                  Exhausted, recorded
    (5) read           is the body one we can answer for?         Malformed
    (6) intent         `prediction.requested.v1`, on its way to the ledger while
    (7) ask            the model answers                          Unavailable, recorded
    (8) identity       this case, by the version approved?        failed_closed: no answer
    (9) floor          is it confident enough?                    below: abstain, a person decides
    (10) filter        does the output hold what must not leave?  block
    (11) outcome       intent and `prediction.made.v1` durable, and only then
    (12) answer

Waits only for the three ports it is given (tokens, model, ledger), so it is tested without a network.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from jurat.app.admit import hash_token
from jurat.app.serving import Picture, RequestPrediction, ServingSnapshot
from jurat.core.clock import Clock
from jurat.core.errors import Exhausted, JuratError, Malformed, NotFound, Unauthenticated, Unavailable
from jurat.domain.events import Actor, DecisionRef
from jurat.domain.rows import Endpoint, Rollout, Version
from jurat.domain.upstreams import Upstream, parse_upstream
from jurat.domain.values import Guardrail
from jurat.gateway import arms, checks, records, shadow, v2
from jurat.gateway.checks import Checked, Verdict
from jurat.gateway.records import Case, Recorder
from jurat.gateway.upstream import Reply
from jurat.guard.filters import Filter
from jurat.guard.limits import RateLimit

MODEL_TIMEOUT_S: Final = 10.0
_STRICTNESS: Final[tuple[Verdict, ...]] = ("release", "abstain", "block", "withhold")
_OUTCOMES: Final[dict[Verdict, str]] = {"release": "released", "abstain": "abstained", "block": "blocked"}


class Models(Protocol):
    """The way to the model servers."""

    async def request(self, upstream: Upstream, method: str, path: str, body: bytes, timeout_s: float) -> Reply: ...


class Asked(NamedTuple):
    """A request as far as a proof of possession speaks of it."""

    method: str
    path: str
    scheme: str
    server: tuple[str, int | None] | None


@dataclass(frozen=True)
class Door:
    """What a prediction needs on its way."""

    snapshot: ServingSnapshot
    limit: RateLimit
    models: Models
    recorder: Recorder
    clock: Clock
    now_s: Callable[[], float]  # monotonic
    prove: Callable[[Asked, str, str], str] | None = None  # request, proof, token → the key that is proved; blocks
    turned_away: Callable[[RequestPrediction, Unauthenticated], None] | None = None  # told of refused callers; blocks


class Admitted(NamedTuple):
    """A caller who may ask an endpoint, and what holds at this moment."""

    caller: Actor
    decision: DecisionRef
    endpoint: Endpoint
    version: Version | None
    output_filter: Filter | JuratError
    rollout: Rollout | None = None
    new: Version | None = None  # that a rollout is about


class Answer(NamedTuple):
    """What leaves."""

    body: dict[str, Any]
    prediction: str
    guardrails: list[Guardrail]


async def admit(door: Door, token: str, endpoint_name: str) -> Admitted:
    """Return who asks, once it is known that they may ask this endpoint.

    Raises:
        Unauthenticated, NotFound, Unavailable.
        Denied: recorded before it is raised; `event` among its fields names the record.
    """
    picture = door.snapshot.picture()
    try:
        caller = await _caller(door, picture, token)  # (1)
    except Unauthenticated as error:
        if door.turned_away is not None and error.code == "suspended":
            await asyncio.to_thread(door.turned_away, RequestPrediction(endpoint=endpoint_name[:80]), error)
        raise
    endpoint = picture.endpoint(endpoint_name)
    if endpoint is None:
        raise NotFound(f"there is no endpoint `{endpoint_name[:80]}`", hint="an operator makes one: `jurat endpoint set`")
    verdict = door.snapshot.may_request(picture, caller, endpoint_name)  # (2)
    if verdict.refusal is not None:
        raise await _recorded(door, caller, verdict.decision, endpoint_name, verdict.refusal)
    rollout = picture.rollout(endpoint_name)
    return Admitted(
        caller, verdict.decision, endpoint, picture.version(endpoint.version), picture.filters[endpoint_name],
        rollout, picture.version(rollout.version) if rollout else None,
    )  # fmt: skip


async def predict(door: Door, token: str, endpoint_name: str, body: bytes, *, subject: bytes | None = None, segment: str = "") -> Answer:
    """Return the answer to one case; what it rests on is durable by then.

    Args:
        subject: whom the case is about, as the caller calls them: while a rollout runs, they stay with one version.
        segment: a group that the caller says the case belongs to, for the record.
    Raises:
        Unauthenticated, Denied, NotFound, Conflict, Exhausted, Malformed: the caller's side; nothing was asked of a model
            (but `model_refused`: the model itself could not read the input).
        Unavailable: the model, a guardrail or the record failed; no answer leaves.
    """
    started_s = door.now_s()
    admitted = await admit(door, token, endpoint_name)
    caller, decision, endpoint, version, output_filter, rollout, new = admitted
    if rollout is not None and rollout.is_live:
        endpoint, version = arms.choose(rollout, endpoint, version, new, arms.read_subject(subject, body))
    guardrails: list[Guardrail] = []
    try:
        guardrails.append(checks.check_stage(endpoint, version))  # (3)
        guardrails.append(_within_limit(door.limit, caller, endpoint))  # (4)
    except JuratError as error:
        raise await _recorded(door, caller, decision, endpoint_name, error) from None
    assert version is not None
    request = v2.parse_request(body)  # (5)
    case = records.open_case(caller, decision, endpoint, request, door.clock)
    intent = asyncio.create_task(door.recorder.write(records.requested(case, guardrails, door.clock)))  # (6)
    try:
        response = await _ask_model(door, case, version, request, intent)  # (7)
        confidence = v2.single_number(response, checks.CONFIDENCE)
        verdict = _pass(
            guardrails,
            checks.check_identity(response, version, case.prediction),  # (8)
            checks.check_floor(confidence, endpoint.confidence_floor),  # (9)
            checks.check_output(response, output_filter),  # (10)
        )
        if verdict == "withhold":
            raise await _withheld(door, case, guardrails)
        latency_ms = round((door.now_s() - started_s) * 1e3, 3)
        outcome = records.made(
            case,
            output=None if verdict == "block" else v2.answer_of(response, without=checks.CONFIDENCE),
            confidence=confidence,
            outcome=_OUTCOMES[verdict],
            latency_ms=latency_ms,
            guardrails=guardrails,
            clock=door.clock,
            segment=segment,
        )
        _, place = await asyncio.gather(intent, door.recorder.write(outcome))  # (11)
    except Exception as error:
        await _failed(door, case, guardrails, intent, error)
        raise
    if rollout is not None and (beside := arms.shadow_of(rollout, endpoint, new)) is not None:
        shadow.ask_beside(door, case, request, beside, rollout.rollout, segment)
    return Answer(_body(case, request, response, verdict, place, latency_ms, guardrails), case.prediction, guardrails)  # (12)


async def _caller(door: Door, picture: Picture, token: str) -> Actor:
    token_hash = hash_token(token)
    if not door.snapshot.remembers(picture, token_hash):
        await asyncio.to_thread(door.snapshot.look_up, picture, token_hash)
    return door.snapshot.caller(picture, token)


def _within_limit(limit: RateLimit, caller: Actor, endpoint: Endpoint) -> Guardrail:
    wait_s = limit.take((caller.principal, endpoint.endpoint), endpoint.requests_per_minute)
    if wait_s > 0:
        raise Exhausted(
            f"`{caller.principal}` asked endpoint `{endpoint.endpoint}` more than {endpoint.requests_per_minute} times a minute",
            retry_after_s=round(wait_s, 3),
            hint=f"wait {wait_s:.1f} s, or ask an operator for a higher limit",
            code="rate_limit",
        )
    return Guardrail(name="rate_limit", status="ran")


async def _ask_model(door: Door, case: Case, version: Version, request: v2.InferRequest, intent: asyncio.Task[str]) -> v2.InferResponse:
    """Return the model's answer; stop asking as soon as the intent turns out not to be recordable."""
    body = v2.format_request(v2.for_model(request, case.prediction))
    asking = asyncio.create_task(
        door.models.request(parse_upstream(case.endpoint.upstream), "POST", _path(version) + "/infer", body, MODEL_TIMEOUT_S)
    )
    try:
        await asyncio.wait((asking, intent), return_when=asyncio.FIRST_COMPLETED)
        if intent.done():
            intent.result()
        reply = await asking
    finally:
        if not asking.cancel() and not asking.cancelled():
            asking.exception()  # looked at, so asyncio does not complain
    if 400 <= reply.status < 500:
        raise Malformed(
            f"the model refused the input with status {reply.status}",
            hint=f"compare the request with `GET /v2/models/{case.endpoint.endpoint}`",
            code="model_refused",
        )
    if reply.status != 200:
        raise Unavailable(f"the model server answered with status {reply.status}", hint="its operator sees why", code="upstream_failed")
    try:
        return v2.parse_response(reply.body)
    except Malformed as error:  # whatever a server sends us is not the caller's fault
        raise Unavailable(f"the model server's answer cannot be read: {error.detail}", code="upstream_failed") from error


def _pass(guardrails: list[Guardrail], *checked: Checked) -> Verdict:
    """Note what each guardrail did; return the strictest of their verdicts."""
    guardrails.extend(each.guardrail for each in checked)
    return max((each.verdict for each in checked), key=_STRICTNESS.index)


async def _withheld(door: Door, case: Case, guardrails: list[Guardrail]) -> Unavailable:
    """Record which guardrails failed closed; return the error that says so."""
    closed = [guardrail for guardrail in guardrails if guardrail.status == "failed_closed"]
    for guardrail in closed:
        await door.recorder.try_write(records.guardrail_failed(case, guardrail, door.clock))
    return Unavailable(
        f"guardrail `{closed[0].name}` could not vouch for the answer, so none is given: {closed[0].reason}",
        hint="tell whoever operates this endpoint; `guardrail.failed.v1` in the ledger says more",
        code="guardrail_failed",
    )


async def _failed(door: Door, case: Case, guardrails: list[Guardrail], intent: asyncio.Task[str], error: Exception) -> None:
    """Record that no answer leaves, and let the caller know which prediction that was."""
    reason = f"{error.code}: {error.detail}" if isinstance(error, JuratError) else f"internal_error: {type(error).__name__}"
    if isinstance(error, JuratError):
        error.fields["prediction"] = case.prediction
    with contextlib.suppress(Unavailable, Malformed):
        await intent
    await door.recorder.try_write(records.failed(case, reason, guardrails, door.clock))


async def _recorded(door: Door, caller: Actor, decision: DecisionRef, endpoint: str, error: JuratError) -> JuratError:
    """Make a refusal durable; return it, with the record's id. If it cannot be recorded, that is the answer instead."""
    event = records.denied(caller, decision, endpoint, error, door.clock)
    await door.recorder.write(event)
    error.fields["event"] = event.id
    return error


def _body(
    case: Case,
    request: v2.InferRequest,
    response: v2.InferResponse,
    verdict: Verdict,
    place: str,
    latency_ms: float,
    guardrails: list[Guardrail],
) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "prediction": case.prediction,
        "outcome": _OUTCOMES[verdict],
        "version": case.endpoint.version,
        "version_digest": case.endpoint.version_digest,
        "record": place,
        "latency_ms": latency_ms,
        "guardrails": format_guardrails(guardrails),
    }
    if verdict != "release":
        parameters["case"] = case.prediction
        parameters["next"] = "a person decides this case"
    body = {
        "model_name": case.endpoint.endpoint,
        "model_version": case.endpoint.version.partition("@")[2],
        "parameters": parameters,
        "outputs": v2.requested_outputs(request, response) if verdict == "release" else [],
    }
    return {"id": request.id, **body} if request.id else body


def format_guardrails(guardrails: list[Guardrail]) -> str:
    """Return what ran, on one line: `stage=ran, output_filter=skipped`."""
    return ", ".join(f"{guardrail.name}={guardrail.status}" for guardrail in guardrails)


async def describe(door: Door, admitted: Admitted) -> dict[str, Any]:
    """Return what the model behind an endpoint takes and gives, as its server says."""
    version = _servable(admitted)
    reply = await _get(door, admitted.endpoint, _path(version))
    said = v2.parse_metadata(reply.body)
    return {"name": admitted.endpoint.endpoint, "versions": [_number(version)], **said}


async def ask_ready(door: Door, admitted: Admitted) -> None:
    """Pass if the endpoint may serve and its model server says that it is ready.

    Raises:
        Conflict, Unavailable.
    """
    await _get(door, admitted.endpoint, _path(_servable(admitted)) + "/ready")


def _servable(admitted: Admitted) -> Version:
    checks.check_stage(admitted.endpoint, admitted.version)
    assert admitted.version is not None
    return admitted.version


async def _get(door: Door, endpoint: Endpoint, path: str) -> Reply:
    reply = await door.models.request(parse_upstream(endpoint.upstream), "GET", path, b"", MODEL_TIMEOUT_S)
    if reply.status != 200:
        raise Unavailable(f"the model server answered with status {reply.status}", hint="its operator sees why", code="upstream_failed")
    return reply


def _path(version: Version) -> str:
    return f"/v2/models/{version.model}/versions/{_number(version)}"


def _number(version: Version) -> str:
    return version.version.partition("@")[2]
