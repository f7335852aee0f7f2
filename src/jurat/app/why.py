"""Who can, what can somebody, and why an answer was what it was. Asking is an act, and recorded.

A past decision is put to the set that decided it, with the question as it was recorded: the same answer, or the record and
this page say that they differ. What would have changed it is tried out, never guessed; whom to ask are those who hold the
role now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from jurat.app.attributes import clockwork
from jurat.app.census import Census, Found, check_action
from jurat.app.look import known
from jurat.app.policies import engine_of
from jurat.app.walk import act
from jurat.app.wiring import App
from jurat.core.errors import Conflict, Malformed, NotFound
from jurat.core.ids import check_id
from jurat.domain import rows
from jurat.domain.commands_policy import AskAboutSelf, AskWhy
from jurat.domain.decisions import Asked, as_asked, as_requests
from jurat.domain.events import Event, decode_event
from jurat.domain.facts import ActDenied
from jurat.domain.roles import holders_of
from jurat.domain.state import State
from jurat.policy.engine import Decision, Engine, Request
from jurat.policy.explain import Explanation, explain_fully
from jurat.policy.policyset import PolicySet
from jurat.policy.resources import parse_resource


class Hop(msgspec.Struct, frozen=True):
    """One principal of the chain: the answer to them alone, and what would change it."""

    principal: str
    type: str
    roles: list[str]
    standing: dict[str, Any]
    effect: str
    policies: dict[str, str]  # that decided → their reason
    explanation: Explanation | None  # None for an allow


class Why(msgspec.Struct, frozen=True):
    """One answer, explained.

    Attributes:
        event: where it is recorded; empty for a question that nobody asked.
        same: whether the set that decided gives the recorded answer again; None for a question that nobody asked.
        rule: beyond the policies, the rule of the law that refused the act; empty if none did.
        ask: role → who holds it now, of the roles that would have been enough.
    """

    event: str
    at: str
    effect: str
    policy_set: str
    question: Asked
    hops: list[Hop]
    same: bool | None
    rule: str
    rule_detail: str
    ask: dict[str, list[str]]


class Page(msgspec.Struct, frozen=True):
    """A part of an answer; `next` is what to go on after, empty at the end."""

    found: list[Found]
    next: str


def who_can(app: App, token: str, action: str, resource: str, said: dict[str, str], *, after: str = "", limit: int | None = None) -> Page:
    """Return everybody who can do that there now, by id; so many of them, after that one.

    Args:
        said: purpose and reason, as somebody would give them.
    Raises:
        Malformed: no such act, or no such kind of place.
        Denied: recorded.
    """
    parse_resource(resource)
    act(app, token, AskWhy(question="who-can", subject=f"{action} {resource}", as_of=app.events.as_of()))
    with app.store.reading() as state:
        census, engine = _census(app, state, said)
        check_action(engine, action)
        return _page(census.who_can(action, resource), lambda each: each.principal, after, limit)


def what_can(app: App, token: str, principal: str, said: dict[str, str], *, after: str = "", limit: int | None = None) -> Page:
    """Return everything that somebody can do now, on every place that there is; so much of it, after that.

    Everybody may ask it of themselves.

    Raises:
        NotFound: there is no such principal.
        Denied: recorded.
    """
    check_id("prn", principal)
    self_asked = known(app, token).principal == principal
    command = (AskAboutSelf if self_asked else AskWhy)(question="what-can", subject=principal, as_of=app.events.as_of())
    act(app, token, command)
    with app.store.reading() as state:
        if state.get(rows.Principal, principal) is None:
            raise NotFound(f"principal `{principal}` is not known here")
        return _page(_census(app, state, said)[0].what_can(principal), lambda each: f"{each.action} {each.resource}", after, limit)


def why_event(app: App, token: str, event_id: str) -> Why:
    """Return why a recorded decision was what it was.

    Raises:
        NotFound: there is no such event, or it rests on no decision.
        Conflict: its question was not recorded, or its policies are not here.
    """
    check_id("evt", event_id)
    stored = app.events.find(event_id)
    event = decode_event(stored.raw) if stored is not None else None
    own = event is not None and event.actor.principal == known(app, token).principal
    act(app, token, (AskAboutSelf if own else AskWhy)(question="why", subject=event_id, as_of=app.events.as_of()))
    if event is None:
        raise NotFound(f"there is no event `{event_id}`", hint="`jurat events` shows what there is")
    asked, decision = _question_of(app, event), event.decision
    assert decision is not None
    with app.store.reading() as state:
        engine = engine_of(state, decision.policy_set)
        if engine is None:
            raise Conflict(f"the policies `{decision.policy_set[:19]}` that decided it are not here", hint="run `jurat rebuild`")
        found = _explained(state, engine, as_requests(asked, event.at), app.clock.now_ns())
    rule, detail = (event.data.rule, event.data.detail) if isinstance(event.data, ActDenied) and event.data.by == "rule" else ("", "")
    same = (found.effect, sorted({p for hop in found.hops for p in hop.policies if hop.effect == found.effect})) == (
        decision.effect, sorted(decision.policies),
    )  # fmt: skip
    return msgspec.structs.replace(found, event=event.id, at=event.at, same=same, rule=rule, rule_detail=detail)


def why_not(
    app: App, token: str, principal: str, action: str, resource: str, said: dict[str, str], candidate: PolicySet | None = None
) -> Why:
    """Return what the answer to a question that nobody asked would be now; by the policies in force, or by a candidate."""
    check_id("prn", principal)
    own = known(app, token).principal == principal
    subject = f"{principal} {action} {resource}"
    act(app, token, (AskAboutSelf if own else AskWhy)(question="why", subject=subject, as_of=app.events.as_of()))
    with app.store.reading() as state:
        census, engine = _census(app, state, said)
        engine = Engine(candidate) if candidate is not None else engine
        check_action(engine, action)
        return _explained(state, engine, census.questions(principal, action, resource), app.clock.now_ns())


def _page(found: Iterable[Found], key: Callable[[Found], str], after: str, limit: int | None) -> Page:
    """Return what comes after a key, in the order of keys: what was found meanwhile moves no page."""
    rest = sorted((each for each in found if key(each) > after), key=key)
    page = rest if limit is None else rest[:limit]
    return Page(page, key(page[-1]) if len(page) < len(rest) else "")


def _explained(state: State, engine: Engine, requests: list[Request], now_ns: int) -> Why:
    decision = engine.decide_chain(requests)
    hops = [_hop(engine, request) for request in requests]
    roles = sorted({role for hop in hops if hop.explanation for role in _roles_of(hop.explanation)})
    held = {role: holders_of(state, role, now_ns) for role in roles}
    asked = as_asked(requests)
    return Why("", "", decision.effect, decision.policy_set, asked, hops, None, "", "", held)


def _roles_of(explanation: Explanation) -> list[str]:
    return [*explanation.roles, *(change.name for changes in explanation.changes for change in changes if change.what == "role")]


def _hop(engine: Engine, request: Request) -> Hop:
    decision: Decision = engine.decide(request)
    reasons = {name: engine.policy_set.policies[name].reason for name in decision.policies}
    asked = as_asked([request]).hops[0]
    explanation = None if decision.is_allowed else explain_fully(engine, request)
    return Hop(asked.principal, asked.type, asked.roles, asked.standing, decision.effect, reasons, explanation)


def _question_of(app: App, event: Event) -> Asked:
    """Return the question of an event's decision: its own, or that of the event of the same act that carries it."""
    if event.decision is None:
        raise NotFound(f"event `{event.id}` rests on no decision", hint="ask for one that does: `jurat events`")
    if event.decision.asked is not None:
        return event.decision.asked
    if event.decision.id:
        needle = event.decision.id.encode()
        for stored in app.events.scan():
            if needle in stored.raw:
                other = decode_event(stored.raw).decision
                if other is not None and other.id == event.decision.id and other.asked is not None:
                    return other.asked
    raise Conflict(
        f"the question behind event `{event.id}` was not recorded", hint="it is from before questions were, or its record is gone"
    )


def _census(app: App, state: State, said: dict[str, str]) -> tuple[Census, Engine]:
    engine = app.engine(state)
    if engine is None:
        raise Malformed("no policy set is in force", code="no_policies")
    now_ns = app.clock.now_ns()
    return Census(state, engine, now_ns, {**said, **clockwork(engine.policy_set, app.settings.environment, now_ns)}), engine
