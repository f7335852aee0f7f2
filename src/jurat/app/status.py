"""How a workspace is: what runs, on which ports, and how far each log is recorded and sealed. Hashes and sizes only."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from jurat.app.clockwork import COMPARING, Clockwork, read_clockwork
from jurat.app.delivery import Deliveries, read_deliveries
from jurat.app.intents import IntentsSeen, read_intents
from jurat.app.refusals import Refused, read_refused
from jurat.app.tree import running_tree
from jurat.app.watch import Watched, read_watched
from jurat.core.errors import JuratError
from jurat.core.settings import load_settings
from jurat.core.workspace import Workspace
from jurat.domain.kinds import CONTROL
from jurat.ledger.client import LedgerClient
from jurat.ledger.layout import ANCHOR, checkpoint_file, class_logs
from jurat.ledger.pruned import read_pruned
from jurat.merkle.checkpoint import parse_checkpoint


class LogLine(msgspec.Struct, frozen=True):
    """One log. `size`: entries recorded; `sealed`: entries that the public checkpoint covers; `pruned`: its minimum index."""

    log: str
    size: int
    sealed: int
    pruned: int = 0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace at one moment. `pid` is 0 when nothing runs."""

    workspace: str
    mode: str
    pid: int
    ports: dict[str, int]
    logs: list[LogLine]
    retention: Clockwork  # the clock of retention: when it ran, how that went, when it runs next
    comparing: Clockwork  # the clock that holds the database against the ledger
    intents: IntentsSeen | None = None  # what got no outcome; None: nobody looked yet
    watched: Watched | None = None  # which producers were silent when the worker looked last; None: it never looked
    deliveries: Deliveries | None = None  # notices on their way out; None: there is no way, or nobody looked yet
    refused: Refused | None = None  # what the door for events refused, by producer and reason; None: nothing


def status_of(workspace: Workspace) -> Status:
    """Return how a workspace is, without starting anything.

    Raises:
        NotFound, Malformed: it is not a workspace, or its settings cannot be read.
    """
    settings = load_settings(workspace)
    tree = running_tree(workspace)
    recorded: dict[str, int] = {}
    if tree is not None:
        with contextlib.suppress(JuratError), LedgerClient.connect(workspace.run, CONTROL.code) as ledger:
            recorded = {each.log: each.size for each in ledger.status()}
    logs = []
    for log in [*class_logs(settings.tenant), ANCHOR]:
        sealed = _sealed(checkpoint_file(workspace.ledger, log))
        logs.append(LogLine(str(log), recorded.get(str(log), sealed), sealed, _pruned(log.directory(workspace.ledger))))
    return Status(
        workspace=str(workspace.root),
        mode=tree.mode if tree else "",
        pid=tree.pid if tree else 0,
        ports=tree.ports if tree else {},
        logs=logs,
        retention=read_clockwork(workspace) or Clockwork(every_s=settings.retention_run_s or 0),
        comparing=read_clockwork(workspace, COMPARING) or Clockwork(every_s=0 if settings.compare_at == "off" else 86_400),
        intents=read_intents(workspace),
        watched=read_watched(workspace),
        deliveries=read_deliveries(workspace) if settings.webhooks or settings.mail_server else None,
        refused=read_refused(workspace),
    )


def _pruned(directory: Path) -> int:
    try:
        return read_pruned(directory).minimum
    except JuratError:
        return 0


def _sealed(path: Path) -> int:
    """Return the size that a public checkpoint claims; unverified, as everything in a status."""
    try:
        return parse_checkpoint(path.read_text("utf-8").rpartition("\n\n")[0] + "\n").size
    except (OSError, UnicodeDecodeError, JuratError):
        return 0
