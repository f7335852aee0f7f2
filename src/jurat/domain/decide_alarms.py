"""Who is told when the workspace itself notices that something is wrong. Nobody is told the same again while it lies unread."""

from __future__ import annotations

from jurat.domain import rows
from jurat.domain.context import Context
from jurat.domain.decide_duties import notices
from jurat.domain.duties import people_holding
from jurat.domain.events import Event
from jurat.domain.state import State


def alarm(state: State, context: Context, event: Event, *, about: str, subject: str, text: str) -> list[Event]:
    """Return the notices of something that was noticed: to the operators, and to who owns the system of the endpoint it is about."""
    people = dict.fromkeys(people_holding(state, ["operator"], context.now_ns))
    sort, _, name = about.partition("/")
    endpoint = state.get(rows.Endpoint, name) if sort == "endpoints" else None
    system = state.get(rows.System, endpoint.system) if endpoint is not None else None
    if system is not None:
        people[system.owner] = None
    unread = {notice.to for notice in state.find(rows.Notice, subject=subject, about=about)}
    return notices(context, [each for each in people if each not in unread], about=about, subject=subject, text=text, because=event.id)
