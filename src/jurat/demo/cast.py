"""The people and services of the demo: registered, given roles with a reason and an end, and a token each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from jurat.app.walk import act
from jurat.app.wiring import App
from jurat.core.clock import format_at
from jurat.core.files import write_secret
from jurat.domain import commands
from jurat.domain.values import PrincipalType

_TOKEN_S: Final = 7 * 86_400  # a demo workspace should still answer its owner next week
_GRANT_S: Final = 90 * 86_400


class Part(NamedTuple):
    """One part in the story."""

    handle: str
    name: str
    type: PrincipalType
    roles: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Player:
    """Somebody who can act now."""

    handle: str
    name: str
    principal: str
    token: str


PARTS: Final = (
    Part("ada", "Ada Byron", PrincipalType.PERSON, ("data_scientist", "ml_lead"), "builds the credit models; leads the team"),
    Part("ben", "Ben Okafor", PrincipalType.PERSON, ("ml_engineer",), "brings models to production"),
    Part("cleo", "Cleo Marsh", PrincipalType.PERSON, ("ml_lead", "product_owner"), "leads ML, and stands in for the product owner"),
    Part("dan", "Dan Ruiz", PrincipalType.PERSON, ("product_owner",), "owns the credit product"),
    Part("eve", "Eve Lindt", PrincipalType.PERSON, ("business_analyst",), "reports on the credit business"),
    Part("fay", "Fay Osei", PrincipalType.PERSON, ("compliance_officer",), "answers to the supervisor"),
    Part("gil", "Gil Tamm", PrincipalType.PERSON, ("case_officer",), "decides cases that the model leaves open"),
    Part("crm", "crm", PrincipalType.SERVICE, ("prediction_client",), "asks for a prediction when an application comes in"),
)


def enter(app: App, operator: str) -> dict[str, Player]:
    """Return the players, by handle; their tokens lie in `credentials/<handle>.token`.

    Args:
        operator: the operator's token.
    """
    players: dict[str, Player] = {}
    for part in PARTS:
        owner = None if part.type is PrincipalType.PERSON else players["dan"].principal
        register = commands.RegisterPrincipal(type=part.type, name=part.name, owner=owner)
        principal = act(app, operator, register).reply["principal"]
        for role in part.roles:
            expires_at = format_at(app.clock.now_ns() + _GRANT_S * 10**9)
            act(app, operator, commands.GrantRole(principal=principal, role=role, reason=part.reason, expires_at=expires_at))
        token = act(app, operator, commands.IssueToken(principal=principal, lifetime_s=_TOKEN_S)).reply["token"]
        write_secret(app.workspace.credentials / f"{part.handle}.token", token.encode() + b"\n")
        players[part.handle] = Player(part.handle, part.name, principal, token)
    return players
