"""Two policy sets, held beside each other: which policies are new, gone or otherwise; which roles, which words of the schema.

Compares what policies say, not how they are laid out: white space, comments and order do not count. What a difference
*does* is not seen here: that is what replaying recorded decisions shows.
"""

from __future__ import annotations

import difflib
from typing import Any

import cedarpy
import msgspec
from cedarpy import pst

from jurat.core.errors import Malformed
from jurat.policy.policyset import SCHEMA_NAME, PolicySet


class Comparison(msgspec.Struct, frozen=True):
    """What is different. `changed`: policy → the lines of its difference."""

    added: list[str]
    removed: list[str]
    changed: dict[str, list[str]]
    roles_added: list[str]
    roles_removed: list[str]
    schema: list[str]  # the lines of its difference

    @property
    def is_empty(self) -> bool:
        """Whether both sets say the same."""
        return not (self.added or self.removed or self.changed or self.schema)

    def shown(self) -> dict[str, Any]:
        """Return it as an approver is shown it."""
        found = msgspec.to_builtins(self)
        assert isinstance(found, dict)
        return found


def compare(before: PolicySet, after: PolicySet) -> Comparison:
    """Return how `after` differs from `before`."""
    old, new = texts_of(before), texts_of(after)
    return Comparison(
        added=sorted(new.keys() - old.keys()),
        removed=sorted(old.keys() - new.keys()),
        changed={name: _lines(old[name], new[name]) for name in sorted(old.keys() & new.keys()) if old[name] != new[name]},
        roles_added=sorted(after.roles - before.roles),
        roles_removed=sorted(before.roles - after.roles),
        schema=_lines(before.sources[SCHEMA_NAME], after.sources[SCHEMA_NAME]),
    )


def texts_of(policy_set: PolicySet) -> dict[str, str]:
    """Return each policy's text in one spelling, by `@id`."""
    tree = policy_set.tree
    found = {}
    for key, node in tree.static_policies.items():
        alone = pst.PolicySet(templates=pst.FrozenMap({}), static_policies=pst.FrozenMap({key: node}), template_links=())
        found[node.annotations["id"]] = cedarpy.format_policies(str(cedarpy.PolicySet.from_pst(alone)))
    return found


def format_policy_file(name: str, text: str) -> str:
    """Return a policy file in the house's one layout. Comments stay.

    Raises:
        Malformed: it cannot be read.
    """
    try:
        formatted = cedarpy.format_policies(text, line_width=140, indent_width=4)
    except ValueError as error:
        raise Malformed(f"`{name}` cannot be read: {' '.join(str(error).split())[:200]}", hint="`jurat policy check` says where") from error
    return formatted.rstrip("\n") + "\n"


def _lines(before: str, after: str) -> list[str]:
    found = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0))
    return [line for line in found[2:] if not line.startswith("@@")]
