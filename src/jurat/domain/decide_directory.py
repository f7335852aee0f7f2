"""The law on directories: whom an identity provider makes known, what groups say, and which roles follow from a table.

A directory is the service principal that speaks for it. It sees and changes only what it made known itself.
"""

from __future__ import annotations

from typing import Final

from jurat.core.errors import Conflict, Denied, Malformed, NotFound
from jurat.domain import commands_people as commands
from jurat.domain import facts, rows
from jurat.domain import facts_people as said
from jurat.domain.commands_people import owned_by
from jurat.domain.context import Context
from jurat.domain.decide_people import ended
from jurat.domain.duties import refuse_conflicting_grant
from jurat.domain.events import Event
from jurat.domain.grants import check_scope, window_of
from jurat.domain.roles import expiry, is_live, people_behind
from jurat.domain.state import State
from jurat.domain.values import PrincipalType
from jurat.policy.groupfile import GroupRoles, parse_group_roles

MOST_MEMBERS: Final = 10_000
Groups = dict[str, rows.Group]


def describe_person(state: State, command: commands.DescribePerson, context: Context) -> list[Event]:
    """New, changed, gone or back: one act, whatever of it applies."""
    directory = _directory(context)
    if context.known.taken:
        field, holder = next(iter(context.known.taken.items()))
        raise Conflict(f"that `{field}` belongs to `{holder}` already", hint="one address, one person", code="uniqueness")
    if not command.principal:
        principal = context.fresh("prn")
        place, events = f"principals/{principal}", list[Event]()
        events.append(
            context.event(facts.PrincipalRegistered(principal=principal, type=PrincipalType.PERSON, owner=None, name=None), resource=place)
        )
        data = said.PersonDescribed(principal=principal, directory=directory, fields=context.known.changed)
        events.append(context.event(data, because=[events[0].id], resource=place))
        if not command.active:
            row = rows.Principal(as_of=events[0].id, principal=principal, type=PrincipalType.PERSON, owner=None, name=None)
            events.append(ended(state, row, "its directory says that it is not active", context, []))
        return events
    row, events = _person(state, command.principal, directory, command.if_match), []
    if context.known.changed:
        data = said.PersonDescribed(principal=row.principal, directory=directory, fields=context.known.changed)
        events.append(context.event(data, because=[row.as_of]))
    if row.active and not command.active:
        events.append(_gone(state, row, "its directory says that it is not active", context))
    if command.active and not row.active:
        back = said.PrincipalReactivated(principal=row.principal, reason="its directory says that it is active")
        events += [context.event(back, because=[row.as_of])]
        events += _follow(state, _groups(state), context, back=row.principal)
    if not events:
        raise Conflict(f"nothing of `{row.principal}` changes", hint="nothing to do", code="unchanged")
    return events


def remove_person(state: State, command: commands.RemovePerson, context: Context) -> list[Event]:
    row = _person(state, command.principal, _directory(context), command.if_match)
    let_go = said.PersonDescribed(principal=row.principal, directory="", fields=["removed"])
    gone = [_gone(state, row, "its directory removed it", context)] if row.active else []
    left = [
        context.event(_defined(group, people=[p for p in group.people if p != row.principal]), because=[group.as_of])
        for group in state.find(rows.Group, directory=row.directory)
        if row.principal in group.people
    ]
    return [*gone, *left, context.event(let_go, because=[row.as_of])]


