"""Who can do what, at one moment: questions about everybody, or about everything, answered class by class.

The state is looked at through an index, so that ten thousand principals and ten thousand places take one pass each.
Asks the set that is in force, as acts do; records nothing and shows nothing: that is the asker's business.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jurat.app.authorize import question
from jurat.core.errors import Malformed
from jurat.domain import rows
from jurat.domain.kinds import RetentionClass
from jurat.domain.roles import person_behind
from jurat.domain.rows import R, Row
from jurat.domain.stages import Stage, model_resource, parse_stage
from jurat.domain.state import State
from jurat.domain.values import PrincipalType
from jurat.policy.classes import Answers
from jurat.policy.engine import Decision, Engine, Request
from jurat.policy.resources import parse_resource
from jurat.policy.values import Value


class Found(NamedTuple):
    """Somebody who can, or something that can be done."""

    principal: str
    action: str
    resource: str
    policies: list[str]


class Indexed:
    """A state that is asked often, and does not change meanwhile: each row is read once, each lookup is by index."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._all: dict[type[Row], list[Any]] = {}
        self._by: dict[tuple[type[Row], str], dict[str, list[Any]]] = {}
        self._got: dict[tuple[type[Row], str], Any] = {}

    def get(self, row: type[R], key: str) -> R | None:
        if (row, key) not in self._got:
            self._got[row, key] = self._state.get(row, key)
        found: R | None = self._got[row, key]
        return found

    def find(self, row: type[R], **equals: str) -> list[R]:
        if row not in self._all:
            self._all[row] = self._state.find(row)
        found: list[R] = self._all[row]
        for number, (name, value) in enumerate(equals.items()):
            if number:
                found = [each for each in found if getattr(each, name) == value]
                continue
            if (row, name) not in self._by:
                by: dict[str, list[Any]] = defaultdict(list)
                for each in self._all[row]:
                    by[getattr(each, name)].append(each)
                self._by[row, name] = by
            found = self._by[row, name].get(value, [])
        return list(found)


class Census:
    """Answers of one moment. `surroundings`: what is said of the act (purpose, reason), where and when."""

    def __init__(self, state: State, engine: Engine, now_ns: int, surroundings: Mapping[str, Value]) -> None:
        self._state = state if isinstance(state, Indexed) else Indexed(state)
        self._engine = engine
        self._answers = Answers(engine)
        self._now_ns = now_ns
        self._surroundings = surroundings
        self._attributes: dict[tuple[str, str], Mapping[str, Value]] = {}

    def decide(self, principal: str, action: str, resource: str) -> Decision:
        """Return whether somebody can; its sentences may speak of another of the same class. For an agent: with its person."""
        requests = self.questions(principal, action, resource)
        found = [self._answers.decide(request) for request in requests]
        refused = [decision for decision in found if not decision.is_allowed]
        return (refused or found)[0]

    def questions(self, principal: str, action: str, resource: str) -> list[Request]:
        """Return what the policies would be asked, hop by hop."""
        row = self._state.get(rows.Principal, principal)
        person = person_behind(self._state, principal) if row is not None and row.type is PrincipalType.AGENT else None
        hops = dict.fromkeys([*([person] if person else []), principal])
        return [question(self._state, hop, action, resource, self._now_ns, self._surroundings) for hop in hops]

    def who_can(self, action: str, resource: str, kind: str = "") -> Iterator[Found]:
        """Yield everybody who can do that there, by id. Who has nobody living behind them can do nothing."""
        for row in self._state.find(rows.Principal):
            if (kind and row.type != kind) or not row.active or person_behind(self._state, row.principal) is None:
                continue
            decision = self.decide(row.principal, action, resource)
            if decision.is_allowed:
                yield Found(row.principal, action, resource, decision.policies)

    def what_can(self, principal: str, actions: Iterable[str] = (), places: Iterable[str] = ()) -> Iterator[Found]:
        """Yield everything that somebody can do, act by act; on the places that there are, or on these."""
        if person_behind(self._state, principal) is None:
            return
        where: dict[str, list[str]] = defaultdict(list)
        for place in places or self.places():
            where[parse_resource(place).entity_type].append(place)
        for action in sorted(actions or self._engine.policy_set.actions):
            for found in where.values():
                if self._is_never(principal, action, found[0]):
                    continue
                for place in found:
                    decision = self.decide(principal, action, place)
                    if decision.is_allowed:
                        yield Found(principal, action, place, decision.policies)

    def places(self) -> Sequence[str]:
        """Return every place that there is, in order: a version in its stage and in those that it may still come to."""
        found = ["workspace", *(f"ledger/{retention}" for retention in RetentionClass)]
        order = [Stage.DEVELOPMENT, Stage.STAGING, Stage.PRODUCTION]
        for version in self._state.find(rows.Version):
            stage = parse_stage(version.stage)
            reached = order[order.index(stage) :] if stage in order else [stage]
            found += [model_resource(each, version.version) for each in reached]
        found += [f"data/{row.collection}/{row.dataset}" for row in self._state.find(rows.Dataset)]
        found += [f"endpoints/{row.endpoint}" for row in self._state.find(rows.Endpoint)]
        found += [f"systems/{row.system}" for row in self._state.find(rows.System)]
        found += [f"requests/{row.request}" for row in self._state.find(rows.Request)]
        found += [f"principals/{row.principal}" for row in self._state.find(rows.Principal)]
        return sorted(dict.fromkeys(found))

    def _is_never(self, principal: str, action: str, place: str) -> bool:
        """Whether the schema does not have that act on that kind of place: then there is no need to ask place by place."""
        return bool(self._answers.decide(self.questions(principal, action, place)[-1]).errors)


def check_action(engine: Engine, action: str) -> None:
    """Pass if the policies know the act.

    Raises:
        Malformed: they do not.
    """
    if action not in engine.policy_set.actions:
        import difflib

        near = difflib.get_close_matches(action, engine.policy_set.actions, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"acts: {', '.join(sorted(engine.policy_set.actions))}"
        raise Malformed(f"`{action[:60]}` is no act that the policies know", hint=hint, code="unknown_action")
