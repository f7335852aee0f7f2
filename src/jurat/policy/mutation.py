"""How much the tests of a policy set would notice: each policy is changed in small ways, and some test must fail.

    the policy taken away · permit ↔ forbid · a condition dropped · `when` ↔ `unless` · who, what or where widened to anything

A change after which the set does not fit its schema any more counts for nothing: it could never be applied. The score is
killed ÷ all others, and says how good the tests are, never how good the policies are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import cedarpy
import msgspec
from cedarpy import pst

from jurat.policy.engine import Engine
from jurat.policy.policyset import SCHEMA_NAME, PolicySet, admits, admitting
from jurat.policy.policytests import Case, holds

_ANY: Final = pst.ScopeAny()


class Mutant(msgspec.Struct, frozen=True):
    """One change of one policy."""

    policy: str
    change: str


class Score(msgspec.Struct, frozen=True):
    """What the tests noticed. `survivors`: changes that no test noticed; `invalid`: changes that could never be applied."""

    killed: int
    survivors: list[Mutant]
    invalid: int

    @property
    def share(self) -> float:
        """Of the changes that could be applied, how many were noticed: 0–1, and 0 where there was none."""
        total = self.killed + len(self.survivors)
        return self.killed / total if total else 0.0


def score_tests(policy_set: PolicySet, cases: Sequence[Case]) -> Score:
    """Return what these cases, all of which hold, notice of every small change."""
    by_action: Mapping[str, list[Case]] = _by_action(cases)
    tree = policy_set.tree
    killed, invalid = 0, 0
    survivors: list[Mutant] = []
    for key, node in tree.static_policies.items():
        for change, mutated in _mutations(node):
            if mutated is not None and not _fits(mutated, policy_set):
                invalid += 1
                continue
            changed = {**tree.static_policies, key: mutated} if mutated is not None else {**tree.static_policies}
            if mutated is None:
                del changed[key]
            whole = replace(tree, static_policies=pst.FrozenMap({name: each for name, each in changed.items() if each is not None}))
            if _is_noticed(policy_set, whole, [node, *([mutated] if mutated else [])], by_action):
                killed += 1
            else:
                survivors.append(Mutant(node.annotations["id"], change))
    return Score(killed, survivors, invalid)


def _mutations(node: pst.Template) -> Iterator[tuple[str, pst.Template | None]]:
    yield "taken away", None
    yield (
        f"made a {'forbid' if node.effect == 'permit' else 'permit'}",
        replace(node, effect="forbid" if node.effect == "permit" else "permit"),
    )
    for index, clause in enumerate(node.clauses):
        word = "when" if isinstance(clause, pst.When) else "unless"
        rest = (*node.clauses[:index], *node.clauses[index + 1 :])
        yield f"without its {word}", replace(node, clauses=rest)
        other: pst.Clause = pst.Unless(clause.expr) if isinstance(clause, pst.When) else pst.When(clause.expr)
        yield f"with its {word} turned round", replace(node, clauses=(*node.clauses[:index], other, *node.clauses[index + 1 :]))
    if node.principal != _ANY:
        yield "for everyone", replace(node, principal=_ANY)
    if node.action != _ANY:
        yield "for every act", replace(node, action=_ANY)
    if node.resource != _ANY:
        yield "on everything", replace(node, resource=_ANY)


def _fits(node: pst.Template, policy_set: PolicySet) -> bool:
    alone = pst.PolicySet(templates=pst.FrozenMap({}), static_policies=pst.FrozenMap({node.id: node}), template_links=())
    return cedarpy.validate_policies(str(cedarpy.PolicySet.from_pst(alone)), policy_set.sources[SCHEMA_NAME]).validation_passed


def _is_noticed(policy_set: PolicySet, tree: pst.PolicySet, touched: Sequence[pst.Template], by_action: Mapping[str, list[Case]]) -> bool:
    """Whether some case has another answer. Only acts that the policy speaks of, before or after, can have one."""
    for action, cases in by_action.items():
        above = policy_set.ancestors.get(action, frozenset()) | {action}
        if not any(admits(node, above) for node in touched):
            continue
        handle = admitting(tree, above)
        engine = Engine(replace(policy_set, by_action={action: handle}))
        if any(not holds(case, engine.decide(case.request)) for case in cases):
            return True
    return False


def _by_action(cases: Sequence[Case]) -> dict[str, list[Case]]:
    found: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        found[case.request.action].append(case)
    return found
