"""A policy's tree, walked: which attributes its conditions read, and what they compare them with.

Sound where it matters: what cannot be told apart is said to be read. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from cedarpy import pst

ANYTHING: Final = "*"  # the attributes of a principal, resource or context that is read as a whole


def reads(tree: pst.PolicySet) -> frozenset[tuple[str, str]]:
    """Return what some condition reads: (`context`, `at`), or (`context`, `*`) where the whole of it is looked at."""
    found: set[tuple[str, str]] = set()
    for node in tree.static_policies.values():
        for clause in node.clauses:
            _collect(clause, found)
    return frozenset(found)


def _collect(node: object, found: set[tuple[str, str]]) -> None:
    if isinstance(node, pst.GetAttr) and isinstance(node.base, pst.Var):
        found.add((node.base.name, node.attr))
    elif isinstance(node, pst.HasAttr) and isinstance(node.base, pst.Var):
        found.add((node.base.name, node.attrs[0]))
    elif isinstance(node, pst.Var):
        if node.name == "context":
            found.add((node.name, ANYTHING))
    elif isinstance(node, tuple | Mapping):
        for each in node.values() if isinstance(node, Mapping) else node:
            _collect(each, found)
    elif hasattr(node, "__dataclass_fields__"):
        for name in node.__dataclass_fields__:
            _collect(getattr(node, name), found)


def read_by(tree: pst.PolicySet, action: str) -> set[tuple[str, str, str]]:
    """Return what the conditions of the policies on an action read: (whose, attribute, a value that it is compared with)."""
    found: set[tuple[str, str, str]] = set()
    for node in tree.static_policies.values():
        if isinstance(node.action, pst.ActionEq) and node.action.entity.id != action:
            continue
        if isinstance(node.action, pst.ActionIn) and all(entity.id != action for entity in node.action.entities):
            continue
        for clause in node.clauses:
            for each in nodes_of(clause):
                found |= set(_compared(each))
    return found


def nodes_of(node: object) -> Iterator[object]:
    """Yield a node of a policy's tree, and everything below it."""
    yield node
    if isinstance(node, tuple | Mapping):
        for each in node.values() if isinstance(node, Mapping) else node:
            yield from nodes_of(each)
    elif hasattr(node, "__dataclass_fields__"):
        for name in node.__dataclass_fields__:
            yield from nodes_of(getattr(node, name))


def attribute_of(node: object) -> tuple[str, str] | None:
    """Return whose attribute a node reads, (`principal`, `id`), or None if it is something else."""
    if isinstance(node, pst.GetAttr) and isinstance(node.base, pst.Var) and node.base.name != "action":
        return node.base.name, node.attr
    return None


def _compared(node: object) -> Iterator[tuple[str, str, str]]:
    if isinstance(node, pst.BinaryOp):
        for one, other in ((node.left, node.right), (node.right, node.left)):
            read = attribute_of(one)
            if read is not None and isinstance(other, pst.StringLit):
                yield *read, other.value
            if read is not None and node.op in ("and", "or"):
                yield from ((*read, "true"), (*read, "false"))
    if isinstance(node, pst.UnaryOp | pst.When | pst.Unless):
        read = attribute_of(node.arg if isinstance(node, pst.UnaryOp) else node.expr)
        if read is not None:
            yield from ((*read, "true"), (*read, "false"))
