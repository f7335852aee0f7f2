"""The one place where real things are plugged in: settings, clock, store, ledger.

`attach_app` joins a running tree; `open_app` does too, or, when nothing runs, hosts the stores for the moment and settles
everything (outbox relayed, logs sealed) before it lets go.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from jurat.app.artefact_store import ArtefactStore
from jurat.app.masks import mask_approved
from jurat.app.tree import Tree, running_tree
from jurat.core.clock import Clock, SystemClock
from jurat.core.errors import Conflict, JuratError, Tampered, Unavailable
from jurat.core.settings import Settings, load_settings
from jurat.core.workspace import Workspace
from jurat.domain import rows
from jurat.domain.kinds import CONTROL, RELAY
from jurat.domain.state import State
from jurat.ledger.client import LedgerClient
from jurat.ledger.layout import LogName, class_logs
from jurat.ledger.query import Events
from jurat.policy.engine import Engine
from jurat.policy.policyset import PolicySet
from jurat.store.connect import attach_database
from jurat.store.relay import Relay
from jurat.store.store import Store

_PATIENCE_S: Final = 20.0


@dataclass
class App:
    """Everything that a verb needs. Engines are kept by digest, since a policy set never changes."""

    workspace: Workspace
    settings: Settings
    store: Store
    clock: Clock
    events: Events
    relay: Relay[LogName] | None = None  # only when this process owns the tree; else the tree's own relay does it
    _engines: dict[str, Engine] = field(default_factory=dict)

    @cached_property
    def artefacts(self) -> ArtefactStore:
        """Where artefacts lie, in this workspace or elsewhere."""
        return ArtefactStore(self.workspace.artefacts, self.settings.artefact_store)

    def engine(self, state: State) -> Engine | None:
        """Return the engine of the policy set that is in force in `state`, or None if none is."""
        return self._engine(state.get(rows.PolicySetInForce, "current"))

    def shadow(self, state: State) -> Engine | None:
        """Return the engine of the candidate that is being tried out beside it, or None if none is."""
        return self._engine(state.get(rows.PolicySetInForce, "shadow"))

    def _engine(self, row: rows.PolicySetInForce | None) -> Engine | None:
        if row is None:
            return None
        if row.digest not in self._engines:
            self._engines[row.digest] = Engine(PolicySet.load(row.files, row.schema))
        return self._engines[row.digest]

    def ledger(self) -> LedgerClient:
        """Return a fresh connection to the sequencer."""
        return LedgerClient.connect(self.workspace.run, CONTROL.code)

    def settle(self) -> None:
        """Return once everything acted so far is in the ledger and sealed.

        Raises:
            Unavailable: that did not happen in time.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while self.store.outbox_size():
            if self.relay is not None:
                self.relay.step()
            elif time.monotonic() > deadline:
                raise Unavailable("the outbox is not empty yet: the relay does not get through", hint="see `run/relay.log`")
            else:
                time.sleep(0.005)
        with self.ledger() as ledger:
            ledger.flush()


@contextlib.contextmanager
def attach_app(workspace: Workspace, *, application: str) -> Iterator[App]:
    """Join the tree that runs in a workspace.

    Raises:
        Unavailable: none does.
    """
    settings = load_settings(workspace)
    database = attach_database(workspace)
    with Store.open(database.dsn("app"), application=application, max_event_bytes=settings.max_event_bytes) as store:
        yield App(workspace, settings, store, SystemClock(), Events(workspace.ledger, settings.tenant))


@contextlib.contextmanager
def open_app(workspace: Workspace, *, throwaway: bool = False) -> Iterator[App]:
    """Join the running tree, or host one for the moment.

    Raises:
        Conflict: another command hosts the workspace and does not finish.
    """
    settings = load_settings(workspace)
    workspace.run.mkdir(mode=0o700, exist_ok=True)
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        info = running_tree(workspace)
        if info is not None and info.mode == "serve":
            with attach_app(workspace, application="cli") as app:
                yield app
            return
        try:
            with (
                Tree(workspace, settings, mode="moment", throwaway=throwaway),
                attach_app(workspace, application="cli") as app,
                open_relay(workspace) as app.relay,
            ):
                try:
                    mask_approved(app.store, workspace.ledger, settings.tenant)
                    if app.store.outbox_size():  # a command that was killed left it: who looks now must see it
                        app.settle()
                    yield app
                except Tampered:
                    raise
                except JuratError:  # a refusal is an event too, and its id has been promised
                    with contextlib.suppress(Unavailable):
                        app.settle()
                    raise
                app.settle()
            return
        except Conflict as error:
            if error.code != "already_running" or time.monotonic() > deadline:
                raise
            time.sleep(0.05)  # a tree is starting, or another command is just finishing


@contextlib.contextmanager
def open_relay(workspace: Workspace) -> Iterator[Relay[LogName]]:
    """Return the relay from the outbox to the ledger. For the owner of the tree: one relay at a time keeps the order.

    Raises:
        Tampered: the database is older than the ledger.
    """
    settings = load_settings(workspace)
    logs = {log.name: log for log in class_logs(settings.tenant)}
    with (
        Store.open(attach_database(workspace).dsn("relay"), application="relay") as store,
        LedgerClient.connect(workspace.run, RELAY.code, epoch=store.relay_epoch()) as ledger,
    ):
        relay = Relay(store, ledger, logs)
        relay.check_start()
        yield relay
