"""Questions that no policy of a set can tell apart: asked once, they are answered for all. For searches and replays.

Two questions are of one class if, for every policy whose scope admits the act,
    principal and resource have the same type, the same roles and folder, and the same attributes, by name and type;
    whatever conditions read is equal in both, or is only ever compared for equality, and then the same values are equal to
    each other and to the same words written in policies.
What is looked at in any other way (`like`, a set, arithmetic) counts with its exact value. Two decisions of one class have
the same effect and policies; their sentences name different people. Nothing here is kept from one moment to the next.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Final, NamedTuple

from cedarpy import pst

from jurat.policy.engine import Decision, Engine, Request
from jurat.policy.policyset import PolicySet, admits
from jurat.policy.policytree import ANYTHING
from jurat.policy.resources import Resource, parse_resource
from jurat.policy.values import Value

_WHO, _WHERE = ("principal", "id"), ("resource", "name")
_EQUAL: Final = ("eq", "not_eq")


class _Looked(NamedTuple):
    """What the policies on one act look at."""

    compared: frozenset[tuple[str, str]]  # for equality only
    exact: frozenset[tuple[str, str]]  # in other ways
    words: frozenset[str]  # that something is compared with
    by_identity: frozenset[str]  # `principal`, `resource`: a policy names one of them


class Classes:
    """The classes of one policy set."""

    def __init__(self, policy_set: PolicySet) -> None:
        self._set = policy_set
        self._nodes = list(policy_set.tree.static_policies.values())
        self._looked: dict[str, _Looked] = {}

    def key(self, request: Request) -> Hashable:
        """Return what is the same for all questions of one class.

        Raises:
            Malformed: the resource is not a path.
        """
        looked = self._looked.get(request.action) or self._look(request.action)
        parts = parse_resource(request.resource)
        numbers: dict[str, int] = {}
        words = looked.words

        def same(value: Value | None) -> Hashable:
            if not isinstance(value, str) or value in words:
                return (type(value).__name__, value)
            return numbers.setdefault(value, len(numbers))  # unlike every word, and like itself

        told = {"principal": request.standing, "resource": request.attributes, "context": request.context}
        return (
            request.principal_type, request.roles & self._set.roles, request.action, parts.entity_type, parts.folder, bool(parts.version),
            request.principal_id if "principal" in looked.by_identity else bool(request.principal_id),
            request.resource if "resource" in looked.by_identity else None,
            tuple(sorted((whose, name, type(value).__name__) for whose, values in told.items() for name, value in values.items())),
            tuple([same(self._value(request, parts, each)) for each in sorted(looked.compared)]),
            tuple([(each, self._value(request, parts, each)) for each in sorted(looked.exact)]),
        )  # fmt: skip

    @staticmethod
    def _value(request: Request, parts: Resource, read: tuple[str, str]) -> Value | None:
        whose, name = read
        if read == _WHO:
            return request.principal_id
        if whose == "principal":
            return request.standing.get(name)
        if whose == "resource":
            own = {"name": parts.name, "version": parts.version}
            return own[name] if name in own else request.attributes.get(name)
        return request.context.get(name) if name != ANYTHING else repr(sorted(request.context.items()))

    def _look(self, action: str) -> _Looked:
        compared: set[tuple[str, str]] = set()
        exact: set[tuple[str, str]] = set()
        words: set[str] = set()
        names: set[str] = set()
        above = self._set.ancestors.get(action, frozenset()) | {action}
        for node in self._nodes:
            if not admits(node, above):
                continue
            for which, scope in (("principal", node.principal), ("resource", node.resource)):
                if isinstance(scope, pst.ScopeEq) or _is_of_one(scope):
                    names.add(which)
            for clause in node.clauses:
                _walk(clause.expr, compared, exact, words, names)
        found = self._looked[action] = _Looked(frozenset(compared - exact), frozenset(exact), frozenset(words), frozenset(names))
        return found


_KEPT: Final[dict[str, Classes]] = {}
_MOST_KEPT: Final = 8


def classes_of(policy_set: PolicySet) -> Classes:
    """Return the classes of a set; those of the last few are kept, since a set never changes."""
    found = _KEPT.get(policy_set.digest)
    if found is None:
        if len(_KEPT) >= _MOST_KEPT:
            _KEPT.clear()
        found = _KEPT[policy_set.digest] = Classes(policy_set)
    return found


class Answers:
    """The answers of one engine at one moment, each class asked once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._classes = classes_of(engine.policy_set)
        self._found: dict[Hashable, Decision] = {}
        self.asked = 0  # decisions that were really made

    def decide(self, request: Request) -> Decision:
        """Return a decision whose effect and policies are those of the question; its sentences may name another of its class."""
        try:
            key = self._classes.key(request)
        except ValueError:
            return self._engine.decide(request)
        found = self._found.get(key)
        if found is None:
            self.asked += 1
            found = self._found[key] = self._engine.decide(request)
        return found


