"""A policy decision point: what an enforcement point elsewhere asks, and what it is told. AuthZEN's terms, no HTTP.

`WorkspacePoint` answers from the newest picture of what holds. What a caller says of a subject or a resource is never
believed: only purpose and reason are taken from the question, and recorded with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Protocol

from jurat.app.attributes import clockwork
from jurat.app.census import Census
from jurat.app.serving import StoreSource
from jurat.app.wiring import App
from jurat.core.clock import FixedClock
from jurat.core.errors import JuratError, Unavailable
from jurat.core.ids import new_id
from jurat.domain import rows
from jurat.domain.decisions import DecisionRef, decided
from jurat.domain.state import State
from jurat.policy.engine import Decision, Engine
from jurat.policy.resources import parse_resource
from jurat.policy.slices import PRINCIPAL_TYPES

_SAID: Final = ("purpose", "reason")
_LONGEST_SAID: Final = 1_000


@dataclass(frozen=True)
class Named:
    """A subject or a resource as a caller names it. `properties` are its word only."""

    type: str
    id: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """One question."""

    subject: Named
    action: str
    resource: Named
    action_properties: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Told:
    """The answer, and how it is recorded."""

    decision: Decision
    ref: DecisionRef
    is_high_risk: bool = False


class Point(Protocol):
    """Whoever answers."""

    def evaluate(self, asked: Question) -> Told:
        """Return the answer; what cannot be asked is a deny."""
        ...

    def subjects(self, asked: Question) -> Iterable[str]:
        """Return the ids of that type that may, in order."""
        ...

    def resources(self, asked: Question) -> Iterable[str]:
        """Return the ids of that type on which they may, in order."""
        ...

    def actions(self, asked: Question) -> Iterable[str]:
        """Return the acts that they may do there, in order."""
        ...


class WorkspacePoint:
    """The workspace's own policies, over its own records."""

    def __init__(self, app: App, state: State, now_ns: int) -> None:
        self._app, self._state, self._now_ns = app, state, now_ns
        engine = app.engine(state)
        if engine is None:
            raise Unavailable("no policy set is in force", hint="ask an operator")
        self._engine: Engine = engine

    def evaluate(self, asked: Question) -> Told:
        census = self._census(asked.context)
        name = new_id("dec", FixedClock(self._now_ns))
        wrong = self._wrong(asked)
        if wrong:
            decision = Decision("deny", [], self._engine.policy_set.digest, [wrong], [])
            unread = "the subject or the resource is not known here"  # what the caller wrote there is not ours to keep
            return Told(decision, DecisionRef(effect="deny", policies=[], policy_set=decision.policy_set, id=name, errors=[unread]))
        requests = census.questions(asked.subject.id, asked.action, asked.resource.id)
        decision = self._engine.decide_chain(requests)
        shadow = self._app.shadow(self._state)
        beside = shadow.decide_chain(requests) if shadow else None
        is_high = requests[-1].attributes.get("risk_tier") == "high"
        return Told(decision, decided(decision, requests, id=name, shadow=beside), is_high)

    def subjects(self, asked: Question) -> Sequence[str]:
        if asked.subject.type not in PRINCIPAL_TYPES or self._misplaced(asked):
            return []
        found = self._census(asked.context).who_can(asked.action, asked.resource.id, asked.subject.type)
        return [each.principal for each in found]

    def resources(self, asked: Question) -> Sequence[str]:
        census = self._census(asked.context)
        if not self._is_known(asked.subject):
            return []
        places = [place for place in census.places() if parse_resource(place).entity_type == asked.resource.type]
        return [each.resource for each in census.what_can(asked.subject.id, [asked.action], places)] if places else []

    def actions(self, asked: Question) -> Sequence[str]:
        if not self._is_known(asked.subject) or self._misplaced(asked):
            return []
        return [each.action for each in self._census(asked.context).what_can(asked.subject.id, (), [asked.resource.id])]

    def _census(self, context: Mapping[str, Any]) -> Census:
        said = {name: text[:_LONGEST_SAID] for name in _SAID if isinstance(text := context.get(name), str)}
        policy_set, environment = self._engine.policy_set, self._app.settings.environment
        return Census(self._state, self._engine, self._now_ns, said | clockwork(policy_set, environment, self._now_ns))

    def _wrong(self, asked: Question) -> str:
        if not self._is_known(asked.subject):
            return f"subject `{asked.subject.id[:60]}` of type `{asked.subject.type[:40]}` is not known here"
        return self._misplaced(asked)

    def _is_known(self, subject: Named) -> bool:
        row = self._state.get(rows.Principal, subject.id)
        return row is not None and row.active and row.type == subject.type

    @staticmethod
    def _misplaced(asked: Question) -> str:
        try:
            kind = parse_resource(asked.resource.id).entity_type
        except JuratError as error:
            return error.detail
        return "" if kind == asked.resource.type else f"`{asked.resource.id[:80]}` is a `{kind}`, not a `{asked.resource.type[:40]}`"


class WholeSource(StoreSource):
    """Everything that a question may be about."""

    NEEDED: ClassVar[dict[type[rows.Row], str]] = {
        **StoreSource.NEEDED,
        rows.System: "system",
        rows.Dataset: "dataset",
        rows.Request: "request",
    }
