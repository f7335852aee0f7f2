"""What can be asked for about the life of principals: leaving, coming back, owners, directories, links, passkeys."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from jurat.domain import rows
from jurat.domain.commands import Command
from jurat.domain.state import State


class _OnPrincipal(Command, frozen=True, kw_only=True):
    principal: str

    def resource(self, state: State) -> str:
        return f"principals/{self.principal or 'new'}"


# --- the life of a principal -----------------------------------------------------------------------------------------


class Deactivate(_OnPrincipal, frozen=True, kw_only=True):
    """End everything that a principal has: credentials, grants, requests, pending approvals.

    What a person answers for must go somewhere: to `transfer_to`, or it is suspended, if that is said.
    """

    permission: ClassVar[str] = "principal:deactivate"
    reason: str
    transfer_to: str = ""
    suspend_owned: bool = False


class Reactivate(_OnPrincipal, frozen=True, kw_only=True):
    permission: ClassVar[str] = "principal:reactivate"
    reason: str


class TransferOwnership(Command, frozen=True, kw_only=True):
    """Let another person answer for services, agents and processes; for all of the owner's, if none is named."""

    permission: ClassVar[str] = "principal:transfer"
    from_owner: str
    to_owner: str
    reason: str
    principals: list[str] = []  # noqa: RUF012 - a struct copies its default

    def resource(self, state: State) -> str:
        return f"principals/{self.from_owner}"


# --- directories (SCIM) ----------------------------------------------------------------------------------------------


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """What a directory says of a person. All of it goes to the vault, none of it into the ledger."""

    user_name: str
    name: str
    email: str
    emails: list[str]
    external_id: str
    document: dict[str, Any]  # as the directory wrote it, for its own reading


class DescribePerson(_OnPrincipal, frozen=True, kw_only=True):
    """Make a directory's person known (`principal` is empty), or say anew who they are and whether they may act."""

    permission: ClassVar[str] = "directory:provision"
    details: Details
    active: bool
    if_match: str = ""  # the version that the directory has seen; empty: whichever


class RemovePerson(_OnPrincipal, frozen=True, kw_only=True):
    """A directory lets go of a person: deactivated, and what it said of them forgotten."""

    permission: ClassVar[str] = "directory:provision"
    if_match: str = ""


class DefineGroup(Command, frozen=True, kw_only=True):
    """Say what a group is called and who is in it; `group` is empty for a new one."""

    permission: ClassVar[str] = "directory:provision"
    group: str
    name: str
    people: list[str]
    groups: list[str]
    external_id: str = ""
    if_match: str = ""

    def resource(self, state: State) -> str:
        return "principals/groups"


class RemoveGroup(Command, frozen=True, kw_only=True):
    permission: ClassVar[str] = "directory:provision"
    group: str
    if_match: str = ""

    def resource(self, state: State) -> str:
        return "principals/groups"


class ApplyGroupRoles(Command, frozen=True, kw_only=True):
    """Put a table into force that says which roles the members of which group are granted."""

    permission: ClassVar[str] = "directory:map"
    source: str
    reason: str

    def resource(self, state: State) -> str:
        return "workspace"


# --- links and passkeys ----------------------------------------------------------------------------------------------


class IssueLink(_OnPrincipal, frozen=True, kw_only=True):
    """Hand out a link that works once: whoever opens it may register a passkey for that person."""

    permission: ClassVar[str] = "link:issue"
    lifetime_s: float


class AddPasskey(_OnPrincipal, frozen=True, kw_only=True):
    """Keep a passkey that was just proved: by a one-time link, or by whoever is signed in."""

    permission: ClassVar[str] = "passkey:add"
    credential_id: bytes
    public_key: bytes
    sign_count: int
    label: str
    synced: bool
    link_hash: bytes = b""  # empty: by a session
    session: str = ""  # which one; empty, without a link: by a token of no session


class RemovePasskey(_OnPrincipal, frozen=True, kw_only=True):
    permission: ClassVar[str] = "passkey:remove"
    passkey: str
    reason: str


def owned_by(state: State, owner: str) -> list[rows.Principal]:
    """Return the active services, agents and processes that a person answers for."""
    return [row for row in state.find(rows.Principal, owner=owner) if row.active]