def define_group(state: State, command: commands.DefineGroup, context: Context) -> list[Event]:
    """Members are this directory's own people and groups, and no group is in itself, by whatever way."""
    directory = _directory(context)
    if command.group:
        _group(state, command.group, directory, command.if_match)
    name = command.name.strip()
    if not name:
        raise Malformed("a group needs a name")
    if len(command.people) + len(command.groups) > MOST_MEMBERS:
        raise Malformed(f"a group has at most {MOST_MEMBERS} members, got {len(command.people) + len(command.groups)}")
    groups = _groups(state)
    if same := next((g for g in groups.values() if g.name.lower() == name.lower() and g.group != command.group), None):
        raise Conflict(f"group `{same.group}` is called `{name[:80]}` already", hint="the table of roles goes by name", code="uniqueness")
    for person in command.people:
        _person(state, person, directory, "")
    for group in command.groups:
        _group(state, group, directory, "")
    data = said.GroupDefined(
        group=command.group or context.fresh("grp"), directory=directory, name=name, people=sorted(set(command.people)),
        groups=sorted(set(command.groups)), external_id=command.external_id,
    )  # fmt: skip
    before = groups.get(data.group)
    if before is not None and _defined(before) == data:
        raise Conflict(f"nothing of `{data.group}` changes", hint="nothing to do", code="unchanged")
    event = context.event(data, because=[before.as_of] if before else [], resource="principals/groups")
    groups[data.group] = rows.Group(
        as_of=event.id, group=data.group, directory=directory, name=name, people=data.people, groups=data.groups
    )
    if circle := _circle(groups, data.group):
        raise Conflict(
            f"group `{data.group}` would be in itself: {' → '.join(f'`{groups[g].name[:40]}`' for g in circle)}",
            hint="take one of these out of the next",
            code="cyclic_group",
        )
    return [event, *_follow(state, groups, context, because=event.id)]


def remove_group(state: State, command: commands.RemoveGroup, context: Context) -> list[Event]:
    row = _group(state, command.group, _directory(context), command.if_match)
    event = context.event(said.GroupRemoved(group=row.group, directory=row.directory), because=[row.as_of], resource="principals/groups")
    groups = _groups(state)
    del groups[row.group]
    return [event, *_follow(state, groups, context, because=event.id)]


def apply_group_roles(state: State, command: commands.ApplyGroupRoles, context: Context) -> list[Event]:
    """A table that cannot be read changes nothing. Applied again, it renews what it grants."""
    table = parse_group_roles(command.source, roles=context.known_roles)
    if not command.reason.strip():
        raise Malformed("a table of group roles needs a reason", hint="say why these groups have these roles")
    for scope in {each.scope for given in table.groups.values() for each in given}:
        check_scope(state, scope)
    if window_of(state, people_behind(state, context.actor), context.now_ns) is not None:
        raise Denied("a table outlives an emergency", hint="apply it without break-glass, or let somebody else", code="beyond_window")
    current = state.get(rows.GroupRolesInForce, "current")
    data = said.GroupRolesApplied(
        digest=table.digest, source=command.source, reason=command.reason, previous=current.digest if current else None
    )
    event = context.event(data, because=[current.as_of] if current else [])
    renews = current is not None and current.digest == table.digest
    return [event, *_follow(state, _groups(state), context, because=event.id, table=table, renews=renews)]


