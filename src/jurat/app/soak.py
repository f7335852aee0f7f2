"""Evidence: what the ledger's own predictions say about a version since it went to staging.

Nobody can claim a soak: its numbers are counted here, from sealed events, and bound to the log's checkpoint.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final

from jurat.app.evaluator import evaluator_for
from jurat.app.look import known
from jurat.app.walk import Done, act, act_as
from jurat.app.wiring import App
from jurat.core.clock import from_ns, parse_at
from jurat.core.digests import digest_bytes
from jurat.core.errors import Conflict
from jurat.domain import commands, rows
from jurat.domain.decide_models import known_version
from jurat.domain.gate_measured import soaking_since
from jurat.domain.kinds import RetentionClass
from jurat.domain.stages import Stage
from jurat.domain.values import Metric
from jurat.ledger.layout import LogName, checkpoint_file

ANSWERED_WITHIN_S: Final = 15.0  # a gateway gives a model 10 s, and the record of the answer some more
# A request that has no outcome yet, and is young enough to get one: neither answered nor lost. One parameter, twice: since when.
STILL_WAITING: Final = """kind = 'prediction.requested.v1' AND occurred_at >= ? AND prediction NOT IN (
        SELECT prediction FROM events WHERE kind IN ('prediction.made.v1', 'prediction.failed.v1') AND occurred_at >= ?
           AND prediction IS NOT NULL)"""
_COUNT: Final = f"""
    SELECT count(*) FILTER (WHERE kind = 'prediction.requested.v1') - count(*) FILTER (WHERE {STILL_WAITING}) AS asked,
           count(*) FILTER (WHERE kind = 'prediction.made.v1') AS answered,
           count(*) FILTER (WHERE kind = 'prediction.failed.v1') AS failed,
           count(*) FILTER (WHERE kind = 'guardrail.failed.v1') AS alerts
    FROM events WHERE version = ? AND occurred_at >= ?
"""


def record_soak(app: App, token: str, version_name: str) -> Done:
    """Measure the soak of a version in staging, up to now, and record it as evidence.

    Raises:
        Conflict: the version is not in staging.
        Denied: the caller may not look at this version's gates.
    """
    began = time.monotonic()
    known(app, token)
    with app.store.reading() as state:
        version = known_version(state, version_name)
        since = soaking_since(state, version)
    if version.stage != Stage.STAGING:
        raise Conflict(f"version `{version.version}` is in `{version.stage}`, a soak is measured in `staging`", code="not_in_staging")
    act(app, token, commands.CheckGate(version=version.version, stage=Stage.PRODUCTION))  # may this person ask? and: what was missing
    app.settle()
    waiting_since = still_waiting_since(app)
    answer = app.events.select(_COUNT, [waiting_since, waiting_since, version.version, parse_at(since)])
    asked, answered, failed, alerts = answer.rows[0]
    log = LogName(app.settings.tenant, RetentionClass.INFERENCE)
    command = commands.RecordEvidence(
        version=version.version,
        version_digest=version.digest,
        type="soak",
        dataset=f"log:{log}#0-{answer.as_of[str(log)]}",
        dataset_digest=digest_bytes(checkpoint_file(app.workspace.ledger, log).read_bytes()),
        metrics=_metrics(version, asked, answered, failed, alerts),
        method="counted from the ledger's predictions since the version was put to work in staging",
        environment={"since": since},
        duration_s=round(time.monotonic() - began, 3),
    )
    return act_as(app, evaluator_for(app, token), command)


def still_waiting_since(app: App) -> datetime:
    """Return since when a request may have been asked that is still on its way."""
    return from_ns(app.clock.now_ns() - round(ANSWERED_WITHIN_S * 1e9))


def _metrics(version: rows.Version, asked: int, answered: int, failed: int, alerts: int) -> list[Metric]:
    """A request without an answer counts as an error, whoever lost it."""
    unanswered = max(failed, asked - answered)
    nothing = "" if asked else f"no prediction by `{version.version}` since it went to staging"
    return [
        Metric(name="error_rate", value=unanswered / asked if asked else None, n=asked, reason=nothing),
        Metric(name="no_critical_alerts", value=float(alerts == 0) if asked else None, n=asked, reason=nothing),
        Metric(name="request_count", value=float(asked), n=asked, reason=nothing),
    ]
