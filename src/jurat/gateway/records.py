"""What the gateway puts on record, and how long it waits for the receipt. Knows events; knows no HTTP and no policy.

A prediction leaves two events in the `inference` log: `prediction.requested.v1` before its answer is looked at, and
`prediction.made.v1` before its answer leaves. A request without an outcome is evidence that something broke in between.
When no answer leaves, `prediction.failed.v1` says why; it outweighs a `prediction.made.v1` of the same prediction, whose
receipt may have come too late.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Any, Final, Protocol

from jurat.app.serving import Routing
from jurat.core.clock import Clock, format_at
from jurat.core.errors import JuratError, Malformed, Unavailable
from jurat.core.ids import made_at_ns, new_id
from jurat.domain import facts
from jurat.domain.events import Actor, DecisionRef, Event, encode_event
from jurat.domain.facts import Fact
from jurat.domain.facts_rollout import RoutingInEffect
from jurat.domain.rows import Endpoint
from jurat.domain.values import Guardrail
from jurat.gateway import v2
from jurat.ledger.layout import LogName

RECEIPT_TIMEOUT_S: Final = 0.25


class Placed(Protocol):
    """Where an event came to lie."""

    @property
    def entry_index(self) -> int: ...


class Ledger(Protocol):
    """The sequencer's client: an answer means durable."""

    async def put(self, log: LogName, kind_code: int, raw: bytes) -> Placed: ...


class Recorder:
    """Makes events durable, or says in time that it could not."""

    def __init__(self, ledger: Ledger, tenant: str) -> None:
        self._ledger = ledger
        self._tenant = tenant

    async def write(self, event: Event) -> str:
        """Return the event's place, such as `inference#12`, once it is durable there.

        Raises:
            Unavailable: no receipt within `RECEIPT_TIMEOUT_S`. Whether the event is durable is then not known.
            Malformed: the event is larger than the ledger takes.
        """
        kind = event.kind
        assert kind.retention is not None, "only a producer's own word about its stream has no class"
        try:
            async with asyncio.timeout(RECEIPT_TIMEOUT_S):
                placed = await self._ledger.put(LogName(self._tenant, kind.retention), kind.code, encode_event(event))
        except (TimeoutError, Unavailable) as error:
            raise Unavailable(
                "the record could not be made durable in time, so nothing is answered",
                hint="try again shortly; `jurat status` shows what the ledger waits for",
                code="record_unavailable",
            ) from error
        return f"{kind.retention}#{placed.entry_index}"

    async def try_write(self, event: Event) -> bool:
        """Write an event that only explains; return whether it became durable. Nothing depends on it."""
        try:
            await self.write(event)
        except (Unavailable, Malformed):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Case:
    """One prediction on its way: what all of its events say."""

    prediction: str
    caller: Actor
    decision: DecisionRef
    endpoint: Endpoint
    input_hash: str
    input_salt: str
    asked: str  # id of its `prediction.requested.v1`

    @property
    def resource(self) -> str:
        return endpoint_resource(self.endpoint.endpoint)


def endpoint_resource(endpoint: str) -> str:
    """Return an endpoint's place in the resource tree."""
    return f"endpoints/{endpoint}"


def open_case(caller: Actor, decision: DecisionRef, endpoint: Endpoint, request: v2.InferRequest, clock: Clock) -> Case:
    """Return a fresh case, with a salt of its own."""
    salt = os.urandom(16)
    return Case(
        prediction=new_id("prd", clock),
        caller=caller,
        decision=decision,
        endpoint=endpoint,
        input_hash=v2.hash_inputs(salt, request),
        input_salt=salt.hex(),
        asked=new_id("evt", clock),
    )


def requested(case: Case, guardrails: list[Guardrail], clock: Clock) -> Event:
    """The intent: it is about to be sent to the model."""
    data = facts.PredictionRequested(
        prediction=case.prediction, endpoint=case.endpoint.endpoint, version=case.endpoint.version,
        version_digest=case.endpoint.version_digest, input_hash=case.input_hash, guardrails=list(guardrails), input_salt=case.input_salt,
    )  # fmt: skip
    return Event(
        id=case.asked, at=format_at(clock.now_ns()), actor=case.caller, resource=case.resource, decision=case.decision,
        because=[case.endpoint.as_of], data=data,
    )  # fmt: skip


def made(
    case: Case,
    *,
    output: Any,
    confidence: float | None,
    outcome: str,
    latency_ms: float,
    guardrails: list[Guardrail],
    clock: Clock,
    segment: str = "",
) -> Event:
    """The outcome: what the model said, and what became of it."""
    data = facts.PredictionMade(
        prediction=case.prediction, endpoint=case.endpoint.endpoint, version=case.endpoint.version,
        version_digest=case.endpoint.version_digest, input_hash=case.input_hash, output=output, confidence=confidence,
        outcome=outcome, latency_ms=latency_ms, guardrails=list(guardrails), input_salt=case.input_salt, segment=segment,
    )  # fmt: skip
    return _about(case, data, clock)


def failed(case: Case, reason: str, guardrails: list[Guardrail], clock: Clock) -> Event:
    """No answer left, and why."""
    data = facts.PredictionFailed(
        prediction=case.prediction, endpoint=case.endpoint.endpoint, version=case.endpoint.version,
        version_digest=case.endpoint.version_digest, reason=reason, guardrails=list(guardrails),
    )  # fmt: skip
    return _about(case, data, clock)


def guardrail_failed(case: Case, guardrail: Guardrail, clock: Clock) -> Event:
    """A guardrail could not do its work; what happened instead is its status."""
    data = facts.GuardrailFailed(
        endpoint=case.endpoint.endpoint, guardrail=guardrail.name, status=guardrail.status,
        reason=guardrail.reason, version=case.endpoint.version,
    )  # fmt: skip
    return _about(case, data, clock)


def in_effect(actor: Actor, routing: Routing, clock: Clock) -> Event:
    """A gateway serves by a change of traffic from now on."""
    took_ms = (clock.now_ns() - made_at_ns(routing.event)) / 1e6
    data = RoutingInEffect(
        endpoint=routing.endpoint,
        version=routing.version,
        share_bp=routing.share_bp,
        event=routing.event,
        took_ms=round(max(took_ms, 0.0), 1),
    )
    return _event(actor, None, endpoint_resource(routing.endpoint), data, [routing.event], clock)


def denied(caller: Actor, decision: DecisionRef | None, endpoint: str, error: JuratError, clock: Clock) -> Event:
    """A refusal, by the policy or by a rule."""
    reasons = error.fields.get("reasons")
    data = facts.ActDenied(
        command="RequestPrediction",
        permission="prediction:request",
        by="policy" if error.code == "policy_denied" else "rule",
        rule=error.code,
        detail=error.detail,
        hint=error.hint,
        reasons=[str(reason) for reason in reasons] if isinstance(reasons, list) else [],
    )
    return _event(caller, decision, endpoint_resource(endpoint), data, [], clock)


def about(case: Case, data: Fact, clock: Clock) -> Event:
    """Any other fact about the case."""
    return _about(case, data, clock)


def _about(case: Case, data: Fact, clock: Clock) -> Event:
    return _event(case.caller, case.decision, case.resource, data, [case.asked], clock)


def _event(caller: Actor, decision: DecisionRef | None, resource: str, data: Fact, because: list[str], clock: Clock) -> Event:
    return Event(
        id=new_id("evt", clock),
        at=format_at(clock.now_ns()),
        actor=caller,
        resource=resource,
        decision=decision,
        because=because,
        data=data,
    )
