"""What can be asked for about credentials that went through somebody else's hands, and about grants that one person gave alone."""

from __future__ import annotations

from typing import ClassVar

from jurat.domain import rows
from jurat.domain.commands import Command
from jurat.domain.state import State


class ActivateToken(Command, frozen=True, kw_only=True):
    """Change a token that somebody handed to whoever acts for a fresh one that nobody else has seen. The old one ends."""

    permission: ClassVar[str] = "token:activate"
    token: str  # its id
    principal: str

    def resource(self, state: State) -> str:
        return f"principals/{self.principal}"


class VouchCredential(Command, frozen=True, kw_only=True):
    """Say that a person has a credential themselves, and nobody else: a passkey, a linked account, an activated token."""

    permission: ClassVar[str] = "credential:vouch"
    principal: str
    credential: str  # pky_…, idn_…, tok_…
    reason: str

    def resource(self, state: State) -> str:
        return f"principals/{self.principal}"


class ConfirmGrant(Command, frozen=True, kw_only=True):
    """Say yes to a grant that somebody gave without a request: without a second person's word it ends within a day."""

    permission: ClassVar[str] = "role:confirm"
    grant: str
    comment: str = ""

    def resource(self, state: State) -> str:
        found = state.get(rows.Grant, self.grant)
        return f"principals/{found.principal if found else 'unknown'}"
