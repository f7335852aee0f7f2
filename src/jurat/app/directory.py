"""What an identity provider sees and says: its people and groups, and nobody else's. Knows nothing of SCIM's own forms.

Every change walks; every look is asked for by the provisioning service's own permission.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from jurat.app.look import See, check, known
from jurat.app.walk import act
from jurat.app.wiring import App
from jurat.core.errors import Conflict, NotFound
from jurat.domain import rows
from jurat.domain.commands import Command
from jurat.domain.commands_people import DefineGroup, DescribePerson, Details, RemoveGroup, RemovePerson
from jurat.domain.decide_directory import members
from jurat.store.accounts import Account
from jurat.store.store import Snapshot

_PLACE: Final = "principals/directory"


class SeeDirectoryPeople(See, frozen=True, kw_only=True):
    permission = "directory:read"


@dataclass(frozen=True)
class Entry:
    """A person as their directory knows them, with the groups they are in, by whatever way."""

    row: rows.Principal
    account: Account
    groups: list[rows.Group] = field(default_factory=list)


def may_look(app: App, token: str) -> str:
    """Return which directory the caller speaks for.

    Raises:
        Denied: for none. Recorded.
    """
    check(app, token, SeeDirectoryPeople(place=_PLACE))
    return known(app, token).principal


def people(app: App, directory: str, *, offset: int = 0, limit: int | None = None, user_name: str = "") -> tuple[list[Entry], int]:
    """Return a part of a directory's people, ordered by principal, and how many it has in all."""
    with app.store.reading() as state:
        found = state.vault.accounts.page(directory, offset=offset, limit=limit, user_name=user_name)
        total = len(found) if user_name else state.vault.accounts.count(directory)
        return _entries(state, directory, found), total


def person(app: App, directory: str, principal: str) -> Entry:
    """Return one of a directory's people.

    Raises:
        NotFound: it made nobody known by that id.
    """
    with app.store.reading() as state:
        account = state.vault.accounts.get(principal)
        if account is None or account.directory != directory:
            raise NotFound(f"`{principal[:60]}` is nobody whom this directory made known")
        return _entries(state, directory, [account])[0]


def describe(app: App, token: str, principal: str, details: Details, *, active: bool, if_match: str = "") -> str:
    """Say who a person is and whether they may act; make them known if `principal` is empty. Returns their id."""
    command = DescribePerson(principal=principal, details=details, active=active, if_match=if_match)
    return _acted(app, token, command, "principal", principal)


def remove(app: App, token: str, principal: str, *, if_match: str = "") -> None:
    """Let go of a person: everything they had ends, and what the directory said is forgotten."""
    act(app, token, RemovePerson(principal=principal, if_match=if_match))


def groups(app: App, directory: str) -> list[rows.Group]:
    """Return a directory's groups."""
    with app.store.reading() as state:
        return state.find(rows.Group, directory=directory)


def group(app: App, directory: str, group_id: str) -> rows.Group:
    """Return one of a directory's groups.

    Raises:
        NotFound: it has none by that id.
    """
    with app.store.reading() as state:
        found = state.get(rows.Group, group_id)
    if found is None or found.directory != directory:
        raise NotFound(f"`{group_id[:60]}` is no group of this directory")
    return found


def define_group(app: App, token: str, group_id: str, name: str, members_given: list[str], external_id: str, *, if_match: str = "") -> str:
    """Say what a group is called and who is in it; make it if `group_id` is empty. Returns its id."""
    command = DefineGroup(
        group=group_id, name=name, external_id=external_id, if_match=if_match,
        people=[each for each in members_given if not each.startswith("grp_")],
        groups=[each for each in members_given if each.startswith("grp_")],
    )  # fmt: skip
    return _acted(app, token, command, "group", group_id)


def remove_group(app: App, token: str, group_id: str, *, if_match: str = "") -> None:
    """Take a group away; the roles that it gave end."""
    act(app, token, RemoveGroup(group=group_id, if_match=if_match))


def _acted(app: App, token: str, command: Command, name: str, given: str) -> str:
    try:
        return act(app, token, command).reply.get(name, given)
    except Conflict as error:
        if error.code == "unchanged":  # somebody else said just that, a moment ago
            return given
        raise


def _entries(state: Snapshot, directory: str, found: list[Account]) -> list[Entry]:
    all_groups = {row.group: row for row in state.find(rows.Group, directory=directory)}
    inside: dict[str, list[rows.Group]] = {}
    for each in all_groups.values():
        for principal in members(all_groups, each.group):
            inside.setdefault(principal, []).append(each)
    entries = []
    for account in found:
        row = state.get(rows.Principal, account.principal)
        if row is not None:
            entries.append(Entry(row, account, inside.get(account.principal, [])))
    return entries
