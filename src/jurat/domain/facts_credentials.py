"""What the events say about credentials in two hands, grants that needed a second person, and refused callers. The law of `facts` holds."""

from __future__ import annotations

from typing import Final

from jurat.domain.values import Fact


class CredentialVouched(Fact, frozen=True, kw_only=True):
    """A third person said that a credential is its person's alone; from here on what is said by it is their own word."""

    credential: str
    principal: str
    hands: list[str]  # through which it had come
    reason: str
    alone: bool  # by one of those hands: the first operator's word, once, while there was nobody else to ask


class GrantConfirmed(Fact, frozen=True, kw_only=True):
    """A second person said yes to a grant that one gave without a request."""

    grant: str
    principal: str
    role: str
    comment: str


class CallerRefused(Fact, frozen=True, kw_only=True):
    """Somebody who is suspended went on asking at a door: how often, in the minute after a refusal that is on record by itself."""

    principal: str
    door: str  # `gateway`, `events`, `authzen`
    rule: str  # `suspended`
    count: int  # besides the one on record
    first_at: str
    last_at: str


CREDENTIAL_FACTS: Final[dict[str, type[Fact]]] = {
    "credential.vouched.v1": CredentialVouched,
    "grant.confirmed.v1": GrantConfirmed,
    "caller.refused.v1": CallerRefused,
}
