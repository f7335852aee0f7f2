"""Whoever proved who they are and may not act: that they tried is on record, as every refusal is.

A token that proves nobody (unknown, expired, revoked) leaves nothing: there is nobody whose act it would be. Enforcement
points and the gateway answer from what they remember and refuse without a record.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jurat.app.wiring import App
from jurat.core.errors import Unauthenticated
from jurat.domain import rows
from jurat.domain.commands import Command
from jurat.domain.context import Context
from jurat.domain.events import Actor
from jurat.domain.facts import ActDenied


@contextmanager
def on_record(app: App, command: Command | None) -> Iterator[None]:
    """Put the refusal of somebody who is suspended on record, and raise it on; `event` among its fields names it.

    Args:
        command: what they wanted; None for a look at nothing in particular.
    """
    try:
        yield
    except Unauthenticated as error:
        if error.code == "suspended" and "event" not in error.fields:
            _record(app, command, error)
        raise


def _record(app: App, command: Command | None, error: Unauthenticated) -> None:
    principal, chain = error.fields.get("principal"), error.fields.get("chain")
    with app.store.transaction() as tx:
        found = tx.state.get(rows.Principal, str(principal))
        if found is None or not isinstance(chain, list):
            return
        actor = Actor(principal=found.principal, type=found.type, chain=chain)
        context = Context(actor, app.clock.now_ns(), None, command.resource(tx.state) if command else "workspace")
        event = context.event(
            ActDenied(
                command=type(command).__name__ if command else "Look", permission=command.permission if command else "", by="identity",
                rule=error.code, detail=error.detail, hint=error.hint, reasons=[],
            )
        )  # fmt: skip
        tx.record([event])
    error.fields["event"] = event.id
