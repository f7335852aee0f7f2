"""What events say about the life of principals: leaving, coming back, owners, directories, links, passkeys.

LAW: as for facts (`facts.py`). Names and addresses are not here, nor any part of them: fields are named, values lie in the vault.
"""

from __future__ import annotations

from jurat.domain.values import Fact


class PrincipalDeactivated(Fact, frozen=True, kw_only=True):
    """Whoever it was can act no more. This lists all that died with it, by kind, and how long that took."""

    principal: str
    reason: str
    ended: dict[str, list[str]]  # `tokens`, `sessions`, `passkeys`, `links`, `grants`, `requests`, `approvals` … → ids
    count: int
    suspended: list[str]  # services, agents and processes that nobody answers for from now on
    took_s: float  # from the moment it was asked for until everything listed had ended; only the commit follows


class PrincipalReactivated(Fact, frozen=True, kw_only=True):
    """It may act again. What died stays dead: roles are granted and tokens issued anew."""

    principal: str
    reason: str


class OwnershipTransferred(Fact, frozen=True, kw_only=True):
    principals: list[str]  # services, agents, processes
    from_owner: str
    to_owner: str
    reason: str
    tokens: list[str]  # those of theirs that named the old owner, and ended


class PersonDescribed(Fact, frozen=True, kw_only=True):
    """What the vault says of a person was set by a directory. `directory` is empty once it let go of them."""

    principal: str
    directory: str  # the service principal that speaks for it
    fields: list[str]  # which ones changed; never what they say


class GroupDefined(Fact, frozen=True, kw_only=True):
    """A directory's group is called this and has these members from now on."""

    group: str
    directory: str
    name: str
    people: list[str]
    groups: list[str]
    external_id: str = ""


class GroupRemoved(Fact, frozen=True, kw_only=True):
    group: str
    directory: str


class GroupRolesApplied(Fact, frozen=True, kw_only=True):
    """This table says which roles the members of which group are granted."""

    digest: str
    source: str
    reason: str
    previous: str | None = None


class LinkIssued(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """A link that works once was handed out: whoever opens it may register a passkey. Its hash is in the vault."""

    link: str
    principal: str
    expires_at: str
    hands: list[str] = []  # noqa: RUF012 - who handed it out, if not its person


class PasskeyAdded(Fact, frozen=True, kw_only=True, omit_defaults=True):
    passkey: str
    principal: str
    by: str  # `link`, or `session`
    link: str  # which one, if by link
    synced: bool  # whether its owner's other devices have it too
    hands: list[str] = []  # noqa: RUF012 - who handed out the link, or made what it was added by


class PasskeyRemoved(Fact, frozen=True, kw_only=True):
    passkey: str
    principal: str
    reason: str


PEOPLE_FACTS: dict[str, type[Fact]] = {
    "principal.deactivated.v1": PrincipalDeactivated,
    "principal.reactivated.v1": PrincipalReactivated,
    "ownership.transferred.v1": OwnershipTransferred,
    "person.described.v1": PersonDescribed,
    "group.defined.v1": GroupDefined,
    "group.removed.v1": GroupRemoved,
    "group_roles.applied.v1": GroupRolesApplied,
    "link.issued.v1": LinkIssued,
    "passkey.added.v1": PasskeyAdded,
    "passkey.removed.v1": PasskeyRemoved,
}
