"""Is what producers sent all there? The gap report, with the outbox's own count beside the ledger's."""

from __future__ import annotations

import msgspec

from jurat.app.look import CheckLedger, check
from jurat.app.wiring import App
from jurat.core.settings import Settings
from jurat.core.workspace import Workspace
from jurat.domain.kinds import CLOSED, HEARTBEAT, OPENED, RELAY
from jurat.ledger.completeness import Completeness, Outbox, Span, survey
from jurat.ledger.layout import class_logs
from jurat.ledger.producers import last_sequence
from jurat.ledger.query import Events
from jurat.ledger.rebuild_range import rebuild_ranges

_STATEMENTS = (OPENED.name, HEARTBEAT.name, CLOSED.name)


def gaps(app: App, token: str, span: Span) -> Completeness:
    """Return the gap report of the tenant's logs, once the outbox is empty.

    Raises:
        Denied: recorded.
    """
    check(app, token, CheckLedger(place="workspace"))
    epoch, before = app.store.relay_epoch(), app.store.next_seqs()
    app.settle()  # so all that was numbered before is in the ledger; what is numbered from here on may be
    report = gaps_offline(app.workspace, app.settings.tenant, app.clock.now_ns(), span, app.events)
    if span.to_ns is not None:
        return report
    reached = {log: last_sequence(app.workspace.ledger, log, RELAY.code, epoch) for log in class_logs(app.settings.tenant)}
    return report.with_outbox(reached, Outbox(RELAY.code, epoch, before, app.store.next_seqs()))


def gaps_offline(workspace: Workspace, tenant: str, now_ns: int, span: Span, events: Events | None = None) -> Completeness:
    """Return the same from the ledger's files alone."""
    events = events or Events(workspace.ledger, tenant)
    return survey(workspace.ledger, class_logs(tenant), list(events.scan(kinds=_STATEMENTS)), now_ns, span=span)


def complete_offline(workspace: Workspace, settings: Settings, now_ns: int, span: Span) -> Completeness:
    """Return the gap report from the ledger's files alone, and whether the archive's rows alone give the logs' hashes again."""
    report = gaps_offline(workspace, settings.tenant, now_ns, span)
    logs = class_logs(settings.tenant)
    ranges, findings = rebuild_ranges(workspace.ledger, logs, {log: log.origin(settings.log_host) for log in logs}, span)
    return msgspec.structs.replace(report, ranges=ranges, findings=[*report.findings, *findings])
