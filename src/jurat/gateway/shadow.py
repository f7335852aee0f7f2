"""A version in the shadow: asked the same case after the answer was given, its own answer recorded and given to nobody.

What it costs, it costs the shadow: at most so many cases wait for it at a time; beyond that a case is left out, so that a slow or
broken model never holds up, or fails, the one that answers.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from jurat.core.errors import JuratError
from jurat.domain.facts_rollout import PredictionShadowed
from jurat.domain.upstreams import parse_upstream
from jurat.gateway import checks, records, v2

if TYPE_CHECKING:
    from jurat.gateway.arms import Arm
    from jurat.gateway.flow import Door
    from jurat.gateway.records import Case

AT_ONCE: Final = 16
TIMEOUT_S: Final = 2.0
_under_way: set[asyncio.Task[None]] = set()


def ask_beside(door: Door, case: Case, request: v2.InferRequest, arm: Arm, rollout: str, segment: str) -> bool:
    """Begin to ask the version in the shadow; return whether it is asked at all. Waits for nothing."""
    if len(_under_way) >= AT_ONCE:
        return False
    task = asyncio.create_task(_ask(door, case, request, arm, rollout, segment))
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    return True


async def _ask(door: Door, case: Case, request: v2.InferRequest, arm: Arm, rollout: str, segment: str) -> None:
    began_s = door.now_s()
    output, confidence, failure = None, None, ""
    assert arm.version is not None
    model, number = arm.version.version.split("@", 1)
    try:
        reply = await door.models.request(
            parse_upstream(arm.endpoint.upstream), "POST", f"/v2/models/{model}/versions/{number}/infer",
            v2.format_request(v2.for_model(request, case.prediction)), TIMEOUT_S,
        )  # fmt: skip
        if reply.status != 200:
            failure = f"the model server answered with status {reply.status}"
        else:
            response = v2.parse_response(reply.body)
            identity = checks.check_identity(response, arm.version, case.prediction)
            output = v2.answer_of(response, without=checks.CONFIDENCE)
            confidence = v2.single_number(response, checks.CONFIDENCE)
            failure = identity.guardrail.reason if identity.verdict == "withhold" else ""
    except (JuratError, TimeoutError, OSError) as error:
        failure = error.code if isinstance(error, JuratError) else type(error).__name__
    data = PredictionShadowed(
        prediction=case.prediction, rollout=rollout, endpoint=case.endpoint.endpoint, version=arm.version.version,
        version_digest=arm.version.digest, output=None if failure else output, confidence=None if failure else confidence,
        latency_ms=round((door.now_s() - began_s) * 1e3, 3), failure=failure, segment=segment,
    )  # fmt: skip
    await door.recorder.try_write(records.about(case, data, door.clock))
