"""The certification fixture of OpenID AuthZEN: two users, two records, and the policies that its eight decisions follow from.

Its cases judge properties that are sent with the question. Only here are they believed: the workspace's own point has no
such switch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request

from jurat.app.decision_point import Named, Question, Told
from jurat.domain.decisions import DecisionRef
from jurat.policy.engine import Engine
from jurat.policy.policyset import PolicySet
from jurat.policy.slices import plain_entity
from jurat.policy.values import Value
from jurat.web.authzen import Keep, authzen_routes

SCHEMA: Final = """
type Ask = { soft?: Bool };
entity user { role?: String };
entity record { status?: String };
action "read", "write", "delete" appliesTo { principal: [user], resource: [record], context: Ask };
"""
POLICIES: Final = """
@id("read") permit (principal, action == Action::"read", resource == record::"record-1");
@id("alice.writes") permit (principal == user::"alice", action == Action::"write", resource)
unless { resource has status && resource.status == "archived" };
@id("admin.writes") permit (principal, action == Action::"write", resource)
when { principal has role && principal.role == "admin" && resource has status && resource.status == "archived" };
@id("alice.deletes") permit (principal == user::"alice", action == Action::"delete", resource == record::"record-1")
when { context has soft && context.soft };
"""
STORED: Final[dict[str, dict[str, dict[str, Value]]]] = {
    "user": {"alice": {}, "bob": {"role": "admin"}},
    "record": {"record-1": {"status": "active"}, "record-2": {"status": "archived"}},
}
ACTIONS: Final = ("delete", "read", "write")
_KNOWN: Final = {"user": "role", "record": "status"}


class FixturePoint:
    """Answers from the fixture. `caller_properties`: whether what is sent with a question is believed."""

    def __init__(self, *, caller_properties: bool) -> None:
        self._engine = Engine(PolicySet.load({"fixture.cedar": POLICIES}, SCHEMA))
        self._believes = caller_properties

    def evaluate(self, asked: Question) -> Told:
        subject, resource = (self._entity(named) for named in (asked.subject, asked.resource))
        soft = asked.action_properties.get("soft")
        context: dict[str, Value] = {"soft": soft} if isinstance(soft, bool) else {}
        decision = self._engine.ask(subject, asked.action, resource, context)
        return Told(decision, DecisionRef(effect=decision.effect, policies=decision.policies, policy_set=decision.policy_set))

    def subjects(self, asked: Question) -> list[str]:
        names = sorted(STORED.get(asked.subject.type, {}) if asked.subject.type == "user" else {})
        return [name for name in names if self._may(Named("user", name, asked.subject.properties), asked.action, asked.resource, asked)]

    def resources(self, asked: Question) -> list[str]:
        names = sorted(STORED.get(asked.resource.type, {}) if asked.resource.type == "record" else {})
        return [name for name in names if self._may(asked.subject, asked.action, Named("record", name), asked)]

    def actions(self, asked: Question) -> list[str]:
        if asked.subject.id not in STORED["user"]:
            return []
        return [action for action in ACTIONS if self._may(asked.subject, action, asked.resource, asked)]

    def _may(self, subject: Named, action: str, resource: Named, asked: Question) -> bool:
        return self.evaluate(Question(subject, action, resource, asked.action_properties, asked.context)).decision.is_allowed

    def _entity(self, named: Named) -> Any:
        stored: Mapping[str, Value] = STORED.get(named.type, {}).get(named.id, {})
        name = _KNOWN.get(named.type, "")
        said = {name: text} if self._believes and isinstance(text := named.properties.get(name), str) else {}
        return plain_entity(named.type, named.id, {**stored, **said})


def fixture_app(*, caller_properties: bool) -> Starlette:
    """Return the fixture behind the same door as the workspace's."""
    point = FixturePoint(caller_properties=caller_properties)

    async def keep(_told: Told, _resource: str, _request_id: str) -> None:
        return None

    async def admit(_request: Request, _search: bool) -> tuple[FixturePoint, Keep]:
        return point, keep

    return Starlette(routes=authzen_routes(admit, lambda request: f"https://{request.headers['host']}"))
