"""What the law must ask the vault: read in the act's own transaction, since acts happen one after the other. Ids only, never a value."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class KnownLink:
    """A one-time link that was shown, as the vault knows it."""

    link: str
    principal: str
    expires_at: str
    is_used: bool
    hands: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class KnownCredential:
    """A passkey, a linked account or a token, as the vault knows it."""

    principal: str
    hands: list[str]  # who else made it
    root: str  # what can be vouched for; empty: nothing, it was handed out
    expires_at: str = ""  # of a token


@dataclass(frozen=True)
class Known:
    """What the vault says about those whom a command is about. Empty for commands that do not ask."""

    credentials: dict[str, list[str]] = field(default_factory=dict)  # what lives now, by sort: `tokens`, `sessions`, `passkeys`, `links`
    taken: dict[str, str] = field(default_factory=dict)  # `user_name`, `email` → whose it is already
    changed: list[str] = field(default_factory=list)  # fields of a description that differ from what is kept
    link: KnownLink | None = None
    credential: KnownCredential | None = None  # that the command names
    passkeys: int = 0  # how many its person has
    passkey_of: str = ""  # who holds the passkey that the command names
