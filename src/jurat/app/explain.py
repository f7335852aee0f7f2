"""One prediction, explained: what counted, how much, and what would have led to another answer; in words for the person concerned.

Inputs are never recorded, only their salted hash. So whoever asks brings the input, and it is explained only if it is the one
that was asked about; and only if the registered model still gives the answer that is on record. The asking is an act.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from jurat.app.explained import Explained, Part
from jurat.app.graph import recorded
from jurat.app.measure import Order, run_child
from jurat.app.walk import act
from jurat.app.wiring import App
from jurat.core.digests import short
from jurat.core.errors import Conflict, Malformed, NotFound
from jurat.core.ids import check_id
from jurat.domain import commands, facts, rows

_TOLD = 3  # features that count for, and against, in words for a person


class ExplainOrder(Order, frozen=True, kw_only=True):
    """What is to be explained. `dataset` is the background."""

    values: dict[str, Any]
    may_change: list[str]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """An explanation, bound to what it explains."""

    prediction: str
    event: str  # the recorded answer
    position: str
    version: str
    version_digest: str
    background: str  # the data set that "others" are taken from
    favourable: str
    outcome: str
    overridden: str  # a person's answer in place of the model's; empty: none
    is_compared: bool  # with the recorded answer, which is the same; False: the record holds none that can be compared
    explained: Explained


def explain(
    app: App, token: str, prediction: str, values: Mapping[str, Any], hash_of: Callable[[bytes], str], *, fixed: Sequence[str] = ()
) -> Explanation:
    """Return why the model answered as it did.

    Args:
        values: the input, by feature.
        hash_of: from the recorded salt to the hash of that input, as the door that recorded it computes it.
        fixed: features that the person can do nothing about, beside the sensitive ones.
    Raises:
        Denied: the caller may not read the ledger; recorded.
        NotFound: no such prediction, or it got no answer.
        Conflict: the input is not the one that was asked about (code `other_input`), the model answers otherwise now
            (`answer_differs`), or the record of it was erased.
        Malformed, Unavailable: the model cannot be explained.
    """
    check_id("prd", prediction)
    act(app, token, commands.ReadRecords(question="explain", subject=prediction, as_of=app.events.as_of()))
    app.settle()
    own = [recorded(stored) for stored in app.events.find_prediction(prediction)]
    made = next((r for r in own if isinstance(r.event.data, facts.PredictionMade)), None)
    if made is None or not isinstance(made.event.data, facts.PredictionMade):
        raise NotFound(
            f"prediction `{prediction}` has no answer in the ledger", hint="its id is in the answer's header `jurat-prediction-id`"
        )
    fact = made.event.data
    if not fact.input_salt or hash_of(bytes.fromhex(fact.input_salt)) != fact.input_hash:
        raise Conflict(
            f"this is not the input of `{prediction}`: its hash is not the recorded one, `{short(fact.input_hash)}`",
            hint="give the very request that was sent to the gateway; nothing else can be explained as that prediction",
            code="other_input",
        )
    version, data = _registered(app, fact)
    fixed_names = {*fixed, *data.sheet.sensitive_columns}
    order = ExplainOrder(
        artefact=str(app.artefacts.get(version.artefacts.weights.digest)),
        artefact_digest=version.artefacts.weights.digest,
        features=str(app.artefacts.get(version.artefacts.feature_definitions.digest)),
        dataset=str(app.artefacts.get(version.artefacts.training_data.digest)),
        label=data.sheet.label,
        favourable=data.sheet.favourable_outcome,
        protected=data.sheet.sensitive_columns,
        values=dict(values),
        may_change=[name for name in values if name not in fixed_names],
        wall_s=120.0,
    )
    found = run_child(order, "jurat.app.explain_child").explained
    if found is None:
        raise Malformed("the explaining process answered nothing", code="measurement_failed")
    agrees = _agrees(fact.output, found.answer, data.sheet.favourable_outcome)
    if agrees is False:
        raise Conflict(
            f"`{fact.version}` answers `{found.answer}` to this input now, the record of `{prediction}` says otherwise",
            hint="the model server may run other bytes than the registered ones, or other libraries: tell its operator",
            code="answer_differs",
        )
    override = next((r.event.data.output for r in own if isinstance(r.event.data, facts.PredictionOverridden)), "")
    return Explanation(
        prediction=prediction, event=made.event.id, position=made.position, version=fact.version, version_digest=fact.version_digest,
        background=data.dataset, favourable=data.sheet.favourable_outcome, outcome=fact.outcome, overridden=str(override),
        is_compared=agrees is not None, explained=found,
    )  # fmt: skip


def for_person(found: Explanation) -> str:
    """Return the explanation in words for the person whom the prediction is about. No jargon, no blame, no promise."""
    it = found.explained
    lines = [f"A computer model assessed your case. Its answer was `{it.answer}`."]
    if found.outcome == "abstained":
        lines[0] += " It was not sure enough, so the answer was not used by itself: a person decides."
    if found.overridden:
        lines.append(f"A person then looked at your case and decided: `{found.overridden}`. That is what counts.")
    lines.append(
        f"The model put the chance of `{found.favourable}` at {it.probability:.0%} for you; for others on average at {it.base:.0%}."
    )
    against = [part for part in it.parts if part.contribution < -0.005][:_TOLD]
    helped = [part for part in it.parts if part.contribution > 0.005][:_TOLD]
    if against:
        lines += ["", "What lowered it most:", *(f"- {_told(part)}" for part in against)]
    if helped:
        lines += ["", "What raised it most:", *(f"- {_told(part)}" for part in helped)]
    if it.otherwise:
        changes = " and ".join(f"`{_words(c.feature)}` had been {_shown(c.after)} instead of {_shown(c.before)}" for c in it.otherwise)
        lines += [
            "",
            f"The model would have answered `{found.favourable}` if {changes}, all else being equal.",
            "This is no promise: rules, the model and your other circumstances may change.",
        ]
    elif it.answer != found.favourable:
        lines += ["", "No change of up to three of these facts was found that would have led the model to another answer."]
    lines += [
        "",
        "This tells how the model came to its answer. It does not say that the answer is right. You may ask for a person to look at your",
        f"case, and you may correct facts that are wrong. Your reference: {found.prediction}",
    ]
    return "\n".join(lines) + "\n"


def _told(part: Part) -> str:
    points = abs(part.contribution) * 100
    error = f" (give or take {part.error * 196:.0f})" if part.error * 196 >= 0.5 else ""
    return f"{_words(part.feature)}: {_shown(part.value)}, about {points:.0f} percentage points{error}"


def _words(feature: str) -> str:
    return feature.replace("_", " ")


def _shown(value: str | float) -> str:
    return f"{value:g}" if isinstance(value, float | int) else f"`{value}`"


def _agrees(output: Any, answer: str, favourable: str) -> bool | None:
    """Return whether a recorded output is that answer; None if it is neither a text nor a yes or no."""
    said = _leaves(output)
    if texts := [each for each in said if isinstance(each, str)]:
        return answer in texts
    if flags := [each for each in said if isinstance(each, bool)]:
        return (answer == favourable) in flags
    return None


def _leaves(output: Any) -> list[Any]:
    inner = output.values() if isinstance(output, dict) else output if isinstance(output, list) else None
    return [output] if inner is None else [leaf for item in inner for leaf in _leaves(item)]


def _registered(app: App, fact: facts.PredictionMade) -> tuple[rows.Version, rows.Dataset]:
    with app.store.reading() as state:
        version = state.get(rows.Version, fact.version)
        data = state.get(rows.Dataset, version.training_dataset) if version else None
    if version is None or version.digest != fact.version_digest or data is None:
        raise Conflict(f"version `{fact.version}` of that answer is not registered with these bytes", code="digest_mismatch")
    return version, data
