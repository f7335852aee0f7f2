"""Sessions, token keys, providers and trust rules: event → rows. Invitations and links live in the vault."""

from __future__ import annotations

from jurat.domain import facts_identity as facts
from jurat.domain import rows
from jurat.domain.events import Event
from jurat.domain.state import Put, State


def session_opened(state: State, event: Event, data: facts.SessionOpened) -> list[Put]:
    row = rows.Session(
        as_of=event.id, session=data.session, principal=data.principal, chain=data.chain, method=data.method,
        opened_at=event.at, expires_at=data.expires_at, jkt=data.jkt, hands=data.hands, root=data.root,
    )  # fmt: skip
    return [Put("sessions", data.session, row)]


def session_ended(state: State, event: Event, data: facts.SessionEnded) -> list[Put]:
    return [Put("sessions", data.session, None)]


def token_keys_rotated(state: State, event: Event, data: facts.TokenKeysRotated) -> list[Put]:
    row = rows.TokenKeys(as_of=event.id, issuer=data.issuer, keys=data.keys, since=event.at)
    return [Put("token_keys", "current", row)]


def provider_registered(state: State, event: Event, data: facts.ProviderRegistered) -> list[Put]:
    row = rows.Provider(
        as_of=event.id, provider=data.provider, issuer=data.issuer, client_id=data.client_id, scopes=data.scopes, directory=data.directory
    )
    return [Put("providers", data.provider, row)]


def provider_removed(state: State, event: Event, data: facts.ProviderRemoved) -> list[Put]:
    return [Put("providers", data.provider, None)]


def trust_declared(state: State, event: Event, data: facts.TrustDeclared) -> list[Put]:
    row = rows.Trust(
        as_of=event.id, trust=data.trust, form=data.form, issuer=data.issuer, audience=data.audience, claims=data.claims,
        principal=data.principal, keys=data.keys,
    )  # fmt: skip
    return [Put("trusts", data.trust, row)]


def trust_ended(state: State, event: Event, data: facts.TrustEnded) -> list[Put]:
    return [Put("trusts", data.trust, None)]
