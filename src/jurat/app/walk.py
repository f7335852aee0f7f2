"""The walk: one sentence, one file. Everything that changes what holds goes through here; there is no second way.

    act ── admit ── authorize ── decide ── record ── project
           who?     may they?    what?     durable   visible

`record` writes the events to the outbox and the rows they cause to `view.*` in one transaction; the relay moves the
outbox to the ledger. A refusal, by a policy or by a rule, is an event too: it is recorded first and raised afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from jurat.app.admit import admit
from jurat.app.authorize import authorize
from jurat.app.gather import end_what_died, gather
from jurat.app.keep import keep
from jurat.app.turned_away import on_record
from jurat.app.wiring import App
from jurat.core.errors import Conflict, Denied
from jurat.domain.commands import Command
from jurat.domain.context import Context
from jurat.domain.decide import decide
from jurat.domain.events import Actor, Event
from jurat.domain.facts import ActDenied
from jurat.store.store import Tx


@dataclass(frozen=True)
class Done:
    """What an act left: its events, and what is shown only once (a fresh token)."""

    events: list[Event]
    reply: dict[str, str] = field(default_factory=dict)


def act(app: App, token: str, command: Command) -> Done:
    """Do what `command` says on behalf of whoever holds `token`, and return once it is durable.

    Raises:
        Unauthenticated: the token proves nobody; or somebody who is suspended, and that was recorded.
        Denied, Conflict: refused; the refusal was recorded, `event` among the error's fields names it.
        Malformed, NotFound: the command makes no sense here; nothing was recorded.
        Unavailable: the record could not be written, so the act did not happen.
    """
    return _walk(app, lambda tx, now_ns: admit(tx.state, tx.vault, token, now_ns), command)


def act_as(app: App, caller: Actor, command: Command) -> Done:
    """Do the same for a caller who is proved already: a process of Jurat's own, with the person in its chain."""
    return _walk(app, lambda _tx, _now_ns: caller, command, own_process=True)


def act_by(app: App, who: Callable[[Tx, int], Actor], command: Command) -> Done:
    """Do the same for whoever `who` proves inside the act's own transaction, so that what proves them can be used up in it."""
    return _walk(app, who, command)


def _walk(app: App, who: Callable[[Tx, int], Actor], command: Command, *, own_process: bool = False) -> Done:
    refusal: Denied | Conflict | None = None
    began_s = time.monotonic()
    with on_record(app, command), app.store.transaction() as tx:
        now_ns = app.clock.now_ns()
        caller = who(tx, now_ns)  # admit: who?
        answer = authorize(app, tx.state, caller, command, now_ns, own_process=own_process)  # may they?
        known = gather(tx.state, tx.vault, command, now_ns)
        context = Context(caller, now_ns, answer.decision, answer.resource, answer.known_roles, known)
        try:
            if answer.refusal is not None:
                raise answer.refusal
            events = end_what_died(tx.vault, decide(tx.state, command, context), now_ns, began_s)  # what?
        except (Denied, Conflict) as error:
            refusal, events = error, [_refused(command, context, error)]
        events = _question_once(events)
        tx.record(events)  # record and project: durable, and visible
        reply = {} if refusal else keep(app.workspace, tx.state, tx.vault, command, events)
    if refusal is not None:
        refusal.fields["event"] = events[0].id
        raise refusal
    return Done(events, reply)


def _question_once(events: list[Event]) -> list[Event]:
    """Return the events of one act with its question on the first one only: one act, one decision, written once."""
    return [
        events[0],
        *(e if e.decision is None else msgspec.structs.replace(e, decision=e.decision.without_question()) for e in events[1:]),
    ]


def _refused(command: Command, context: Context, error: Denied | Conflict) -> Event:
    by_policy = error.code == "policy_denied"
    reasons, clauses = error.fields.get("reasons", []), error.fields.get("clauses", [])
    return context.event(
        ActDenied(
            command=type(command).__name__,
            permission=command.permission,
            by="policy" if by_policy else "rule",
            rule=error.code,
            detail=error.detail,
            hint=error.hint,
            reasons=reasons if isinstance(reasons, list) else [],
            clauses=clauses if isinstance(clauses, list) else [],
        )
    )
