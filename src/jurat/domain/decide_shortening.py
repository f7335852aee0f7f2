"""The law on keeping something for a shorter time: asked for by one person, allowed by another, for events to come only."""

from __future__ import annotations

from typing import Final

from jurat.core.digests import digest_json
from jurat.core.errors import Conflict, Malformed
from jurat.domain import commands_keeping as commands
from jurat.domain import facts_keeping as facts
from jurat.domain import requests, rows
from jurat.domain.context import Context
from jurat.domain.events import Event
from jurat.domain.retention import read_table, shortened, table_in_force
from jurat.domain.state import State

SORT: Final = requests.Sort("request", "jurat retention requests", "jurat retention requests")


def request_shortening(state: State, command: commands.RequestShortening, context: Context) -> list[Event]:
    """What is asked for is exactly one table, against exactly the one in force."""
    table, current = read_table(command.source), table_in_force(state)
    if not command.reason.strip():
        raise Malformed("a change of retention needs a reason", hint="in words that somebody will understand in ten years")
    less = shortened(current, table)
    if not less:
        raise Conflict(
            "this table keeps nothing for a shorter time than the one in force",
            hint="nobody has to approve it: `jurat retention apply`", code="not_shorter",
        )  # fmt: skip
    shown = {"digest": table.digest, "source": command.source, "previous": current.digest, "less": less, "reason": command.reason}
    data = facts.ShorteningRequested(
        request=context.fresh("req"), shown_digest=digest_json(shown), expires_at=requests.until(context, command.lifetime_s), **shown
    )
    row = state.get(rows.RetentionInForce, "current")
    return [context.event(data, because=[row.as_of] if row else [])]


def approve_shortening(state: State, command: commands.ApproveShortening, context: Context) -> list[Event]:
    """Another person has said yes to exactly this: it is in force with the same act."""
    row = _waiting(state, command, context)
    current = table_in_force(state)
    if current.digest != row.previous:
        raise Conflict(
            f"another table has come into force since `{row.request}` was asked for", hint="ask for it again", code="previous_changed"
        )
    said = facts.ShorteningApproved(request=row.request, shown_digest=row.shown_digest, comment=command.comment)
    yes = context.event(said, because=[row.as_of])
    applied = facts.RetentionApplied(digest=row.digest, source=row.source, reason=row.reason, previous=row.previous)
    return [yes, context.event(applied, because=[yes.id])]


def reject_shortening(state: State, command: commands.RejectShortening, context: Context) -> list[Event]:
    row = _waiting(state, command, context)
    requests.need_comment(command.comment)
    said = facts.ShorteningRejected(request=row.request, shown_digest=row.shown_digest, comment=command.comment)
    return [context.event(said, because=[row.as_of])]


def _waiting(state: State, command: commands._OnShortening, context: Context) -> rows.Shortening:
    row = requests.open_one(state.get(rows.Shortening, command.request), SORT, command, context)
    requests.need_person(context)
    requests.refuse_own(
        state, context, [row.requested_by, row.asking_person], "asked for this shortening, and may not decide on it",
        hint="ask another person who holds `compliance_officer`",
    )  # fmt: skip
    return row
