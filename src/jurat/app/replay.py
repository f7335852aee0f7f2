"""Replay: recorded questions are put to another policy set. Who would newly be denied or allowed, how often, for example when.

Each act is one question, as it was told then: roles, attributes, purpose. What the record does not say is not guessed: acts
without a recorded question are counted apart, and attributes that nobody recorded are named. Equal questions are asked
once; the numbers are those of asking each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec

from jurat.app.walk import act
from jurat.app.wiring import App
from jurat.core.clock import format_at
from jurat.core.digests import short
from jurat.core.errors import Malformed
from jurat.domain.commands_policy import ReplayDecisions
from jurat.domain.decisions import Asked, as_requests
from jurat.policy.classes import Answers
from jurat.policy.engine import Decision, Engine
from jurat.policy.policyset import PolicySet
from jurat.policy.policytree import ANYTHING

EXAMPLES: Final = 3
_DERIVED: Final = frozenset({"id", "name", "version", "at", ANYTHING})  # never recorded as attributes, and always known
_FULL_DAYS: Final = 400


class Example(msgspec.Struct, frozen=True):
    """One act whose answer would be another one. `decided_by`: the candidate's policies; empty where none permits it."""

    event: str
    at: str
    principal: str
    action: str
    resource: str
    decided_by: list[str]


class Side(msgspec.Struct, frozen=True):
    """The acts that would newly be denied, or allowed. Counters: how many acts of each."""

    acts: int
    principals: dict[str, int]
    roles: dict[str, int]
    resources: dict[str, int]  # by kind: `models/prod`, `data/training`, `endpoints`
    policies: dict[str, int]  # of the candidate, that decide it; `nothing permits it` for none
    examples: list[Example]


class Replay(msgspec.Struct, frozen=True):
    """What the candidate would have said of what was done.

    Attributes:
        since: of the oldest act that was looked at; RFC 3339.
        acts: recorded decisions with their question, repetitions counted.
        unknown: decisions that were recorded without their question: nothing is said of them.
        same: acts with the same answer.
        questions: how many of them differ in something that a policy reads.
        never_recorded: what the candidate asks for and no question in this time told; it saw nothing there.
    """

    candidate: str
    since: str
    acts: int
    unknown: int
    same: int
    newly_denied: Side
    newly_allowed: Side
    questions: int
    never_recorded: list[str]


class Recorded(Protocol):
    """An event, as far as it is looked at."""

    @property
    def raw(self) -> bytes: ...
    @property
    def received_ns(self) -> int: ...


class _Decision(msgspec.Struct, gc=False):
    effect: str = ""
    id: str = ""
    asked: msgspec.Raw = msgspec.Raw()


class _Data(msgspec.Struct, gc=False):
    count: Any = 1


class _Envelope(msgspec.Struct, gc=False):
    id: str = ""
    kind: str = ""
    at: str = ""
    decision: _Decision | None = None
    data: _Data | None = None


_decode: Final = msgspec.json.Decoder(_Envelope).decode
_decode_asked: Final = msgspec.json.Decoder(Asked).decode


@dataclass(slots=True)
class _Group:
    """Acts with one question, word for word, and one recorded answer."""

    asked: bytes
    effect: str
    at: str
    acts: int = 0
    seen: list[tuple[str, str]] = field(default_factory=list)  # the first few: event, time


def replay(app: App, token: str, candidate: PolicySet, span_s: float) -> Replay:
    """Return what `candidate` would have said of the acts of the last `span_s` seconds. Asking is an act, and recorded.

    Raises:
        Malformed: an absurd time.
        Denied: recorded.
    """
    if not 0 < span_s <= _FULL_DAYS * 86_400:
        raise Malformed(f"`{span_s:g}` seconds back is outside 0 to {_FULL_DAYS} days", hint="write for example `30d`")
    since_ns = app.clock.now_ns() - round(span_s * 1e9)
    before = app.events.as_of()
    act(app, token, ReplayDecisions(question="replay", subject=f"{short(candidate.digest)} since {format_at(since_ns)}", as_of=before))
    if app.relay is not None:
        app.settle()
    return replay_events((event for event in app.events.scan() if event.received_ns >= since_ns), candidate, format_at(since_ns))


