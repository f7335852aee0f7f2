"""The table from a directory's groups to roles: explicit, strict, and nothing by default.

    lifetime: 180d          how long such a grant lasts; applying the table again renews it
    groups:
      ML Engineers:         the group's name in the directory, exactly
        - role: ml_engineer
          scope: models/dev/    optional: `*`

Knows the file; who is in a group, and what is granted when, is `domain.decide_directory`'s.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from jurat.core.digests import digest_bytes
from jurat.core.errors import Malformed
from jurat.core.units import parse_duration_s
from jurat.policy.plainyaml import compose, read_mapping, read_scalar, read_sequence, reading, refuse_at, suggest

_LONGEST_S: Final = 366 * 86_400
_NEVER: Final = frozenset({"provisioner"})  # who speaks for a directory is said by a person, never by the directory


class GroupRole(msgspec.Struct, frozen=True, order=True):
    """One role that the members of a group are granted, and where."""

    role: str
    scope: str


class GroupRoles(msgspec.Struct, frozen=True):
    """A whole table."""

    digest: str
    lifetime_s: float
    groups: dict[str, tuple[GroupRole, ...]]


def parse_group_roles(source: str, *, roles: Collection[str]) -> GroupRoles:
    """Return the table in a file.

    Args:
        roles: those that the policies in force speak of.
    Raises:
        Malformed: with the line: not YAML at its plainest, an unknown key or role, a group or a role twice, no lifetime.
    """
    top = read_mapping(compose(source), "the table", {"lifetime", "groups"})
    if set(top) != {"lifetime", "groups"}:
        raise Malformed("a table of group roles has `lifetime` and `groups`", hint="how long such a grant lasts: `lifetime: 180d`")
    lifetime_s = reading(top["lifetime"], lambda: parse_duration_s(read_scalar(top["lifetime"], "`lifetime`")))
    if not 0 < lifetime_s <= _LONGEST_S:
        raise refuse_at(top["lifetime"], "a grant lasts at most 366 days", "apply the table again to renew it")
    groups: dict[str, tuple[GroupRole, ...]] = {}
    for name, node in read_mapping(top["groups"], "`groups`", None).items():
        found = []
        for item in read_sequence(node, f"the roles of `{name[:60]}`", "roles"):
            entry = read_mapping(item, "a role", {"role", "scope"})
            if "role" not in entry:
                raise refuse_at(item, "an entry has no `role`", "write `- role: ml_engineer`")
            role = read_scalar(entry["role"], "`role`")
            if role in _NEVER or role not in roles:
                why = "no directory can grant it" if role in _NEVER else "is in no policy"
                raise refuse_at(entry["role"], f"role `{role[:60]}` {why}", suggest(role, set(roles) - _NEVER, "roles"))
            found.append(GroupRole(role, read_scalar(entry["scope"], "`scope`") if "scope" in entry else "*"))
        if len(set(found)) != len(found):
            raise refuse_at(node, f"group `{name[:60]}` is given a role twice", "once is enough")
        groups[name] = tuple(found)
    return GroupRoles(digest_bytes(source.encode()), lifetime_s, groups)
