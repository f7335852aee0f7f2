"""Versions in production that nobody uses, or that nobody has looked at, for too long: counted from the ledger's own predictions."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import msgspec

from jurat.app.look import look
from jurat.app.wiring import App
from jurat.core.clock import format_at, from_ns, parse_at, to_ns
from jurat.core.errors import Malformed
from jurat.domain import rows
from jurat.domain.stages import Stage

_LAST: Final = (
    "SELECT version, max(occurred_at) FROM events WHERE kind = 'prediction.made.v1' AND version IN (SELECT unnest(?)) GROUP BY version"
)


class Zombie(msgspec.Struct, frozen=True):
    """One version, and why it is here. `last_used` is empty if it never answered."""

    version: str
    system: str
    owner: str
    endpoints: list[str]
    in_production_since: str
    last_used: str
    last_reviewed: str
    reasons: list[str]  # unused, unreviewed


class Report(msgspec.Struct, frozen=True):
    days: int
    looked_at: int  # versions in production
    zombies: list[Zombie]
    as_of: dict[str, int]


def zombies(app: App, token: str, days: int) -> Report:
    """Return what is in production and was unused, or not reviewed, for so many days.

    A review is a measurement, an approval, or the promotion itself. A version is never a zombie sooner than `days` after it came to
    production. Needs the right to see the versions; the ledger tells only when each was last used.

    Raises:
        Malformed: not 1 to 3650 days.
        Denied: there are versions in production, and the caller may see none; recorded.
    """
    if not 1 <= days <= 3_650:
        raise Malformed(f"`{days}` days is outside 1 to 3650")
    found = look(app, token, rows.Version, {"stage": Stage.PRODUCTION})
    app.settle()
    answer = app.events.select(_LAST, [[each.version for each in found]], kinds=["prediction.made.v1"])
    used: dict[str, str] = {version: format_at(to_ns(at)) for version, at in answer.rows}
    limit = format_at(to_ns(from_ns(app.clock.now_ns()) - timedelta(days=days)))
    report = []
    with app.store.reading() as state:
        for version in found:
            reviewed = max(
                [version.stage_since]
                + [each.measured_at for each in state.find(rows.Evidence, version=version.version)]
                + [a.at for request in state.find(rows.Request, version=version.version) for a in request.approvals],
                key=parse_at,
            )
            last_used = used.get(version.version, "")
            reasons = []
            if parse_at(last_used or version.stage_since) < parse_at(limit) and parse_at(version.stage_since) < parse_at(limit):
                reasons.append("unused")
            if parse_at(reviewed) < parse_at(limit):
                reasons.append("unreviewed")
            if reasons:
                system = state.get(rows.System, version.system)
                endpoints = [e.endpoint for e in state.find(rows.Endpoint, version=version.version)]
                report.append(
                    Zombie(
                        version.version,
                        version.system,
                        system.owner if system else "",
                        endpoints,
                        version.stage_since,
                        last_used,
                        reviewed,
                        reasons,
                    )
                )
    return Report(days, len(found), report, dict(answer.as_of))