def replay_events(events: Iterable[Recorded], candidate: PolicySet, since: str) -> Replay:
    """Return what `candidate` would have said of the decisions in these events. Pure."""
    groups, unknown = _group(events, with_time=("context", "at") in candidate.reads or ("context", ANYTHING) in candidate.reads)
    answers, told = Answers(Engine(candidate)), set[tuple[str, str]]()
    denied, allowed = _Tally(), _Tally()
    acts = same = 0
    for group in groups:
        asked = _decode_asked(group.asked)
        told.update(("resource", name) for name in asked.attributes)
        told.update(("context", name) for name in asked.context)
        told.update(("principal", name) for hop in asked.hops for name in hop.standing)
        decision = decide_chain(answers, asked, group.at)
        acts += group.acts
        if decision.effect == group.effect:
            same += group.acts
        else:
            (allowed if decision.is_allowed else denied).add(group, asked, decision)
    missing = sorted(f"{whose}.{name}" for whose, name in candidate.reads - told if name not in _DERIVED and whose != "action")
    return Replay(candidate.digest, since, acts, unknown, same, denied.side(), allowed.side(), answers.asked, missing)


def decide_chain(answers: Answers, asked: Asked, at: str) -> Decision:
    """Return the answer to a recorded question, by whatever answers: every hop must be allowed."""
    found = [answers.decide(request) for request in as_requests(asked, at)]
    refused = [decision for decision in found if not decision.is_allowed]
    speaking = refused or found
    policies = sorted({policy for decision in speaking for policy in decision.policies})
    return msgspec.structs.replace(speaking[0], policies=policies)


def _group(events: Iterable[Recorded], *, with_time: bool) -> tuple[list[_Group], int]:
    groups: dict[tuple[bytes, str, str], _Group] = {}
    by_id: dict[str, _Group] = {}
    unknown = 0
    for event in events:
        envelope = _decode(event.raw) if b'"decision":{' in event.raw else None
        decision = envelope.decision if envelope is not None else None
        if envelope is None or decision is None:
            continue
        count = envelope.data.count if envelope.data and envelope.kind == "access.decided.v1" else 1
        weight = count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else 1
        asked = bytes(decision.asked)
        if not asked or asked == b"null":
            used_again = envelope.kind == "prediction.requested.v1"  # by a remembered answer: an act of its own
            if decision.id and used_again and (group := by_id.get(decision.id)):
                group.acts += weight
            elif used_again or not decision.id:
                unknown += weight
            continue
        group = groups.setdefault((asked, decision.effect, envelope.at if with_time else ""), _Group(asked, decision.effect, envelope.at))
        group.acts += weight
        if len(group.seen) < EXAMPLES:
            group.seen.append((envelope.id, envelope.at))
        if envelope.kind == "prediction.requested.v1":
            by_id[decision.id] = group
    return list(groups.values()), unknown


class _Tally:
    """One side, while it is counted."""

    def __init__(self) -> None:
        self._acts = 0
        self._principals: Counter[str] = Counter()
        self._roles: Counter[str] = Counter()
        self._resources: Counter[str] = Counter()
        self._policies: Counter[str] = Counter()
        self._examples: list[Example] = []

    def add(self, group: _Group, asked: Asked, decision: Decision) -> None:
        person = asked.hops[0]
        self._acts += group.acts
        self._principals[person.principal] += group.acts
        self._roles.update(dict.fromkeys(person.roles or ["no role"], group.acts))
        self._resources["/".join(asked.resource.split("/")[: 2 if asked.resource.count("/") > 1 else 1])] += group.acts
        self._policies.update(dict.fromkeys(decision.policies or ["nothing permits it"], group.acts))
        for event, at in group.seen:
            self._examples.append(Example(event, at, person.principal, asked.action, asked.resource, decision.policies))
        self._examples = sorted(self._examples, key=lambda example: example.at)[:EXAMPLES]

    def side(self) -> Side:
        principals, roles, resources, policies = (
            dict(counted.most_common()) for counted in (self._principals, self._roles, self._resources, self._policies)
        )
        return Side(self._acts, principals, roles, resources, policies, self._examples)
