"""What can be asked for about proofs of who somebody is. The proofs themselves are checked before (`app.grants`, `app.login`)."""

from __future__ import annotations

from typing import Any, ClassVar

from jurat.domain import rows
from jurat.domain.commands import Command
from jurat.domain.state import State


class _OnWorkspace(Command, frozen=True, kw_only=True):
    def resource(self, state: State) -> str:
        return "workspace"


class OpenSession(_OnWorkspace, frozen=True, kw_only=True):
    """Begin a session of whoever acts, with its first access token."""

    permission: ClassVar[str] = "session:open"
    method: str
    lifetime_s: float
    token_lifetime_s: float
    audience: list[str] = []  # noqa: RUF012 - a struct's default is copied; empty: every door
    jkt: str = ""
    form: str = "jwt"  # or `opaque`: a browser's cookie, which lives as long as the session
    idle_s: float = 0.0  # of a cookie: how long it lives unused; 0: however long
    link: str = ""  # the provider whose account is linked to the person in the same act, on an invitation
    linked_by: str = ""
    issuer: str = ""  # of that provider
    subject: str = ""  # its name for the account; goes to the vault, never into the ledger


class EndSession(Command, frozen=True, kw_only=True):
    """End a session and everything that lives by it: tokens at once, open connections within a moment."""

    permission: ClassVar[str] = "session:end"
    session: str
    reason: str

    def resource(self, state: State) -> str:
        found = state.get(rows.Session, self.session)
        return f"principals/{found.principal if found else 'unknown'}"


class MintToken(_OnWorkspace, frozen=True, kw_only=True):
    """Hand out an access token to whoever acts, with the chain by which they act."""

    permission: ClassVar[str] = "token:mint"
    lifetime_s: float
    how: str  # `refresh`, `client_credentials`, `exchange`, `workload`
    audience: list[str] = []  # noqa: RUF012
    jkt: str = ""
    session: str = ""


class RotateTokenKeys(_OnWorkspace, frozen=True, kw_only=True):
    """Sign access tokens by a new key; the one before stays known until what it signed has ended."""

    permission: ClassVar[str] = "identity:configure"
    issuer: str
    key: dict[str, Any]  # public
    reason: str
    forget: bool = False  # the old keys at once: what they signed ends now


class RegisterProvider(_OnWorkspace, frozen=True, kw_only=True):
    permission: ClassVar[str] = "identity:configure"
    provider: str
    issuer: str
    client_id: str
    reason: str
    scopes: list[str] = []  # noqa: RUF012 - beside `openid`
    directory: str = ""  # the service that provisions its accounts (SCIM), whose external ids are its `sub`


class RemoveProvider(_OnWorkspace, frozen=True, kw_only=True):
    permission: ClassVar[str] = "identity:configure"
    provider: str
    reason: str


class DeclareTrust(_OnWorkspace, frozen=True, kw_only=True):
    """Believe tokens of an issuer, for an audience, with these claims: they are the word of that principal."""

    permission: ClassVar[str] = "identity:configure"
    issuer: str
    audience: str
    claims: dict[str, str]
    principal: str
    reason: str
    form: str = "oidc"
    keys: list[dict[str, Any]] = []  # noqa: RUF012


class EndTrust(_OnWorkspace, frozen=True, kw_only=True):
    permission: ClassVar[str] = "identity:configure"
    trust: str
    reason: str


class InviteIdentity(Command, frozen=True, kw_only=True):
    """Let a person link their account at a provider. The invitation is shown once; only its hash is kept."""

    permission: ClassVar[str] = "identity:invite"
    principal: str
    lifetime_s: float = 86_400.0

    def resource(self, state: State) -> str:
        return f"principals/{self.principal}"
