"""What the walk hands to the law beside state and command: who, when, by which decision, and fresh ids."""

from __future__ import annotations

from dataclasses import dataclass, field

from jurat.core.clock import Clock, FixedClock, format_at
from jurat.core.ids import new_id
from jurat.domain.events import Actor, DecisionRef, Event
from jurat.domain.facts import Fact
from jurat.domain.known import Known


@dataclass(frozen=True)
class Context:
    """One act's surroundings. Time stands still in it: every event of one act has one time."""

    actor: Actor
    now_ns: int
    decision: DecisionRef | None
    resource: str
    known_roles: frozenset[str] = field(default_factory=frozenset)  # roles that the policy set in force speaks of
    known: Known = field(default_factory=Known)  # what the vault says of those whom the command is about

    @property
    def person(self) -> str:
        """The person first in the chain."""
        return self.actor.chain[0]

    @property
    def clock(self) -> Clock:
        return FixedClock(self.now_ns)

    def fresh(self, prefix: str) -> str:
        """Return a new id of this moment."""
        return new_id(prefix, self.clock)

    def event(self, data: Fact, *, because: list[str] | None = None, resource: str | None = None) -> Event:
        """Return the fact in its envelope."""
        return Event(
            id=self.fresh("evt"),
            at=format_at(self.now_ns),
            actor=self.actor,
            decision=self.decision,
            resource=resource or self.resource,
            because=because or [],
            data=data,
        )
