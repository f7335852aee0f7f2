"""The guardrails on the path of a prediction, each a function from what is known to what it says. No network, no clock.

Every one reports `ran`, `skipped` with its reason, or `failed_closed`: it could not do its work, so nothing is
released. None of ours ever reports `failed_open`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from jurat.core.errors import Conflict, JuratError
from jurat.domain.rows import Endpoint, Version
from jurat.domain.stages import Stage
from jurat.domain.values import Guardrail
from jurat.gateway import v2
from jurat.guard.filters import Filter

CONFIDENCE: Final = "confidence"  # the output that carries it
_GUARDED: Final = frozenset({Stage.STAGING, Stage.PRODUCTION})

Verdict = Literal["release", "abstain", "block", "withhold"]


class Checked(NamedTuple):
    """What a guardrail did, and what follows for the answer."""

    guardrail: Guardrail
    verdict: Verdict


def check_stage(endpoint: Endpoint, version: Version | None) -> Guardrail:
    """Pass if the version that an endpoint serves may be served there now: the gate on the path of the effect.

    Raises:
        Conflict: its digest is another, it was retired, or it is not in the stage that the endpoint is for.
    """
    hint = f"an operator points the endpoint at a version that may serve: `jurat endpoint set {endpoint.endpoint}`"
    if version is None or version.digest != endpoint.version_digest:
        raise Conflict(f"endpoint `{endpoint.endpoint}` serves `{endpoint.version}` under another digest", hint=hint, code="stage_gate")
    if version.held:
        raise Conflict(
            f"version `{version.version}` is held: something that it rests on changed (`{version.held}`)",
            hint=f"approve it again, knowing that: `jurat model reaffirm {version.version}`; see `jurat advisory show {version.held}`",
            code="version_held",
        )
    if version.stage == Stage.RETIRED or (endpoint.stage in _GUARDED and version.stage != endpoint.stage):
        raise Conflict(
            f"endpoint `{endpoint.endpoint}` is for stage `{endpoint.stage}`, `{endpoint.version}` is in `{version.stage}`",
            hint=hint,
            code="stage_gate",
        )
    return Guardrail(name="stage", status="ran")


def check_identity(response: v2.InferResponse, version: Version, prediction: str) -> Checked:
    """Withhold unless the answer says that it is about this case, and that it comes from exactly this version's weights.

    The protocol makes a server repeat the request's id. That is what tells a late answer to somebody else's case, left
    over on a kept connection, from ours.
    """
    expected, found = version.artefacts.weights.digest, response.parameters.get("model_digest")
    reason = ""
    if found != expected:
        reason = f"answered by `{str(found)[:80]}`, expected `{expected}`"
    elif response.id != prediction:
        reason = f"answered case `{response.id[:40]}`, expected `{prediction}`"
    elif response.model_version and response.model_version != version.version.partition("@")[2]:
        reason = f"answered by version `{response.model_version[:40]}`, expected `{version.version}`"
    return _guarded("model_digest", lambda: ("withhold" if reason else "release", reason))


def check_floor(confidence: float | None, floor: float) -> Checked:
    """Abstain below the floor; withhold when there is a floor and no believable confidence to hold against it."""
    if confidence is None and floor <= 0:
        return Checked(Guardrail(name="confidence_floor", status="skipped", reason="no floor, no confidence"), "release")

    def check() -> tuple[Verdict, str]:
        if confidence is None:
            return "withhold", f"no output `{CONFIDENCE}` to hold against the floor of {floor:g}"
        if not 0 <= confidence <= 1:
            return "withhold", f"confidence {confidence:g} is not between 0 and 1"
        if confidence < floor:
            return "abstain", f"confidence {confidence:.4g} is under the floor of {floor:g}"
        return "release", ""

    return _guarded("confidence_floor", check)


def check_output(response: v2.InferResponse, found: Filter | JuratError) -> Checked:
    """Block what contains a forbidden pattern; withhold when the search could not be made, or not be finished."""
    if isinstance(found, Filter) and not found.patterns:
        return Checked(Guardrail(name="output_filter", status="skipped", reason="no patterns are declared"), "release")

    def check() -> tuple[Verdict, str]:
        if not isinstance(found, Filter):
            raise found
        hits = found.find(v2.texts_of(response))
        return ("block", f"matches {len(hits)} of {len(found.patterns)} patterns") if hits else ("release", "")

    return _guarded("output_filter", check)


def _guarded(name: str, check: Callable[[], tuple[Verdict, str]]) -> Checked:
    try:
        verdict, reason = check()
    except Exception as error:  # a guardrail that breaks, in whatever way, must never open the gate
        verdict, reason = "withhold", error.code if isinstance(error, JuratError) else type(error).__name__
    return Checked(Guardrail(name=name, status="failed_closed" if verdict == "withhold" else "ran", reason=reason), verdict)
