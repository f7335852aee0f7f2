"""Rollouts at work: a step measured from the ledger's own predictions, judged, and a change of traffic seen to take effect.

The new version is measured since its step began; how far it lies from the old one, against the old one's last day, since at 100 %
there is nothing else to compare with. What was not recorded is not measured, and no step goes on by what is not measured.
Fairness is told by the segments that callers name; without them it is unknown.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from jurat.app.soak import STILL_WAITING, still_waiting_since
from jurat.app.timekeeper import clock_of
from jurat.app.walk import Done, act, act_as
from jurat.app.wiring import App
from jurat.core.clock import from_ns, parse_at
from jurat.core.errors import Conflict
from jurat.core.jsonio import load_json
from jurat.domain import rows
from jurat.domain.commands_rollout import JudgeRollout, RollBack
from jurat.domain.decide_rollout import stand
from jurat.domain.state import State
from jurat.domain.values import Metric

IN_EFFECT_WITHIN_S: Final = 3.0
_MOST_ANSWERS: Final = 20  # different ones; with more they are no categories
_BASELINE_NS: Final = 86_400 * 10**9
_FEWEST: Final = 10  # answers of each version, below which nothing is said of how far they lie apart
_COUNT: Final = f"""
    SELECT version, kind, coalesce(json_extract_string(decode(raw), '$.data.outcome'), '') AS outcome,
           coalesce(CAST(json_extract(decode(raw), '$.data.output') AS VARCHAR), 'null') AS output,
           coalesce(json_extract_string(decode(raw), '$.data.segment'), '') AS segment,
           coalesce(json_extract_string(decode(raw), '$.data.failure'), '') AS failure,
           least(9, CAST(floor(CAST(json_extract(decode(raw), '$.data.confidence') AS DOUBLE) * 10) AS INTEGER)) AS bin,
           count(*), coalesce(sum(CAST(json_extract(decode(raw), '$.data.confidence') AS DOUBLE)), 0.0)
    FROM events
    WHERE NOT ({STILL_WAITING}) AND resource = ? AND raw IS NOT NULL
      AND ((version = ? AND occurred_at >= ?) OR (version = ? AND occurred_at >= ?))
      AND kind IN ('prediction.requested.v1', 'prediction.made.v1', 'prediction.failed.v1', 'prediction.shadowed.v1', 'guardrail.failed.v1')
    GROUP BY ALL
"""
_LATENCY: Final = """
    SELECT quantile_disc(ms, [0.5, 0.95, 0.99]) FROM (
        SELECT CAST(json_extract(decode(raw), '$.data.latency_ms') AS DOUBLE) AS ms FROM events
        WHERE resource = ? AND occurred_at >= ? AND version = ? AND raw IS NOT NULL
          AND kind IN ('prediction.made.v1', 'prediction.shadowed.v1'))
"""


class Tally(msgspec.Struct, kw_only=True):
    """What one version did in a step."""

    asked: int = 0
    answered: int = 0
    failed: int = 0
    alerts: int = 0
    abstained: int = 0
    confidence_sum: float = 0.0
    bins: dict[int, int] = msgspec.field(default_factory=dict)
    outputs: dict[str, int] = msgspec.field(default_factory=dict)
    segments: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)

    def add(
        self, kind: str, outcome: str, output: str, segment: str, failure: str, confidence_bin: int | None, count: int, confidence: float
    ) -> None:
        """Count one line of the ledger's answer."""
        shadowed = kind == "prediction.shadowed.v1"
        self.asked += count if kind == "prediction.requested.v1" or shadowed else 0
        self.failed += count if kind == "prediction.failed.v1" or (shadowed and failure) else 0
        self.alerts += count if kind == "guardrail.failed.v1" else 0
        if kind != "prediction.made.v1" and not (shadowed and not failure):
            return
        self.answered += count
        self.abstained += count if outcome == "abstained" else 0
        self.outputs[output] = self.outputs.get(output, 0) + count
        if confidence_bin is not None:
            self.bins[confidence_bin] = self.bins.get(confidence_bin, 0) + count
            self.confidence_sum += confidence
        if segment:
            found = self.segments.setdefault(segment, {})
            found[output] = found.get(output, 0) + count