def _is_of_one(scope: object) -> bool:
    """Whether a scope lies below a single principal or resource: `in` one that is neither a role nor a folder."""
    if not isinstance(scope, pst.ScopeIn | pst.ScopeIsIn) or not isinstance(scope.entity, pst.EntityUid):
        return False
    return not _is_group(scope.entity)


def _is_group(entity: pst.EntityUid) -> bool:
    return entity.type.basename in ("Role", "Models", "Data", "Infrastructure")


def _attribute(node: object) -> tuple[str, str] | None:
    if isinstance(node, pst.GetAttr) and isinstance(node.base, pst.Var):
        return node.base.name, node.attr
    return None


def _walk(
    node: object, compared: set[tuple[str, str]], exact: set[tuple[str, str]], words: set[str], names: set[str], *, is_test: bool = True
) -> None:
    """Collect what an expression looks at. `is_test`: its value is only true or false to whoever asks for it."""
    if isinstance(node, pst.BinaryOp) and node.op in ("and", "or"):
        for side in (node.left, node.right):
            _walk(side, compared, exact, words, names)
    elif isinstance(node, pst.UnaryOp) and node.op == "not":
        _walk(node.arg, compared, exact, words, names)
    elif isinstance(node, pst.HasAttr) and isinstance(node.base, pst.Var):
        pass  # which attributes there are is part of every class
    elif isinstance(node, pst.BinaryOp) and node.op in _EQUAL and _plain(node.left) and _plain(node.right):
        for side in (node.left, node.right):
            if (read := _attribute(side)) is not None:
                compared.add(read)
            elif isinstance(side, pst.StringLit):
                words.add(side.value)
    elif isinstance(node, pst.Is) and isinstance(node.base, pst.Var) and node.in_expr is None:
        pass  # the type is part of every class
    elif isinstance(node, pst.BinaryOp) and node.op == "in" and isinstance(node.left, pst.Var) and _groups_only(node.right):
        pass  # roles and folders are part of every class
    elif (read := _attribute(node)) is not None:
        (compared if is_test else exact).add(read)  # a bare yes or no is its exact value all the same
    elif isinstance(node, pst.Var):
        if node.name == "context":
            exact.add((node.name, ANYTHING))
        names.add(node.name)
    elif isinstance(node, tuple | Mapping):
        for each in node.values() if isinstance(node, Mapping) else node:
            _walk(each, compared, exact, words, names, is_test=False)
    elif hasattr(node, "__dataclass_fields__"):
        for field in node.__dataclass_fields__:
            _walk(getattr(node, field), compared, exact, words, names, is_test=False)


def _plain(node: object) -> bool:
    return _attribute(node) is not None or isinstance(node, pst.StringLit | pst.BoolLit | pst.LongLit)


def _groups_only(node: object) -> bool:
    if isinstance(node, pst.EntityLit):
        return _is_group(node.value)
    return isinstance(node, pst.Set) and all(_groups_only(each) for each in node.elements)
