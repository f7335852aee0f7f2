"""Abstentions that wait for a person, and the person's word. Read from the ledger; predictions change no row."""

from __future__ import annotations

from typing import Any

import msgspec

from jurat.app.graph import recorded
from jurat.app.look import SeeCases, allowed_places, known
from jurat.app.walk import Done, act
from jurat.app.wiring import App
from jurat.core.errors import NotFound
from jurat.core.ids import check_id
from jurat.domain import commands, facts, rows


class OpenCase(msgspec.Struct, frozen=True):
    """A prediction that was held back, and that no person has decided yet."""

    prediction: str
    version: str
    outcome: str  # abstained or blocked
    confidence: float | None
    at: str
    position: str


_WAITING = """
    SELECT prediction, version, outcome, confidence, occurred_at, log, idx FROM events
    WHERE kind = 'prediction.made.v1' AND outcome IN ('abstained', 'blocked') AND prediction > ? AND list_contains(?, resource)
      AND prediction NOT IN (SELECT prediction FROM events WHERE kind IN ('prediction.overridden.v1', 'prediction.failed.v1'))
    ORDER BY prediction LIMIT ?
"""


def open_cases(app: App, token: str, *, after: str = "", limit: int = 100) -> list[OpenCase]:
    """Return the cases that the caller may decide, oldest first; `after` is the last prediction of the page before.

    Raises:
        Denied: the caller may decide none; that was recorded.
    """
    with app.store.reading() as state:
        endpoints = state.find(rows.Endpoint)
    places = allowed_places(app, token, [SeeCases(place=f"endpoints/{endpoint.endpoint}") for endpoint in endpoints])
    answer = app.events.select(_WAITING, [after, places, limit])
    return [
        OpenCase(prediction, version, outcome, confidence, at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), f"{log.rpartition('/')[2]}#{index}")
        for prediction, version, outcome, confidence, at, log, index in answer.rows
    ]


def override(app: App, token: str, prediction: str, output: Any, reason: str) -> Done:
    """Decide a case in place of the model.

    Raises:
        NotFound: the ledger has no such prediction.
        Denied, Conflict: see the walk.
    """
    known(app, token)
    check_id("prd", prediction)
    found = [recorded(stored) for stored in app.events.find_prediction(prediction)]
    made = next((r.event for r in found if isinstance(r.event.data, facts.PredictionMade)), None)
    if made is None or not isinstance(made.data, facts.PredictionMade):
        raise NotFound(f"prediction `{prediction}` is not in the ledger", hint="`jurat case list` shows the ones that wait")
    command = commands.OverridePrediction(
        prediction=prediction,
        output=output,
        reason=reason,
        endpoint=made.data.endpoint,
        version=made.data.version,
        model_output=made.data.output,
        event=made.id,
    )
    return act(app, token, command)