def measure_step(app: App, state: State, row: rows.Rollout) -> list[Metric]:
    """Return what the ledger says of a rollout's new version since its step began."""
    since = parse_at(row.step_since)
    resource = f"endpoints/{row.endpoint}"
    tallies = {row.version: Tally(), row.from_version: Tally()}
    day_ago = from_ns(app.clock.now_ns() - _BASELINE_NS)
    waiting = still_waiting_since(app)
    for version, *rest in app.events.select(_COUNT, [waiting, waiting, resource, row.version, since, row.from_version, day_ago]).rows:
        tallies[version].add(*rest)
    latencies = app.events.select(_LATENCY, [resource, since, row.version]).rows[0][0] or []
    version = state.get(rows.Version, row.version)
    dataset = state.get(rows.Dataset, version.training_dataset) if version else None
    favourable = {dataset.sheet.favourable_outcome.casefold(), "true"} if dataset else {"true"}
    return metrics_of(
        tallies[row.version], tallies[row.from_version], [ms / 1e3 for ms in latencies], favourable, app.settings.min_group_size
    )


def metrics_of(new: Tally, old: Tally, latencies_s: list[float], favourable: set[str], min_group_size: int) -> list[Metric]:
    """Return a step's metrics; one without data says why it has no value."""
    unanswered = max(new.failed, new.asked - new.answered)
    nothing = "" if new.asked else "the new version was not asked"
    unsure = sum(new.bins.values())
    found = [
        Metric(name="request_count", value=float(new.asked), n=max(new.asked, 1)),
        Metric(name="error_rate", value=unanswered / new.asked if new.asked else None, n=new.asked, reason=nothing),
        Metric(name="no_critical_alerts", value=float(new.alerts == 0) if new.asked else None, n=new.asked, reason=nothing),
        Metric(
            name="abstention_rate",
            value=new.abstained / new.answered if new.answered else None,
            n=new.answered,
            reason=_unless(new.answered),
        ),
        Metric(
            name="mean_confidence", value=new.confidence_sum / unsure if unsure else None, n=unsure, reason=_unless(unsure, "no confidence")
        ),
        _drift(new.bins, old.bins),
        _moved(new.outputs, old.outputs),
        *(
            Metric(name=f"latency_p{p}", value=latencies_s[n] if latencies_s else None, n=new.answered, reason=_unless(new.answered))
            for n, p in enumerate((50, 95, 99))
        ),
    ]
    return found + _gaps(new.segments, favourable, min_group_size)


def watch_rollouts(app: App) -> list[str]:
    """Measure and judge every rollout that runs; return the ids of what that left. Harmless to run at any time.

    Raises:
        Unavailable: the workspace has no clock, or the ledger is away.
    """
    with app.store.reading() as state:
        live = [row for row in state.find(rows.Rollout) if row.is_live]
        actor = clock_of(state) if live else None
    events: list[str] = []
    if actor is None:
        return events
    with app.ledger() as ledger:
        ledger.flush()
    for row in live:
        with app.store.reading() as state:
            metrics = measure_step(app, state, row)
            command = JudgeRollout(endpoint=row.endpoint, rollout=row.rollout, step=row.step, step_since=row.step_since, metrics=metrics)
            try:
                if not stand(state, command, app.clock.now_ns()).moves:
                    continue
            except Conflict:  # somebody moved it while it was measured
                continue
        try:
            events += [event.id for event in act_as(app, actor, command).events]
        except Conflict as error:
            if error.code not in ("unchanged", "no_rollout"):
                raise
    return events


def roll_back(app: App, token: str, endpoint: str, version: str, reason: str) -> tuple[Done, float | None]:
    """Let an endpoint serve an earlier version again; return what that left, and after how many milliseconds a gateway did so.

    None: no gateway said so within `IN_EFFECT_WITHIN_S` (none runs, or it has no database).
    Raises:
        Denied, Conflict, NotFound, Malformed: nothing changed.
    """
    done = act(app, token, RollBack(endpoint=endpoint, version=version, reason=reason))
    return done, in_effect_ms(app, {event.id for event in done.events}, IN_EFFECT_WITHIN_S)