def _follow(
    state: State,
    groups: Groups,
    context: Context,
    *,
    because: str = "",
    table: GroupRoles | None = None,
    renews: bool = False,
    back: str = "",
) -> list[Event]:
    """Return the grants and revocations after which each person holds exactly what the table gives their groups."""
    row = state.get(rows.GroupRolesInForce, "current")
    if table is None and row is not None:
        table = parse_group_roles(row.source, roles=context.known_roles)
    rests = [because] if because else []
    wanted: dict[tuple[str, str, str], str] = {}
    for group in groups.values() if table else ():
        for role in table.groups.get(group.name, ()) if table else ():
            for person in members(groups, group.group):
                found = state.get(rows.Principal, person)
                if found is not None and (found.active or person == back):
                    wanted.setdefault((person, role.role, role.scope), group.group)
    events: list[Event] = []
    held = set()
    for grant in state.find(rows.Grant):
        if not grant.group:
            continue
        key = (grant.principal, grant.role, grant.scope)
        if key in wanted and is_live(grant, context.now_ns) and not renews:
            held.add(key)
            continue
        over = facts.RoleRevoked(grant=grant.grant, principal=grant.principal, role=grant.role, reason="no group gives it any more")
        if key in wanted:
            over = facts.RoleRevoked(grant=grant.grant, principal=grant.principal, role=grant.role, reason="renewed")
        events.append(context.event(over, because=[grant.as_of, *rests], resource=f"principals/{grant.principal}"))
    for (person, role_name, scope), group_id in sorted(wanted.items()):
        if (person, role_name, scope) in held:
            continue
        if person in people_behind(state, context.actor):
            raise Denied(
                f"nobody may grant a role to themselves: `{person}` is in group `{groups[group_id].name[:60]}` and answers for this act",
                hint="let another person own the directory's service, or apply the table",
                code="no_self_grant",
            )
        assert table is not None, "nothing is wanted without a table"
        beside = [role for who, role, _ in wanted if who == person and role != role_name]
        watched = refuse_conflicting_grant(state, person, role_name, context.now_ns, beside=beside)
        data = facts.RoleGranted(
            grant=context.fresh("grt"), principal=person, role=role_name, scope=scope, group=group_id,
            reason=f"member of group `{groups[group_id].name}`", expires_at=expiry(context.now_ns, table.lifetime_s),
            watched=watched,
        )  # fmt: skip
        events.append(context.event(data, because=rests, resource=f"principals/{person}"))
    return events


def members(groups: Groups, group: str) -> list[str]:
    """Return the people in a group, and in the groups in it."""
    found: set[str] = set()
    todo, seen = [group], set[str]()
    while todo:
        each = todo.pop()
        if each in seen or each not in groups:
            continue
        seen.add(each)
        found.update(groups[each].people)
        todo += groups[each].groups
    return sorted(found)


def _circle(groups: Groups, start: str) -> list[str]:
    """Return a way from a group back to itself, or nothing."""
    ways: list[list[str]] = [[start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        for inner in groups[way[-1]].groups if way[-1] in groups else ():
            if inner == start:
                return [*way, start]
            if inner not in seen:
                seen.add(inner)
                ways.append([*way, inner])
    return []


def _gone(state: State, row: rows.Principal, reason: str, context: Context) -> Event:
    """A directory cannot be asked who takes over, and whoever left must be out at once: what they answer for is suspended, and listed."""
    return ended(state, row, reason, context, [each.principal for each in owned_by(state, row.principal)])


def _defined(row: rows.Group, people: list[str] | None = None) -> said.GroupDefined:
    return said.GroupDefined(
        group=row.group, directory=row.directory, name=row.name, people=row.people if people is None else people, groups=row.groups,
        external_id=row.external_id,
    )  # fmt: skip


def _groups(state: State) -> Groups:
    return {row.group: row for row in state.find(rows.Group)}


def _directory(context: Context) -> str:
    if context.actor.type is not PrincipalType.SERVICE:
        raise Denied("a directory speaks through a service", hint="issue its token to a service principal", code="not_a_directory")
    return context.actor.principal


def _person(state: State, principal: str, directory: str, if_match: str) -> rows.Principal:
    row = state.get(rows.Principal, principal)
    if row is None or row.directory != directory:
        raise NotFound(f"`{principal[:60]}` is nobody whom this directory made known")
    _same_version(row.as_of, if_match)
    return row


def _group(state: State, group: str, directory: str, if_match: str) -> rows.Group:
    row = state.get(rows.Group, group)
    if row is None or row.directory != directory:
        raise NotFound(f"`{group[:60]}` is no group of this directory")
    _same_version(row.as_of, if_match)
    return row


def _same_version(as_of: str, if_match: str) -> None:
    if if_match and if_match != as_of:
        raise Conflict(f"this was changed meanwhile, by `{as_of}`", hint="read it again, then decide", code="version_differs")
