"""What the events say about proofs of who somebody is: sessions, token keys, providers, trust in workloads of others.

The law of `facts` holds here too. A provider's name for a person (`sub`) may be personal, so it lies in the vault; a
workload's is configuration, and lies in the rule that believes it. Secrets are nowhere in here.
"""

from __future__ import annotations

from typing import Any

from jurat.domain.values import Fact


class SessionOpened(Fact, frozen=True, kw_only=True, omit_defaults=True):
    session: str
    principal: str
    chain: list[str]
    method: str  # how it was proved who that is: `oidc:corporate`, `passkey`, `token`
    expires_at: str
    jkt: str = ""  # thumbprint of the key that its tokens are bound to; empty: bearer tokens
    hands: list[str] = []  # noqa: RUF012 - who else made what it was opened by
    root: str = ""  # what that was: a passkey, a linked account


class SessionEnded(Fact, frozen=True, kw_only=True):
    session: str
    principal: str
    reason: str


class ConnectionsCut(Fact, frozen=True, kw_only=True):
    """What was open by a token when it ended is closed. `took_ms` is from the end that is on record to the closed sockets."""

    door: str  # `api`, `gateway`
    token: str
    session: str
    principal: str
    connections: int
    took_ms: float
    reason: str


class TokenKeysRotated(Fact, frozen=True, kw_only=True):
    """The public keys by which access tokens are checked from now on; the first signs."""

    issuer: str
    keys: list[dict[str, Any]]
    reason: str


class ProviderRegistered(Fact, frozen=True, kw_only=True):
    provider: str  # a short name: `corporate`
    issuer: str
    client_id: str
    scopes: list[str]
    reason: str
    directory: str  # the service whose external ids are this provider's names of accounts; empty: none is


class ProviderRemoved(Fact, frozen=True, kw_only=True):
    provider: str
    reason: str


class TrustDeclared(Fact, frozen=True, kw_only=True):
    """Tokens of this issuer, for this audience, with these claims, are the word of that principal."""

    trust: str
    form: str  # `oidc` or `spiffe`
    issuer: str  # for SPIFFE: the trust domain, `spiffe://example.org`
    audience: str
    claims: dict[str, str]  # claim → exact value, or a prefix that ends in `*`
    principal: str
    keys: list[dict[str, Any]]  # the issuer's public keys, if they are pinned here; empty: read from the issuer
    reason: str


class TrustEnded(Fact, frozen=True, kw_only=True):
    trust: str
    principal: str
    reason: str


class IdentityInvited(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """Whoever holds the invitation may link an account at a provider to this person, once, until then."""

    principal: str
    expires_at: str
    hands: list[str] = []  # noqa: RUF012 - who handed it out, if not its person


class IdentityLinked(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """From now on that provider's word on one account (its `sub` is in the vault) is this person."""

    principal: str
    provider: str
    issuer: str
    by: str  # `invitation`, `directory`
    identity: str = ""  # the linked account, as others may vouch for it
    hands: list[str] = []  # noqa: RUF012 - who invited, or the directory that said so


IDENTITY_FACTS: dict[str, type[Fact]] = {
    "session.opened.v1": SessionOpened,
    "session.ended.v1": SessionEnded,
    "connections.cut.v1": ConnectionsCut,
    "token_keys.rotated.v1": TokenKeysRotated,
    "provider.registered.v1": ProviderRegistered,
    "provider.removed.v1": ProviderRemoved,
    "trust.declared.v1": TrustDeclared,
    "trust.ended.v1": TrustEnded,
    "identity.invited.v1": IdentityInvited,
    "identity.linked.v1": IdentityLinked,
}