def in_effect_ms(app: App, events: set[str], patience_s: float) -> float | None:
    """Return after how many milliseconds a gateway served by one of these events, by its own record."""
    deadline = time.monotonic() + patience_s
    while True:
        with app.ledger() as ledger:
            ledger.flush()
        said = app.events.select("SELECT raw FROM events WHERE kind = 'routing.in_effect.v1' ORDER BY received_ns DESC LIMIT 50").rows
        for (raw,) in said:
            data = load_json(bytes(raw), dict[str, Any], what="event")["data"] if raw is not None else {}
            if data.get("event") in events:
                return float(data["took_ms"])
        if time.monotonic() > deadline:
            return None
        time.sleep(0.1)


def _drift(new: Mapping[int, int], old: Mapping[int, int]) -> Metric:
    """The population stability index over tenths of confidence, less what it would be by chance alone with so few cases.

    Half a case is added to each tenth in use, so that an empty one is no infinity; to the others it is not: with few cases on one side and
    many on the other, the same confidence would look like a drift. By chance: (tenths in use - 1) · (1/n + 1/m).
    """
    n, m = sum(new.values()), sum(old.values())
    if min(n, m) < _FEWEST:
        return Metric(name="confidence_drift", value=None, n=n, reason=f"one of the two versions gave under {_FEWEST} confidences")
    used = new.keys() | old.keys()
    total = -(len(used) - 1) * (1 / n + 1 / m)
    for place in used:
        p, q = (new.get(place, 0) + 0.5) / (n + len(used) / 2), (old.get(place, 0) + 0.5) / (m + len(used) / 2)
        total += (p - q) * math.log(p / q)
    return Metric(name="confidence_drift", value=max(total, 0.0), n=n)


def _moved(new: Mapping[str, int], old: Mapping[str, int]) -> Metric:
    n, m = sum(new.values()), sum(old.values())
    if min(n, m) < _FEWEST:
        return Metric(name="output_drift", value=None, n=n, reason=f"one of the two versions gave under {_FEWEST} answers")
    if len(new.keys() | old.keys()) > _MOST_ANSWERS:
        return Metric(name="output_drift", value=None, n=n, reason="the answers are numbers, not a few categories")
    return Metric(name="output_drift", value=sum(abs(new.get(k, 0) / n - old.get(k, 0) / m) for k in new.keys() | old.keys()) / 2, n=n)


def _gaps(segments: Mapping[str, Mapping[str, int]], favourable: set[str], min_group_size: int) -> list[Metric]:
    """Demographic parity by each attribute that callers name: the largest gap in favourable answers between its groups."""
    name = "demographic_parity_difference"
    by: dict[str, dict[str, tuple[int, int]]] = {}
    for segment, outputs in segments.items():
        attribute, _, group = segment.partition("=")
        good = sum(count for output, count in outputs.items() if output.strip('"').casefold() in favourable)
        by.setdefault(attribute, {})[group] = (good, sum(outputs.values()))
    if not by:
        return [Metric(name=name, value=None, reason="no caller named a segment (`Jurat-Segment`)")]
    found = []
    for attribute, groups in sorted(by.items()):
        n = sum(size for _, size in groups.values())
        small = [group for group, (_, size) in groups.items() if size < min_group_size]
        rates = [good / size for good, size in groups.values() if size >= min_group_size]
        if len(rates) > 1:  # a gap that is too large already is one, whoever is seen seldom; a small one is not yet known to be
            found.append(Metric(name=name, value=max(rates) - min(rates), n=n, group_by=attribute))
        if small or len(rates) < 2:
            why = f"group {', '.join(sorted(small))[:200]} has under {min_group_size} cases" if small else "only one group was seen"
            found.append(Metric(name=name, value=None, n=n, group_by=attribute, reason=why))
    return found


def _unless(count: int, why: str = "it gave no answer in this step") -> str:
    return "" if count else why
